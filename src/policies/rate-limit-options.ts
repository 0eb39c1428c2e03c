import {
  checkBoolean,
  checkDuration,
  checkFunction,
  checkNumber,
  checkOptions,
  show,
  withoutUndefined,
} from './options.ts'
import type { RateAlgorithm, RateSettings } from './rates.ts'
import type { RetryRequest } from './retry.ts'

/**
 * A count that several processes share. `redisStore()` of `roundtripper/redis` makes one. It counts as a fixed window: the
 * first call begins one, and `limit` may go in it.
 */
export interface RateLimitStore {
  /** Takes one call's share of `key`; answers 0, or, where none was left, the milliseconds until the window ends. */
  take(key: string, limit: number, window: number): PromiseLike<number>
  /** Resolves where the store is there, and takes nothing. */
  check(): PromiseLike<unknown>
  /**
   * What happens to calls while the store is not there: `local`: each process keeps the limit for itself; `refuse`; `admit`:
   * without a limit.
   */
  readonly whenDown: 'local' | 'refuse' | 'admit'
  /** Milliseconds after which the store counts as not there; a call's `queueTimeout`, where that is less. */
  readonly timeout: number
}

/** Options of a rate limit that can be changed while it runs. */
export interface RateLimitUpdate {
  /** How many calls may go in a window. */
  readonly limit: number
  /**
   * How long a window is, in milliseconds.
   * @default 1000
   */
  readonly window?: number
  /**
   * How many calls may go at once after a quiet time; for `tokenBucket` only.
   * @default the limit
   */
  readonly burst?: number | undefined
  /**
   * How many calls may wait for their turn; the next one is refused. 0: none waits.
   * @default 1024
   */
  readonly queue?: number
  /**
   * How long a call may wait, in milliseconds; one that would wait longer is refused at once. Without it only the call's
   * deadline bounds the wait.
   * @default undefined
   */
  readonly queueTimeout?: number | undefined
  /**
   * The longest wait that a server's headers can cause, in milliseconds.
   * @default 60_000
   */
  readonly maxServerWait?: number
  /**
   * Counts and reports what it would refuse or hold back, and lets every call go at once.
   * @default false
   */
  readonly shadow?: boolean
}

/** Options of a rate limit. */
export interface RateLimitOptions extends RateLimitUpdate {
  /**
   * How calls are counted: `tokenBucket` evens out, with bursts; `leakyBucket` spaces calls evenly; `slidingWindow` holds in
   * every stretch of a window's length; `fixedWindow` counts from window to window.
   * @default 'tokenBucket', or 'fixedWindow' with a store
   */
  readonly algorithm?: RateAlgorithm
  /**
   * What a call is counted under. A function that throws or gives no string leaves the call under its origin.
   * @default the origin
   */
  readonly key?: ((request: RetryRequest) => string) | undefined
  /**
   * How many keys are remembered; beyond it the least recently used one is forgotten, with what it has taken, but none that
   * calls wait under.
   * @default 1000
   */
  readonly maxKeys?: number
  /**
   * Whether `Retry-After` on 429 and 503, `RateLimit`, `RateLimit-Policy` and the older forms of these hold calls back too.
   * @default false
   */
  readonly serverHeaders?: boolean
  /**
   * Where the count is kept, for processes that share one limit; counts as `fixedWindow`, in whole seconds.
   * @default undefined
   */
  readonly store?: RateLimitStore | undefined
}

/** What a rate limit does unless told otherwise. `limit` has no default: only the server's side knows it. */
export const rateLimitDefaults = Object.freeze({
  algorithm: 'tokenBucket',
  window: 1000,
  burst: undefined,
  queue: 1024,
  queueTimeout: undefined,
  maxServerWait: 60_000,
  shadow: false,
  key: undefined,
  maxKeys: 1000,
  serverHeaders: false,
  store: undefined,
} as const satisfies Required<Omit<RateLimitOptions, 'limit'>>)

