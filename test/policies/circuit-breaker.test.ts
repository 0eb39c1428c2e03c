import { describe, expect, it, vi } from 'vitest'
import {
  CircuitBreaker,
  type CircuitBreakerOptions,
  type CircuitStateChange,
  checkCircuitBreaker,
  circuitBreakerDefaults,
} from '../../src/policies/circuit-breaker.ts'
import { CircuitOpenError } from '../../src/policies/errors.ts'
import type { Outcome, OutcomeKind } from '../../src/policies/outcome.ts'
import type { Permit } from '../../src/policies/policy.ts'
import { kinds, outcome, scope, thrownBy } from './fixtures.ts'

const origin = 'https://a.test'
const call = scope(origin)
const neutral: readonly OutcomeKind[] = ['throttled', 'deadline', 'shed', 'cancelled', 'invalid', 'closed']

/** A breaker on a clock that stands still until it is told to go. */
function breakerAt(start: number, options: CircuitBreakerOptions = {}) {
  const clock = { now: start }
  const changes: CircuitStateChange[] = []
  const breaker = new CircuitBreaker(
    { now: () => clock.now, onStateChange: (change) => changes.push(change), ...options },
    origin,
  )
  const steps = () => changes.map(({ from, to }) => `${from} to ${to}`)
  return { breaker, clock, changes, steps }
}

function end(permit: Permit, judged: Outcome): void {
  if (judged.phase !== 'before-head') permit.head?.(judged, call)
  permit.settle(judged.phase === 'before-head' ? judged : { ...judged, phase: 'body' }, call)
}

function calls(breaker: CircuitBreaker, kind: OutcomeKind, times: number): void {
  for (let index = 0; index < times; index++) end(breaker.acquire(call), outcome(kind))
}

/** A breaker whose circuit opened at 0. */
function opened(options: CircuitBreakerOptions = {}) {
  const made = breakerAt(0, { minimumCalls: 1, ...options })
  calls(made.breaker, 'networkError', 1)
  expect(made.breaker.state).toBe('open')
  return made
}

function refusal(breaker: CircuitBreaker): CircuitOpenError {
  const error = thrownBy(() => breaker.acquire(call))
  expect(error).toBeInstanceOf(CircuitOpenError)
  return error as CircuitOpenError
}

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

describe('an open circuit', () => {
  it('refuses with an error that names the origin and says how long is left', () => {
    const { breaker, clock } = opened()
    clock.now = 1234.5
    expect(refusal(breaker)).toMatchObject({
      code: 'ERR_CIRCUIT_OPEN',
      origin,
      retryAfter: 3765.5,
      message: `the circuit of ${origin} is open: nothing was sent, try again in 3766 ms`,
    })
    expect(breaker.retryAfter).toBe(3765.5)
    expect(breaker.idle).toBe(false)
  })

  it('half-opens when its time is up', () => {
    const { breaker, clock } = opened()
    clock.now = 4999.9
    expect(breaker.state).toBe('open')
    clock.now = 5000
    expect(breaker.state).toBe('halfOpen')
    expect(breaker.retryAfter).toBe(0)
  })

  it('2: ignores what calls of the closed state still bring', () => {
    const { breaker, clock } = breakerAt(0, { minimumCalls: 2 })
    const late = Array.from({ length: 6 }, () => breaker.acquire(call))
    calls(breaker, 'networkError', 2)
    clock.now = 1000
    end(late[0]!, outcome('success'))
    end(late[1]!, outcome('networkError'))
    expect(breaker.retryAfter).toBe(4000)
    clock.now = 5000
    const probe = breaker.acquire(call)
    end(late[2]!, outcome('networkError'))
    expect(breaker.state).toBe('halfOpen')
    end(late[3]!, outcome('success'))
    expect(breaker.state).toBe('halfOpen')
    end(probe, outcome('success'))
    expect(breaker.state).toBe('closed')
    end(late[4]!, outcome('networkError'))
    end(late[5]!, outcome('networkError'))
    expect(breaker.state).toBe('closed')
    expect(breaker.statistics.calls).toBe(0)
  })

  it('40: leaves its state to whoever logs and traces', () => {
    const { breaker, clock } = opened()
    const notes: Record<string, unknown> = {}
    expect(() => breaker.acquire(scope(origin, notes))).toThrow(CircuitOpenError)
    expect(notes).toEqual({ 'circuitBreaker.state': 'open' })
    clock.now = 5000
    breaker.acquire(scope(origin, notes))
    expect(notes).toEqual({ 'circuitBreaker.state': 'halfOpen' })
  })
})

