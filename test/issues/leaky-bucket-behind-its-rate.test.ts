// A timer is late, and holds no fractions of a millisecond. A leaky bucket counted each interval from the call before, so
// all that its timers were late by was lost: of 300 calls a second, 250 went on a clock without any lateness, and 170 on a
// real one.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { ask, limiter, useVirtualTime } from '../policies/rate-limit-fixtures.ts'

beforeEach(useVirtualTime)
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

it.each([100, 300, 900, 2000])('30: a leaky bucket of %d a second lets so many out', async (rate) => {
  const limit = limiter({ algorithm: 'leakyBucket', limit: rate, queue: 5000 })
  const calls = Array.from({ length: 2 * rate }, () => ask(limit))
  await vi.advanceTimersByTimeAsync(1000)
  const out = calls.filter(({ state }) => state === 'admitted')
  expect(out.length).toBeGreaterThan(rate - 3)
  expect(out.length).toBeLessThanOrEqual(rate + 1)
})

it('30: after a long stop it makes up for no more than a timer’s lateness', async () => {
  const limit = limiter({ algorithm: 'leakyBucket', limit: 100 })
  const calls = Array.from({ length: 50 }, () => ask(limit))
  // The process stands still for 300 ms: the timers that were due meanwhile are one.
  const now = performance.now()
  vi.spyOn(performance, 'now').mockReturnValue(now + 300)
  limit.onTimer()
  await Promise.resolve()
  expect(calls.filter(({ state }) => state === 'admitted')).toHaveLength(2)
})
