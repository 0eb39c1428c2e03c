// What somebody does to a circuit from outside: forces it, lets it run in shadow, changes it, hands it on.
import { describe, expect, it } from 'vitest'
import type { CircuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { type CircuitBreakerOptions, checkCircuitBreaker } from '../../src/policies/circuit-options.ts'
import { checkSnapshot } from '../../src/policies/circuit-snapshot.ts'
import { breakerAt, call, calls, end, opened, origin, refusal } from './breaker-fixtures.ts'
import { outcome, scope } from './fixtures.ts'

describe('a forced circuit', () => {
  it('10: forced open refuses all for as long as it is', () => {
    const { breaker, clock, steps } = breakerAt(0)
    breaker.force('open')
    for (const now of [0, 5000, 3_600_000]) {
      clock.now = now
      // resilience4j's FORCED_OPEN: nothing is permitted, and no time leads out of it.
      expect(refusal(breaker)).toMatchObject({ code: 'ERR_CIRCUIT_OPEN', retryAfter: 5000 })
      expect(breaker.state).toBe('open')
    }
    expect(breaker.refused).toBe(3)
    breaker.force(null)
    end(breaker.acquire(call), outcome('success'))
    expect(steps()).toEqual(['closed to open', 'open to closed'])
  })

  it('10: forced closed admits all, counts, and stays closed', () => {
    const { breaker } = breakerAt(0, { consecutiveFailures: 1 })
    breaker.force('closed')
    calls(breaker, 'networkError', 100)
    expect(breaker.state).toBe('closed')
    expect(breaker.statistics).toMatchObject({ calls: 100, failures: 100 })
    breaker.force(null)
    expect(breaker.statistics.calls).toBe(0)
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('open')
  })

  it('10: disabled admits all and counts nothing', () => {
    const { breaker } = breakerAt(0)
    breaker.force('disabled')
    calls(breaker, 'networkError', 100)
    expect(breaker.state).toBe('closed')
    expect(breaker.statistics).toEqual({ calls: 0, failures: 0, slow: 0 })
  })

  it('10: an open circuit that is forced closed lets calls through at once', () => {
    const { breaker, changes } = opened()
    breaker.force('closed')
    calls(breaker, 'success', 1)
    expect(changes.map(({ reason }) => reason)).toEqual(['failureShare', 'forced'])
  })

  it('2: what was under way before decides nothing', () => {
    const { breaker, clock } = opened()
    clock.now = 5000
    const probe = breaker.acquire(call)
    breaker.force('open')
    end(probe, outcome('success'))
    expect(breaker.state).toBe('open')
    breaker.force(null)
    const forced = breaker.acquire(call)
    breaker.force('closed')
    breaker.force(null)
    end(forced, outcome('networkError'))
    expect(breaker.statistics.calls).toBe(0)
  })

  it('leaves its order to whoever logs, and is never forgotten', () => {
    const { breaker } = breakerAt(0)
    const notes: Record<string, unknown> = {}
    breaker.force('disabled')
    end(breaker.acquire(scope(origin, notes)), outcome('success'))
    expect(notes).toEqual({ 'circuit.forced': 'disabled' })
    for (const order of ['disabled', 'closed', 'open'] as const) {
      breaker.force(order)
      expect(breaker.idle).toBe(false)
    }
    breaker.force(null)
    expect(breaker.idle).toBe(true)
  })
})

describe('a circuit in shadow', () => {
  it('10: opens and closes as it would, and refuses nothing', () => {
    const { breaker, clock, steps } = breakerAt(0, { minimumCalls: 1, shadow: true })
    calls(breaker, 'networkError', 1)
    const notes: Record<string, unknown> = {}
    end(breaker.acquire(scope(origin, notes)), outcome('networkError'))
    expect(notes).toEqual({ 'circuit.state': 'open', 'circuit.shadow': 'open' })
    clock.now = 5000
    const probe = breaker.acquire(call)
    end(breaker.acquire(scope(origin, notes)), outcome('networkError'))
    expect(notes).toEqual({ 'circuit.state': 'halfOpen', 'circuit.shadow': 'halfOpen' })
    expect(breaker.state).toBe('halfOpen')
    end(probe, outcome('success'))
    expect(steps()).toEqual(['closed to open', 'open to halfOpen', 'halfOpen to closed'])
    expect([breaker.refused, breaker.shadowRefused]).toEqual([0, 2])
  })

  it('10: not even when it is forced open', () => {
    const { breaker } = breakerAt(0, { shadow: true })
    breaker.force('open')
    breaker.acquire(call)
    expect(breaker.shadowRefused).toBe(1)
  })

  it('10: tells a listener what it would have refused', () => {
    const seen: unknown[] = []
    const { breaker } = opened({ shadow: true, onEvent: (event) => event.type === 'refused' && seen.push(event) })
    breaker.acquire(call)
    expect(seen).toEqual([{ type: 'refused', origin, state: 'open', retryAfter: 5000, shadow: true }])
  })
})

describe('an update', () => {
  const changed = (breaker: CircuitBreaker, options: CircuitBreakerOptions) =>
    breaker.update(checkCircuitBreaker({ ...breaker.settings, ...options }))

  it('holds from the next verdict on, with what has been counted', () => {
    const { breaker } = breakerAt(0)
    calls(breaker, 'networkError', 9)
    changed(breaker, { minimumCalls: 10 })
    expect(breaker.state).toBe('closed')
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('open')
  })

  it('keeps the failures in a row', () => {
    const { breaker } = breakerAt(0, { consecutiveFailures: 10 })
    calls(breaker, 'networkError', 4)
    changed(breaker, { consecutiveFailures: 5 })
    calls(breaker, 'networkError', 1)
    expect(breaker.state).toBe('open')
  })

  it('begins another window empty', () => {
    const { breaker } = breakerAt(0)
    calls(breaker, 'success', 5)
    changed(breaker, { openFor: 1 })
    expect(breaker.statistics.calls).toBe(5)
    changed(breaker, { windowCalls: 10, minimumCalls: 10 })
    expect(breaker.statistics.calls).toBe(0)
  })

  it('3: asks for fewer probes, and closes where so many have gone well', () => {
    const { breaker, clock } = opened({ probes: 3 })
    clock.now = 5000
    end(breaker.acquire(call), outcome('success'))
    breaker.acquire(call)
    changed(breaker, { probes: 2 })
    refusal(breaker)
    expect(breaker.state).toBe('halfOpen')
    changed(breaker, { probes: 1 })
    expect(breaker.state).toBe('closed')
  })

  it('3: asks for more probes', () => {
    const { breaker, clock } = opened()
    clock.now = 5000
    const first = breaker.acquire(call)
    changed(breaker, { probes: 2 })
    const second = breaker.acquire(call)
    end(first, outcome('success'))
    expect(breaker.state).toBe('halfOpen')
    end(second, outcome('success'))
    expect(breaker.state).toBe('closed')
  })

  it('takes it into shadow, and out of it', () => {
    const { breaker } = opened()
    changed(breaker, { shadow: true })
    breaker.acquire(call)
    changed(breaker, { shadow: false })
    refusal(breaker)
  })
})

describe('a snapshot', () => {
  const moved = (from: CircuitBreaker, now: number, options: CircuitBreakerOptions = {}) => {
    const made = breakerAt(now, { minimumCalls: 1, ...options })
    const json = JSON.parse(JSON.stringify({ version: 1, origins: { [origin]: from.snapshot() } }))
    made.breaker.restore(checkSnapshot(json).origins[origin]!)
    return made
  }

  it('10: an open circuit is open for what was left, on another clock', () => {
    const { breaker, clock } = opened()
    clock.now = 2000
    const there = moved(breaker, 1_000_000)
    expect(there.breaker.state).toBe('open')
    expect(there.breaker.retryAfter).toBe(3000)
    there.clock.now += 3000
    expect(there.breaker.state).toBe('halfOpen')
    expect(there.changes.map(({ reason }) => reason)).toEqual(['restored', 'time'])
  })

  it('10: the open time goes on growing', () => {
    const { breaker, clock } = opened({ openForFactor: 2 })
    clock.now = 5000
    calls(breaker, 'networkError', 1)
    const there = moved(breaker, 0, { openForFactor: 2 })
    there.clock.now = 10_000
    calls(there.breaker, 'networkError', 1)
    expect(there.breaker.retryAfter).toBe(20_000)
  })

  it('10: a half-open circuit sends its probes anew', () => {
    const { breaker, clock } = opened()
    clock.now = 5000
    breaker.acquire(call)
    const there = moved(breaker, 77)
    expect(there.breaker.state).toBe('halfOpen')
    expect(there.breaker.retryAfter).toBe(0)
  })

  it('5, 10: what the window of time holds grows old as before, to a slice', () => {
    const { breaker, clock } = breakerAt(0)
    calls(breaker, 'networkError', 3)
    clock.now = 6000
    calls(breaker, 'success', 2)
    const there = moved(breaker, 123_456, { minimumCalls: 20 })
    expect(there.breaker.statistics).toEqual({ calls: 5, failures: 3, slow: 0 })
    there.clock.now += 3_400
    expect(there.breaker.statistics.calls).toBe(5)
    there.clock.now += 600
    expect(there.breaker.statistics).toEqual({ calls: 2, failures: 0, slow: 0 })
  })

  it('10: what is too old for the window of the other one is left behind', () => {
    const { breaker, clock } = breakerAt(0)
    calls(breaker, 'networkError', 3)
    clock.now = 6000
    const there = moved(breaker, 0, { window: 5000 })
    expect(there.breaker.statistics.calls).toBe(0)
  })

  it('10: a window of calls, failures in a row and an order go along', () => {
    const options = { windowCalls: 4, consecutiveFailures: 3, minimumCalls: 4 }
    const { breaker } = breakerAt(0, options)
    calls(breaker, 'success', 4)
    calls(breaker, 'networkError', 1)
    const there = moved(breaker, 0, options)
    expect(there.breaker.statistics).toEqual({ calls: 4, failures: 1, slow: 0 })
    const other = moved(breaker, 0, { consecutiveFailures: 2, minimumCalls: 20 })
    expect(other.breaker.statistics.calls).toBe(0)
    calls(other.breaker, 'networkError', 1)
    expect(other.breaker.state).toBe('open')
    breaker.force('open')
    expect(moved(breaker, 0).breaker.forced).toBe('open')
    refusal(moved(breaker, 0).breaker)
  })

  it('2: what was under way before decides nothing', () => {
    const { breaker } = breakerAt(0, { minimumCalls: 1 })
    const late = breaker.acquire(call)
    breaker.restore(breaker.snapshot())
    end(late, outcome('networkError'))
    expect(breaker.state).toBe('closed')
  })

  const good = {
    state: 'open',
    forced: null,
    openFor: 1,
    probeFor: 1,
    openings: 1,
    consecutiveFailures: 0,
    slices: [{ age: 0, calls: 1, failures: 1, slow: 0 }],
  }
  const slice = (more: object) => ({ slices: [{ age: 0, calls: 1, failures: 1, slow: 0, ...more }] })
  it.each<[object, string]>([
    [{ state: 'ajar' }, `snapshot.origins["${origin}"].state must be one of "closed", "open", got "ajar"`],
    [{ forced: 'shut' }, 'forced must be one of null, "open", "closed", "disabled", got "shut"'],
    [{ openFor: -1 }, 'openFor must be a number from 0 to 4294967294, got -1'],
    [{ openFor: null }, 'openFor must be a number from 0 to 4294967294, got null'],
    [{ probeFor: '5' }, 'probeFor must be a number from 0 to 4294967294, got "5"'],
    [{ openings: 0.5 }, 'openings must be a whole number from 0 to 4294967295, got 0.5'],
    [{ consecutiveFailures: -1 }, 'consecutiveFailures must be a whole number from 0'],
    [slice({ failures: 2 }), 'slices[0].failures must be a whole number from 0 to 1, got 2'],
    [slice({ slow: 2 }), 'slices[0].slow must be a whole number from 0 to 1, got 2'],
    [slice({ age: -1 }), 'slices[0].age must be a number of at least 0, got -1'],
    [{ slices: {} }, 'slices must be an array, got an object'],
    [{ slices: [1] }, 'slices[0] must be an object, got 1'],
    [{ slices: new Array(1001).fill(good.slices[0]) }, 'slices must hold at most 1000 values, got 1001'],
    [{ marks: [4] }, 'marks[0] must be a whole number from 0 to 3, got 4'],
  ])('refuses %o', (more, message) => {
    expect(() => checkSnapshot({ version: 1, origins: { [origin]: { ...good, ...more } } })).toThrow(message)
  })

  it.each([
    [undefined, 'circuitBreaker: snapshot must be an object, got undefined'],
    [{ version: 2, origins: {} }, 'circuitBreaker: snapshot.version must be one of 1, got 2'],
    [{ version: 1, origins: [] }, 'circuitBreaker: snapshot.origins must be an object, got an array'],
    [{ version: 1, origins: { a: null } }, 'snapshot.origins["a"] must be an object, got null'],
  ])('refuses %o', (given, message) => {
    expect(() => checkSnapshot(given)).toThrow(message)
  })
})
