import { describe, expect, it, vi } from 'vitest'
import { CircuitBreaker } from '../../src/policies/circuit-breaker.ts'
import {
  type CircuitBreakerOptions,
  checkCircuitBreaker,
  circuitBreakerDefaults,
} from '../../src/policies/circuit-options.ts'
import { breakerAt, call, calls, end, neutral, opened, origin } from './breaker-fixtures.ts'
import { kinds, outcome } from './fixtures.ts'

describe('a closed circuit', () => {
  it('5: never opens below the minimum number of calls, and may exactly at it', () => {
    const { breaker } = breakerAt(0)
    calls(breaker, 'serverError', 19)
    expect(breaker.state).toBe('closed')
    calls(breaker, 'serverError', 1)
    expect(breaker.state).toBe('open')
  })

  it('5: opens at exactly the share', () => {
    const { breaker } = breakerAt(0)
    calls(breaker, 'success', 10)
    calls(breaker, 'serverError', 9)
    expect(breaker.state).toBe('closed')
    calls(breaker, 'serverError', 1)
    expect(breaker.state).toBe('open')
  })

  it.each([0.07, 0.1, 0.29, 0.55, 1 / 3])(
    '5: opens at exactly the share, also where %d is no round number',
    (share) => {
      const total = share === 1 / 3 ? 300 : 100
      const failures = Math.round(total * share)
      const below = breakerAt(0, { failureShare: share, minimumCalls: total })
      calls(below.breaker, 'success', total - failures + 1)
      calls(below.breaker, 'networkError', failures - 1)
      expect(below.breaker.state).toBe('closed')
      const at = breakerAt(0, { failureShare: share, minimumCalls: total })
      calls(at.breaker, 'success', total - failures)
      calls(at.breaker, 'networkError', failures)
      expect(at.breaker.state).toBe('open')
    },
  )

  it('5: a success can be the call that makes it enough', () => {
    const { breaker } = breakerAt(0)
    calls(breaker, 'networkError', 10)
    calls(breaker, 'success', 9)
    expect(breaker.state).toBe('closed')
    calls(breaker, 'success', 1)
    expect(breaker.state).toBe('open')
  })

  it('5: idle time empties the window: nineteen failures, ten minutes, one failure', () => {
    const { breaker, clock } = breakerAt(0)
    calls(breaker, 'networkError', 19)
    clock.now = 600_000
    expect(breaker.statistics.calls).toBe(0)
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('closed')
    expect(breaker.statistics).toEqual({ calls: 1, failures: 1, slow: 0 })
  })

  it.each(['serverError', 'networkError', 'timeout'] as const)('counts %s as a failure', (kind) => {
    const { breaker } = breakerAt(0)
    calls(breaker, kind, 1)
    expect(breaker.statistics).toMatchObject({ calls: 1, failures: 1 })
  })

  it.each(['success', 'clientError'] as const)('counts %s as a success', (kind) => {
    const { breaker } = breakerAt(0)
    calls(breaker, kind, 1)
    expect(breaker.statistics).toMatchObject({ calls: 1, failures: 0 })
  })

  it.each(neutral)('1, 6: %s is neither success nor failure', (kind) => {
    const { breaker } = breakerAt(0)
    calls(breaker, kind, 100)
    expect(breaker.statistics).toMatchObject({ calls: 0, failures: 0 })
    expect(breaker.state).toBe('closed')
    expect(breaker.idle).toBe(true)
  })

  it('judges the head: what becomes of the body does not count', () => {
    const { breaker } = breakerAt(0)
    for (let index = 0; index < 30; index++) {
      const permit = breaker.acquire(call)
      permit.head?.(outcome('success'), call)
      permit.settle(outcome('networkError', { phase: 'body', status: 200 }), call)
    }
    expect(breaker.statistics).toMatchObject({ calls: 30, failures: 0 })
  })

  it('gives all calls of one epoch the same permit', () => {
    const { breaker, clock } = breakerAt(0, { minimumCalls: 1 })
    const permit = breaker.acquire(call)
    expect(breaker.acquire(call)).toBe(permit)
    end(permit, outcome('networkError'))
    clock.now = 5000
    calls(breaker, 'success', 1)
    expect(breaker.state).toBe('closed')
    expect(breaker.acquire(call)).not.toBe(permit)
  })

  it('takes the time of the head where the call has read the same clock', () => {
    const read = vi.spyOn(performance, 'now')
    const breaker = new CircuitBreaker()
    const permit = breaker.acquire(call)
    read.mockClear()
    permit.head?.(outcome('success'), { ...call, headAt: performance.now() })
    expect(read).toHaveBeenCalledTimes(1)
    permit.head?.(outcome('success'), call)
    expect(read).toHaveBeenCalledTimes(2)
    read.mockRestore()
    expect(breaker.statistics.calls).toBe(2)
  })
})

