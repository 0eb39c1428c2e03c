// The rules, with the examples of resilience4j, Polly and failsafe-go.
import { describe, expect, it } from 'vitest'
import { CircuitBreaker } from '../../src/policies/circuit-breaker.ts'
import type { CircuitBreakerOptions, CircuitEvent } from '../../src/policies/circuit-options.ts'
import { breakerAt, call, calls, end, opened, origin, refusal } from './breaker-fixtures.ts'
import { outcome } from './fixtures.ts'

const seconds = 1000

describe('a window of calls', () => {
  // resilience4j, CircuitBreakerStateMachineTest.shouldOpenAfterFailureRateThresholdExceeded: 50 percent of 5.
  it('5: opens with the fifth call, where three of five failed', () => {
    const { breaker, changes } = breakerAt(0, { windowCalls: 5, minimumCalls: 5 })
    calls(breaker, 'networkError', 3)
    calls(breaker, 'success', 1)
    expect(breaker.state).toBe('closed')
    calls(breaker, 'success', 1)
    expect(breaker.state).toBe('open')
    expect(changes).toEqual([
      {
        origin,
        from: 'closed',
        to: 'open',
        reason: 'failureShare',
        statistics: { calls: 5, failures: 3, slow: 0 },
      },
    ])
    refusal(breaker)
    expect(breaker.refused).toBe(1)
  })

  // The same, shouldOpenAfterSlowCallRateThresholdExceeded: slow above 4 s, 50 percent of 5.
  it('8: opens with the fifth call, where three of five were slow', () => {
    const options = { windowCalls: 5, failureShare: 1, slowCallShare: 0.5, slowCallDuration: 4 * seconds } as const
    const { breaker, changes } = breakerAt(0, options)
    for (const headMs of [5000, 5000, 100, 100]) end(breaker.acquire(call), outcome('success', { headMs }))
    expect(breaker.state).toBe('closed')
    end(breaker.acquire(call), outcome('success', { headMs: 5000 }))
    expect(changes).toMatchObject([{ reason: 'slowCallShare', statistics: { calls: 5, slow: 3 } }])
  })

  // failsafe-go, "Opening": WithFailureThresholdRatio(3, 5).
  it('5: opens when three of the last five failed, however many went well before', () => {
    const { breaker } = breakerAt(0, { windowCalls: 5, minimumCalls: 5, failureShare: 3 / 5 })
    calls(breaker, 'success', 100)
    calls(breaker, 'networkError', 2)
    expect(breaker.state).toBe('closed')
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('open')
  })

  it('5: does not mind how long ago they were', () => {
    const { breaker, clock } = breakerAt(0, { windowCalls: 2 })
    calls(breaker, 'networkError', 1)
    clock.now = 3_600_000
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('open')
  })
})

describe('a window of time', () => {
  // Polly, "Circuit breaker resilience strategy", Usage: FailureRatio 0.5, SamplingDuration 10 s, MinimumThroughput 8,
  // BreakDuration 30 s.
  it('5: breaks at half of eight calls within ten seconds, for thirty', () => {
    const options = { failureShare: 0.5, window: 10 * seconds, minimumCalls: 8, openFor: 30 * seconds }
    const { breaker, clock } = breakerAt(0, options)
    for (let at = 0; at < 7; at++) {
      clock.now = at * seconds
      calls(breaker, at % 2 === 0 ? 'networkError' : 'success', 1)
    }
    expect(breaker.state).toBe('closed')
    calls(breaker, 'success', 1)
    expect(breaker.retryAfter).toBe(30 * seconds)
  })

  // failsafe-go, "Opening": WithFailureRateThreshold(20, 5, time.Minute).
  it('5: opens at a fifth of five calls within a minute', () => {
    const options = { failureShare: 0.2, minimumCalls: 5, window: 60 * seconds }
    const { breaker, clock } = breakerAt(0, options)
    calls(breaker, 'success', 3)
    clock.now = 50 * seconds
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('closed')
    calls(breaker, 'success', 1)
    expect(breaker.state).toBe('open')
  })
})

describe('failures in a row', () => {
  const inARow = (consecutiveFailures: number, more: CircuitBreakerOptions = {}) =>
    breakerAt(0, { failureShare: false, consecutiveFailures, ...more })

  // failsafe-go, "Opening": WithFailureThreshold(5).
  it('5: open the circuit, and a success between them begins the count anew', () => {
    const { breaker, changes } = inARow(5)
    calls(breaker, 'networkError', 4)
    calls(breaker, 'success', 1)
    calls(breaker, 'timeout', 4)
    expect(breaker.state).toBe('closed')
    calls(breaker, 'serverError', 1)
    expect(changes).toMatchObject([{ to: 'open', reason: 'consecutiveFailures' }])
  })

  it('1: are not broken by what says nothing about the server', () => {
    const { breaker } = inARow(3)
    calls(breaker, 'networkError', 2)
    for (const kind of ['cancelled', 'shed', 'throttled'] as const) calls(breaker, kind, 1)
    expect(breaker.state).toBe('closed')
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('open')
  })

  it('2: begin anew once the circuit has closed', () => {
    const { breaker, clock } = inARow(2)
    calls(breaker, 'networkError', 2)
    clock.now = 5000
    calls(breaker, 'success', 1)
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('closed')
  })

  it('need no minimum of calls, and no window', () => {
    const { breaker, clock } = inARow(2, { minimumCalls: 100 })
    calls(breaker, 'networkError', 1)
    clock.now = 3_600_000
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('open')
  })
})

