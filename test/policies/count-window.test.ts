import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CountWindow } from '../../src/policies/count-window.ts'
import { holds } from './fixtures.ts'

const counts = ({ calls, failures, slow }: CountWindow) => ({ calls, failures, slow })

describe('CountWindow', () => {
  // resilience4j, FixedSizeSlidingWindowMetricsTest.testSlidingWindowMetrics: a window of 4, one error, four successes.
  it('5: has the failure rates of resilience4j: 100, 50, 33.3, 25 and 0 percent', () => {
    const window = new CountWindow(4)
    const rates = [true, false, false, false, false].map((failed) => {
      window.add(0, failed, false)
      return (100 * window.failures) / window.calls
    })
    expect(rates).toEqual([100, 50, 100 / 3, 25, 0])
    expect(window.calls).toBe(4)
  })

  // The same, testSlidingWindowMetricsWithSlowCalls: a window of 2.
  it('8: has the slow calls of resilience4j: 1, 2, 1 and 0', () => {
    const window = new CountWindow(2)
    const slow = [true, true, false, false].map((isSlow, at) => {
      window.add(0, at === 0, isSlow)
      return [window.slow, window.failures]
    })
    expect(slow).toEqual([
      [1, 1],
      [2, 1],
      [1, 0],
      [0, 0],
    ])
  })

  // The same, testSlowCallsPercentage: a window of 5, 40 percent slow.
  it('8: has the slow call rate of resilience4j', () => {
    const window = new CountWindow(5)
    window.add(0, false, true)
    window.add(0, true, true)
    for (let at = 0; at < 3; at++) window.add(0, false, false)
    expect(counts(window)).toEqual({ calls: 5, failures: 1, slow: 2 })
  })

  it('5: agrees with a naive list, and hands on what it holds', () => {
    const mark = fc.integer({ min: 0, max: 3 })
    const run = fc.property(fc.integer({ min: 1, max: 9 }), fc.array(mark, { maxLength: 40 }), (size, marks) => {
      const window = new CountWindow(size)
      const list: number[] = []
      for (const one of marks) {
        window.add(0, (one & 1) === 1, one > 1)
        list.push(one)
        const last = list.slice(-size)
        expect(window.marks()).toEqual(last)
        expect(counts(window)).toEqual({
          calls: last.length,
          failures: last.filter((given) => given % 2 === 1).length,
          slow: last.filter((given) => given > 1).length,
        })
      }
    })
    holds('window of calls against a naive list', run)
  })
})
