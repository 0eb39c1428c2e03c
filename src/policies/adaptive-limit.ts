import { AimdLimit } from './aimd-limit.ts'
import { ConcurrencyLimitedError } from './errors.ts'
import { Gradient2Limit } from './gradient2-limit.ts'
import { bounded, type LimitAlgorithm, type LimitSettings } from './limit-algorithm.ts'
import {
  checkBoolean,
  checkDuration,
  checkFunction,
  checkNumber,
  checkOptions,
  show,
  withoutUndefined,
} from './options.ts'
import type { Outcome } from './outcome.ts'
import type { Permit, Policy, Scope } from './policy.ts'
import { VegasLimit } from './vegas-limit.ts'

/** How an adaptive limit works out how much its server can take; `docs/adaptive-limit.md` compares them. */
export type LimitAlgorithmName = 'vegas' | 'gradient2' | 'aimd'

/** Options of {@link AdaptiveLimit}. */
export interface AdaptiveLimitOptions {
  /**
   * How the limit is worked out.
   * @default 'vegas'
   */
  readonly algorithm?: LimitAlgorithmName
  /**
   * The limit of an origin that has not been measured yet.
   * @default 20, or the bound that is nearer
   */
  readonly initialLimit?: number
  /**
   * The limit never falls below this.
   * @default 1
   */
  readonly minLimit?: number
  /**
   * The limit never rises above this.
   * @default 1000
   */
  readonly maxLimit?: number
  /**
   * Milliseconds whose calls are judged together, at least.
   * @default 250
   */
  readonly window?: number
  /**
   * Calls that are judged together, at least: fewer let chance decide.
   * @default 100
   */
  readonly windowCalls?: number
  /**
   * The share of the limit that normal calls may take, rounded up; what is left is kept for critical ones.
   * @default 0.9
   */
  readonly normalShare?: number
  /**
   * The share of the limit that sheddable calls may take, rounded up; no more than `normalShare`.
   * @default 0.7, or `normalShare` where that is less
   */
  readonly sheddableShare?: number
  /**
   * Milliseconds to the response head, on average, that `'aimd'` takes for a drop; the others measure what is slow.
   * @default 5_000
   */
  readonly slowAfter?: number
  /**
   * Counts and reports, and refuses nothing.
   * @default false
   */
  readonly shadow?: boolean
  /**
   * A number from 0 (included) to 1 (excluded), so that not all clients of a server probe it at once.
   * @default Math.random
   */
  readonly random?: () => number
}

/** What an adaptive limit does unless told otherwise. */
export const adaptiveLimitDefaults = Object.freeze({
  algorithm: 'vegas' as LimitAlgorithmName,
  initialLimit: 20,
  minLimit: 1,
  maxLimit: 1000,
  window: 250,
  windowCalls: 100,
  normalShare: 0.9,
  sheddableShare: 0.7,
  slowAfter: 5_000,
  shadow: false,
})

/** Names of the options. */
export const adaptiveLimitOptionNames = [...Object.keys(adaptiveLimitDefaults), 'random']

/** Checked options, with every default filled in. */
export type AdaptiveLimitSettings = Required<AdaptiveLimitOptions>

type MakeAlgorithm = (initialLimit: number, settings: LimitSettings, random: () => number) => LimitAlgorithm

