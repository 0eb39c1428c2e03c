import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { isShed, RateLimitedError } from '../../src/policies/errors.ts'
import { checkRateLimit, type RateLimitOptions } from '../../src/policies/rate-limit-options.ts'
import { holds } from './fixtures.ts'
import { ask, type Followed, limiter, origin, useVirtualTime } from './rate-limit-fixtures.ts'

beforeEach(useVirtualTime)
afterEach(() => {
  vi.useRealTimers()
})

const tenASecond = { limit: 10, window: 1000 } as const
const states = (calls: readonly Followed[]) => calls.map(({ state }) => state).join(' ')

describe('30: a call beyond the limit', () => {
  it('is refused where none may wait, told exactly when it would go', () => {
    const limit = limiter({ ...tenASecond, burst: 2, queue: 0 })
    expect(states([ask(limit), ask(limit)])).toBe('admitted admitted')
    const { error } = ask(limit)
    expect(error).toBeInstanceOf(RateLimitedError)
    expect(isShed(error)).toBe(true)
    expect(error).toMatchObject({
      code: 'ERR_RATE_LIMITED',
      origin,
      retryAfter: 100,
      message: `the rate limit of ${origin} (10 in 1000 ms): none may wait; the next call may go in 100 ms`,
    })
    vi.advanceTimersByTime(99)
    expect(ask(limit).error).toMatchObject({ retryAfter: 1 })
    vi.advanceTimersByTime(1)
    expect(ask(limit).state).toBe('admitted')
    expect(limit).toMatchObject({ admitted: 3, refused: 2, queued: 0 })
  })

  it('waits its turn, and goes when it comes', async () => {
    const limit = limiter({ ...tenASecond, algorithm: 'leakyBucket' })
    const calls = [ask(limit), ask(limit), ask(limit), ask(limit)]
    expect(states(calls)).toBe('admitted waiting waiting waiting')
    expect(limit.waitFor(0)).toBe(400)
    await vi.advanceTimersByTimeAsync(199)
    expect(states(calls)).toBe('admitted admitted waiting waiting')
    await vi.advanceTimersByTimeAsync(101)
    expect(calls.map(({ at }) => at)).toEqual([0, 100, 200, 300])
    expect(calls[3]!.notes).toEqual({ 'ratelimit.waited_ms': 300 })
    expect(limit).toMatchObject({ queued: 0, idle: true })
  })

  it('is one of a window that opens all at once, in a fixed window', async () => {
    const limit = limiter({ ...tenASecond, algorithm: 'fixedWindow' })
    const calls = Array.from({ length: 25 }, () => ask(limit))
    await vi.advanceTimersByTimeAsync(3000)
    expect(calls.map(({ at }) => at)).toEqual([...Array(10).fill(0), ...Array(10).fill(1000), ...Array(5).fill(2000)])
  })

  it('makes nothing where it need not wait', () => {
    expect(limiter(tenASecond).acquire(ask(limiter(tenASecond)).scope, 0)).toBeNull()
  })
})

