import { lane, type TimerLane } from './clock.ts'
import { checkBoolean, checkDuration, checkNumber, checkOptions, withoutUndefined } from './options.ts'
import { isSuccess, type Outcome } from './outcome.ts'
import type { Forgettable } from './per-origin.ts'
import { LatencyQuantiles } from './quantile.ts'
import { checkMethods, mayEverHelp, retryDefaults } from './retry.ts'
import { parsePushback, parseRetryAfter } from './retry-after.ts'

/** Options of the hedging decision. */
export interface HedgeOptions {
  /**
   * How many attempts may be sent on top of the first.
   * @default 1
   */
  readonly maxHedges?: number
  /**
   * Milliseconds without an answer after which another attempt is sent. With `percentile` it holds until there are
   * enough samples.
   * @default 2_000
   */
  readonly delay?: number
  /**
   * The share of recent response heads of the origin, above 0 and below 1, that came sooner than a hedge is sent;
   * `false`: the delay is always `delay`.
   * @default 0.95
   */
  readonly percentile?: number | false
  /**
   * How many response heads of an origin must have come within the last 30 s before `percentile` counts.
   * @default 100
   */
  readonly minimumSamples?: number
  /**
   * The least delay that `percentile` may come to, in milliseconds.
   * @default 10
   */
  readonly minDelay?: number
  /**
   * Methods whose requests may be sent twice at once (RFC 9110 §9.2.2). Naming another one marks all its requests as
   * idempotent.
   * @default ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY']
   */
  readonly methods?: readonly string[]
  /**
   * Marks all requests as ones that may be sent twice at once.
   * @default false
   */
  readonly idempotent?: boolean
}

/** What a hedge does unless told otherwise. One hedge, and 2 s, are .NET's; the 95th percentile is that of "The Tail at Scale". */
export const hedgeDefaults = Object.freeze({
  maxHedges: 1,
  delay: 2_000,
  percentile: 0.95,
  minimumSamples: 100,
  minDelay: 10,
  methods: retryDefaults.methods,
  idempotent: false,
})

function checkShare(percentile: unknown): number | false {
  if (percentile === false) return false
  const share = checkNumber('hedge: percentile', percentile, { min: 0, max: 1 })
  if (share === 0 || share === 1) throw new RangeError(`hedge: percentile must be above 0 and below 1, got ${share}`)
  return share
}

/** Says when another attempt is sent beside those under way. Sends nothing, and keeps nothing between calls. */
export class HedgePolicy {
  readonly maxHedges: number
  readonly delay: number
  readonly percentile: number | false
  readonly minimumSamples: number
  readonly minDelay: number
  readonly methods: ReadonlySet<string>
  readonly idempotent: boolean

  /** Throws a `TypeError` or `RangeError` that names the option, its value and its range. */
  constructor(options: HedgeOptions = {}) {
    checkOptions('hedge', options, Object.keys(hedgeDefaults))
    const given = { ...hedgeDefaults, ...withoutUndefined(options) }
    this.maxHedges = checkNumber('hedge: maxHedges', given.maxHedges, { min: 0, integer: true })
    this.delay = checkDuration('hedge: delay', given.delay)
    this.percentile = checkShare(given.percentile)
    this.minimumSamples = checkNumber('hedge: minimumSamples', given.minimumSamples, { min: 1, integer: true })
    this.minDelay = checkDuration('hedge: minDelay', given.minDelay)
    this.methods = checkMethods('hedge', given.methods)
    this.idempotent = checkBoolean('hedge: idempotent', given.idempotent)
  }
}

/** Whether an outcome is an answer that ends the race: what a retry would not mend. */
export function isUsable({ kind }: Outcome): boolean {
  return isSuccess(kind)
}

/**
 * Whether the next attempt may be sent at once when all under way have failed, the last of them with this outcome. Not
 * after a refusal (the next one would meet the same), and not where the server is short of capacity: it would be asked
 * for more at the worst of times.
 */
export function callsForAnother(outcome: Outcome): boolean {
  const { kind } = outcome
  return (kind === 'networkError' || kind === 'timeout' || kind === 'serverError') && mayEverHelp(outcome)
}

/** Whether the server asks to be left alone for a while, by `Retry-After` or gRPC's pushback (proposal A6). */
export function asksForTime({ kind, headers }: Outcome): boolean {
  if (kind === 'throttled') return true
  if (headers === undefined) return false
  const pushback = parsePushback(headers['grpc-retry-pushback-ms'] as string | string[] | undefined)
  if (pushback !== undefined) return pushback !== 0
  const asked = parseRetryAfter(headers['retry-after'], Date.now())
  return asked !== undefined && asked > 0
}

/** How things stand for one origin. */
export interface HedgeView {
  /** Milliseconds after which a hedge would be sent now. */
  readonly delay: number
  /** Response heads that the percentile is taken of. */
  readonly samples: number
  /** Attempts sent on top of the first. */
  readonly hedged: number
  /** Calls that such an attempt answered. */
  readonly won: number
  /** Attempts that the budget forbade. */
  readonly refused: number
}

// How long an estimate holds, in milliseconds: reading it anew costs as much as several layers.
const estimateHolds = 100

/** What is known of one origin: how long its heads take, and what hedging has come to. */
export class HedgeOrigin implements Forgettable {
  hedged = 0
  won = 0
  refused = 0
  readonly #latencies = new LatencyQuantiles()
  #estimate = 0
  #estimatedFor: HedgePolicy | null = null
  #holdsUntil = Number.NEGATIVE_INFINITY
  #lane: TimerLane | null = null
  #lanesDelay = 0

  /** Nothing of it is in flight, and what it knows is soon learnt again. */
  get idle(): boolean {
    return true
  }

  /** Counts the time an attempt took to its head, or had taken when it was given up. */
  add(headMs: number, now: number): void {
    this.#latencies.add(headMs, now)
  }

  /** Milliseconds to wait for an answer before another attempt is sent. */
  delay(policy: HedgePolicy, now: number): number {
    if (policy.percentile === false) return policy.delay
    if (now < this.#holdsUntil && policy === this.#estimatedFor) return this.#estimate
    const latencies = this.#latencies
    latencies.advance(now)
    const isKnown = latencies.samples >= policy.minimumSamples
    this.#estimate = isKnown ? Math.max(policy.minDelay, latencies.quantile(policy.percentile)) : policy.delay
    this.#estimatedFor = policy
    this.#holdsUntil = now + estimateHolds
    return this.#estimate
  }

  /** Where that time is waited for. */
  lane(policy: HedgePolicy, now: number): TimerLane {
    const delay = this.delay(policy, now)
    if (this.#lane === null || this.#lanesDelay !== delay) {
      this.#lane = lane(delay)
      this.#lanesDelay = delay
    }
    return this.#lane
  }

  view(policy: HedgePolicy, now: number): HedgeView {
    const { hedged, won, refused } = this
    return { delay: this.delay(policy, now), samples: this.#latencies.samples, hedged, won, refused }
  }
}