const algorithms: Readonly<Record<LimitAlgorithmName, MakeAlgorithm>> = {
  vegas: (initialLimit, settings, random) => new VegasLimit(initialLimit, settings, random),
  gradient2: (initialLimit, settings) => new Gradient2Limit(initialLimit, settings),
  aimd: (initialLimit, settings) => new AimdLimit(initialLimit, settings),
}

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option, its value and its range. */
export function checkAdaptiveLimit(options: AdaptiveLimitOptions = {}): AdaptiveLimitSettings {
  checkOptions('adaptiveLimit', options, adaptiveLimitOptionNames)
  const named = withoutUndefined(options)
  const given = { ...adaptiveLimitDefaults, random: Math.random, ...named } as AdaptiveLimitSettings
  if (typeof given.algorithm !== 'string' || !Object.hasOwn(algorithms, given.algorithm)) {
    throw new TypeError(
      `adaptiveLimit: algorithm must be one of ${Object.keys(algorithms).join(', ')}, got ${show(given.algorithm)}`,
    )
  }
  const minLimit = checkNumber('adaptiveLimit: minLimit', given.minLimit, { min: 1, integer: true })
  const maxLimit = checkNumber('adaptiveLimit: maxLimit', given.maxLimit, { min: minLimit, integer: true })
  const normalShare = checkNumber('adaptiveLimit: normalShare', given.normalShare, { min: 0, max: 1 })
  // Of what was not given nobody has to know the default.
  const initialLimit = named.initialLimit ?? bounded(given.initialLimit, { minLimit, maxLimit })
  const sheddableShare = named.sheddableShare ?? Math.min(given.sheddableShare, normalShare)
  return {
    algorithm: given.algorithm,
    minLimit,
    maxLimit,
    initialLimit: checkNumber('adaptiveLimit: initialLimit', initialLimit, {
      min: minLimit,
      max: maxLimit,
      integer: true,
    }),
    window: checkDuration('adaptiveLimit: window', given.window),
    windowCalls: checkNumber('adaptiveLimit: windowCalls', given.windowCalls, { min: 1, integer: true }),
    normalShare,
    sheddableShare: checkNumber('adaptiveLimit: sheddableShare', sheddableShare, { min: 0, max: normalShare }),
    slowAfter: checkDuration('adaptiveLimit: slowAfter', given.slowAfter),
    shadow: checkBoolean('adaptiveLimit: shadow', given.shadow),
    random: checkFunction('adaptiveLimit: random', given.random),
  }
}

// What answers faster is no server across a network, but a cache below.
const shortestRtt = 0.1
// Fewer drops than this are an accident.
const droppedCalls = 2
const droppedShare = 0.01
// A slow server has longer windows, so that a window tells of the limit it began with.
const longestWindow = 1000

const critical = 0
const sheddable = 2

/**
 * A limit on calls under way at once that finds its value by itself: it rises while the origin answers as fast as it can,
 * and falls when calls begin to wait there. Beyond it calls are refused at once with a {@link ConcurrencyLimitedError};
 * what waits, waits nowhere.
 *
 * A slot is held to the end of the body. A sample is the time from the last permit to the response head.
 */
export class AdaptiveLimit implements Policy, Permit {
  readonly name = 'adaptiveLimit'
  #settings: AdaptiveLimitSettings
  #algorithm: LimitAlgorithm
  // How many calls may be under way for a call of each priority to be admitted.
  readonly #open = [0, 0, 0]
  #inUse = 0
  #refused = 0
  #shadowRefused = 0
  #rtt = 0
  // The window: from when on calls count, until when it lasts at least (-1 before the first), and what came in it.
  #opensAt = 0
  #closesAt = -1
  #calls = 0
  #drops = 0
  #sum = 0
  #mostInUse = 0
  #refuses = false

  constructor(settings: AdaptiveLimitSettings) {
    this.#settings = settings
    this.#algorithm = this.#newAlgorithm(settings.initialLimit)
    this.#setOpen()
  }

  /** How many calls may be under way at once. */
  get limit(): number {
    return this.#open[critical] as number
  }

  /** Calls under way. */
  get inUse(): number {
    return this.#inUse
  }

  /** Calls refused so far. */
  get refused(): number {
    return this.#refused
  }

  /** Calls that it would have refused, but for the shadow. */
  get shadowRefused(): number {
    return this.#shadowRefused
  }

  /** The mean time to the response head in the last window, in milliseconds; 0 before there was one. */
  get rtt(): number {
    return this.#rtt
  }

  /** What the algorithm takes for the time without a queue, in milliseconds; 0 while it is not known. */
  get baseline(): number {
    return this.#algorithm.baseline
  }

  /** Whether nothing is under way. */
  get idle(): boolean {
    return this.#inUse === 0
  }

