import type { IncomingHttpHeaders } from 'node:http'
import { mayTellLimits, readServerLimits, type ServerLimit } from './rate-limit-fields.ts'
import { parseRetryAfter } from './retry-after.ts'

/** One limit that a server told of, as far as it is known here. */
interface Quota {
  readonly name: string
  remaining: number
  resetAt: number
  /** What comes at the reset, where the policy says so; 0: unknown, and then nothing holds calls back any more. */
  readonly quota: number
  window: number
}

/** Whether a head is worth reading. */
export function mayHoldBack(status: number, headers: IncomingHttpHeaders): boolean {
  return status === 429 || status === 503 || mayTellLimits(headers)
}

/**
 * What the server of a limiter said of its own limits: a time to wait for, and calls that are left until one. It only ever
 * holds calls back; how many may go is the limiter's own matter.
 */
export class ServerQuota {
  #pausedUntil = Number.NEGATIVE_INFINITY
  #quotas: Quota[] = []

  /** When the server wants the next call: the end of a pause; `-Infinity` where none was told. */
  get pausedUntil(): number {
    return this.#pausedUntil
  }

  /** Milliseconds until the call after `ahead` others may go; 0: now. */
  waitFor(now: number, ahead: number): number {
    let at = this.#pausedUntil
    // Most servers never tell of any.
    if (this.#quotas.length === 0) return at <= now ? 0 : at - now
    for (const quota of this.#quotas) at = Math.max(at, opensAt(quota, now, ahead))
    return at <= now ? 0 : at - now
  }

  /** How many calls may go at once now, as far as the server has told. */
  available(now: number): number {
    if (this.#pausedUntil > now) return 0
    return Math.min(...this.#quotas.map((quota) => left(quota, now)))
  }

  /** Counts a call that goes. */
  take(now: number): void {
    if (this.#quotas.length === 0) return
    for (const quota of this.#quotas) {
      renew(quota, now)
      if (quota.remaining > 0) quota.remaining--
    }
  }

  /** What was told before this counts as far as waits of `maxPause` go. */
  bound(now: number, maxPause: number): void {
    this.#pausedUntil = Math.min(this.#pausedUntil, now + maxPause)
    for (const quota of this.#quotas) {
      quota.resetAt = Math.min(quota.resetAt, now + maxPause)
      quota.window = Math.min(quota.window, maxPause)
    }
  }

  /**
   * Reads a response head.
   *
   * @param unanswered other calls that are out, which the server may not have counted yet
   * @param maxPause no wait that a server asks for is longer
   * @returns milliseconds until the next call may go, where it may not go now
   */
  tell(status: number, headers: IncomingHttpHeaders, now: number, unanswered: number, maxPause: number): number {
    const epochMs = Date.now()
    const asks = status === 429 || status === 503
    const asked = asks ? parseRetryAfter(headers['retry-after'] as string | string[] | undefined, epochMs) : undefined
    // It may not shorten a wait that another response asked for.
    if (asked !== undefined) this.#pausedUntil = Math.max(this.#pausedUntil, now + Math.min(asked, maxPause))
    const limits = readServerLimits(headers, epochMs)
    if (limits.length > 0) {
      const quotas = limits.map((limit) => {
        // Of two times to come back at in one response, Retry-After is the one that counts.
        const isUsedUp = limit.remaining === 0 && asked !== undefined
        return this.#quotaOf(isUsedUp ? { ...limit, reset: asked } : limit, now, unanswered, maxPause)
      })
      this.#quotas = quotas.filter((quota) => quota !== null)
    }
    return this.waitFor(now, 0)
  }

  #quotaOf(limit: ServerLimit, now: number, unanswered: number, maxPause: number): Quota | null {
    const { name, remaining } = limit
    const quota = limit.quota ?? 0
    const window = Math.min(limit.window ?? 0, maxPause)
    if (remaining !== undefined) {
      const reset = limit.reset ?? limit.window
      if (reset === undefined) return null
      const left = Math.max(0, remaining - unanswered)
      return { name, remaining: left, resetAt: now + Math.min(reset, maxPause), quota, window }
    }
    // Only the policy: counted here from the first response on that told of it, this one and those out included.
    const known = this.#quotas.find((one) => one.name === name && one.quota === quota && one.window === window)
    return known ?? { name, remaining: Math.max(0, quota - 1 - unanswered), resetAt: now + window, quota, window }
  }
}

function opensAt({ remaining, resetAt, quota, window }: Quota, now: number, ahead: number): number {
  if (now >= resetAt) return ahead < quota || quota === 0 || window === 0 ? now : now + windows(ahead, quota) * window
  if (ahead < remaining) return now
  return resetAt + (quota === 0 || window === 0 ? 0 : windows(ahead - remaining, quota) * window)
}

function left({ remaining, resetAt, quota, window }: Quota, now: number): number {
  if (now < resetAt) return remaining
  return quota > 0 && window > 0 ? quota : Number.POSITIVE_INFINITY
}

function windows(ahead: number, quota: number): number {
  return Math.floor(ahead / quota)
}

function renew(quota: Quota, now: number): void {
  if (now < quota.resetAt) return
  // Without a policy nothing is known of what comes: free until the next response tells.
  const known = quota.quota > 0 && quota.window > 0
  quota.remaining = known ? quota.quota : Number.POSITIVE_INFINITY
  quota.resetAt = known ? now + quota.window : Number.POSITIVE_INFINITY
}
