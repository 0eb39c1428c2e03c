// A sliding window whose limit was lowered forgot all calls but the last ones, and when it was raised again let their
// number go once more: 18 in one window whose limit had never been above 10.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { rateOf } from '../../src/policies/rates.ts'
import { holds } from '../policies/fixtures.ts'

it('30: over all changes of its limit, no window has more calls than the largest of them', () => {
  const step = fc.record({ gap: fc.integer({ min: 0, max: 60 }), limit: fc.option(fc.integer({ min: 1, max: 40 })) })
  holds(
    'limits that change',
    fc.property(fc.array(step, { maxLength: 200 }), (history) => {
      const settings = { limit: 20, window: 100, burst: 1 }
      const rate = rateOf('slidingWindow', settings)
      const taken: number[] = []
      let [now, most, limit] = [1000, 20, 20]
      for (const { gap, limit: next } of history) {
        now += gap
        if (next !== null) {
          limit = next
          most = Math.max(most, limit)
          rate.adopt({ ...settings, limit }, now)
        }
        const recent = taken.filter((at) => at > now - 100).length
        expect(rate.available(now)).toBe(Math.max(0, limit - recent))
        const wait = rate.waitFor(now, 0)
        if (wait > 0) expect(rate.take(now + wait - 1)).toBe(false)
        while (rate.take(now)) taken.push(now)
        expect(taken.filter((at) => at > now - 100).length).toBeLessThanOrEqual(most)
      }
    }),
  )
})
