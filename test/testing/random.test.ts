import { seededRandom } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { xoshiro128StarStar } from '../../src/testing/random.ts'

describe('seededRandom', () => {
  it('runs xoshiro128**: the reference output for the state 1, 2, 3, 4', () => {
    const draw = xoshiro128StarStar(1, 2, 3, 4)
    const expected = [
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]
    expect(expected.map(() => draw())).toEqual(expected)
  })

  it('gives the same numbers for the same seed, and others for another', () => {
    const run = (seed: number) => {
      const random = seededRandom(seed)
      return Array.from({ length: 20 }, () => random.next())
    }
    expect(run(7)).toEqual(run(7))
    expect(run(7)).not.toEqual(run(8))
    expect(run(0)).not.toEqual(run(2 ** 32 - 1))
  })

  it('draws a seed that repeats the run', () => {
    const random = seededRandom()
    const numbers = [random.next(), random.next()]
    const again = seededRandom(random.seed)
    expect([again.next(), again.next()]).toEqual(numbers)
  })

  it('spreads over the range, with more than 32 bits', () => {
    const { next } = seededRandom(1)
    const numbers = Array.from({ length: 10_000 }, next)
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...numbers)).toBeLessThan(1)
    expect(numbers.reduce((sum, one) => sum + one, 0) / numbers.length).toBeCloseTo(0.5, 1)
    expect(numbers.some((one) => !Number.isInteger(one * 2 ** 32))).toBe(true)
    expect(numbers.every((one) => Number.isInteger(one * 2 ** 53))).toBe(true)
  })

  it('draws whole numbers with both ends included, all about as often', () => {
    const random = seededRandom(2)
    const counts = new Map<number, number>()
    for (let i = 0; i < 6000; i++) {
      const one = random.integer(-1, 4)
      counts.set(one, (counts.get(one) ?? 0) + 1)
    }
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual([-1, 0, 1, 2, 3, 4])
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150)
    expect(random.integer(5, 5)).toBe(5)
  })

  it('picks and takes chances', () => {
    const random = seededRandom(3)
    const picked = new Set(Array.from({ length: 100 }, () => random.pick(['a', 'b', 'c'])))
    expect([...picked].sort()).toEqual(['a', 'b', 'c'])
    const hits = Array.from({ length: 10_000 }, () => random.chance(0.3)).filter(Boolean).length
    expect(Math.abs(hits - 3000)).toBeLessThan(200)
    expect(Array.from({ length: 100 }, () => random.chance(0)).some(Boolean)).toBe(false)
    expect(Array.from({ length: 100 }, () => random.chance(1)).every(Boolean)).toBe(true)
  })

  it('says what is wrong with its arguments', () => {
    expect(() => seededRandom(-1)).toThrow('seed must be a whole number from 0 to 4294967295, got -1')
    expect(() => seededRandom(1.5)).toThrow(RangeError)
    const random = seededRandom(1)
    expect(() => random.integer(2, 1)).toThrow('max must be a whole number from 2')
    expect(() => random.pick([])).toThrow('items must hold at least one item')
    expect(() => random.chance(1.1)).toThrow('probability must be a number from 0 to 1, got 1.1')
  })
})
