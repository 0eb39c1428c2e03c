// What all ways of choosing a host have in common: shares, hosts that come and go, and calls that are sent again.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConsistentHash } from '../../src/policies/consistent-hash.ts'
import type { Host } from '../../src/policies/host.ts'
import { LeastLoaded } from '../../src/policies/least-loaded.ts'
import { PeakEwma } from '../../src/policies/peak-ewma.ts'
import type { Picker } from '../../src/policies/picker.ts'
import { WeightedRandom } from '../../src/policies/weighted-random.ts'
import { WeightedRoundRobin } from '../../src/policies/weighted-round-robin.ts'
import { type SeededRandom, seededRandom } from '../../src/testing/index.ts'
import { callOf, drive, hostsOf, plainCall, sharesOf } from './balance-fixtures.ts'

const algorithms: [string, (random: () => number) => Picker][] = [
  ['peakEwma', (random) => new PeakEwma(random, 10_000)],
  ['leastLoaded', (random) => new LeastLoaded(random)],
  ['roundRobin', (random) => new WeightedRoundRobin(random)],
  ['random', (random) => new WeightedRandom(random)],
  ['consistentHash', (random) => new ConsistentHash(random, 1.25)],
]

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)

function farthest(shares: readonly number[], weights: readonly number[]): number {
  return Math.max(...shares.map((share, at) => Math.abs(share - (weights[at] as number) / sum(weights))))
}

describe.each(algorithms)('%s', (name, make) => {
  it.each([
    ['equal', [1, 1, 1, 1, 1]],
    ['unlike', [1, 2, 3]],
    ['one large', [5, 1, 1, 1, 1]],
    ['fractions', [0.5, 0.25, 0.25, 1.5]],
    ['one without', [2, 0, 1, 1]],
  ])('shares are within 2 points of the weights over 10,000 calls: %s', (_, weights) => {
    for (const inFlight of [1, 100]) {
      for (const keyOf of [(number: number) => `user ${number}`, () => undefined]) {
        const hosts = hostsOf(weights)
        const picker = make(seededRandom(7).next)
        picker.update(hosts)
        // Hosts that are alike, but for a tenth.
        const answer = (_: Host, random: SeededRandom) => ({ took: 38 + 4 * random.next() })
        const picked = drive(picker, 10_000, inFlight, answer, { keyOf })
        // Keys come by chance, and what a light host has no room for goes to a heavy one oftener than the other way round.
        const bound = name === 'consistentHash' && inFlight > 1 ? 0.025 : 0.02
        expect(farthest(sharesOf(picked, hosts), weights)).toBeLessThan(bound)
      }
    }
  })

  it('a call that was sent before goes to another host, and the others keep their shares', () => {
    const weights = [1, 2, 3, 4]
    const hosts = hostsOf(weights)
    const picker = make(seededRandom(3).next)
    picker.update(hosts)
    const [tried, ...others] = hosts as [Host, ...Host[]]
    const again = Array.from({ length: 10_000 }, (_, number) => picker.pick(callOf(`${number}`, [tried]), 1_000))
    expect(again).not.toContain(tried)
    expect(farthest(sharesOf(again, others), weights.slice(1))).toBeLessThan(0.02)
    // It has neither fallen behind nor anything to catch up on.
    const plain = Array.from({ length: 1_000 }, (_, number) => picker.pick(callOf(`plain ${number}`), 1_000))
    expect(Math.abs((sharesOf(plain, hosts)[0] as number) - 0.1)).toBeLessThan(0.03)
    // All of them failed it: one of them all the same.
    expect(hosts).toContain(picker.pick(callOf('x', hosts), 1_000))
  })

  it('half of the calls sent again: neither those nor the others are skewed', () => {
    const hosts = hostsOf([1, 1, 1, 1])
    const picker = make(seededRandom(5).next)
    picker.update(hosts)
    const picked: (Host | null)[] = []
    for (let number = 0; number < 5_000; number++) {
      const first = picker.pick(callOf(`${number}`), 1_000) as Host
      const second = picker.pick(callOf(`${number}`, [first]), 1_000)
      expect(second).not.toBe(first)
      picked.push(first, second)
    }
    expect(farthest(sharesOf(picked, hosts), [1, 1, 1, 1])).toBeLessThan(0.02)
  })

  it('there is no host: null; and one without a weight is none', () => {
    const picker = make(Math.random)
    picker.update([])
    expect(picker.pick(plainCall, 0)).toBe(null)
    expect(picker.pick(callOf('key'), 0)).toBe(null)
    const [first, second] = hostsOf([1, 0]) as [Host, Host]
    picker.update([second])
    expect(picker.pick(plainCall, 0)).toBe(null)
    picker.update([first, second])
    for (let at = 0; at < 100; at++) expect(picker.pick(callOf(`${at}`, [first]), 0)).toBe(first)
  })

  it('whatever happens, a host that was taken out is not picked, and one that has a weight is not forgotten', () => {
    const step = fc.record({
      weights: fc.array(fc.constantFrom(0, 0.5, 1, 3), { minLength: 6, maxLength: 6 }),
      calls: fc.integer({ min: 0, max: 40 }),
    })
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 0, max: 2 ** 31 }),
        (steps, seed) => {
          const random = seededRandom(seed)
          const all = hostsOf([1, 1, 1, 1, 1, 1])
          const picker = make(random.next)
          for (const { weights, calls } of steps) {
            for (const [at, host] of all.entries()) host.spec = { ...host.spec, weight: weights[at] as number }
            const present = all.filter(() => random.chance(0.8))
            picker.update(present)
            const able = present.filter(({ weight }) => weight > 0)
            for (let at = 0; at < calls; at++) {
              const tried = able.filter(() => random.chance(0.3))
              const host = picker.pick(callOf(random.chance(0.5) ? `${at}` : undefined, tried), 1_000 + at)
              if (able.length === 0) expect(host).toBe(null)
              else
                expect(tried.length < able.length ? able.filter((one) => !tried.includes(one)) : able).toContain(host)
            }
            const seen = new Set(Array.from({ length: 600 }, (_, at) => picker.pick(callOf(`key ${at}`), 2_000)))
            expect(seen.size).toBe(Math.max(1, able.length))
          }
        },
      ),
      { numRuns: 60 },
    )
  })
})
