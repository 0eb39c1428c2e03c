import { describe, expect, it } from 'vitest'
import { CircuitOpenError } from '../../src/policies/errors.ts'
import { breakerAt, call, calls, end, neutral, opened, origin, refusal } from './breaker-fixtures.ts'
import { outcome, scope } from './fixtures.ts'

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
    expect(notes).toEqual({ 'circuit.state': 'open' })
    clock.now = 5000
    breaker.acquire(scope(origin, notes))
    expect(notes).toEqual({ 'circuit.state': 'halfOpen' })
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
