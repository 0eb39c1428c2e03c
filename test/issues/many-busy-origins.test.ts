// Beyond its bound the map of origins looked at every busy one with each new origin: 40,000 calls under way to as many
// origins, or calls that wait under as many keys, took 14 seconds to be admitted.
import { expect, it } from 'vitest'
import { PerOrigin } from '../../src/policies/per-origin.ts'

it('30: a new origin looks at few of those that are busy, however many there are', () => {
  let looks = 0
  let busy = true
  const make = () => ({
    get idle() {
      looks++
      return !busy
    },
  })
  const map = new PerOrigin(make, { maxOrigins: 100 })
  const most = 20_000
  for (let at = 0; at < most; at++) map.get(`https://${at}.test`)
  expect(map.size).toBe(most)
  expect(looks / most).toBeLessThan(80)
  // And it shrinks again, at the latest when a 64th more have come.
  busy = false
  for (let at = 0; at <= most / 64 + 1; at++) map.get(`https://other-${at}.test`)
  expect(map.size).toBe(100)
})
