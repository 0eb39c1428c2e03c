// With a server's limit below one's own, the calls ahead counted twice: once at the server's pace and once more, after that,
// at one's own. Calls were refused for deadlines that they would have kept, and told to come back too late.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { outcome } from '../policies/fixtures.ts'
import { ask, limiter, useVirtualTime } from '../policies/rate-limit-fixtures.ts'

beforeEach(useVirtualTime)
afterEach(() => {
  vi.useRealTimers()
})

it('30: a wait is as long as it was said to be where the server’s limit is the one that holds', async () => {
  const limit = limiter({ algorithm: 'leakyBucket', limit: 1, serverHeaders: true })
  const first = ask(limit)
  const headers = { ratelimit: '"a";r=0;t=10', 'ratelimit-policy': '"a";q=1;w=10' }
  first.permit?.head?.(outcome('success', { headers }), first.scope)
  const calls = Array.from({ length: 5 }, () => ask(limit))
  expect(limit.waitFor(0)).toBe(60_000)
  const last = ask(limit, { deadlineAt: 61_000 })
  expect(last.state).toBe('waiting')
  await vi.advanceTimersByTimeAsync(60_000)
  expect([...calls, last].map(({ at }) => at)).toEqual([10_000, 20_000, 30_000, 40_000, 50_000, 60_000])
})

it('30: and after a pause that the server asked for, one’s own', async () => {
  const limit = limiter({ algorithm: 'leakyBucket', limit: 1, serverHeaders: true })
  const first = ask(limit)
  first.permit?.head?.(outcome('throttled', { headers: { 'retry-after': '10' } }), first.scope)
  const calls = [ask(limit), ask(limit), ask(limit)]
  expect(limit.waitFor(0)).toBe(13_000)
  await vi.advanceTimersByTimeAsync(13_000)
  expect(calls.map(({ at }) => at)).toEqual([10_000, 11_000, 12_000])
})
