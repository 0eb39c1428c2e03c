import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { lane } from '../../src/policies/clock.ts'
import { checkRateLimit, type RateLimitOptions, type RateLimitStore } from '../../src/policies/rate-limit-options.ts'
import { StoreLink } from '../../src/policies/rate-limit-store.ts'
import { SharedRateLimiter } from '../../src/policies/shared-rate-limit.ts'
import { holds, microtasks } from './fixtures.ts'
import { ask, type Followed, origin, useVirtualTime } from './rate-limit-fixtures.ts'

const states = (calls: readonly Followed[]) => calls.map(({ state }) => state).join(' ')

/** A fixed window that several limiters share, a way of some milliseconds off; or one that is not there. */
class Store implements RateLimitStore {
  whenDown: RateLimitStore['whenDown'] = 'local'
  timeout = 50
  /** How it fails; `null`: it does not. */
  failing: 'rejects' | 'throws' | 'hangs' | 'lies' | null = null
  delay: () => number = () => 0
  asked = 0
  checked = 0
  readonly given: number[] = []
  #endsAt = Number.NEGATIVE_INFINITY
  #used = 0

  take(_key: string, limit: number, window: number): PromiseLike<number> {
    this.asked++
    if (this.failing === 'throws') throw new Error('it is gone')
    if (this.failing === 'rejects') return Promise.reject(new Error('it is gone'))
    if (this.failing === 'hangs') return new Promise(() => {})
    if (this.failing === 'lies') return Promise.resolve(Number.NaN)
    const now = performance.now()
    if (now >= this.#endsAt) {
      this.#endsAt = now + window
      this.#used = 0
    }
    const wait = this.#used < limit ? 0 : this.#endsAt - now
    if (wait === 0) {
      this.#used++
      this.given.push(now)
    }
    const delay = this.delay()
    return delay === 0 ? Promise.resolve(wait) : new Promise((resolve) => setTimeout(resolve, delay, wait))
  }

  check(): PromiseLike<unknown> {
    this.checked++
    if (this.failing === 'hangs') return new Promise(() => {})
    return this.failing === null ? Promise.resolve() : Promise.reject(new Error('it is gone'))
  }
}

let warnings: string[]
const collect = (warning: Error & { code?: string }) => {
  if (warning.code === 'ROUNDTRIPPER_RATE_LIMIT_STORE') warnings.push(warning.message)
}

/** Warnings are told in a turn of their own. */
async function told(): Promise<string[]> {
  await new Promise((resolve) => setImmediate(resolve))
  return warnings
}

beforeEach(() => {
  useVirtualTime()
  warnings = []
  process.on('warning', collect)
})
afterEach(() => {
  process.off('warning', collect)
  vi.useRealTimers()
})

function shared(store: Store, options: Partial<RateLimitOptions> = {}, link = new StoreLink(store)): SharedRateLimiter {
  return new SharedRateLimiter(checkRateLimit({ limit: 3, store, ...options }), origin, link)
}

