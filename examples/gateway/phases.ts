import type { Mood } from './services.ts'

/** What happens to the third host of `orders`, and for how many milliseconds. */
export const gatewayPhases: readonly { readonly what: string; readonly mood: Mood; readonly duration: number }[] = [
  { what: 'all hosts are well', mood: 'well', duration: 1_000 },
  {
    what: 'orders-3 answers every call with 503: it is ejected, and what it failed goes to another',
    mood: 'errors',
    duration: 1_500,
  },
  { what: 'orders-3 is well again: one call probes it, then it grows into its share', mood: 'well', duration: 2_500 },
]
