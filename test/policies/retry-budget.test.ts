import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type RetryBudgetOptions, retryBudget, retryBudgetDefaults } from '../../src/policies/retry-budget.ts'
import { holds, scope } from './fixtures.ts'

const origin = 'https://a.test'
const call = scope(origin)

/** How many of `asked` sends a budget grants at a time. */
function granted(budget: ReturnType<typeof retryBudget>, asked: number, now = 0): number {
  let count = 0
  for (let at = 0; at < asked; at++) if (budget.withdraw(call, now)) count++
  return count
}

function deposits(budget: ReturnType<typeof retryBudget>, count: number, now = 0): void {
  for (let at = 0; at < count; at++) budget.deposit(call, now)
}

// Finagle, RetryBudgetTest: time stands still, 10 000 requests, each of which is retried if the budget lets it.
describe('a budget by share, as Finagle tests its own', () => {
  const share = (given: number): RetryBudgetOptions => ({ window: 60_000, minPerSecond: 0, share: given })
  it.each<[RetryBudgetOptions, number]>([
    [share(0.1), 1000],
    [share(0.5), 5000],
    [share(0.25), 2500],
    [share(0.75), 7500],
    [share(0.99), 9900],
    [share(0.999), 9990],
    [share(0.9999), 9999],
    [share(0.01), 100],
    [share(0.001), 10],
    [share(0.0001), 1],
    [{ window: 1000, minPerSecond: 10, share: 0 }, 10],
    [{ window: 2000, minPerSecond: 5, share: 0 }, 10],
    [{ window: 1000, minPerSecond: 10, share: 0.1 }, 1010],
    [{ window: 2000, minPerSecond: 5, share: 0.5 }, 5010],
  ])('22: %o allows %d of 10 000', (options, expected) => {
    const budget = retryBudget(options)
    const least = ((options.minPerSecond ?? 0) * (options.window ?? 0)) / 1000
    budget.withdraw(scope('https://b.test'), 0)
    expect(budget.view(origin, 0)?.left ?? least).toBe(least)
    let retried = 0
    for (let request = 0; request < 10_000; request++) {
      budget.deposit(call, 0)
      if (budget.withdraw(call, 0)) retried++
      else expect(budget.view(origin, 0)?.left).toBe(0)
    }
    expect(retried).toBe(expected)
  })

  it('22: a share above 1 allows more retries than calls', () => {
    const budget = retryBudget({ share: 2, minPerSecond: 0 })
    expect(budget.withdraw(call, 0)).toBe(false)
    deposits(budget, 10_000)
    expect(budget.view(origin, 0)?.left).toBe(20_000)
  })

  it('22: nothing at all where both are 0', () => {
    const budget = retryBudget({ share: 0, minPerSecond: 0 })
    deposits(budget, 100)
    expect(granted(budget, 10)).toBe(0)
  })
})

