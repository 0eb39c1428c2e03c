// A snapshot may come from anywhere. Slices that hold as many calls as one can, all in one, overflowed its count: what went
// over stayed in the sums, and a circuit was judged by calls that never fell out of its window. And a slice that began
// within a hair of the next one's beginning was put into that one's place, which is also the oldest one's.
import { circuitBreaker } from 'roundtripper'
import { expect, it } from 'vitest'
import { SlidingWindow } from '../../src/policies/sliding-window.ts'

const calm = { state: 'closed', forced: null, openFor: 0, probeFor: 0, openings: 0, consecutiveFailures: 0 } as const

it('5: more calls than a slice can count are refused', () => {
  const most = 2 ** 32 - 1
  const slice = { age: 0, calls: most, failures: most, slow: 0 }
  const layer = circuitBreaker()
  const restore = (slices: object[]) =>
    layer.restore({ version: 1, origins: { 'http://a.test': { ...calm, slices } } } as never)
  restore([slice])
  expect(() => restore([slice, { ...slice, calls: 1, failures: 0 }])).toThrow(
    'snapshot.origins["http://a.test"].slices: calls in all must be a whole number from 0 to 4294967295, got 4294967296',
  )
})

it('5: a slice that has just begun stays for the whole window', () => {
  const window = new SlidingWindow(20)
  window.addSlice(0.9999999, { age: 0, calls: 3, failures: 0, slow: 0 })
  window.advance(19.5)
  expect(window.calls).toBe(3)
  window.advance(20)
  expect(window.calls).toBe(0)
})
