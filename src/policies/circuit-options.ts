import { checkBoolean, checkDuration, checkFunction, checkNumber, checkOptions } from './options.ts'
import type { Outcome } from './outcome.ts'

/** Where a circuit stands. */
export type CircuitState = 'closed' | 'open' | 'halfOpen'

/**
 * What somebody has ordered a circuit to do, whatever its rules say: `open` refuses all, `closed` admits all and counts,
 * `disabled` admits all and counts nothing.
 */
export type ForcedState = 'open' | 'closed' | 'disabled'

/** What the window holds. */
export interface CircuitStatistics {
  /** Judged calls in the window. */
  readonly calls: number
  /** Failed ones among them. */
  readonly failures: number
  /** Those that took longer than `slowCallDuration`. */
  readonly slow: number
}

/**
 * Why a circuit changed: one of its rules (`failureShare`, `slowCallShare`, `consecutiveFailures`), a `probe` that failed
 * or was slow, a probe whose `lease` ran out, the open `time` that is over, probes that went well (`recovered`), or
 * somebody (`forced`, `released`, `restored`).
 */
export type CircuitChangeReason =
  | 'failureShare'
  | 'slowCallShare'
  | 'consecutiveFailures'
  | 'probe'
  | 'lease'
  | 'time'
  | 'recovered'
  | 'forced'
  | 'released'
  | 'restored'

/** One step of a circuit. */
export interface CircuitStateChange {
  readonly origin: string | undefined
  readonly from: CircuitState
  readonly to: CircuitState
  readonly reason: CircuitChangeReason
  /** The window at that moment. */
  readonly statistics: CircuitStatistics
}

/** What happens in a circuit: a step, a call that was judged, one that was refused (or would have been, in shadow). */
export type CircuitEvent =
  | ({ readonly type: 'stateChange' } & CircuitStateChange)
  | {
      readonly type: 'judged'
      readonly origin: string | undefined
      /** `neutral` says nothing about the server, and counts neither way. */
      readonly verdict: 'success' | 'failure' | 'neutral'
      readonly slow: boolean
      readonly outcome: Outcome
    }
  | {
      readonly type: 'refused'
      readonly origin: string | undefined
      readonly state: CircuitState
      /** Milliseconds. */
      readonly retryAfter: number
      readonly shadow: boolean
    }

/** Options of a circuit breaker. */
export interface CircuitBreakerOptions {
  /**
   * The circuit opens once this share of the calls in the window has failed, from 0.001 to 1; `false`: whatever the share.
   * @default 0.5
   */
  readonly failureShare?: number | false
  /**
   * How far back the breaker looks, in milliseconds.
   * @default 10_000
   */
  readonly window?: number
  /**
   * Looks at the last so many calls instead, however long ago they were, at most 1 000 000.
   * @default undefined
   */
  readonly windowCalls?: number | undefined
  /**
   * With fewer calls in the window no share opens the circuit; at most `windowCalls`.
   * @default 20, or windowCalls if that is less
   */
  readonly minimumCalls?: number | undefined
  /**
   * The circuit also opens after so many failures in a row, whatever the window holds.
   * @default undefined
   */
  readonly consecutiveFailures?: number | undefined
  /**
   * How long an open circuit refuses before it tries again, in milliseconds; a probe may take as long.
   * @default 5_000
   */
  readonly openFor?: number
  /**
   * What the open time is multiplied by each time the circuit opens again before it has closed, at least 1.
   * @default 1
   */
  readonly openForFactor?: number
  /**
   * The open time grows no further than this, in milliseconds; at least `openFor`.
   * @default 60_000, or openFor if that is more
   */
  readonly openForMax?: number | undefined
  /**
   * The open time is lengthened by a random share of itself, up to this one, from 0 to 1: so that many processes do not
   * come back at once.
   * @default 0
   */
  readonly openForJitter?: number
  /**
   * How many calls a half-open circuit admits; when all of them went well it closes.
   * @default 1
   */
  readonly probes?: number
  /**
   * The circuit also opens once this share of the calls in the window was slow; needs `slowCallDuration`.
   * @default undefined
   */
  readonly slowCallShare?: number | undefined
  /**
   * A call is slow if its response head takes longer than this, in milliseconds, or never comes because of a timeout.
   * @default undefined
   */
  readonly slowCallDuration?: number | undefined
  /**
   * Refuses nothing: the circuit opens and closes as it would, but only counts and notes what it would have refused.
   * @default false
   */
  readonly shadow?: boolean
  /**
   * A steady clock in milliseconds.
   * @default performance.now
   */
  readonly now?: () => number
  /**
   * A number from 0 (included) to 1 (excluded), for the jitter.
   * @default Math.random
   */
  readonly random?: () => number
  /**
   * Told of every change of state; what it throws is thrown again on a stack of its own.
   * @default undefined
   */
  readonly onStateChange?: ((change: CircuitStateChange) => void) | undefined
  /**
   * Told of all that happens, which costs something for every call; what it throws is thrown again on a stack of its own.
   * @default undefined
   */
  readonly onEvent?: ((event: CircuitEvent) => void) | undefined
}

