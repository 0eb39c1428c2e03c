// What a store of a rate limit could do that was not foreseen: an answer without a text lost its call for ever, one without
// a timeout made a timer fire all the time, one that was found but gave nothing was told of each second, and what it had
// said of a window held on when the window had been changed.
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { checkRateLimit, type RateLimitStore } from '../../src/policies/rate-limit-options.ts'
import { StoreLink } from '../../src/policies/rate-limit-store.ts'
import { SharedRateLimiter } from '../../src/policies/shared-rate-limit.ts'
import { microtasks } from '../policies/fixtures.ts'
import { ask, useVirtualTime } from '../policies/rate-limit-fixtures.ts'

beforeEach(useVirtualTime)
afterEach(() => {
  vi.useRealTimers()
})

const good: RateLimitStore = { take: async () => 0, check: async () => {}, whenDown: 'local', timeout: 50 }

function shared(store: RateLimitStore, more = {}) {
  const link = new StoreLink(store)
  return new SharedRateLimiter(checkRateLimit({ limit: 3, store, ...more }), 'a', link)
}

function warnings() {
  const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  onTestFinished(() => emitted.mockRestore())
  return emitted
}

it.each([[Symbol('what')], [Object.create(null)], ['soon'], [-1]])('30: %o is no answer', async (answer) => {
  const emitted = warnings()
  const limit = shared({ ...good, take: async () => answer as number })
  const call = ask(limit)
  await microtasks()
  expect(call.state).toBe('admitted')
  expect(emitted).toHaveBeenCalledOnce()
  const failing = shared({ ...good, take: () => Promise.reject(answer) })
  const other = ask(failing)
  await microtasks()
  expect(other.state).toBe('admitted')
})

it.each([
  [{ whenDown: undefined }, 'rateLimit: store.whenDown must be one of local, refuse, admit, got undefined'],
  [{ whenDown: 'wait' }, 'rateLimit: store.whenDown must be one of local, refuse, admit, got "wait"'],
  [{ timeout: undefined }, 'rateLimit: store.timeout must be a number from 1 to 2147483647, got undefined'],
  [{ timeout: 0 }, 'rateLimit: store.timeout must be a number from 1 to 2147483647, got 0'],
])('a store with %o is refused', (wrong, message) => {
  expect(() => checkRateLimit({ limit: 1, store: { ...good, ...wrong } as never })).toThrow(message)
})

it('30: one that is found and gives nothing is told of once', async () => {
  const emitted = warnings()
  const store = { ...good, take: (): Promise<number> => Promise.reject(new Error('READONLY')) }
  const limit = shared(store, { limit: 1000 })
  for (let at = 0; at < 100; at++) {
    ask(limit)
    await vi.advanceTimersByTimeAsync(100)
  }
  expect(emitted).toHaveBeenCalledOnce()
  // Back, and gone: another outage.
  store.take = async () => 0
  await vi.advanceTimersByTimeAsync(1000)
  ask(limit)
  await microtasks()
  ask(limit)
  await microtasks()
  store.take = () => Promise.reject(new Error('gone'))
  ask(limit)
  await microtasks()
  expect(emitted).toHaveBeenCalledTimes(2)
})

it('30: another window is asked for at once', async () => {
  let wait = 3_600_000
  const limit = shared({ ...good, take: async () => wait }, { window: 3_600_000 })
  const call = ask(limit)
  await microtasks()
  expect(call.state).toBe('waiting')
  wait = 0
  limit.adopt(checkRateLimit({ limit: 3, store: good, window: 3_600_000, queue: 5 }), 0)
  await microtasks()
  expect(call.state).toBe('waiting')
  limit.adopt(checkRateLimit({ limit: 3, store: good, window: 1000 }), 0)
  await microtasks()
  expect(call.state).toBe('admitted')
})

it('30: a store that hangs for longer than a call may wait is not there: the call goes without it', async () => {
  const emitted = warnings()
  const store = { ...good, timeout: 500, take: () => new Promise<number>(() => {}) }
  const limit = shared(store, { queueTimeout: 100 })
  const calls = [ask(limit), ask(limit)]
  await vi.advanceTimersByTimeAsync(100)
  expect(calls.map(({ state, at }) => [state, at])).toEqual([
    ['admitted', 100],
    ['admitted', 100],
  ])
  expect(emitted).toHaveBeenCalledOnce()
})
