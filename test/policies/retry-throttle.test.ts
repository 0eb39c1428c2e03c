import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { retryThrottle } from '../../src/policies/retry-throttle.ts'
import { holds, scope } from './fixtures.ts'

const origin = 'https://a.test'
const call = scope(origin)

function recorded(budget: ReturnType<typeof retryThrottle>, failed: boolean, times: number): void {
  for (let at = 0; at < times; at++) budget.record(call, failed)
}

// gRPC proposal A6, "Throttling Retry Attempts and Hedged RPCs": its example, maxTokens 10 and tokenRatio 0.1.
describe("a budget by tokens, by the example of gRPC's A6", () => {
  it('22: begins full, and allows retries while there is more than half', () => {
    const budget = retryThrottle({ maxTokens: 10, tokenRatio: 0.1 })
    expect(budget.withdraw(call, 0)).toBe(true)
    recorded(budget, true, 4)
    expect(budget.withdraw(call, 0)).toBe(true)
    // 5 of 10: "less than or equal to the threshold, defined to be (maxTokens / 2)".
    recorded(budget, true, 1)
    expect(budget.withdraw(call, 0)).toBe(false)
  })

  it('22: one success brings it above the threshold again, and a retry costs nothing by itself', () => {
    const budget = retryThrottle()
    recorded(budget, true, 5)
    recorded(budget, false, 1)
    for (let at = 0; at < 10; at++) expect(budget.withdraw(call, 0)).toBe(true)
  })

  it('22: ten successes are worth one failure, exactly', () => {
    const budget = retryThrottle()
    recorded(budget, true, 6)
    recorded(budget, false, 10)
    expect(budget.withdraw(call, 0)).toBe(false)
    recorded(budget, false, 1)
    expect(budget.withdraw(call, 0)).toBe(true)
  })

  it('22: never goes below 0 or above maxTokens', () => {
    const budget = retryThrottle()
    recorded(budget, true, 100)
    recorded(budget, false, 50)
    expect(budget.withdraw(call, 0)).toBe(false)
    recorded(budget, false, 1)
    expect(budget.withdraw(call, 0)).toBe(true)
    recorded(budget, false, 1000)
    recorded(budget, true, 4)
    expect(budget.withdraw(call, 0)).toBe(true)
    recorded(budget, true, 1)
    expect(budget.withdraw(call, 0)).toBe(false)
  })

  it('22: agrees with the sums as A6 writes them', () => {
    const options = fc.record({
      maxTokens: fc.integer({ min: 1, max: 20 }),
      tokenRatio: fc.integer({ min: 1, max: 2000 }).map((thousandths) => thousandths / 1000),
    })
    const run = fc.property(options, fc.array(fc.boolean(), { maxLength: 200 }), (chosen, history) => {
      const budget = retryThrottle(chosen)
      // In thousandths: "up to 3 decimal places are supported".
      let count = chosen.maxTokens * 1000
      for (const failed of history) {
        count += failed ? -1000 : Math.round(chosen.tokenRatio * 1000)
        count = Math.max(0, Math.min(chosen.maxTokens * 1000, count))
        budget.record(call, failed)
        expect(budget.withdraw(call, 0)).toBe(count > (chosen.maxTokens * 1000) / 2)
      }
    })
    holds('retry throttle against A6', run)
  })
})

describe('a budget by tokens', () => {
  it('is kept for each origin, counts what it said, and notes a refusal', () => {
    const notes: Record<string, unknown> = {}
    const budget = retryThrottle({ maxTokens: 2 })
    budget.deposit(call, 0)
    expect(budget.withdraw(call, 0)).toBe(true)
    recorded(budget, true, 1)
    expect(budget.withdraw(scope(origin, notes), 0)).toBe(false)
    expect(notes).toEqual({ 'retry.budget': 'exhausted' })
    expect(budget.withdraw(scope('https://b.test'), 0)).toBe(true)
    expect(budget.state()).toEqual({
      [origin]: { left: 0, granted: 1, refused: 1, shadowRefused: 0 },
      'https://b.test': { left: 1, granted: 1, refused: 0, shadowRefused: 0 },
    })
    expect(budget.view('https://unknown.test', 0)).toBeUndefined()
  })

  it('tells how many failures it bears', () => {
    const budget = retryThrottle()
    budget.withdraw(call, 0)
    const lefts = [0, 1, 2, 3, 4, 5].map(() => {
      const left = budget.view(origin, 0)?.left
      recorded(budget, true, 1)
      return left
    })
    expect(lefts).toEqual([5, 4, 3, 2, 1, 0])
  })

  it('refuses nothing in shadow', () => {
    const budget = retryThrottle({ maxTokens: 1, shadow: true })
    recorded(budget, true, 1)
    expect(budget.withdraw(call, 0)).toBe(true)
    expect(budget.view(origin, 0)).toMatchObject({ refused: 0, shadowRefused: 1 })
  })

  it('can be changed: what is there stays the same share of what there can be', () => {
    const budget = retryThrottle({ maxTokens: 10 })
    recorded(budget, true, 4)
    budget.update({ maxTokens: 100 })
    expect(budget.view(origin, 0)?.left).toBe(10)
    budget.update({ tokenRatio: 10 })
    recorded(budget, false, 1)
    expect(budget.view(origin, 0)?.left).toBe(20)
    expect(() => budget.update({ maxTokens: 0 })).toThrow(RangeError)
    expect(budget.view(origin, 0)?.left).toBe(20)
  })

  it('forgets of 10 000 origins those that are as they began', () => {
    const budget = retryThrottle()
    recorded(budget, true, 1)
    for (let at = 0; at < 10_000; at++) budget.record(scope(`https://${at}.test`), false)
    expect(Object.keys(budget.state()).length).toBe(1000)
    expect(budget.view(origin, 0)?.left).toBe(4)
  })

  it.each<[object, string]>([
    [{ maxTokens: 0 }, 'retryThrottle: maxTokens must be a number from 0.001 to 1000, got 0'],
    [{ maxTokens: 1001 }, 'retryThrottle: maxTokens must be a number from 0.001 to 1000, got 1001'],
    [{ tokenRatio: 0 }, 'retryThrottle: tokenRatio must be a number from 0.001 to 1000, got 0'],
    [{ tokenRatio: '1' }, 'retryThrottle: tokenRatio must be a number from 0.001 to 1000, got "1"'],
    [{ shadow: 1 }, 'retryThrottle: shadow must be true or false, got 1'],
    [{ tokens: 1 }, 'retryThrottle: unknown option "tokens"'],
  ])('refuses %o', (options, message) => {
    expect(() => retryThrottle(options)).toThrow(message)
  })
})
