import type { Mood } from './services.ts'

/** What becomes of the third host of `orders`, and for how many milliseconds. */
export interface GatewayPhase {
  readonly what: string
  readonly mood: Mood
  readonly duration: number
}

/** How the hosts are set, for whoever sees them for the first time. */
export const gatewaySettings =
  'orders: three alike, one is ejected after 3 failures in a row; users: 3 to 1; catalog: 90 to 10, the next version a canary'

export const gatewayPhases: readonly GatewayPhase[] = [
  { what: 'all hosts are well', mood: 'well', duration: 1_000 },
  {
    what: 'orders-3 fails every call: it is ejected, and its calls go to the others',
    mood: 'errors',
    duration: 1_200,
  },
  { what: 'orders-3 is well again: one call probes it, then its share grows', mood: 'well', duration: 2_500 },
]
