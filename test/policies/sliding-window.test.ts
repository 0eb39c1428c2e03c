import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SlidingWindow } from '../../src/policies/sliding-window.ts'
import { holds } from './fixtures.ts'

const counted = ({ calls, failures, slow }: SlidingWindow) => ({ calls, failures, slow })

describe('SlidingWindow', () => {
  it('counts calls, failures and slow calls', () => {
    const window = new SlidingWindow(1000)
    window.add(0, false, false)
    window.add(1, true, false)
    window.add(2, true, true)
    expect(counted(window)).toEqual({ calls: 3, failures: 2, slow: 1 })
  })

  it('5: idle time empties it, without an event to turn it', () => {
    const window = new SlidingWindow(1000)
    for (let index = 0; index < 19; index++) window.add(index, true, true)
    window.advance(600_000)
    expect(counted(window)).toEqual({ calls: 0, failures: 0, slow: 0 })
    window.add(600_001, true, false)
    expect(counted(window)).toEqual({ calls: 1, failures: 1, slow: 0 })
  })

  it('5: slides: old calls fall out while younger ones stay', () => {
    const window = new SlidingWindow(1000)
    window.add(0, true, false)
    window.add(500, false, false)
    window.advance(949)
    expect(window.calls).toBe(2)
    window.advance(1001)
    expect(counted(window)).toEqual({ calls: 1, failures: 0, slow: 0 })
    window.advance(1501)
    expect(window.calls).toBe(0)
  })

  it('takes a clock that starts anywhere, and one that steps back a little', () => {
    const window = new SlidingWindow(1000)
    window.add(-12_345, true, false)
    window.add(-12_400, true, false)
    window.advance(-12_300)
    expect(window.calls).toBe(2)
    window.advance(-11_000)
    expect(window.calls).toBe(0)
  })

  it('agrees with a naive list over random histories', () => {
    const event = fc.record({
      wait: fc.oneof(fc.nat(30), fc.nat(500), fc.nat(5000)),
      failed: fc.boolean(),
      slow: fc.boolean(),
      read: fc.boolean(),
    })
    const lengths = fc.integer({ min: 1, max: 100 }).map((slices) => slices * 20)
    const run = fc.property(lengths, fc.nat(10_000), fc.array(event, { maxLength: 200 }), (length, start, history) => {
      const window = new SlidingWindow(length)
      const list: { at: number; failed: boolean; slow: boolean }[] = []
      let now = start
      for (const { wait, failed, slow, read } of history) {
        now += wait
        if (read) {
          window.advance(now)
        } else {
          window.add(now, failed, slow)
          list.push({ at: now, failed, slow })
        }
        const slice = length / 20
        const inside = list.filter(({ at }) => Math.floor(now / slice) - Math.floor(at / slice) < 20)
        expect(counted(window)).toEqual({
          calls: inside.length,
          failures: inside.filter((one) => one.failed).length,
          slow: inside.filter((one) => one.slow).length,
        })
        // What the slices promise: nothing older than the window, everything younger than 19/20 of it.
        expect(inside.every(({ at }) => now - at <= length)).toBe(true)
        expect(list.filter(({ at }) => now - at < (length * 19) / 20).every((one) => inside.includes(one))).toBe(true)
      }
    })
    holds('window against a naive list', run)
  })
})
