import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Bulkhead } from '../../src/policies/bulkhead.ts'
import { CircuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { CircuitOpenError } from '../../src/policies/errors.ts'
import { PerOrigin, perOrigin, perOriginDefaults } from '../../src/policies/per-origin.ts'
import type { Permit } from '../../src/policies/policy.ts'
import { holds, outcome, scope } from './fixtures.ts'

class Value {
  readonly origin: string
  idle = true
  constructor(origin: string) {
    this.origin = origin
  }
}

const make = (origin: string) => new Value(origin)
const origins = (map: PerOrigin<Value>) => [...map].map(([origin]) => origin)

describe('PerOrigin', () => {
  it('makes a value when first asked, and gives the same one afterwards', () => {
    let made = 0
    const map = new PerOrigin((origin) => {
      made++
      return make(origin)
    })
    const a = map.get('a')
    const b = map.get('b')
    expect(a).not.toBe(b)
    expect(map.get('a')).toBe(a)
    expect(map.get('a')).toBe(a)
    expect(map.get('b')).toBe(b)
    expect(made).toBe(2)
    expect(map.peek('c')).toBeUndefined()
    expect(made).toBe(2)
  })

  it('forgets the least recently used first', () => {
    const map = new PerOrigin(make, { maxOrigins: 3 })
    for (const origin of ['a', 'b', 'c', 'a', 'd']) map.get(origin)
    expect(origins(map)).toEqual(['c', 'a', 'd'])
  })

  it('looking is not using', () => {
    const map = new PerOrigin(make, { maxOrigins: 2 })
    map.get('a')
    map.get('b')
    map.peek('a')
    map.get('c')
    expect(origins(map)).toEqual(['b', 'c'])
  })

  it('never forgets work in flight: it grows instead, and shrinks again later', () => {
    const map = new PerOrigin(make, { maxOrigins: 2 })
    for (const origin of ['a', 'b', 'c', 'd']) map.get(origin).idle = false
    expect(map.size).toBe(4)
    map.get('b').idle = true
    map.get('e')
    expect(origins(map)).toEqual(['a', 'c', 'd', 'e'])
    for (const [, value] of map) value.idle = true
    map.get('f')
    expect(origins(map)).toEqual(['e', 'f'])
  })

  it('keeps what it has when a new value cannot be made', () => {
    const map = new PerOrigin(
      (origin) => {
        if (origin === 'bad') throw new Error('no')
        return make(origin)
      },
      { maxOrigins: 1 },
    )
    const a = map.get('a')
    expect(() => map.get('bad')).toThrow('no')
    expect(map.get('a')).toBe(a)
    expect(origins(map)).toEqual(['a'])
  })

  it('agrees with a naive list over random histories', () => {
    const step = fc.record({
      origin: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      busy: fc.boolean(),
      use: fc.boolean(),
    })
    const run = fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 60 }),
      (maxOrigins, history) => {
        const map = new PerOrigin(make, { maxOrigins })
        let model: Value[] = []
        for (const { origin, busy, use } of history) {
          if (!use) {
            const value = model.find((candidate) => candidate.origin === origin)
            if (value !== undefined) value.idle = !busy
            continue
          }
          const value = map.get(origin)
          const known = model.find((candidate) => candidate.origin === origin)
          if (known !== undefined) {
            expect(value).toBe(known)
            model = [...model.filter((candidate) => candidate !== known), known]
          } else {
            while (model.length >= maxOrigins) {
              const oldest = model.findIndex((candidate) => candidate.idle)
              if (oldest === -1) break
              model.splice(oldest, 1)
            }
            model.push(value)
          }
          expect(origins(map)).toEqual(model.map((candidate) => candidate.origin))
        }
      },
    )
    holds('per-origin map against a naive list', run)
  })

  it('refuses a bound that is none', () => {
    expect(perOriginDefaults).toEqual({ maxOrigins: 1000 })
    expect(() => new PerOrigin(make, { maxOrigins: 0 })).toThrow(
      'maxOrigins must be a whole number of at least 1, got 0',
    )
    expect(() => new PerOrigin(make, { max: 1 } as object)).toThrow('perOrigin: unknown option "max"')
  })
})

describe('perOrigin', () => {
  it("9: one origin's outage never opens another's circuit", () => {
    const policy = perOrigin('circuitBreaker', (origin) => new CircuitBreaker({ minimumCalls: 2 }, origin))
    const bad = scope('https://bad.test')
    const good = scope('https://good.test')
    for (let index = 0; index < 2; index++) {
      ;(policy.acquire(bad) as Permit).settle(outcome('networkError'), bad)
      ;(policy.acquire(good) as Permit).settle(outcome('networkError', { kind: 'success' }), good)
    }
    expect(() => policy.acquire(bad)).toThrow(CircuitOpenError)
    expect(() => policy.acquire(good)).not.toThrow()
    expect(policy.name).toBe('circuitBreaker')
    expect(policy.origins.peek('https://bad.test')?.state).toBe('open')
    expect(policy.origins.peek('https://good.test')?.state).toBe('closed')
  })

  it('47: slots of one origin are not those of another, and busy origins outlive the bound', () => {
    const policy = perOrigin('bulkhead', () => new Bulkhead({ limit: 1, queue: 0 }), { maxOrigins: 1 })
    const calls = ['a', 'b', 'c'].map((name) => scope(`https://${name}.test`))
    const permits = calls.map((call) => policy.acquire(call) as Permit)
    for (const call of calls) expect(() => policy.acquire(call)).toThrow('is full')
    permits.forEach((permit, index) => {
      permit.settle(outcome('success'), calls[index]!)
    })
    for (const call of calls) expect(policy.origins.peek(call.origin)?.idle).toBe(true)
  })
})
