import { vi } from 'vitest'
import type { Permit, Scope, Waiting } from '../../src/policies/policy.ts'
import { RateLimiter } from '../../src/policies/rate-limit.ts'
import { checkRateLimit, type RateLimitOptions } from '../../src/policies/rate-limit-options.ts'
import { scope } from './fixtures.ts'

export const origin = 'https://a.test'

/** A virtual clock for `performance.now()` and timers, at 0. */
export function useVirtualTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] })
}

/** The scope of a call, with what a rate limit reads of it. */
export function callScope(
  more: { deadlineAt?: number; priority?: number; notes?: Record<string, unknown> } = {},
): Scope {
  const made = scope(origin, more.notes)
  const exchange = { deadlineAt: more.deadlineAt ?? Number.POSITIVE_INFINITY, priority: more.priority ?? 1 }
  return Object.assign(made, { exchange }) as unknown as Scope
}

export function limiter(options: RateLimitOptions): RateLimiter {
  return new RateLimiter(checkRateLimit(options), origin)
}

/** What became of a call so far. */
export interface Followed {
  state: 'admitted' | 'waiting' | 'refused'
  /** When it was admitted or refused. */
  at: number
  error: unknown
  permit: Permit | null
  readonly notes: Record<string, unknown>
  readonly scope: Scope
  cancel(): void
}

/** Asks for admission, and notes what comes of it. */
export function ask(
  policy: Pick<RateLimiter, 'acquire'>,
  more: { deadlineAt?: number; priority?: number } = {},
): Followed {
  const notes: Record<string, unknown> = {}
  const call = callScope({ ...more, notes })
  const followed: Followed = {
    state: 'admitted',
    at: performance.now(),
    error: undefined,
    permit: null,
    notes,
    scope: call,
    cancel: () => {},
  }
  let got: Permit | Waiting | null
  try {
    got = policy.acquire(call, performance.now())
  } catch (error) {
    return Object.assign(followed, { state: 'refused', error })
  }
  if (got === null || 'settle' in got) return Object.assign(followed, { permit: got })
  followed.state = 'waiting'
  const place = got
  followed.cancel = () => place.cancel()
  place.then(
    (permit) => Object.assign(followed, { state: 'admitted', at: performance.now(), permit }),
    (error) => Object.assign(followed, { state: 'refused', at: performance.now(), error }),
  )
  return followed
}