describe('the queue', () => {
  it('27: is bounded in number; the next one is told when its turn would be', () => {
    const limit = limiter({ ...tenASecond, burst: 1, queue: 2 })
    const calls = [ask(limit), ask(limit), ask(limit), ask(limit)]
    expect(states(calls)).toBe('admitted waiting waiting refused')
    expect(calls[3]!.error).toMatchObject({ retryAfter: 300 })
    expect(calls[3]!.notes).toEqual({ 'ratelimit.retry_after_ms': 300 })
  })

  it('27: is bounded in time: who would wait too long is refused at once', () => {
    const limit = limiter({ ...tenASecond, burst: 1, queueTimeout: 150 })
    const calls = [ask(limit), ask(limit), ask(limit)]
    expect(states(calls)).toBe('admitted waiting refused')
    expect((calls[2]!.error as Error).message).toContain('would not come within 150 ms')
  })

  it('19: no call waits for a turn at or past its deadline', () => {
    const limit = limiter({ ...tenASecond, burst: 1 })
    ask(limit)
    expect(ask(limit, { deadlineAt: 100 }).error).toMatchObject({ retryAfter: 100 })
    expect(ask(limit, { deadlineAt: 101 }).state).toBe('waiting')
  })

  it('27: who gives up leaves at once, and those behind move up', async () => {
    const limit = limiter({ ...tenASecond, burst: 1, queue: 2 })
    const calls = [ask(limit), ask(limit), ask(limit)]
    calls[1]!.cancel()
    expect(limit.queued).toBe(1)
    calls.push(ask(limit))
    expect(calls[3]!.state).toBe('waiting')
    await vi.advanceTimersByTimeAsync(100)
    expect(states(calls)).toBe('admitted waiting admitted waiting')
    calls[3]!.cancel()
    expect(limit).toMatchObject({ queued: 0, idle: true })
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1)
  })

  it('27: who gives up while admission is on its way passes it on', async () => {
    const limit = limiter({ ...tenASecond, burst: 1 })
    const calls = [ask(limit), ask(limit), ask(limit)]
    // Synchronously: the microtask that tells the second call has yet to run.
    vi.advanceTimersByTime(100)
    calls[1]!.cancel()
    await vi.advanceTimersByTimeAsync(0)
    expect(states(calls)).toBe('admitted waiting admitted')
    expect(limit.admitted).toBe(2)
  })

  it('28: is first come, first served', async () => {
    const limit = limiter({ ...tenASecond, burst: 1 })
    ask(limit)
    const calls = Array.from({ length: 20 }, () => ask(limit))
    await vi.advanceTimersByTimeAsync(5000)
    expect(calls.map(({ at }) => at)).toEqual(calls.map((_, index) => (index + 1) * 100))
  })

  it('28: nobody overtakes a call that waits, also when its turn has come and its timer has not', async () => {
    const limit = limiter({ ...tenASecond, burst: 1 })
    const calls = [ask(limit), ask(limit)]
    const late = { acquire: (call: Followed['scope']) => limit.acquire(call, 150) }
    calls.push(ask(late))
    expect(states(calls)).toBe('admitted waiting waiting')
    await vi.advanceTimersByTimeAsync(300)
    expect(calls[1]!.at).toBeLessThan(calls[2]!.at)
  })

  it('28: critical calls go first, and take the last place of a full queue from one that matters less', async () => {
    const limit = limiter({ ...tenASecond, burst: 1, queue: 3 })
    ask(limit)
    const [normal, sheddable, other] = [ask(limit), ask(limit, { priority: 2 }), ask(limit)]
    const critical = ask(limit, { priority: 0 })
    await vi.advanceTimersByTimeAsync(0)
    expect(states([normal, sheddable, other, critical])).toBe('waiting refused waiting waiting')
    expect((sheddable.error as Error).message).toContain('a more important call took its place')
    await vi.advanceTimersByTimeAsync(300)
    expect([critical.at, normal.at, other.at]).toEqual([100, 200, 300])
    // One that matters no more is refused.
    const rest = [ask(limit), ask(limit), ask(limit), ask(limit)]
    expect(states(rest)).toBe('waiting waiting waiting refused')
  })

  it('27: who is overtaken for too long is refused when its time is up', async () => {
    const limit = limiter({ ...tenASecond, burst: 1, queueTimeout: 250 })
    ask(limit)
    const sheddable = ask(limit, { priority: 2 })
    for (let at = 0; at < 4; at++) {
      ask(limit, { priority: 0 })
      await vi.advanceTimersByTimeAsync(90)
    }
    expect(sheddable).toMatchObject({ state: 'refused', at: 250 })
    expect((sheddable.error as Error).message).toContain('did not come within 250 ms')
  })

  it('27: queueTimeout ends with the wait: who was admitted or gave up is not refused later', async () => {
    const limit = limiter({ ...tenASecond, burst: 1, queueTimeout: 250 })
    const calls = [ask(limit), ask(limit), ask(limit)]
    calls[2]!.cancel()
    await vi.advanceTimersByTimeAsync(1000)
    expect(states(calls)).toBe('admitted admitted waiting')
    expect(limit).toMatchObject({ refused: 0, queued: 0 })
  })

  it('serves a long queue without recursion', async () => {
    const limit = limiter({ limit: 20_000, window: 1000, algorithm: 'fixedWindow', queue: 20_000 })
    const calls = Array.from({ length: 40_000 }, () => ask(limit))
    await vi.advanceTimersByTimeAsync(1000)
    expect(calls.every(({ state }) => state === 'admitted')).toBe(true)
  })
})

