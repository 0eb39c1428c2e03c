import { expect, it } from 'vitest'
import { checkSlowStart, slowStartDefaults, warmthAt } from '../../src/policies/slow-start.ts'

// Envoy's formula, with the figures of its page on slow start and of its tests
// (test/extensions/load_balancing_policies: round_robin_lb_test.cc and least_request_lb_test.cc).
it.each([
  { elapsed: 5_000, duration: 60_000, aggression: 1, expected: 0.1 },
  { elapsed: 5_000, duration: 60_000, aggression: 2, expected: 0.2887 },
  { elapsed: 6_000, duration: 60_000, aggression: 2, expected: 0.3162 },
  { elapsed: 1, duration: 60_000, aggression: 2, expected: 0.1 },
  { elapsed: 5_000, duration: 10_000, aggression: 1, expected: 0.5 },
  { elapsed: 5_000, duration: 10_000, aggression: 0.5, expected: 0.25 },
  { elapsed: 10_000, duration: 10_000, aggression: 2, expected: 1 },
  { elapsed: 90_000, duration: 60_000, aggression: 1, expected: 1 },
])('a host has $expected of its share after $elapsed of $duration ms, aggression $aggression', (vector) => {
  const { elapsed, duration, aggression, expected } = vector
  expect(warmthAt(elapsed, { duration, aggression, minWeight: 0.1 })).toBeCloseTo(expected, 4)
})

it('may be a number of milliseconds, more, or none', () => {
  expect(checkSlowStart('slowStart', 0)).toBe(null)
  expect(checkSlowStart('slowStart', 500)).toEqual({ ...slowStartDefaults, duration: 500 })
  expect(checkSlowStart('slowStart', { aggression: 2 })).toEqual({ ...slowStartDefaults, aggression: 2 })
  expect(() => checkSlowStart('slowStart', -1)).toThrow('slowStart must be a number from 1')
  expect(() => checkSlowStart('slowStart', { minWeight: 0 })).toThrow('slowStart: minWeight must be')
  expect(() => checkSlowStart('slowStart', { speed: 2 } as object)).toThrow('unknown option "speed"')
})