/** What a circuit breaker does unless told otherwise. */
export const circuitBreakerDefaults = Object.freeze({
  failureShare: 0.5,
  window: 10_000,
  windowCalls: undefined,
  minimumCalls: 20,
  consecutiveFailures: undefined,
  openFor: 5_000,
  openForFactor: 1,
  openForMax: 60_000,
  openForJitter: 0,
  probes: 1,
  slowCallShare: undefined,
  slowCallDuration: undefined,
  shadow: false,
})

/** Checked options, with every default filled in. */
export type CircuitBreakerSettings = Required<CircuitBreakerOptions> & {
  readonly minimumCalls: number
  readonly openForMax: number
}

/** The clock of a breaker that was given none. */
export const steadyClock = () => performance.now()

const share = { min: 0.001, max: 1 }
const count = { min: 1, integer: true }

function optional<T>(value: T | undefined, check: (value: T) => T): T | undefined {
  return value === undefined ? undefined : check(value)
}

/** Names of the options. */
export const circuitBreakerOptionNames = [
  ...Object.keys(circuitBreakerDefaults),
  ...['now', 'random', 'onStateChange', 'onEvent'],
]

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option, its value and its range. */
export function checkCircuitBreaker(options: CircuitBreakerOptions = {}): CircuitBreakerSettings {
  checkOptions('circuitBreaker', options, circuitBreakerOptionNames)
  const defaults = circuitBreakerDefaults
  const { slowCallShare, slowCallDuration, failureShare = defaults.failureShare } = options
  if ((slowCallShare === undefined) !== (slowCallDuration === undefined)) {
    throw new TypeError('circuitBreaker: slowCallShare and slowCallDuration must be given together')
  }
  if (failureShare === false && slowCallShare === undefined && options.consecutiveFailures === undefined) {
    throw new TypeError(
      'circuitBreaker: failureShare is false: consecutiveFailures or slowCallShare must be given, or nothing opens it',
    )
  }
  const windowCalls = optional(options.windowCalls, (given) =>
    checkNumber('circuitBreaker: windowCalls', given, { ...count, max: 1_000_000 }),
  )
  const most = windowCalls ?? Number.POSITIVE_INFINITY
  const openFor = checkDuration('circuitBreaker: openFor', options.openFor ?? defaults.openFor)
  return {
    failureShare: failureShare === false ? false : checkNumber('circuitBreaker: failureShare', failureShare, share),
    window: checkDuration('circuitBreaker: window', options.window ?? defaults.window),
    windowCalls,
    minimumCalls: checkNumber(
      'circuitBreaker: minimumCalls',
      options.minimumCalls ?? Math.min(defaults.minimumCalls, most),
      {
        ...count,
        max: most,
      },
    ),
    consecutiveFailures: optional(options.consecutiveFailures, (given) =>
      checkNumber('circuitBreaker: consecutiveFailures', given, count),
    ),
    openFor,
    openForFactor: checkNumber('circuitBreaker: openForFactor', options.openForFactor ?? defaults.openForFactor, {
      min: 1,
    }),
    openForMax: checkDuration(
      'circuitBreaker: openForMax',
      options.openForMax ?? Math.max(openFor, defaults.openForMax),
      openFor,
    ),
    openForJitter: checkNumber('circuitBreaker: openForJitter', options.openForJitter ?? defaults.openForJitter, {
      min: 0,
      max: 1,
    }),
    probes: checkNumber('circuitBreaker: probes', options.probes ?? defaults.probes, count),
    slowCallShare: optional(slowCallShare, (given) => checkNumber('circuitBreaker: slowCallShare', given, share)),
    slowCallDuration: optional(slowCallDuration, (given) => checkDuration('circuitBreaker: slowCallDuration', given)),
    shadow: checkBoolean('circuitBreaker: shadow', options.shadow ?? defaults.shadow),
    now: checkFunction('circuitBreaker: now', options.now ?? steadyClock),
    random: checkFunction('circuitBreaker: random', options.random ?? Math.random),
    onStateChange: optional(options.onStateChange, (given) => checkFunction('circuitBreaker: onStateChange', given)),
    onEvent: optional(options.onEvent, (given) => checkFunction('circuitBreaker: onEvent', given)),
  }
}
