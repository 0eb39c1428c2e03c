// Settings that change at any time, with calls in the queue, with questions to a store under way, into shadow and out of it.
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { RateLimiter } from '../../src/policies/rate-limit.ts'
import { checkRateLimit, type RateLimitOptions, type RateLimitStore } from '../../src/policies/rate-limit-options.ts'
import { StoreLink } from '../../src/policies/rate-limit-store.ts'
import { SharedRateLimiter } from '../../src/policies/shared-rate-limit.ts'
import { holds, outcome } from './fixtures.ts'
import { ask, type Followed, limiter, origin, useVirtualTime } from './rate-limit-fixtures.ts'

beforeEach(() => {
  useVirtualTime()
  // Thousands of outages would drown all else.
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const often = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 3 })
const changes = fc.record({
  limit: often(fc.integer({ min: 1, max: 6 })),
  window: often(fc.constantFrom(1000, 2000, 4000)),
  queue: often(fc.integer({ min: 0, max: 6 })),
  queueTimeout: often(fc.integer({ min: 1, max: 3000 })),
  shadow: often(fc.boolean()),
  maxServerWait: often(fc.integer({ min: 1, max: 3000 })),
})
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant('ask' as const), priority: fc.nat(2), patience: fc.nat(4000) }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(900) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('update' as const), changes }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('cancel' as const), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('answer' as const), pick: fc.nat(), pause: fc.nat(3) }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

type Call = Followed & { cancelled?: boolean; answered?: boolean }

const isGone = ({ cancelled }: Call) => cancelled === true
const isLost = (call: Call) => call.state === 'waiting' && !isGone(call)

async function play(limit: RateLimiter, first: RateLimitOptions, history: readonly Step[]): Promise<void> {
  let options = first
  const calls: Call[] = []
  const pick = (at: number, isWanted: (call: Call) => boolean) => {
    const found = calls.filter(isWanted)
    return found[at % Math.max(1, found.length)]
  }
  const answer = (call: Call, headers = {}) => {
    call.answered = true
    const head = outcome('throttled', { headers })
    call.permit?.head?.(head, call.scope)
    call.permit?.settle(head, call.scope)
  }
  for (const one of history) {
    if (one.type === 'wait') await vi.advanceTimersByTimeAsync(one.ms)
    else if (one.type === 'ask') calls.push(ask(limit, { ...one, deadlineAt: performance.now() + 1 + one.patience }))
    else if (one.type === 'update') {
      const given = Object.entries(one.changes).filter(([, value]) => value !== undefined)
      options = { ...options, ...Object.fromEntries(given) }
      limit.adopt(checkRateLimit(options), performance.now())
      if (options.shadow !== true) continue
      await vi.advanceTimersByTimeAsync(0)
      expect(calls.filter(isLost)).toEqual([])
    } else if (one.type === 'cancel') {
      const leaving = pick(one.pick, ({ state, cancelled }) => state === 'waiting' && cancelled !== true)
      if (leaving === undefined) continue
      leaving.cancelled = true
      leaving.cancel()
    } else {
      const call = pick(one.pick, ({ state, answered }) => state === 'admitted' && answered !== true)
      if (call !== undefined) answer(call, one.pause === 0 ? {} : { 'retry-after': `${one.pause}` })
    }
  }
  await vi.advanceTimersByTimeAsync(200_000)
  for (const call of calls) if (call.state === 'admitted' && call.answered !== true) answer(call)
  expect(calls.filter(isLost)).toEqual([])
  expect(limit).toMatchObject({ queued: 0, idle: true })
  expect(limit.admitted).toBe(calls.filter(({ state }) => state === 'admitted').length)
  // Some have left before they were told.
  const refused = calls.filter(({ state }) => state === 'refused').length
  expect(limit.refused).toBeGreaterThanOrEqual(refused)
  expect(limit.refused).toBeLessThanOrEqual(refused + calls.filter(isGone).length)
}

it('47: in one process no call is lost, nor any count', async () => {
  const kinds = fc.constantFrom('tokenBucket' as const, 'fixedWindow' as const, 'slidingWindow' as const)
  await holds(
    'rate limiter, changed',
    fc.asyncProperty(
      kinds,
      fc.boolean(),
      fc.array(step, { maxLength: 100 }),
      async (algorithm, serverHeaders, history) => {
        const options = { limit: 3, algorithm, serverHeaders }
        await play(limiter(options), options, history)
      },
    ),
  )
})

it('47: with a store no call is lost, nor any count', async () => {
  const delays = fc.array(fc.nat(80), { minLength: 1, maxLength: 8 })
  const answers = fc.array(fc.oneof(fc.constant(0), fc.nat(1500), fc.constant(null)), { minLength: 1, maxLength: 12 })
  await holds(
    'shared rate limiter, changed',
    fc.asyncProperty(
      fc.constantFrom('local' as const, 'refuse' as const, 'admit' as const),
      delays,
      answers,
      fc.array(step, { maxLength: 100 }),
      async (whenDown, late, said, history) => {
        let asked = 0
        const take = () => {
          const wait = said[asked % said.length]
          const delay = late[asked++ % late.length]
          return new Promise<number>((resolve, reject) => {
            setTimeout(() => (typeof wait === 'number' ? resolve(wait) : reject(new Error('gone'))), delay)
          })
        }
        const store: RateLimitStore = { take, check: async () => {}, whenDown, timeout: 50 }
        const options = { limit: 3, store, serverHeaders: true }
        const settings = checkRateLimit(options)
        await play(new SharedRateLimiter(settings, origin, new StoreLink(store)), options, history)
      },
    ),
  )
})