describe('shadow', () => {
  it('refuses nothing and holds nothing back, and tells what it would have done', async () => {
    const limit = limiter({ ...tenASecond, burst: 1, queue: 1, shadow: true })
    const calls = [ask(limit), ask(limit), ask(limit)]
    expect(states(calls)).toBe('admitted admitted admitted')
    expect(calls.map(({ notes }) => notes)).toEqual([
      {},
      { 'ratelimit.shadow_wait_ms': 100 },
      { 'ratelimit.retry_after_ms': 200, 'ratelimit.shadow': 'the queue is full' },
    ])
    expect(limit).toMatchObject({ admitted: 3, refused: 0, shadowRefused: 1, queued: 1 })
    // The place that the second would have had is free when its turn would have come.
    await vi.advanceTimersByTimeAsync(100)
    expect(limit).toMatchObject({ admitted: 3, queued: 0 })
  })

  it('comes to the same numbers as the limit itself', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 150 }), { maxLength: 60 })
    holds(
      'shadow',
      fc.property(gaps, (history) => {
        const options = { ...tenASecond, burst: 3, queue: 2 }
        const [real, shadow] = [limiter(options), limiter({ ...options, shadow: true })]
        for (const gap of history) {
          vi.advanceTimersByTime(gap)
          ask(real)
          ask(shadow)
          expect([shadow.shadowRefused, shadow.queued]).toEqual([real.refused, real.queued])
        }
      }),
    )
  })
})

describe('other settings while it runs', () => {
  it('hold for those that wait already', async () => {
    const options = { ...tenASecond, burst: 1 }
    const limit = limiter(options)
    const calls = [ask(limit), ask(limit), ask(limit)]
    limit.adopt(checkRateLimit({ ...options, limit: 100 }), performance.now())
    await vi.advanceTimersByTimeAsync(20)
    expect(calls.map(({ at }) => at)).toEqual([0, 10, 20])
  })
})

describe('against a model', () => {
  type Step =
    | { type: 'ask'; priority: number; patience: number }
    | { type: 'wait'; ms: number }
    | { type: 'cancel'; pick: number }
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant('ask' as const),
        priority: fc.integer({ min: 0, max: 2 }),
        patience: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 1, max: 400 })),
      }),
    },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 200 }) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('cancel' as const), pick: fc.nat() }) },
  )

  it('27: never more in the queue than its bound, never more out than the rate, no call lost, none out after its deadline', async () => {
    const options = fc.record({
      algorithm: fc.constantFrom(
        'tokenBucket' as const,
        'fixedWindow' as const,
        'slidingWindow' as const,
        'leakyBucket' as const,
      ),
      limit: fc.integer({ min: 1, max: 6 }),
      window: fc.integer({ min: 20, max: 300 }),
      queue: fc.integer({ min: 0, max: 6 }),
    })
    const run = fc.asyncProperty(options, fc.array(step, { maxLength: 120 }), async (chosen, history) => {
      const limit = limiter(chosen)
      const calls: (Followed & { deadlineAt: number; cancelled?: boolean })[] = []
      for (const command of history) {
        if (command.type === 'wait') await vi.advanceTimersByTimeAsync(command.ms)
        else if (command.type === 'ask') {
          const deadlineAt = performance.now() + command.patience
          calls.push(Object.assign(ask(limit, { priority: command.priority, deadlineAt }), { deadlineAt }))
        } else {
          const waiting = calls.filter(({ state, cancelled }) => state === 'waiting' && cancelled !== true)
          const leaving = waiting[command.pick % Math.max(1, waiting.length)]
          if (leaving !== undefined) {
            leaving.cancelled = true
            leaving.cancel()
          }
        }
        expect(limit.queued).toBeLessThanOrEqual(chosen.queue)
      }
      await vi.advanceTimersByTimeAsync(20_000)
      expect(limit).toMatchObject({ queued: 0, idle: true })
      const out = calls.filter(({ state }) => state === 'admitted').map(({ at }) => at)
      expect(limit.admitted).toBe(out.length)
      expect(calls.every(({ state, cancelled }) => cancelled === true || state !== 'waiting')).toBe(true)
      out.sort((one, other) => one - other)
      const { algorithm, limit: most, window } = chosen
      if (algorithm === 'leakyBucket') {
        for (let from = 0; from < out.length; from++)
          for (let to = from + 1; to < out.length; to++) {
            // By its rate, with the two milliseconds that a timer is late by.
            const bound = 1 + ((out[to]! - out[from]! + 2) * most) / window + 1e-6
            if (to - from + 1 > bound) expect.fail(`${to - from + 1} within ${out[to]! - out[from]!} ms`)
          }
      } else {
        const span = algorithm === 'slidingWindow' ? most : 2 * most
        for (let at = span; at < out.length; at++) {
          // The clock of the test is in whole milliseconds.
          if (out[at]! - out[at - span]! < window - 1e-6)
            expect.fail(`${span + 1} within ${out[at]! - out[at - span]!} ms`)
        }
      }
      // Where nobody more important came later, the wait that was foreseen is the wait it was.
      let mostImportant = Number.POSITIVE_INFINITY
      for (const { state, at, deadlineAt, scope } of calls.toReversed()) {
        const { priority } = scope.exchange
        if (state === 'admitted' && priority <= mostImportant) expect(at).toBeLessThan(deadlineAt + 2)
        mostImportant = Math.min(mostImportant, priority)
      }
    })
    await holds('rate limiter against its model', run)
  })

  it('30: retryAfter is exact: admitted at that time, refused just before', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 80 })
    const kind = fc.constantFrom(
      'tokenBucket' as const,
      'fixedWindow' as const,
      'slidingWindow' as const,
      'leakyBucket' as const,
    )
    holds(
      'retryAfter',
      fc.property(kind, fc.constantFrom(1, 2, 4, 5, 8), gaps, (algorithm, most, history) => {
        // Whole milliseconds between two tokens: as fine as the test's clock.
        const limit = limiter({ algorithm, limit: most, window: 40, queue: 0 })
        for (const gap of history) {
          vi.advanceTimersByTime(gap)
          const { error } = ask(limit)
          if (error === undefined) continue
          const { retryAfter } = error as RateLimitedError
          vi.advanceTimersByTime(retryAfter - 1)
          expect(ask(limit).error).toMatchObject({ retryAfter: 1 })
          vi.advanceTimersByTime(1)
          expect(ask(limit).state).toBe('admitted')
        }
      }),
    )
  })
})

