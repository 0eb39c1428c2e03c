// state() said that calls could go which could not: it knew nothing of what a server had told, nor of what a store had.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { checkRateLimit, type RateLimitStore } from '../../src/policies/rate-limit-options.ts'
import { StoreLink } from '../../src/policies/rate-limit-store.ts'
import { SharedRateLimiter } from '../../src/policies/shared-rate-limit.ts'
import { microtasks, outcome } from '../policies/fixtures.ts'
import { ask, limiter, useVirtualTime } from '../policies/rate-limit-fixtures.ts'

beforeEach(useVirtualTime)
afterEach(() => {
  vi.useRealTimers()
})

it('30: no more than the server has left are available', () => {
  const limit = limiter({ limit: 100, serverHeaders: true })
  const first = ask(limit)
  const headers = { ratelimit: '"a";r=2;t=10', 'ratelimit-policy': '"a";q=5;w=10' }
  first.permit?.head?.(outcome('success', { headers }), first.scope)
  expect(limit.available(0)).toBe(2)
  ask(limit)
  expect(limit.available(0)).toBe(1)
  ask(limit)
  expect(limit.available(0)).toBe(0)
  expect(limit.available(10_000)).toBe(5)
  first.permit?.head?.(outcome('throttled', { headers: { 'retry-after': '30' } }), first.scope)
  expect([limit.available(29_000), limit.available(30_000)]).toEqual([0, 5])
})

it('30: none is available when the store has said so', async () => {
  let wait = 0
  const store: RateLimitStore = { take: async () => wait, check: async () => {}, whenDown: 'local', timeout: 50 }
  const limit = new SharedRateLimiter(checkRateLimit({ limit: 3, queue: 0, store }), 'a', new StoreLink(store))
  ask(limit)
  await microtasks()
  expect(limit.available(0)).toBe(3)
  wait = 700
  ask(limit)
  await microtasks()
  expect([limit.available(0), limit.waitFor(0), limit.available(700)]).toEqual([0, 700, 3])
})
