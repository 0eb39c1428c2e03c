import { PerOrigin } from '../policies/per-origin.ts'
import { RateLimiter } from '../policies/rate-limit.ts'
import {
  changedRateLimit,
  checkRateLimit,
  type RateLimitOptions,
  type RateLimitUpdate,
  rateLimitDefaults,
} from '../policies/rate-limit-options.ts'
import { StoreLink } from '../policies/rate-limit-store.ts'
import { SharedRateLimiter } from '../policies/shared-rate-limit.ts'
import { keyOf } from './call-key.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { effectiveOptions } from './describe.ts'
import type { CallScope } from './exchange.ts'
import { stageLayer } from './guard.ts'
import type { GuardedCall } from './guarded-call.ts'

/** How the limit of one origin, or of one key, stands. */
export interface RateLimitView {
  /** Calls that could go at once now; with a store the limit, until the store has said that it is used up. */
  readonly available: number
  /** Calls that wait. */
  readonly queued: number
  /** Milliseconds until a call that came now would go. */
  readonly retryAfter: number
  /** Milliseconds for which the server's headers hold calls back. */
  readonly serverWait: number
  /** Calls that went, and that were refused, since the key was last forgotten. */
  readonly admitted: number
  readonly refused: number
  /** Calls that shadow let go, and that would have been refused. */
  readonly shadowRefused: number
}

/** The layer that {@link rateLimit} makes; its state is by origin, or by key where there is a key function. */
export type RateLimitLayer = ControlledLayer<RateLimitUpdate, RateLimitView>

const keyWarning = {
  layer: 'rateLimit',
  otherwise: 'count under their origins',
  code: 'ROUNDTRIPPER_RATE_LIMIT_KEY',
} as const

function viewOf(limiter: RateLimiter, now: number): RateLimitView {
  const { queued, admitted, refused, shadowRefused } = limiter
  const [available, retryAfter, serverWait] = [limiter.available(now), limiter.waitFor(now), limiter.pausedFor(now)]
  return { available, queued, retryAfter, serverWait, admitted, refused, shadowRefused }
}

/**
 * Bounds how many calls go in a time, for each origin or key: `rateLimit({ limit: 100, window: 60_000 })`. A call beyond it
 * waits its turn, first come first served; one that may not wait, or not so long, is refused with a `RateLimitedError`
 * (`ERR_RATE_LIMITED`) whose `retryAfter` says in how many milliseconds it would go.
 *
 * Above `retry()` it counts calls, below it every attempt, which is what a server counts. A call holds nothing after it was
 * admitted: how many are under way at once is the business of `bulkhead()`.
 *
 * @throws RangeError, TypeError for options that are missing, unknown or out of range.
 */
export function rateLimit(options: RateLimitOptions): RateLimitLayer {
  let given = options
  let settings = checkRateLimit(given)
  const { key, maxKeys, store } = settings
  const link = store === null ? null : new StoreLink(store)
  const make = (name: string) =>
    link === null ? new RateLimiter(settings, name) : new SharedRateLimiter(settings, name, link)
  const limiters = new PerOrigin<RateLimiter>(make, { maxOrigins: maxKeys })
  const acquire = (scope: CallScope, call: GuardedCall) => {
    const { origin } = scope
    const limiter = limiters.get(key === null ? origin : (keyOf(key, call.opts, origin, keyWarning) ?? origin))
    return limiter.acquire(scope, scope.now())
  }
  const fuses = key === null && store === null
  const layer = stageLayer({
    name: 'rateLimit',
    options: () => effectiveOptions(rateLimitDefaults, given),
    stages: [{ name: 'rateLimit', acquire, fuses }],
  })
  const update = (changes: Partial<RateLimitUpdate>) => {
    const next = changedRateLimit(given, changes)
    settings = checkRateLimit(next)
    given = next
    const now = performance.now()
    for (const [, limiter] of limiters) limiter.adopt(settings, now)
  }
  const state = () => {
    const now = performance.now()
    // Not by assignment: a key may be what a header said, and so "__proto__".
    return Object.fromEntries([...limiters].map(([name, limiter]) => [name, viewOf(limiter, now)]))
  }
  return Object.assign(layer, { update, state })
}
