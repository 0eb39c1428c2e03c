import { type Agent, type Dispatcher, interceptors } from 'undici'
import { ChainDispatcher } from '../../src/dispatchers/compose.ts'
import {
  type AdaptiveLimitLayer,
  adaptiveLimit,
  attemptTimeout,
  type BalanceLayer,
  type BulkheadLayer,
  balance,
  bodyTimeout,
  bulkhead,
  type CanaryLayer,
  type CircuitBreakerLayer,
  type CircuitBreakerOptions,
  canary,
  circuitBreaker,
  classify,
  contextHeaders,
  deadline,
  fallback,
  guard,
  hedge,
  type Layer,
  logging,
  type MirrorLayer,
  mirror,
  type RateLimitLayer,
  type RetryOptions,
  type RouteLayer,
  rateLimit,
  retry,
  retryBudget,
  retryThrottle,
  route,
  tracing,
} from '../../src/index.ts'
import { CircuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { type PerOriginPolicy, perOrigin } from '../../src/policies/per-origin.ts'
import { replayLimit } from './bodies.ts'
import { type ChainSpec, holds, type LayerName } from './chain-spec.ts'
import { type EventsOf, Probe, PromisePolicy, SyncPolicy } from './probe.ts'
import { Shadow } from './shadow.ts'
import { CountedRecords, CountedSpans } from './telemetry.ts'

/** Who is told what happens at each place of the chain that has a probe. */
export interface ProbeListeners {
  readonly outer: EventsOf
  readonly aboveBulkhead: EventsOf
  readonly belowBulkhead: EventsOf
  readonly attempt: EventsOf
  readonly wire: EventsOf
}

/** What a chain may be given from outside. */
export interface ChainSurroundings {
  readonly listeners: ProbeListeners
  readonly random: () => number
  /** Where calls to a group of hosts go. */
  readonly hosts: readonly string[]
  /** A clock for circuit breakers. */
  readonly now?: () => number
  /** Keep spans and records, not only count them. */
  readonly keeps?: boolean
}

const foreign: Readonly<Partial<Record<LayerName, () => Layer>>> = {
  'undici cache': () => interceptors.cache(),
  'undici redirect': () => interceptors.redirect({ maxRedirections: 3 }),
  'undici decompress': () => interceptors.decompress({ skipErrorResponses: false }),
  'undici retry': () => interceptors.retry({ maxRetries: 2, minTimeout: 2, maxTimeout: 8, timeoutFactor: 1 }),
  'undici dns': () => interceptors.dns({ affinity: 4 }),
}

const budgetOf: Readonly<Record<ChainSpec['budget'], () => NonNullable<RetryOptions['budget']>>> = {
  none: () => false,
  default: () => ({}),
  tight: () => retryBudget({ share: 0.1, minPerSecond: 1 }),
  tokens: () => retryThrottle({ maxTokens: 4, tokenRatio: 0.5 }),
  shadow: () => ({ share: 0, minPerSecond: 0, shadow: true }),
}

/** A foreign interceptor that does nothing: layers on its two sides cannot be folded into one guard. */
export const apart: Layer = (dispatch) =>
  function apart(opts, handler) {
    return dispatch(opts, handler)
  }

/** The layers of one chain, with all that can be looked at afterwards. */
export class Instruments {
  readonly spans: CountedSpans
  readonly records: CountedRecords
  readonly probes: Probe[] = []
  readonly bulkheads: BulkheadLayer[] = []
  readonly limits: AdaptiveLimitLayer[] = []
  readonly rateLimits: RateLimitLayer[] = []
  readonly canaries: CanaryLayer[] = []
  readonly mirrors: MirrorLayer[] = []
  readonly groups: BalanceLayer[] = []
  readonly breakers: PerOriginPolicy<CircuitBreaker>[] = []
  readonly #circuits: CircuitBreakerLayer[] = []
  /** The outermost first. */
  readonly layers: Layer[] = []
  readonly #routes: RouteLayer[] = []
  readonly #logged: Probe[] = []
  readonly #spec: ChainSpec
  readonly #around: ChainSurroundings

  constructor(spec: ChainSpec, around: ChainSurroundings) {
    this.#spec = spec
    this.#around = around
    this.spans = new CountedSpans(around.keeps)
    this.records = new CountedRecords(around.keeps)
    const { listeners } = around
    if (spec.form === 'single') {
      this.layers.push(...spec.layers.map((name) => this.#make(name)))
      return
    }
    this.#probe('outer', listeners.outer)
    for (const name of spec.layers) {
      if (name === 'bulkhead') this.#probe('above bulkhead', listeners.aboveBulkhead)
      this.layers.push(this.#make(name))
      if (name === 'bulkhead') this.#probe('below bulkhead', listeners.belowBulkhead)
      if (name === 'retry') this.#probe('attempt', listeners.attempt)
      if (name === 'logging') this.#logged.push(this.#probe('logged', () => null))
    }
    this.#probe('wire', listeners.wire)
  }

  #probe(name: string, eventsOf: EventsOf): Probe {
    return this.#guard(new Probe(name, eventsOf, holds(this.#spec, 'undici retry')))
  }

  #guard<T extends Probe>(probe: T): T {
    this.probes.push(probe)
    this.layers.push(guard(probe))
    return probe
  }

  #make(name: LayerName): Layer {
    const spec = this.#spec
    const { random } = this.#around
    const hidesAttempts = holds(spec, 'undici retry')
    const unreadBodyTimeout = spec.unreadBodyTimeout || false
    switch (name) {
      case 'tracing':
        return tracing({ tracerProvider: this.spans, unreadBodyTimeout })
      case 'logging':
        return logging({ logger: this.records, unreadBodyTimeout })
      case 'classify':
        return classify(({ status }) => {
          if (status === 504) return 'throttled'
          if (status === 502) throw new Error('a classifier that throws')
          return undefined
        })
      case 'deadline':
        return deadline(spec.deadline)
      case 'contextHeaders':
        return contextHeaders({ origins: () => true })
      case 'attemptTimeout':
        return attemptTimeout(spec.attemptTimeout)
      case 'bodyTimeout':
        return bodyTimeout(spec.bodyTimeout)
      case 'retry': {
        const backoff = { initialDelay: spec.backoff, maxDelay: 2 * spec.backoff }
        const { maxAttempts, budget } = spec
        const bounds = { budget: budgetOf[budget](), replayLimit }
        return retry({ maxAttempts, maxDelay: 2 * spec.backoff, backoff, random, ...bounds })
      }
      case 'hedge':
        return hedge({ delay: spec.backoff, percentile: false, maxHedges: 1 + (spec.limit % 2), replayLimit })
      case 'fallback':
        return fallback({
          replayLimit,
          // What was made up carries no mark of an arrival: only whose bytes they are is checked.
          respond: ({ kind }) => (kind === 'shed' ? undefined : { status: 203 }),
        })
      case 'bulkhead': {
        const { limit, queue, queueTimeout } = spec
        const layer = bulkhead({ limit, queue, queueTimeout, unreadBodyTimeout })
        this.bulkheads.push(layer)
        return layer
      }
      case 'adaptiveLimit': {
        // Small enough to refuse, with windows that end within a round.
        const range = { initialLimit: 2 * spec.limit, minLimit: spec.limit, maxLimit: 8 * spec.limit }
        const layer = adaptiveLimit({ ...range, window: 5, windowCalls: 10, random, unreadBodyTimeout })
        this.limits.push(layer)
        return layer
      }
      case 'rateLimit': {
        const layer = rateLimit({ ...spec.rate, maxServerWait: spec.backoff })
        this.rateLimits.push(layer)
        return layer
      }
      case 'canary': {
        // Both go where the call says: what it comes to must not hang on the choice.
        const variants = { stable: { weight: 3 }, canary: { weight: 1, to: [] } }
        const layer = canary({ variants, random, header: 'x-canary' })
        this.canaries.push(layer)
        return layer
      }
      case 'mirror': {
        const methods = ['GET', 'HEAD', 'PUT', 'DELETE', 'POST']
        const bounds = { concurrency: 4, queue: 8, timeout: 20, bodyLimit: replayLimit }
        const layer = mirror({ to: new Shadow(random), share: 0.8, methods, ...bounds, random })
        this.mirrors.push(layer)
        return layer
      }
      case 'balance': {
        const { algorithm } = spec
        const key = algorithm === 'consistentHash' ? { key: ({ path }: { path: string }) => path } : null
        const ejection = { consecutiveFailures: spec.minimumCalls, ejectionTime: spec.openFor }
        const { hosts } = this.#around
        const layer = balance({ hosts, algorithm, ...key, random, ejection, slowStart: spec.backoff })
        this.groups.push(layer)
        return layer
      }
      case 'circuitBreaker':
        return this.#circuitBreaker()
      case 'route': {
        const layer = route(
          [
            { methods: ['GET'], to: [guard(this.#noted(new SyncPolicy(random, hidesAttempts)))] },
            { methods: ['POST'], to: [apart], name: 'apart' },
          ],
          { fallback: [] },
        )
        this.#routes.push(layer)
        return layer
      }
      case 'sync policy':
        return guard(this.#noted(new SyncPolicy(random, hidesAttempts)))
      case 'promise policy':
        return guard(this.#noted(new PromisePolicy(random, hidesAttempts)))
      default:
        return (foreign[name] as () => Layer)()
    }
  }

  /** What an operator does while calls are under way and wait. */
  change(): void {
    const { random } = this.#around
    const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T
    for (const layer of this.bulkheads) {
      layer.update({ limit: pick([2, 3, 5, 8]), queue: pick([2, 10, 20]), shadow: pick([false, false, false, true]) })
    }
    for (const layer of this.#routes) {
      layer.update({
        routes: [{ methods: [pick(['GET', 'PUT'])], to: [pick([apart, guard({ acquire: () => null })])] }],
      })
    }
    for (const layer of this.canaries) {
      layer.update({ variants: { stable: { weight: 1 }, canary: { weight: pick([0, 1, 5]) } } })
    }
    for (const layer of this.mirrors) layer.update({ share: pick([0, 0.5, 1]), concurrency: pick([1, 8]) })
    for (const layer of this.groups) {
      const hosts = this.#around.hosts.filter(() => random() < 0.8)
      layer.update({ hosts: hosts.map((origin) => ({ origin, weight: pick([1, 1, 2, 0.5]) })) })
    }
    for (const layer of this.#circuits) {
      layer.update({ probes: pick([1, 2]), shadow: pick([false, true]) })
      layer.force(pick([null, null, null, null, 'open', 'closed', 'closed', 'disabled']))
      layer.restore(layer.toJSON())
    }
  }

  #noted<T extends Probe>(policy: T): T {
    this.probes.push(policy)
    return policy
  }

  // Every other time as a bare policy: only so can it be asked whether something is still in flight.
  #circuitBreaker(): Layer {
    const { minimumCalls, openFor, probes, windowCalls, breakerInShadow: shadow } = this.#spec
    const { now } = this.#around
    const window = { window: 400, windowCalls }
    const options: CircuitBreakerOptions = { minimumCalls, openFor, probes, ...window, shadow, ...(now && { now }) }
    if (minimumCalls % 2 === 0 || this.#spec.form === 'single') {
      const layer = circuitBreaker(options)
      this.#circuits.push(layer)
      return layer
    }
    const policy = perOrigin('circuitBreaker', (origin) => new CircuitBreaker(options, origin))
    this.breakers.push(policy)
    return guard(policy)
  }

  /** Everything that something still holds, or that does not add up; nothing, once all calls are over. */
  leftOver(): string[] {
    const left: string[] = []
    for (const { name, acquired, settled } of this.probes) {
      if (acquired !== settled) left.push(`${name}: ${acquired} permits given, ${settled} settled`)
    }
    for (const layer of this.bulkheads) {
      for (const [origin, { inUse, queued }] of Object.entries(layer.state())) {
        if (inUse + queued > 0) left.push(`bulkhead of ${origin}: ${inUse} in use, ${queued} queued`)
      }
    }
    for (const layer of this.limits) {
      for (const [origin, { inUse }] of Object.entries(layer.state())) {
        if (inUse > 0) left.push(`adaptive limit of ${origin}: ${inUse} in use`)
      }
    }
    for (const layer of this.rateLimits) {
      for (const [origin, { queued }] of Object.entries(layer.state())) {
        // In shadow a place in the queue is nobody's.
        if (queued > 0 && !this.#spec.rate.shadow) left.push(`rate limit of ${origin}: ${queued} queued`)
      }
    }
    for (const layer of this.canaries) {
      const inUse = Object.values(layer.state()).flatMap((view) => Object.values(view).map((variant) => variant.inUse))
      if (inUse.some((count) => count !== 0)) left.push(`canary: ${inUse} in use`)
    }
    for (const layer of this.mirrors) {
      for (const [origin, { inUse }] of Object.entries(layer.state())) {
        if (inUse !== 0) left.push(`mirror of ${origin}: ${inUse} copies`)
      }
    }
    for (const { origins } of this.breakers) {
      for (const [origin, breaker] of origins) {
        if (!breaker.idle && breaker.state !== 'open') left.push(`circuit of ${origin} (${breaker.state}): in flight`)
      }
    }
    for (const layer of this.groups) {
      for (const [origin, { inFlight }] of Object.entries(layer.state())) {
        if (inFlight > 0) left.push(`balance: ${inFlight} calls under way to ${origin}`)
      }
    }
    const { started, ended } = this.spans
    if (started !== ended) left.push(`${started} spans started, ${ended} ended`)
    const logged = this.#logged.reduce((sum, probe) => sum + probe.calls, 0)
    if (logged !== this.records.calls) left.push(`${logged} calls came to logging, ${this.records.calls} records`)
    return left
  }

  /** What no policy, span or permit should ever have seen. */
  mistakes(): string[] {
    const { endedTwice } = this.spans
    const twice = endedTwice > 0 ? [`${endedTwice} spans ended twice`] : []
    return [...twice, ...this.probes.flatMap((probe) => probe.mistakes)]
  }
}

/** The dispatcher of a chain, in the form it asks for. */
export function assemble(agent: Agent, { form }: Pick<ChainSpec, 'form'>, layers: readonly Layer[]): Dispatcher {
  switch (form) {
    case 'fused':
    case 'single':
      return new ChainDispatcher(agent, layers)
    case 'unfused':
      return new ChainDispatcher(
        agent,
        layers.flatMap((layer, at) => (at === 0 ? [layer] : [apart, layer])),
      )
    case 'composed':
      return agent.compose(...layers.toReversed())
  }
}