/** Checked options, with every default filled in. */
export interface RateLimitSettings extends RateSettings {
  readonly algorithm: RateAlgorithm
  readonly queue: number
  readonly queueTimeout: number
  readonly maxServerWait: number
  readonly shadow: boolean
  readonly key: ((request: RetryRequest) => string) | null
  readonly maxKeys: number
  readonly serverHeaders: boolean
  readonly store: RateLimitStore | null
}

const algorithms: readonly unknown[] = ['tokenBucket', 'fixedWindow', 'slidingWindow', 'leakyBucket']

// A sliding window remembers each call.
const longestLog = 1_000_000

/** What `whenDown` of a {@link RateLimitStore} can be. */
export const whenDownChoices: readonly unknown[] = ['local', 'refuse', 'admit']

function checkStore(store: RateLimitStore): RateLimitStore {
  const { take, check, whenDown, timeout } = (store ?? {}) as Partial<RateLimitStore>
  checkFunction('rateLimit: store.take', take)
  checkFunction('rateLimit: store.check', check)
  if (!whenDownChoices.includes(whenDown)) {
    throw new TypeError(`rateLimit: store.whenDown must be one of ${whenDownChoices.join(', ')}, got ${show(whenDown)}`)
  }
  checkDuration('rateLimit: store.timeout', timeout)
  return store
}

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option, its value and its range. */
export function checkRateLimit(options: RateLimitOptions): RateLimitSettings {
  checkOptions('rateLimit', options, ['limit', ...Object.keys(rateLimitDefaults)])
  const given = { ...rateLimitDefaults, ...withoutUndefined(options) } as Required<RateLimitOptions>
  const { key, queueTimeout } = given
  const store = given.store === undefined ? null : checkStore(given.store)
  const algorithm = options.algorithm ?? (store === null ? rateLimitDefaults.algorithm : 'fixedWindow')
  if (!algorithms.includes(algorithm)) {
    throw new TypeError(`rateLimit: algorithm must be one of ${algorithms.join(', ')}, got ${show(algorithm)}`)
  }
  const most = algorithm === 'slidingWindow' ? longestLog : Number.MAX_SAFE_INTEGER
  const limit = checkNumber('rateLimit: limit', given.limit, { min: 1, max: most, integer: true })
  const window = checkDuration('rateLimit: window', given.window)
  if (store !== null && (algorithm !== 'fixedWindow' || window % 1000 !== 0)) {
    throw new TypeError(
      `rateLimit: a store counts as fixedWindow in whole seconds, got ${show(algorithm)} of ${window} ms`,
    )
  }
  if (given.burst !== undefined && algorithm !== 'tokenBucket') {
    throw new TypeError(`rateLimit: burst is for tokenBucket only, got ${show(given.burst)} for ${show(algorithm)}`)
  }
  const burst = given.burst ?? (algorithm === 'tokenBucket' ? limit : 1)
  return {
    algorithm,
    limit,
    window,
    burst: checkNumber('rateLimit: burst', burst, { min: 1, max: Number.MAX_SAFE_INTEGER, integer: true }),
    queue: checkNumber('rateLimit: queue', given.queue, { min: 0, integer: true }),
    queueTimeout:
      queueTimeout === undefined ? Number.POSITIVE_INFINITY : checkDuration('rateLimit: queueTimeout', queueTimeout),
    maxServerWait: checkDuration('rateLimit: maxServerWait', given.maxServerWait),
    shadow: checkBoolean('rateLimit: shadow', given.shadow),
    key: key === undefined ? null : checkFunction('rateLimit: key', key),
    maxKeys: checkNumber('rateLimit: maxKeys', given.maxKeys, { min: 1, integer: true }),
    serverHeaders: checkBoolean('rateLimit: serverHeaders', given.serverHeaders),
    store,
  }
}

const changeable = ['limit', 'window', 'burst', 'queue', 'queueTimeout', 'maxServerWait', 'shadow']

/** The options of a layer after `update(changes)`; throws where a change cannot be made. */
export function changedRateLimit(options: RateLimitOptions, changes: Partial<RateLimitUpdate>): RateLimitOptions {
  checkOptions('rateLimit: update', changes, changeable)
  return { ...options, ...changes }
}
