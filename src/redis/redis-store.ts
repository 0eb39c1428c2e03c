/**
 * One rate limit for several processes, counted on a Redis.
 *
 * ```ts
 * import { Redis } from 'ioredis'
 * import { rateLimit } from 'roundtripper'
 * import { redisStore } from 'roundtripper/redis'
 *
 * const store = redisStore(new Redis())
 * const limit = rateLimit({ limit: 100, window: 60_000, store })
 * ```
 */
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import { checkDuration, checkOptions, show, withoutUndefined } from '../policies/options.ts'
import { type RateLimitStore, whenDownChoices } from '../policies/rate-limit-options.ts'

/** Options of {@link redisStore}. */
export interface RedisStoreOptions {
  /**
   * What the keys in Redis begin with.
   * @default 'roundtripper'
   */
  readonly prefix?: string
  /**
   * What happens to calls while Redis is not there: `local`: each process keeps the limit for itself; `refuse`; `admit`:
   * without a limit.
   * @default 'local'
   */
  readonly whenDown?: 'local' | 'refuse' | 'admit'
  /**
   * Milliseconds after which Redis counts as not there; a limit's `queueTimeout`, where that is less.
   * @default 500
   */
  readonly timeout?: number
}

/** What {@link redisStore} does unless told otherwise. */
export const redisStoreDefaults = Object.freeze({ prefix: 'roundtripper', whenDown: 'local', timeout: 500 } as const)

// Several layers may share a store, each with a limit of its own; who changes limits all the time is not helped.
const mostLimiters = 32

/**
 * A count on a Redis, for `rateLimit({ store })`. It goes through `rate-limiter-flexible`, an optional peer dependency, and
 * takes each client that package takes: of `ioredis`, or of `redis` from version 4 on. The client remains yours: its errors
 * are told to its own listeners, and who made it closes it.
 *
 * @throws TypeError, RangeError for options that are wrong, and for no client.
 */
export function redisStore(client: object, options: RedisStoreOptions = {}): RateLimitStore {
  checkOptions('redisStore', options, Object.keys(redisStoreDefaults))
  if (typeof client !== 'object' || client === null) {
    throw new TypeError(`redisStore: client must be a client of ioredis or redis, got ${show(client)}`)
  }
  const { prefix, whenDown, timeout } = { ...redisStoreDefaults, ...withoutUndefined(options) }
  if (typeof prefix !== 'string') throw new TypeError(`redisStore: prefix must be a string, got ${show(prefix)}`)
  if (!whenDownChoices.includes(whenDown)) {
    throw new TypeError(`redisStore: whenDown must be one of ${whenDownChoices.join(', ')}, got ${show(whenDown)}`)
  }
  return new RedisStore(client, prefix, whenDown, checkDuration('redisStore: timeout', timeout))
}

class RedisStore implements RateLimitStore {
  readonly whenDown: 'local' | 'refuse' | 'admit'
  readonly timeout: number
  readonly #client: object
  readonly #prefix: string
  readonly #limiters = new Map<string, RateLimiterRedis>()
  // A client that has yet to connect is waited for; one that has lost its connection says so at once.
  #wasThere = false

  constructor(client: object, prefix: string, whenDown: 'local' | 'refuse' | 'admit', timeout: number) {
    this.#client = client
    this.#prefix = prefix
    this.whenDown = whenDown
    this.timeout = timeout
  }

  #limiterOf(limit: number, window: number): RateLimiterRedis {
    const name = `${limit}/${window}`
    let limiter = this.#limiters.get(name)
    if (limiter === undefined) {
      if (this.#limiters.size >= mostLimiters) this.#limiters.clear()
      // Windows of different lengths are counted apart.
      limiter = this.#newLimiter(limit, window / 1000, `${window / 1000}`)
      this.#limiters.set(name, limiter)
    }
    return limiter
  }

  #newLimiter(points: number, duration: number, name: string): RateLimiterRedis {
    return new RateLimiterRedis({
      storeClient: this.#client,
      points,
      duration,
      keyPrefix: `${this.#prefix}:${name}`,
      rejectIfRedisNotReady: this.#wasThere,
      // The class names of clients are not the same in a bundle: `redis` is told by what only it has.
      useRedisPackage: 'pTTL' in this.#client,
    })
  }

  #isThere(): void {
    if (this.#wasThere) return
    this.#wasThere = true
    this.#limiters.clear()
  }

  async take(key: string, limit: number, window: number): Promise<number> {
    try {
      await this.#limiterOf(limit, window).consume(key)
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused
      this.#isThere()
      // The window may have ended on the way.
      return Math.max(1, refused.msBeforeNext)
    }
    this.#isThere()
    return 0
  }

  async check(): Promise<void> {
    // By a count, beside all others: a replica, and a Redis whose memory is full, answer what only reads.
    await this.#newLimiter(Number.MAX_SAFE_INTEGER, 1, 'check').consume('check')
    this.#isThere()
  }
}
