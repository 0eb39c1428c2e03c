/** What the service `orders` does to its callers; `users` is always well. */
export type Behaviour = 'well' | 'errors' | 'resets' | 'hangs'

interface PhaseOf<Name> {
  readonly name: Name
  readonly what: string
  /** Where the difference shows. */
  readonly look?: string
  /** One after the other, in milliseconds. */
  readonly steps: readonly (readonly [behaviour: Behaviour, duration: number])[]
}

/** The share of answers that are a 503 while `orders` has errors. */
export const errorShare = 0.3

export const phases = [
  { name: 'healthy', what: 'both services are well', steps: [['well', 2_000]] },
  {
    name: '30 % errors',
    what: 'orders answers 30 % of its requests with 503',
    look: 'look at failed: the chain sends again what may be sent again',
    steps: [['errors', 3_500]],
  },
  {
    name: 'outage',
    what: 'orders resets all connections for 1 s, then never answers',
    look: 'look at users: in the bare lane its calls queue behind those that hang',
    steps: [
      ['resets', 1_000],
      ['hangs', 3_000],
    ],
  },
  {
    name: 'recovery',
    what: 'orders is well again',
    look: 'look at p50: the bare lane works off its queue, the chain has none',
    steps: [['well', 3_500]],
  },
] as const satisfies readonly PhaseOf<string>[]

export type PhaseName = (typeof phases)[number]['name']
export type Phase = PhaseOf<PhaseName>

export const services = ['orders', 'users'] as const
export type Service = (typeof services)[number]

export const laneNames = ['bare', 'chain'] as const
export type LaneName = (typeof laneNames)[number]
