import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkWeights, TrafficSplit } from '../../src/policies/traffic-split.ts'
import { seededRandom } from '../../src/testing/random.ts'
import './fixtures.ts'

type Weights = Readonly<Record<string, number>>

function splitOf(weights: Weights) {
  const variants = Object.entries(weights).map(([name, weight]) => ({ name, weight }))
  checkWeights('variants', variants)
  return new TrafficSplit(variants)
}

const keys = Array.from({ length: 10_000 }, (_, at) => `user-${at}`)

/** What each variant has of the calls, in percent. */
function sharesOf(weights: Weights, choose: (at: number) => { readonly name: string }, calls = 10_000) {
  const shares = Object.fromEntries(Object.keys(weights).map((name) => [name, 0]))
  for (let at = 0; at < calls; at++) (shares[choose(at).name] as number) += 100 / calls
  return shares
}

function expectShares(weights: Weights, shares: Record<string, number>) {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0)
  for (const [name, weight] of Object.entries(weights)) {
    const due = (100 * weight) / total
    expect(Math.abs((shares[name] as number) - due), `${name}: ${shares[name]} % of ${due} %`).toBeLessThanOrEqual(2)
    if (weight === 0) expect(shares[name]).toBe(0)
  }
}

const tables: Weights[] = [
  { stable: 95, canary: 5 },
  { stable: 50, canary: 50 },
  { stable: 0, canary: 1 },
  { stable: 1, canary: 0 },
  { a: 0.1, b: 0.2, c: 0.3, d: 0.4 },
  { a: 7, b: 0, c: 2, d: 1 },
]

describe('a split of traffic', () => {
  it.each(tables)('by chance, gives each its share of 10,000 calls within 2 points: %o', (weights) => {
    const random = seededRandom(7)
    const split = splitOf(weights)
    expectShares(
      weights,
      sharesOf(weights, () => split.at(random.next())),
    )
  })

  it.each(tables)('by key, gives each its share of 10,000 keys within 2 points: %o', (weights) => {
    const split = splitOf(weights)
    expectShares(
      weights,
      sharesOf(weights, (at) => split.of(keys[at] as string)),
    )
  })

  it('has an answer for every point, also one that is none', () => {
    const split = splitOf({ none: 0, a: 1, b: 2, last: 0 })
    const names = [0, 1 / 3 - 1e-9, 1 / 3, 1 - 2 ** -53, 1, Number.NaN].map((point) => split.at(point).name)
    expect(names).toEqual(['a', 'a', 'b', 'b', 'b', 'b'])
  })

  it('names each, whatever its weight', () => {
    const split = splitOf({ stable: 1, canary: 0 })
    expect(split.named('canary')).toEqual({ name: 'canary', weight: 0 })
    expect(split.named('toString')).toBeUndefined()
  })

  it.each<[Weights, string]>([
    [{}, 'variants must hold one with a weight above 0, got none'],
    [{ a: 0, b: 0 }, 'variants must hold one with a weight above 0, got only 0'],
    [{ a: -1 }, 'variants.a.weight must be a number of at least 0, got -1'],
    [{ a: Number.NaN }, 'variants.a.weight must be a number of at least 0, got NaN'],
    [{ a: Number.POSITIVE_INFINITY }, 'variants.a.weight must be a number of at least 0, got Infinity'],
  ])('%o is refused', (weights, message) => {
    expect(() => splitOf(weights)).toThrow(message)
  })
})

describe('a key', () => {
  const weight = fc.double({ min: 0.01, max: 1000, noNaN: true })
  const name = fc.string({ minLength: 1, maxLength: 8 })
  const tableOf = fc
    .dictionary(name, weight, { minKeys: 2, maxKeys: 6 })
    .filter((table) => Object.keys(table).length > 1)
  const some = fc.uniqueArray(fc.string({ maxLength: 20 }), { minLength: 20, maxLength: 60 })

  it('keeps its variant, whatever the order in which they are named', () => {
    fc.assert(
      fc.property(tableOf, some, (table, asked) => {
        const one = splitOf(table)
        const other = splitOf(Object.fromEntries(Object.entries(table).reverse()))
        for (const key of asked) expect(other.of(key).name).toBe(one.of(key).name)
      }),
    )
  })

  it('moves only to the variant whose weight has grown, and back from it only', () => {
    fc.assert(
      fc.property(tableOf, some, fc.nat(), fc.double({ min: 1, max: 50, noNaN: true }), (table, asked, at, factor) => {
        const names = Object.keys(table)
        const grown = names[at % names.length] as string
        const before = splitOf(table)
        const after = splitOf({ ...table, [grown]: (table[grown] as number) * factor })
        for (const key of asked) {
          if (before.of(key).name !== after.of(key).name) expect(after.of(key).name).toBe(grown)
        }
      }),
    )
  })

  it('moves from stable to canary only, at every step of a ramp, and as many as the step is long', () => {
    let before = splitOf({ stable: 100, canary: 0 })
    for (const share of [1, 5, 10, 25, 50, 75, 100]) {
      const after = splitOf({ stable: 100 - share, canary: share })
      const moved = keys.filter((key) => before.of(key).name !== after.of(key).name)
      expect(moved.filter((key) => after.of(key).name !== 'canary')).toEqual([])
      const held = (split: typeof before) => keys.filter((key) => split.of(key).name === 'canary').length
      expect(moved).toHaveLength(held(after) - held(before))
      expect(Math.abs(held(after) / 100 - share)).toBeLessThanOrEqual(2)
      before = after
    }
  })

  it('stays where it is when another variant comes or goes', () => {
    const three = splitOf({ stable: 90, a: 5, b: 5 })
    const two = splitOf({ stable: 90, b: 5 })
    const moved = keys.filter((key) => three.of(key).name !== two.of(key).name)
    expect(moved.length).toBeGreaterThan(300)
    expect(moved.filter((key) => three.of(key).name !== 'a')).toEqual([])
  })

  // Where two weights change at once no rule without a memory moves only the least: Bavarian et al., "Optimality of
  // correlated sampling strategies" (Theory of Computing 2020): 2d/(1+d) of the keys at best, where d would do.
  it('moves little more than needed where several weights change at once', () => {
    const before = splitOf({ stable: 80, a: 10, b: 10 })
    const after = splitOf({ stable: 60, a: 20, b: 20 })
    const moved = keys.filter((key) => before.of(key).name !== after.of(key).name).length / keys.length
    expect(moved).toBeGreaterThanOrEqual(0.18)
    expect(moved).toBeLessThanOrEqual((2 * 0.2) / 1.2)
  })
})