describe('a half-open circuit', () => {
  it.each([1, 3])('3: admits exactly %d probes and refuses the rest at once, told how long is left', (probes) => {
    const { breaker, clock } = opened({ probes })
    clock.now = 5000
    for (let index = 0; index < probes; index++) {
      breaker.acquire(call)
      clock.now += 10
    }
    clock.now = 6000
    for (let index = 0; index < 5; index++) {
      expect(refusal(breaker)).toMatchObject({
        retryAfter: 4000,
        message: `the circuit of ${origin} is half-open and waits for its probe: nothing was sent, try again in 4000 ms`,
      })
    }
    expect(breaker.retryAfter).toBe(4000)
  })

  it('3: closes once all its probes went well, and admits no more than those', () => {
    const { breaker, clock } = opened({ probes: 2 })
    clock.now = 5000
    const [one, two] = [breaker.acquire(call), breaker.acquire(call)]
    end(one, outcome('success'))
    expect(breaker.state).toBe('halfOpen')
    refusal(breaker)
    end(two, outcome('clientError'))
    expect(breaker.state).toBe('closed')
    expect(breaker.statistics.calls).toBe(0)
    breaker.acquire(call)
  })

  it('one failing probe opens it again, for the whole time', () => {
    const { breaker, clock, steps } = opened({ probes: 2 })
    clock.now = 5000
    const [one, two] = [breaker.acquire(call), breaker.acquire(call)]
    clock.now = 5500
    end(one, outcome('serverError'))
    expect(breaker.state).toBe('open')
    expect(breaker.retryAfter).toBe(5000)
    end(two, outcome('success'))
    expect(breaker.state).toBe('open')
    expect(steps()).toEqual(['closed to open', 'open to halfOpen', 'halfOpen to open'])
  })

  it.each(neutral)('1, 6: a probe that ends as %s decides nothing and gives its place back', (kind) => {
    const { breaker, clock } = opened()
    clock.now = 5000
    for (let index = 0; index < 3; index++) {
      const probe = breaker.acquire(call)
      refusal(breaker)
      end(probe, outcome(kind))
      expect(breaker.state).toBe('halfOpen')
      expect(breaker.retryAfter).toBe(0)
    }
    end(breaker.acquire(call), outcome('success'))
    expect(breaker.state).toBe('closed')
  })

  it('1: a throttled probe gives its place back once, however long its body takes', () => {
    const { breaker, clock } = opened()
    clock.now = 5000
    const throttled = breaker.acquire(call)
    throttled.head?.(outcome('throttled'), call)
    const probe = breaker.acquire(call)
    throttled.settle(outcome('networkError', { phase: 'body', status: 429 }), call)
    expect(breaker.state).toBe('halfOpen')
    refusal(breaker)
    end(probe, outcome('success'))
    expect(breaker.state).toBe('closed')
  })

  it('a probe is judged by its head: a long stream does not hold it', () => {
    const { breaker, clock } = opened()
    clock.now = 5000
    const probe = breaker.acquire(call)
    probe.head?.(outcome('success'), call)
    expect(breaker.state).toBe('closed')
    clock.now = 100_000
    probe.settle(outcome('networkError', { phase: 'body' }), call)
    expect(breaker.statistics.calls).toBe(0)
    expect(breaker.state).toBe('closed')
  })

  it('4: a probe that hangs counts as failed when its lease runs out, and its later result is ignored', () => {
    const { breaker, clock, steps } = opened()
    clock.now = 6000
    const hanging = breaker.acquire(call)
    clock.now = 10_999
    expect(breaker.state).toBe('halfOpen')
    clock.now = 11_000
    expect(breaker.state).toBe('open')
    expect(breaker.retryAfter).toBe(5000)
    end(hanging, outcome('success'))
    expect(breaker.state).toBe('open')
    clock.now = 16_000
    end(breaker.acquire(call), outcome('success'))
    expect(breaker.state).toBe('closed')
    expect(steps()).toEqual([
      'closed to open',
      'open to halfOpen',
      'halfOpen to open',
      'open to halfOpen',
      'halfOpen to closed',
    ])
  })

  it('4: the result of a hanging probe is ignored also if nobody looked in between', () => {
    const { breaker, clock } = opened()
    clock.now = 5000
    const hanging = breaker.acquire(call)
    clock.now = 10_000
    end(hanging, outcome('success'))
    expect(breaker.state).toBe('open')
    expect(breaker.retryAfter).toBe(5000)
  })

  it('4: nobody waits for a hung probe longer than its lease and the open time after it', () => {
    const { breaker, clock } = opened()
    clock.now = 5000
    const hanging = breaker.acquire(call)
    clock.now = 15_000
    const next = breaker.acquire(call)
    end(hanging, outcome('networkError'))
    expect(breaker.state).toBe('halfOpen')
    end(next, outcome('success'))
    expect(breaker.state).toBe('closed')
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
    expect(changes).toEqual([{ origin, from: 'closed', to: 'open', statistics: { calls: 2, failures: 1, slow: 0 } }])
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
      openFor: 5_000,
      probes: 1,
      slowCallShare: undefined,
      slowCallDuration: undefined,
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
