import { type AdaptiveLimitOptions, adaptiveLimit } from './dispatchers/adaptive-limit.ts'
import { attemptTimeout, defaultAttemptTimeout } from './dispatchers/attempt-timeout.ts'
import { bodyTimeout, defaultBodyTimeout } from './dispatchers/body-timeout.ts'
import { type BulkheadOptions, bulkhead, bulkheadDefaults } from './dispatchers/bulkhead.ts'
import { circuitBreaker } from './dispatchers/circuit-breaker.ts'
import { classify } from './dispatchers/classify.ts'
import { deadline, defaultDeadline } from './dispatchers/deadline.ts'
import { type HedgeOptions, hedge, hedgeDefaults } from './dispatchers/hedge.ts'
import { type LoggingOptions, logging } from './dispatchers/logging.ts'
import { rateLimit } from './dispatchers/rate-limit.ts'
import type { Layer } from './dispatchers/relay.ts'
import { type RetryOptions, retry, retryDefaults } from './dispatchers/retry.ts'
import { type CircuitBreakerOptions, circuitBreakerDefaults } from './policies/circuit-options.ts'
import { checkOptions } from './policies/options.ts'
import type { Classify } from './policies/outcome.ts'
import type { RateLimitOptions } from './policies/rate-limit-options.ts'
import { type TracingOptions, tracing } from './tracing/tracing.ts'

/** Options of {@link standard}: each part takes its own options, or `false` to be left out. */
export interface StandardOptions {
  /** @default {} */
  readonly tracing?: TracingOptions | false
  /** Off unless options are given, so that a kit nobody set up writes nothing.
   * @default false */
  readonly logging?: LoggingOptions | false
  /** One judgement for all parts; see `classify()`.
   * @default the kit's table */
  readonly classify?: Classify | false
  /** Milliseconds for the whole call, up to the response head.
   * @default 30_000 */
  readonly deadline?: number | false
  /** Counts calls, not attempts. Off unless options are given, since only the server's side knows its limit.
   * @default false */
  readonly rateLimit?: RateLimitOptions | false
  /** @default {} */
  readonly retry?: RetryOptions | false
  /** @default {} */
  readonly circuitBreaker?: CircuitBreakerOptions | false
  /** @default {} */
  readonly bulkhead?: BulkheadOptions | false
  /** A limit on what is under way that finds its value. Off unless options are given (also `{}`): see the page of
   * `standard()` for what it brings and what it takes.
   * @default false */
  readonly adaptiveLimit?: AdaptiveLimitOptions | false
  /** Milliseconds for each attempt, up to the response head.
   * @default 10_000, or a third of a deadline below 30_000 */
  readonly attemptTimeout?: number | false
  /** Milliseconds between two pieces of a body that is being read.
   * @default 30_000 */
  readonly bodyTimeout?: number | false
}

/** What {@link standard} is made of, unless told otherwise. */
export const standardDefaults = {
  deadline: defaultDeadline,
  rateLimit: false,
  retry: retryDefaults,
  circuitBreaker: circuitBreakerDefaults,
  bulkhead: bulkheadDefaults,
  adaptiveLimit: false,
  attemptTimeout: defaultAttemptTimeout,
  bodyTimeout: defaultBodyTimeout,
} as const

const parts = [
  'tracing',
  'logging',
  'classify',
  'deadline',
  'rateLimit',
  'retry',
  'circuitBreaker',
  'bulkhead',
  'adaptiveLimit',
  'attemptTimeout',
  'bodyTimeout',
] as const

/** Milliseconds for each attempt, so that a slow one leaves room for another, whatever the deadline is. */
export function attemptTimeoutWithin(deadlineMs: number | false | undefined): number {
  if (typeof deadlineMs !== 'number') return defaultAttemptTimeout
  return Math.max(1, Math.min(defaultAttemptTimeout, Math.ceil(deadlineMs / 3)))
}

/** `undefined` takes the default, `false` leaves the part out. */
function part<T>(given: T | false | undefined, make: (options?: T) => Layer): Layer[] {
  if (given === false) return []
  return [given === undefined ? make() : make(given)]
}

/**
 * The ready-made chain, for `compose(createAgent(), standard())`. From the outermost: tracing, logging, classify, deadline,
 * rate limit, retry, circuit breaker, bulkhead, adaptive limit, attempt timeout, body timeout. Logging, classify and both
 * limits are in it only where options for them are given.
 *
 * @throws RangeError, TypeError for options that are out of range, naming the part.
 */
export function standard(options: StandardOptions = {}): Layer[] {
  checkOptions('standard', options, parts)
  return [...aboveAttempts(options), ...part(options.retry, retry), ...belowAttempts(options)]
}

function aboveAttempts(options: StandardOptions): Layer[] {
  return [
    part(options.tracing, tracing),
    options.logging ? [logging(options.logging)] : [],
    options.classify ? [classify(options.classify)] : [],
    part(options.deadline, deadline),
    options.rateLimit ? [rateLimit(options.rateLimit)] : [],
  ].flat()
}

function belowAttempts(options: StandardOptions): Layer[] {
  return [
    part(options.circuitBreaker, circuitBreaker),
    part(options.bulkhead, bulkhead),
    options.adaptiveLimit ? [adaptiveLimit(options.adaptiveLimit)] : [],
    part(options.attemptTimeout ?? attemptTimeoutWithin(options.deadline), attemptTimeout),
    part(options.bodyTimeout, bodyTimeout),
  ].flat()
}

/** Options of {@link standardHedging}: each part takes its own options, or `false` to be left out. */
export interface StandardHedgingOptions extends Omit<StandardOptions, 'retry'> {
  /** @default {} */
  readonly hedge?: HedgeOptions | false
}

const { retry: _retry, ...withoutRetry } = standardDefaults

/** What {@link standardHedging} is made of, unless told otherwise. */
export const standardHedgingDefaults = { ...withoutRetry, hedge: hedgeDefaults } as const

/**
 * The ready-made chain for calls whose tail matters, for `compose(createAgent(), standardHedging())`: as
 * {@link standard}, with `hedge()` in the place of `retry()`, so that a call is sent again also where an answer is late,
 * and at once where it failed. The order is that of .NET's `AddStandardHedgingHandler`, but for breaker and bulkhead.
 *
 * @throws RangeError, TypeError for options that are out of range, naming the part.
 */
export function standardHedging(options: StandardHedgingOptions = {}): Layer[] {
  checkOptions('standardHedging', options, ['hedge', ...parts.filter((name) => name !== 'retry')])
  const { hedge: hedging, ...others } = options
  return [...aboveAttempts(others), ...part(hedging, hedge), ...belowAttempts(others)]
}