describe('slow calls', () => {
  const slowOptions = { slowCallShare: 0.5, slowCallDuration: 100, minimumCalls: 4 }
  const took = (headMs: number) => outcome('success', { headMs })

  it('8: open the circuit by their share', () => {
    const { breaker } = breakerAt(0, slowOptions)
    for (const headMs of [100, 50, 101]) end(breaker.acquire(call), took(headMs))
    expect(breaker.statistics).toEqual({ calls: 3, failures: 0, slow: 1 })
    expect(breaker.state).toBe('closed')
    end(breaker.acquire(call), took(500))
    expect(breaker.state).toBe('open')
  })

  it('8: a timeout is slow as well as failed', () => {
    const { breaker } = breakerAt(0, { ...slowOptions, failureShare: 1 })
    for (const headMs of [1, 1]) end(breaker.acquire(call), took(headMs))
    calls(breaker, 'timeout', 2)
    expect(breaker.state).toBe('open')
  })

  it('8: a slow probe opens it again', () => {
    const { breaker, clock } = opened({ ...slowOptions, minimumCalls: 1 })
    clock.now = 5000
    end(breaker.acquire(call), took(101))
    expect(breaker.state).toBe('open')
  })

  it('8: do not count unless asked for', () => {
    const { breaker } = breakerAt(0, { minimumCalls: 1 })
    end(breaker.acquire(call), took(1_000_000))
    expect(breaker.state).toBe('closed')
    expect(breaker.statistics.slow).toBe(0)
  })
})

describe('idle', () => {
  it('holds only while nothing is in flight and the circuit is not open', () => {
    const { breaker, clock } = breakerAt(0, { minimumCalls: 1 })
    expect(breaker.idle).toBe(true)
    const permit = breaker.acquire(call)
    permit.head?.(outcome('success'), call)
    expect(breaker.idle).toBe(false)
    permit.settle(outcome('success', { phase: 'body' }), call)
    expect(breaker.idle).toBe(true)
    calls(breaker, 'networkError', 1)
    expect(breaker.idle).toBe(false)
    clock.now = 5000
    expect(breaker.idle).toBe(true)
    const probe = breaker.acquire(call)
    expect(breaker.idle).toBe(false)
    end(probe, outcome('cancelled'))
    expect(breaker.idle).toBe(true)
  })
})

describe('a listener', () => {
  it('hears every step with the window of that moment', () => {
    const { breaker, changes } = breakerAt(0, { minimumCalls: 2 })
    calls(breaker, 'success', 1)
    calls(breaker, 'networkError', 1)
    expect(changes).toEqual([
      { origin, from: 'closed', to: 'open', reason: 'failureShare', statistics: { calls: 2, failures: 1, slow: 0 } },
    ])
  })

  it('that throws disturbs neither the circuit nor the call', () => {
    const later: (() => void)[] = []
    const queue = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((run) => {
      later.push(run)
    })
    const { breaker } = breakerAt(0, {
      minimumCalls: 1,
      onStateChange: () => {
        throw new Error('mine')
      },
    })
    calls(breaker, 'networkError', 1)
    queue.mockRestore()
    expect(breaker.state).toBe('open')
    expect(later).toHaveLength(1)
    expect(later[0]).toThrow('mine')
  })
})

describe('options', () => {
  it('are those of the table', () => {
    expect(circuitBreakerDefaults).toEqual({
      failureShare: 0.5,
      window: 10_000,
      minimumCalls: 20,
      windowCalls: undefined,
      consecutiveFailures: undefined,
      openFor: 5_000,
      openForFactor: 1,
      openForMax: 60_000,
      openForJitter: 0,
      probes: 1,
      slowCallShare: undefined,
      slowCallDuration: undefined,
      shadow: false,
    })
    expect(checkCircuitBreaker()).toMatchObject(circuitBreakerDefaults)
  })

  it('have a steady clock', () => {
    const before = performance.now()
    const now = checkCircuitBreaker().now()
    expect(now).toBeGreaterThanOrEqual(before)
    expect(now).toBeLessThanOrEqual(performance.now())
  })

  it.each<[CircuitBreakerOptions, string]>([
    [{ failureShare: 0 }, 'failureShare must be a number from 0.001 to 1, got 0'],
    [{ failureShare: 50 }, 'failureShare must be a number from 0.001 to 1, got 50'],
    [{ window: 0 }, 'window must be a number from 1 to 2147483647, got 0'],
    [{ minimumCalls: 0 }, 'minimumCalls must be a whole number of at least 1, got 0'],
    [{ openFor: Number.NaN }, 'openFor must be a number from 1 to 2147483647, got NaN'],
    [{ probes: 1.5 }, 'probes must be a whole number of at least 1, got 1.5'],
    [{ slowCallShare: 0.5 }, 'slowCallShare and slowCallDuration must be given together'],
    [{ slowCallDuration: 5 }, 'slowCallShare and slowCallDuration must be given together'],
    [{ onStateChange: 1 as never }, 'onStateChange must be a function, got 1'],
    [{ now: 1 as never }, 'now must be a function, got 1'],
    [{ threshold: 1 } as CircuitBreakerOptions, 'circuitBreaker: unknown option "threshold"'],
  ])('refuse %o', (options, message) => {
    expect(() => new CircuitBreaker(options)).toThrow(message)
  })

  it('name every kind of outcome once in these tests', () => {
    const named = [...neutral, 'serverError', 'networkError', 'timeout', 'success', 'clientError']
    expect([...named].sort()).toEqual([...kinds].sort())
  })
})