describe('30: a limit whose count is elsewhere', () => {
  it('is the same for all that ask', async () => {
    const store = new Store()
    const [one, other] = [shared(store, { queue: 0 }), shared(store, { queue: 0 })]
    const calls = [ask(one), ask(other), ask(one), ask(other)]
    expect(one.idle).toBe(false)
    await microtasks()
    expect(states(calls)).toBe('admitted admitted admitted refused')
    expect(calls[3]!.error).toMatchObject({ code: 'ERR_RATE_LIMITED', retryAfter: 1000, origin })
    // What is known is not asked again.
    vi.advanceTimersByTime(400)
    expect(ask(other).error).toMatchObject({ retryAfter: 600 })
    expect(store.asked).toBe(4)
    expect(other).toMatchObject({ admitted: 1, refused: 2, idle: true })
  })

  it('28: gives what it gives to whoever is first, by priority and then by time', async () => {
    const store = new Store()
    const limit = shared(store, { limit: 1 })
    const calls = [ask(limit), ask(limit), ask(limit, { priority: 2 }), ask(limit), ask(limit, { priority: 0 })]
    await vi.advanceTimersByTimeAsync(10_000)
    // All asked at once, and the only share of the first window goes to the critical one.
    expect(calls.map(({ at }) => at)).toEqual([1000, 2000, 4000, 3000, 0])
  })

  it('27: bounds the queue by those that really wait', async () => {
    const limit = shared(new Store(), { queue: 2 })
    const calls = Array.from({ length: 7 }, () => ask(limit))
    await microtasks()
    expect(states(calls)).toBe('admitted admitted admitted waiting waiting refused refused')
    expect(ask(limit).state).toBe('refused')
    await vi.advanceTimersByTimeAsync(1000)
    expect(limit).toMatchObject({ admitted: 5, queued: 0 })
  })

  it('19: refuses who would wait beyond deadline or queueTimeout, when it knows', async () => {
    const limit = shared(new Store(), { limit: 1, queueTimeout: 1500 })
    const calls = [ask(limit), ask(limit, { deadlineAt: 900 }), ask(limit), ask(limit)]
    await microtasks()
    expect(states(calls)).toBe('admitted refused waiting refused')
    expect(ask(limit, { deadlineAt: 999 }).state).toBe('refused')
  })

  it('27: who gives up leaves at once; what was asked for goes to the next', async () => {
    const store = new Store()
    store.delay = () => 10
    const limit = shared(store, { limit: 1 })
    const calls = [ask(limit), ask(limit)]
    calls[0]!.cancel()
    expect(limit.queued).toBe(1)
    await vi.advanceTimersByTimeAsync(10)
    expect(states(calls)).toBe('waiting admitted')
  })

  it('47: is not idle while an answer is to come, and holds no timer after it', async () => {
    const store = new Store()
    store.delay = () => 10
    const limit = shared(store)
    ask(limit).cancel()
    expect(limit).toMatchObject({ queued: 0, idle: false })
    expect(lane(store.timeout, true).empty).toBe(false)
    await vi.advanceTimersByTimeAsync(10)
    expect(limit.idle).toBe(true)
    expect(lane(store.timeout, true).empty).toBe(true)
  })

  it('in shadow asks, counts and holds nobody up', async () => {
    const store = new Store()
    const limit = shared(store, { queue: 1, shadow: true })
    const calls = Array.from({ length: 6 }, () => ask(limit))
    expect(states(calls)).toBe(Array(6).fill('admitted').join(' '))
    await microtasks()
    expect(limit).toMatchObject({ admitted: 6, shadowRefused: 2, queued: 1 })
  })
})

describe('30: a store that is not there', () => {
  it.each(['rejects', 'throws', 'hangs', 'lies'] as const)(
    'one that %s: the limit of one process, one warning',
    async (how) => {
      const store = new Store()
      store.failing = how
      const limit = shared(store, { queue: 0 })
      const calls = Array.from({ length: 5 }, () => ask(limit))
      await vi.advanceTimersByTimeAsync(50)
      expect(states(calls)).toBe('admitted admitted admitted refused refused')
      // From then on nobody waits for it.
      const asked = store.asked
      const next = ask(limit)
      expect(next).toMatchObject({ state: 'refused', notes: { 'ratelimit.store': 'down' } })
      expect(store.asked).toBe(asked)
      expect(await told()).toEqual([
        expect.stringMatching(/^The store of a rate limit is not there \(.*\); until it is back, this process keeps/),
      ])
    },
  )

  it('is looked for once a second while calls come, and used again when it is back', async () => {
    const store = new Store()
    store.failing = 'rejects'
    const limit = shared(store, { limit: 100 })
    for (let at = 0; at < 50; at++) {
      ask(limit)
      await vi.advanceTimersByTimeAsync(100)
    }
    expect([store.asked, store.checked]).toEqual([1, 4])
    store.failing = null
    await vi.advanceTimersByTimeAsync(1000)
    // The call that has it looked for does not wait for what is found.
    expect(ask(limit).notes['ratelimit.store']).toBe('down')
    await microtasks()
    const back = ask(limit)
    await microtasks()
    expect([store.asked, back.notes['ratelimit.store']]).toEqual([2, undefined])
    expect(await told()).toHaveLength(1)
    // The next outage is another one.
    store.failing = 'rejects'
    ask(limit)
    await microtasks()
    expect(await told()).toHaveLength(2)
  })

  it('is not found gone by a question that was lost before it came back', async () => {
    const store = new Store()
    store.timeout = 3000
    store.failing = 'hangs'
    const limit = shared(store, { limit: 100 })
    const early = ask(limit)
    await vi.advanceTimersByTimeAsync(2900)
    const late = ask(limit)
    await vi.advanceTimersByTimeAsync(100)
    expect(early.state).toBe('admitted')
    // The limit of one process has served the other one, too; what it asked for is still on its way.
    expect(late.state).toBe('admitted')
    store.failing = null
    await vi.advanceTimersByTimeAsync(1000)
    ask(limit)
    await vi.advanceTimersByTimeAsync(5000)
    expect(ask(limit).notes['ratelimit.store']).toBeUndefined()
    expect(await told()).toHaveLength(1)
  })

  it('is told of once, however many keys there are', async () => {
    const store = new Store()
    store.failing = 'rejects'
    const link = new StoreLink(store)
    for (let at = 0; at < 5; at++) ask(shared(store, {}, link))
    await microtasks()
    expect(await told()).toHaveLength(1)
  })

  it('those that wait go on without it', async () => {
    const store = new Store()
    const limit = shared(store, { limit: 2 })
    const calls = Array.from({ length: 8 }, () => ask(limit))
    await vi.advanceTimersByTimeAsync(500)
    store.failing = 'rejects'
    await vi.advanceTimersByTimeAsync(5000)
    expect(states(calls)).toBe(Array(8).fill('admitted').join(' '))
    // The local windows begin when the outage was found.
    expect(calls.map(({ at }) => at)).toEqual([0, 0, 1000, 1000, 2000, 2000, 3000, 3000])
  })

  it('refuse: calls are refused, those that wait too, until it is looked for again', async () => {
    const store = new Store()
    store.whenDown = 'refuse'
    const limit = shared(store, { limit: 1 })
    const calls = [ask(limit), ask(limit)]
    await microtasks()
    store.failing = 'rejects'
    await vi.advanceTimersByTimeAsync(1000)
    expect(states(calls)).toBe('admitted refused')
    vi.advanceTimersByTime(300)
    expect(ask(limit).error).toMatchObject({ code: 'ERR_RATE_LIMITED', retryAfter: 700 })
  })

  it('admit: calls go, those that wait too', async () => {
    const store = new Store()
    store.whenDown = 'admit'
    const limit = shared(store, { limit: 1 })
    const calls = [ask(limit), ask(limit), ask(limit)]
    await microtasks()
    store.failing = 'rejects'
    await vi.advanceTimersByTimeAsync(1000)
    expect(states(calls)).toBe('admitted admitted admitted')
    expect(states(Array.from({ length: 5 }, () => ask(limit)))).toBe(Array(5).fill('admitted').join(' '))
  })
})