describe('options', () => {
  it('are a token bucket with a burst of its limit, and a queue of 1024', () => {
    expect(checkRateLimit({ limit: 5 })).toEqual({
      algorithm: 'tokenBucket',
      limit: 5,
      window: 1000,
      burst: 5,
      queue: 1024,
      queueTimeout: Number.POSITIVE_INFINITY,
      maxServerWait: 60_000,
      shadow: false,
      key: null,
      maxKeys: 1000,
      serverHeaders: false,
      store: null,
    })
  })

  const store = { take: async () => 0, check: async () => 0, whenDown: 'local', timeout: 5 } as const
  it.each<[RateLimitOptions, string]>([
    [{} as RateLimitOptions, 'rateLimit: limit must be a whole number from 1 to 9007199254740991, got undefined'],
    [{ limit: 0 }, 'rateLimit: limit must be a whole number from 1 to 9007199254740991, got 0'],
    [{ limit: 1.5 }, 'got 1.5'],
    [
      { limit: 2e6, algorithm: 'slidingWindow' },
      'rateLimit: limit must be a whole number from 1 to 1000000, got 2000000',
    ],
    [{ limit: 1, window: 0 }, 'rateLimit: window must be a number from 1 to 2147483647, got 0'],
    [{ limit: 1, burst: 0 }, 'rateLimit: burst must be a whole number from 1 to 9007199254740991, got 0'],
    [{ limit: 1, burst: 2, algorithm: 'leakyBucket' }, 'burst is for tokenBucket only, got 2 for "leakyBucket"'],
    [
      { limit: 1, algorithm: 'gcra' as 'leakyBucket' },
      'algorithm must be one of tokenBucket, fixedWindow, slidingWindow, leakyBucket, got "gcra"',
    ],
    [{ limit: 1, queue: -1 }, 'rateLimit: queue must be a whole number of at least 0, got -1'],
    [{ limit: 1, queueTimeout: 0 }, 'rateLimit: queueTimeout must be a number from 1 to 2147483647, got 0'],
    [{ limit: 1, maxServerWait: 0 }, 'rateLimit: maxServerWait must be'],
    [{ limit: 1, shadow: 1 as never }, 'rateLimit: shadow must be true or false, got 1'],
    [{ limit: 1, serverHeaders: 'yes' as never }, 'rateLimit: serverHeaders must be true or false, got "yes"'],
    [{ limit: 1, key: 'a' as never }, 'rateLimit: key must be a function, got "a"'],
    [{ limit: 1, maxKeys: 0 }, 'rateLimit: maxKeys must be a whole number of at least 1, got 0'],
    [{ limit: 1, store: {} as never }, 'rateLimit: store.take must be a function, got undefined'],
    [
      { limit: 1, store, algorithm: 'tokenBucket' },
      'a store counts as fixedWindow in whole seconds, got "tokenBucket" of 1000 ms',
    ],
    [{ limit: 1, store, window: 1500 }, 'a store counts as fixedWindow in whole seconds, got "fixedWindow" of 1500 ms'],
    [{ limit: 1, rate: 5 } as RateLimitOptions, 'rateLimit: unknown option "rate"; known are limit, algorithm, window'],
  ])('refuses %o', (options, message) => {
    expect(() => checkRateLimit(options)).toThrow(message)
  })
})