describe('a budget by share', () => {
  it('22: is a fifth of the calls of 10 s and 10 a second, unless told otherwise', () => {
    const budget = retryBudget()
    expect(retryBudgetDefaults).toEqual({ share: 0.2, window: 10_000, minPerSecond: 10, shadow: false })
    deposits(budget, 1000)
    expect(granted(budget, 1000)).toBe(100 + 200)
  })

  // Envoy, CircuitBreakers.Thresholds.RetryBudget: budget_percent 20.
  it('22: of 100 calls, 20 percent', () => {
    const budget = retryBudget({ minPerSecond: 0 })
    deposits(budget, 100)
    expect(granted(budget, 100)).toBe(20)
  })

  it('22: calls that are past the window allow nothing, and retries that are past it cost nothing', () => {
    const budget = retryBudget({ minPerSecond: 1 })
    deposits(budget, 100)
    expect(granted(budget, 100)).toBe(30)
    expect(granted(budget, 100, 9000)).toBe(0)
    expect(granted(budget, 100, 11_000)).toBe(10)
  })

  it('22: is kept for each origin', () => {
    const budget = retryBudget({ minPerSecond: 0.1 })
    expect(granted(budget, 5)).toBe(1)
    expect(budget.withdraw(scope('https://b.test'), 0)).toBe(true)
    expect(Object.keys(budget.state())).toEqual([origin, 'https://b.test'])
  })

  it('22: counts what it said, and notes a refusal', () => {
    const notes: Record<string, unknown> = {}
    const budget = retryBudget({ share: 0, minPerSecond: 0.2 })
    granted(budget, 2)
    expect(budget.withdraw(scope(origin, notes), 0)).toBe(false)
    expect(notes).toEqual({ 'retry.budget': 'exhausted' })
    expect(budget.view(origin, 0)).toEqual({ left: 0, granted: 2, refused: 1, shadowRefused: 0 })
    expect(budget.view('https://unknown.test', 0)).toBeUndefined()
  })

  it('22: refuses nothing in shadow, and counts what it would have', () => {
    const notes: Record<string, unknown> = {}
    const budget = retryBudget({ share: 0, minPerSecond: 0, shadow: true })
    expect(budget.withdraw(scope(origin, notes), 0)).toBe(true)
    expect(notes).toEqual({ 'retry.budget.shadow': 'exhausted' })
    expect(budget.view(origin, 0)).toEqual({ left: 0, granted: 0, refused: 0, shadowRefused: 1 })
  })

  it('can be changed, and goes on counting', () => {
    const budget = retryBudget({ minPerSecond: 0 })
    deposits(budget, 100)
    expect(granted(budget, 100)).toBe(20)
    budget.update({ share: 0.3 })
    expect(granted(budget, 100)).toBe(10)
    expect(() => budget.update({ share: -1 })).toThrow('retryBudget: share must be a number from 0 to 1000, got -1')
    expect(granted(budget, 100)).toBe(0)
    budget.update({ window: 20_000 })
    expect(budget.view(origin, 0)?.left).toBe(0)
    deposits(budget, 10)
    expect(granted(budget, 100)).toBe(3)
  })

  it('forgets of 10 000 origins those that nothing was sent again to', () => {
    const budget = retryBudget()
    budget.withdraw(call, 0)
    for (let at = 0; at < 10_000; at++) budget.deposit(scope(`https://${at}.test`), 0)
    expect(Object.keys(budget.state()).length).toBe(1000)
    expect(budget.view(origin, 0)?.granted).toBe(1)
    for (let at = 0; at < 1000; at++) budget.deposit(scope(`https://${at}.test`), 11_000)
    expect(budget.view(origin, 11_000)).toBeUndefined()
  })

  it('22: in no window that ends with a retry are there more of them than its calls allow', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('call' as const) },
      { weight: 4, arbitrary: fc.constant('retry' as const) },
      { weight: 2, arbitrary: fc.oneof(fc.nat(60), fc.nat(3000)) },
    )
    const options = fc.record({
      share: fc.constantFrom(0, 0.1, 0.2, 0.5, 1, 2),
      window: fc.integer({ min: 1000, max: 2000 }),
      minPerSecond: fc.constantFrom(0, 1, 2, 5),
    })
    let refused = 0
    const run = fc.property(options, fc.array(step, { minLength: 20, maxLength: 200 }), (chosen, history) => {
      const budget = retryBudget(chosen)
      const { share, window, minPerSecond } = chosen
      const calls: number[] = []
      const retries: number[] = []
      const since = (times: readonly number[], from: number) => times.filter((at) => at > from).length
      const allowed = (from: number) => share * since(calls, from) + (minPerSecond * window) / 1000
      let now = 5000
      for (const one of history) {
        if (typeof one === 'number') now += one
        else if (one === 'call') {
          calls.push(now)
          budget.deposit(call, now)
        } else if (budget.withdraw(call, now)) {
          retries.push(now)
          expect(since(retries, now - window)).toBeLessThanOrEqual(allowed(now - window) + 1e-6)
        } else {
          refused++
          // Nor does it refuse what it need not: a slice, a twentieth or so, is all it may be wrong by.
          expect(since(retries, now - window * 1.06) + 1).toBeGreaterThan(allowed(now - window * 0.95) - 1e-6)
        }
      }
    })
    holds('retry budget over any window', run)
    expect(refused).toBeGreaterThan(100)
  })

  it.each<[object, string]>([
    [{ share: -0.1 }, 'retryBudget: share must be a number from 0 to 1000, got -0.1'],
    [{ share: '20%' }, 'retryBudget: share must be a number from 0 to 1000, got "20%"'],
    // Finagle's own bounds of its ttl.
    [{ window: 0 }, 'retryBudget: window must be a number from 1000 to 60000, got 0'],
    [{ window: 61_000 }, 'retryBudget: window must be a number from 1000 to 60000, got 61000'],
    [{ minPerSecond: -1 }, 'retryBudget: minPerSecond must be a number of at least 0, got -1'],
    [{ shadow: 'yes' }, 'retryBudget: shadow must be true or false, got "yes"'],
    [{ ttl: 1 }, 'retryBudget: unknown option "ttl"; known are share, window, minPerSecond, shadow'],
  ])('refuses %o', (options, message) => {
    expect(() => retryBudget(options)).toThrow(message)
  })
})