it('47: whatever the store does, no call is lost, and no more go than the store gave while it was there', async () => {
  // Thousands of outages would drown all else.
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  onTestFinished(() => {
    vi.restoreAllMocks()
  })
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant('ask' as const), who: fc.nat(1), priority: fc.nat(2) }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 700 }) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('cancel' as const), pick: fc.nat() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('turn' as const),
        failing: fc.constantFrom(null, null, 'rejects' as const, 'throws' as const, 'hangs' as const),
      }),
    },
  )
  const run = fc.asyncProperty(
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 0, max: 5 }),
    fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 8 }),
    fc.array(step, { maxLength: 80 }),
    async (limit, queue, delays, history) => {
      const store = new Store()
      let at = 0
      store.delay = () => delays[at++ % delays.length] as number
      const limits = [shared(store, { limit, queue }), shared(store, { limit, queue })]
      const calls: (Followed & { cancelled?: boolean })[] = []
      let wasGone = false
      for (const command of history) {
        if (command.type === 'wait') await vi.advanceTimersByTimeAsync(command.ms)
        else if (command.type === 'turn') {
          store.failing = command.failing
          wasGone ||= command.failing !== null
        } else if (command.type === 'ask') calls.push(ask(limits[command.who] as SharedRateLimiter, command))
        else {
          const waiting = calls.filter(({ state, cancelled }) => state === 'waiting' && cancelled !== true)
          const leaving = waiting[command.pick % Math.max(1, waiting.length)]
          if (leaving === undefined) continue
          leaving.cancelled = true
          leaving.cancel()
        }
      }
      await vi.advanceTimersByTimeAsync(60_000)
      for (const { queued, idle } of limits) expect({ queued, idle }).toEqual({ queued: 0, idle: true })
      expect(calls.every(({ state, cancelled }) => cancelled === true || state !== 'waiting')).toBe(true)
      const out = calls.filter(({ state }) => state === 'admitted').length
      expect(limits.reduce((sum, { admitted }) => sum + admitted, 0)).toBe(out)
      if (!wasGone) expect(out).toBeLessThanOrEqual(store.given.length)
    },
  )
  await holds('shared rate limit', run)
})
