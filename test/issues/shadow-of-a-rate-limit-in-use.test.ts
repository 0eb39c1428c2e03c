// Put into shadow while calls waited, a rate limit went on holding them back. Put in earnest again, its queue was still full
// of the places of calls that had gone: it refused calls for them, and its timer, one of shadow, let the process end while
// others waited.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { lane } from '../../src/policies/clock.ts'
import { checkRateLimit, type RateLimitOptions } from '../../src/policies/rate-limit-options.ts'
import { outcome } from '../policies/fixtures.ts'
import { ask, limiter, useVirtualTime } from '../policies/rate-limit-fixtures.ts'

beforeEach(useVirtualTime)
afterEach(() => {
  vi.useRealTimers()
})

const options: RateLimitOptions = { limit: 1, window: 60_000, queue: 2 }
const set = (limit: ReturnType<typeof limiter>, more: Partial<RateLimitOptions>) =>
  limit.adopt(checkRateLimit({ ...options, ...more }), performance.now())

describe('30: update', () => {
  it('into shadow lets those who wait go', async () => {
    const limit = limiter({ ...options, serverHeaders: true })
    const calls = [ask(limit), ask(limit), ask(limit)]
    expect(calls.map(({ state }) => state)).toEqual(['admitted', 'waiting', 'waiting'])
    set(limit, { shadow: true, serverHeaders: true })
    await vi.advanceTimersByTimeAsync(0)
    expect(calls.map(({ state }) => state)).toEqual(['admitted', 'admitted', 'admitted'])
    expect(limit).toMatchObject({ admitted: 3, refused: 0, shadowRefused: 0, queued: 0 })
    for (const { permit, scope } of calls) permit?.settle(outcome('cancelled'), scope)
    expect(limit.idle).toBe(true)
  })

  it('out of shadow leaves no places of calls that have gone', async () => {
    const limit = limiter({ ...options, shadow: true })
    for (let call = 0; call < 5; call++) ask(limit)
    expect(limit.queued).toBe(2)
    set(limit, {})
    expect(limit.queued).toBe(0)
    const next = ask(limit)
    expect(next.state).toBe('waiting')
    // A timer that keeps the process alive.
    expect(lane(60_000, true).empty).toBe(false)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(next).toMatchObject({ state: 'admitted', at: 60_000 })
    expect(limit).toMatchObject({ admitted: 6, shadowRefused: 2 })
  })

  it('refuses those whose turn has moved beyond their deadline, and leaves queueTimeout to those who came with it', async () => {
    const limit = limiter({ ...options, window: 1000, queueTimeout: 5000 })
    const calls = [ask(limit), ask(limit, { deadlineAt: 3000 }), ask(limit)]
    set(limit, { window: 4000, queueTimeout: 10 })
    await vi.advanceTimersByTimeAsync(0)
    expect(calls.map(({ state }) => state)).toEqual(['admitted', 'refused', 'waiting'])
    expect(calls[1]!.error).toMatchObject({ retryAfter: 4000 })
    set(limit, { window: 60_000, queueTimeout: 10 })
    await vi.advanceTimersByTimeAsync(0)
    expect(calls[2]!.state).toBe('refused')
  })

  it('tells the time that a call came with', async () => {
    const limit = limiter({ ...options, window: 1000, queueTimeout: 1500 })
    const calls = [ask(limit), ask(limit, { priority: 2 })]
    set(limit, { window: 1000, queueTimeout: undefined, queue: 5 })
    ask(limit)
    ask(limit)
    await vi.advanceTimersByTimeAsync(1500)
    expect((calls[1]!.error as Error).message).toContain('did not come within 1500 ms')
  })
})