  /** Takes over other settings, and goes on from the limit it has. */
  configure(settings: AdaptiveLimitSettings): void {
    const { limit } = this
    const other = settings.algorithm !== this.#settings.algorithm
    this.#settings = settings
    if (other) this.#algorithm = this.#newAlgorithm(limit)
    else this.#algorithm.configure(settings)
    this.#setOpen()
  }

  /** Takes a slot; throws a {@link ConcurrencyLimitedError} where none is open to a call of this priority. */
  acquire(scope: Scope): Permit {
    // What is open to the least important is open to all, whoever they are.
    if (this.#inUse >= (this.#open[sheddable] as number)) this.#ask(scope)
    if (++this.#inUse > this.#mostInUse) this.#mostInUse = this.#inUse
    return this
  }

  #ask(scope: Scope): void {
    const { priority } = scope.exchange
    if (this.#inUse >= (this.#open[priority] as number)) this.#refuse(scope, priority)
  }

  head(outcome: Outcome, scope: Scope): void {
    const { kind, headMs } = outcome
    if (kind === 'success' || kind === 'clientError') {
      if (headMs !== undefined && headMs >= shortestRtt) this.#add(headMs, scope.headAt, scope)
    } else if (isDrop(outcome)) {
      this.#add(0, scope.headAt, scope)
    }
  }

  settle(outcome: Outcome, scope: Scope): void {
    this.#inUse--
    if (outcome.phase !== 'head' && isDrop(outcome)) this.#add(0, performance.now(), scope)
  }

  #newAlgorithm(initialLimit: number): LimitAlgorithm {
    return algorithms[this.#settings.algorithm](initialLimit, this.#settings, this.#settings.random)
  }

  #setOpen(): void {
    const { normalShare, sheddableShare } = this.#settings
    const limit = Math.floor(this.#algorithm.limit)
    const open = this.#open
    open[critical] = limit
    open[1] = Math.ceil(normalShare * limit)
    open[sheddable] = Math.ceil(sheddableShare * limit)
  }

  #refuse(scope: Scope, priority: number): void {
    const { limit } = this
    this.#refuses = true
    scope.note('adaptive.limit', limit)
    const why = `${this.#inUse} calls are under way, ${this.#open[priority]} of a limit of ${limit} are open to this one`
    if (this.#settings.shadow) {
      this.#shadowRefused++
      scope.note('adaptive.shadow', why)
      return
    }
    this.#refused++
    const { origin } = scope
    throw new ConcurrencyLimitedError(`the adaptive limit of ${origin} is reached: ${why}`, { origin })
  }

  // A sample; 0 for a drop.
  #add(rtt: number, now: number, scope: Scope): void {
    if (this.#closesAt < 0) this.#begin(now)
    if (now < this.#opensAt) return
    this.#calls++
    if (rtt === 0) this.#drops++
    else this.#sum += rtt
    if (now >= this.#closesAt && this.#calls >= this.#settings.windowCalls) this.#close(now, scope)
  }

  #begin(at: number): void {
    const { window } = this.#settings
    this.#opensAt = at
    this.#closesAt = at + Math.max(window, Math.min(longestWindow, 2 * this.#rtt))
    this.#calls = 0
    this.#drops = 0
    this.#sum = 0
    this.#mostInUse = this.#inUse
    this.#refuses = false
  }

  #close(now: number, scope: Scope): void {
    const answered = this.#calls - this.#drops
    const rtt = answered === 0 ? 0 : this.#sum / answered
    const dropped = this.#drops >= droppedCalls && this.#drops > droppedShare * this.#calls
    const before = this.limit
    if (rtt > 0) this.#rtt = rtt
    this.#algorithm.step({ rtt, inUse: this.#mostInUse, refused: this.#refuses, dropped })
    this.#setOpen()
    this.#begin(now + this.#algorithm.settleTime)
    if (this.limit !== before) scope.note('adaptive.limit', this.limit)
  }
}

function isDrop({ kind, status, headers }: Outcome): boolean {
  switch (kind) {
    case 'throttled':
    case 'networkError':
    case 'timeout':
      return true
    case 'serverError':
      // gRPC's UNAVAILABLE is its 503.
      return status === 503 || headers?.['grpc-status'] === '14'
    default:
      return false
  }
}