describe('the open time', () => {
  function reopened(times: number, options: CircuitBreakerOptions): number[] {
    const { breaker, clock } = opened(options)
    const found = [breaker.retryAfter]
    for (let again = 0; again < times; again++) {
      clock.now += breaker.retryAfter
      calls(breaker, 'networkError', 1)
      found.push(breaker.retryAfter)
    }
    return found
  }

  it('is the same each time unless told otherwise', () => {
    expect(reopened(3, {})).toEqual([5000, 5000, 5000, 5000])
  })

  // resilience4j, IntervalFunction.ofExponentialBackoff(5000) has the multiplier 1.5: still open 6 s after the second time.
  it('grows by the factor while the circuit does not close', () => {
    expect(reopened(3, { openForFactor: 1.5 })).toEqual([5000, 7500, 11_250, 16_875])
  })

  it('grows up to its bound', () => {
    expect(reopened(4, { openForFactor: 2, openForMax: 12_000 })).toEqual([5000, 10_000, 12_000, 12_000, 12_000])
    expect(reopened(3, { openFor: 90_000, openForFactor: 2 })).toEqual([90_000, 90_000, 90_000, 90_000])
  })

  it('begins anew once the circuit has closed', () => {
    const { breaker, clock } = opened({ openForFactor: 2 })
    clock.now = 5000
    calls(breaker, 'networkError', 1)
    clock.now = 15_000
    calls(breaker, 'success', 1)
    calls(breaker, 'networkError', 1)
    expect(breaker.retryAfter).toBe(5000)
  })

  it('is lengthened by chance, never shortened', () => {
    const draws = [0, 0.5, 0.999]
    const random = () => draws.shift() as number
    const found = reopened(2, { openForJitter: 0.2, random })
    expect(found.map(Math.round)).toEqual([5000, 5500, 5999])
  })

  it('4: is what a probe may take as well', () => {
    const { breaker, clock } = opened({ openForFactor: 2 })
    clock.now = 5000
    calls(breaker, 'networkError', 1)
    clock.now = 15_000
    breaker.acquire(call)
    expect(refusal(breaker).retryAfter).toBe(10_000)
    clock.now = 25_000
    expect(breaker.state).toBe('open')
    expect(breaker.retryAfter).toBe(20_000)
  })
})

describe('a listener of all that happens', () => {
  function listened(options: CircuitBreakerOptions = {}) {
    const events: CircuitEvent[] = []
    const made = breakerAt(0, { minimumCalls: 2, onEvent: (event) => events.push(event), ...options })
    const told = () => events.map((event) => (event.type === 'judged' ? event.verdict : event.type))
    return { ...made, events, told }
  }

  // resilience4j's events: success, error, ignored error, state transition, call not permitted.
  it('10: is told of verdicts, steps and refusals, in the order they happen', () => {
    const { breaker, clock, events, told } = listened()
    calls(breaker, 'success', 1)
    calls(breaker, 'cancelled', 1)
    calls(breaker, 'networkError', 1)
    refusal(breaker)
    clock.now = 5000
    calls(breaker, 'success', 1)
    expect(told()).toEqual([
      'success',
      'neutral',
      'failure',
      'stateChange',
      'refused',
      'stateChange',
      'success',
      'stateChange',
    ])
    expect(events[4]).toEqual({ type: 'refused', origin, state: 'open', retryAfter: 5000, shadow: false })
    expect(events[2]).toMatchObject({ origin, slow: false, outcome: { kind: 'networkError' } })
  })

  it('8, 10: is told that a call was slow', () => {
    const { breaker, events } = listened({ slowCallShare: 1, slowCallDuration: 100 })
    end(breaker.acquire(call), outcome('success', { headMs: 101 }))
    expect(events).toMatchObject([{ type: 'judged', verdict: 'success', slow: true }])
  })

  it('2: hears nothing of calls of an earlier state', () => {
    const { breaker, told } = listened()
    const late = breaker.acquire(call)
    calls(breaker, 'networkError', 2)
    end(late, outcome('success'))
    expect(told()).toEqual(['failure', 'failure', 'stateChange'])
  })

  it('may force the circuit: the verdict it was told of then counts no more', () => {
    const breaker: CircuitBreaker = new CircuitBreaker({
      minimumCalls: 1,
      onEvent: ({ type }) => type === 'judged' && breaker.force('closed'),
    })
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('closed')
    expect(breaker.statistics.calls).toBe(0)
  })
})

describe('options', () => {
  it.each<[CircuitBreakerOptions, string]>([
    [{ failureShare: false }, 'failureShare is false: consecutiveFailures or slowCallShare must be given'],
    [{ windowCalls: 0 }, 'circuitBreaker: windowCalls must be a whole number from 1 to 1000000, got 0'],
    [{ windowCalls: 5, minimumCalls: 6 }, 'minimumCalls must be a whole number from 1 to 5, got 6'],
    [{ consecutiveFailures: 0 }, 'consecutiveFailures must be a whole number of at least 1, got 0'],
    [{ openForFactor: 0.5 }, 'openForFactor must be a number of at least 1, got 0.5'],
    [{ openFor: 10, openForMax: 9 }, 'openForMax must be a number from 10 to 2147483647, got 9'],
    [{ openForJitter: 1.1 }, 'openForJitter must be a number from 0 to 1, got 1.1'],
    [{ shadow: 1 as never }, 'shadow must be true or false, got 1'],
    [{ random: 1 as never }, 'random must be a function, got 1'],
    [{ onEvent: 1 as never }, 'onEvent must be a function, got 1'],
  ])('refuse %o', (options, message) => {
    expect(() => new CircuitBreaker(options)).toThrow(message)
  })

  it('ask for no more calls than the window has', () => {
    const { breaker } = breakerAt(0, { windowCalls: 3 })
    calls(breaker, 'networkError', 3)
    expect(breaker.state).toBe('open')
  })
})
