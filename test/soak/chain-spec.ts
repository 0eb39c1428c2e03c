import type { BalanceAlgorithm, RateAlgorithm } from '../../src/index.ts'
import type { SeededRandom } from '../../src/testing/index.ts'

/** Layers the run puts together, in the order of the standard chain. */
export const layerNames = [
  'undici cache',
  'undici redirect',
  'tracing',
  'logging',
  'classify',
  'deadline',
  'contextHeaders',
  'undici decompress',
  'fallback',
  'sync policy',
  'rateLimit',
  'hedge',
  'retry',
  'undici retry',
  'canary',
  'balance',
  'circuitBreaker',
  'bulkhead',
  'adaptiveLimit',
  'promise policy',
  'route',
  'attemptTimeout',
  'bodyTimeout',
  'mirror',
  'undici dns',
] as const
export type LayerName = (typeof layerNames)[number]

/**
 * How the layers become a dispatcher: adjacent ones folded into one guard, each in a guard of its own because a foreign
 * interceptor stands between every two, or by undici's `agent.compose`. `single` is one of the standard chains, or some of it,
 * without a probe between: only then one object serves a call.
 */
export const forms = ['fused', 'unfused', 'composed', 'single'] as const
export type Form = (typeof forms)[number]

/** What bounds the retries of a chain: nothing, what the kit does by default, hardly any, tokens, nothing but on paper. */
export const budgets = ['none', 'default', 'tight', 'tokens', 'shadow'] as const

/** One chain, drawn by chance. Durations are milliseconds. */
export interface ChainSpec {
  readonly form: Form
  /** The first is outermost. */
  readonly layers: readonly LayerName[]
  readonly deadline: number
  readonly attemptTimeout: number
  readonly bodyTimeout: number
  /** 0: off. */
  readonly unreadBodyTimeout: number
  readonly maxAttempts: number
  readonly backoff: number
  readonly budget: (typeof budgets)[number]
  readonly limit: number
  readonly queue: number
  readonly queueTimeout: number | undefined
  readonly rate: {
    readonly algorithm: RateAlgorithm
    readonly limit: number
    readonly window: number
    readonly queue: number
    readonly serverHeaders: boolean
    readonly shadow: boolean
  }
  readonly minimumCalls: number
  readonly openFor: number
  readonly probes: number
  /** Calls, where the breaker looks at the last so many and not at a time. */
  readonly windowCalls: number | undefined
  readonly breakerInShadow: boolean
  /** How a group of hosts, which are all servers of the run, is balanced. */
  readonly algorithm: BalanceAlgorithm
  /** Whether the agent offers HTTP/2. */
  readonly allowH2: boolean
  /** The share of calls that go to a server of HTTP/2. */
  readonly http2Share: number
  /** What of a response is sure to come to an end in time. */
  readonly bounds: { readonly body: boolean }
}

const shares: Readonly<Record<LayerName, number>> = {
  'undici cache': 0.07,
  'undici redirect': 0.12,
  tracing: 0.6,
  logging: 0.5,
  classify: 0.25,
  deadline: 0.45,
  contextHeaders: 0.3,
  'undici decompress': 0.1,
  'sync policy': 0.35,
  rateLimit: 0.3,
  fallback: 0.12,
  hedge: 0.15,
  retry: 0.65,
  'undici retry': 0.07,
  canary: 0.15,
  balance: 0.12,
  circuitBreaker: 0.35,
  bulkhead: 0.5,
  adaptiveLimit: 0.2,
  'promise policy': 0.25,
  route: 0.15,
  attemptTimeout: 0.6,
  bodyTimeout: 0.55,
  mirror: 0.2,
  'undici dns': 0.06,
}

/** Whether a chain has a layer. */
export function holds(chain: Pick<ChainSpec, 'layers'>, name: LayerName): boolean {
  return chain.layers.includes(name)
}

/** The items in an order by chance. */
export function shuffled<T>(random: SeededRandom, items: readonly T[]): T[] {
  const order = [...items]
  for (let at = order.length - 1; at > 0; at--) {
    const other = random.integer(0, at)
    const moved = order[at] as T
    order[at] = order[other] as T
    order[other] = moved
  }
  return order
}

function drawLayers(random: SeededRandom): LayerName[] {
  const chosen = layerNames.filter((name) => random.chance(shares[name]))
  // What `compose` would refuse has to keep the contract as well.
  if (chosen.length > 0 && random.chance(0.1)) chosen.push(random.pick(chosen))
  return random.chance(0.4) ? chosen : shuffled(random, chosen)
}

const singleShare = 0.2
const singleShares: Partial<Record<LayerName, number>> = {
  fallback: 0.25,
  deadline: 0.7,
  contextHeaders: 0.4,
  circuitBreaker: 0.7,
  bulkhead: 0.7,
  adaptiveLimit: 0.3,
  attemptTimeout: 0.7,
  bodyTimeout: 0.7,
}

function drawSingle(random: SeededRandom): LayerName[] {
  const sender = random.chance(0.7) ? 'retry' : 'hedge'
  return layerNames.filter((name) => name === sender || random.chance(singleShares[name] ?? 0))
}

/** A chain by chance: layers, positions and settings. */
export function drawChain(random: SeededRandom): ChainSpec {
  const isSingle = random.chance(singleShare)
  const layers = isSingle ? drawSingle(random) : drawLayers(random)
  const allowH2 = random.chance(0.9)
  const has = (name: LayerName) => layers.includes(name)
  const waits = has('bulkhead') || has('adaptiveLimit') || has('tracing') || has('logging')
  return {
    form: isSingle ? 'single' : random.pick(forms.slice(0, 3)),
    layers,
    deadline: random.integer(200, 400),
    attemptTimeout: random.integer(80, 160),
    bodyTimeout: random.integer(60, 120),
    unreadBodyTimeout: waits && random.chance(0.8) ? random.integer(8, 16) : 0,
    maxAttempts: random.integer(1, 8) === 1 ? 1 : random.integer(2, 4),
    backoff: random.integer(3, 8),
    budget: random.pick(budgets),
    limit: random.integer(2, 5),
    queue: random.integer(2, 20),
    queueTimeout: random.chance(0.4) ? random.integer(20, 60) : undefined,
    rate: {
      algorithm: random.pick(['tokenBucket', 'fixedWindow', 'slidingWindow', 'leakyBucket']),
      limit: random.integer(3, 20),
      window: random.integer(5, 20),
      queue: random.integer(0, 10),
      serverHeaders: random.chance(0.5),
      shadow: random.chance(0.2),
    },
    minimumCalls: random.integer(4, 10),
    openFor: random.integer(2, 12),
    probes: random.integer(1, 2),
    windowCalls: random.chance(0.3) ? random.integer(10, 20) : undefined,
    breakerInShadow: random.chance(0.2),
    algorithm: random.pick(['peakEwma', 'leastLoaded', 'roundRobin', 'random', 'consistentHash']),
    allowH2,
    http2Share: allowH2 ? 0.56 : 0,
    bounds: { body: has('bodyTimeout') },
  }
}

/** One line that says what a chain is. */
export function describeChain({ form, layers, ...settings }: ChainSpec): string {
  const { limit, queue, queueTimeout, unreadBodyTimeout, maxAttempts, allowH2 } = settings
  return (
    `${form}: ${layers.join(' > ') || 'no layers'} ` +
    `(limit ${limit}, queue ${queue}, queueTimeout ${queueTimeout}, unread ${unreadBodyTimeout}, attempts ${maxAttempts}, h2 ${allowH2})`
  )
}
