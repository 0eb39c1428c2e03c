import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConsistentHash, fnv1a } from '../../src/policies/consistent-hash.ts'
import type { Host } from '../../src/policies/host.ts'
import { mix32 } from '../../src/policies/murmur3.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { callOf, hostsOf, sharesOf } from './balance-fixtures.ts'

// L. C. Noll's page on FNV (draft-eastlake-fnv), 32 bits.
it.each([
  ['', 0x811c9dc5],
  ['a', 0xe40c292c],
  ['b', 0xe70c2de5],
  ['foobar', 0xbf9cf968],
])('FNV-1a of %j', (text, expected) => {
  expect(fnv1a(text)).toBe(expected)
})

it('FNV-1a takes both bytes of characters that have two', () => {
  expect(fnv1a('\u0161')).not.toBe(fnv1a('\u0061'))
  expect(fnv1a('\u0161')).toBe(fnv1a('a\u0001'))
})

// MurmurHash3_x86_32 of no bytes is its last step alone on the seed: the vectors of A. Appleby's SMHasher.
it.each([
  [0, 0],
  [1, 0x514e28b7],
  [0xffffffff, 0x81f16f39],
])('the last step of MurmurHash3 on %i', (seed, expected) => {
  expect(mix32(seed)).toBe(expected)
})

const keys = Array.from({ length: 4_000 }, (_, at) => `user/${at}`)

function pickerOf(hosts: readonly Host[], loadFactor = 1.25): ConsistentHash {
  const picker = new ConsistentHash(seededRandom(1).next, loadFactor)
  picker.update(hosts)
  return picker
}

const owners = (picker: ConsistentHash) => keys.map((key) => picker.pick(callOf(key)) as Host)

describe('when hosts change, keys move by no more than the share', () => {
  const weights = fc.array(fc.constantFrom(0.5, 1, 2, 3), { minLength: 2, maxLength: 12 })

  it('one leaves: only its keys move; it comes back: they come back', () => {
    fc.assert(
      fc.property(weights, fc.nat(), fc.integer({ min: 0, max: 9_999 }), (given, which, group) => {
        const hosts = hostsOf(given, `group-${group}`)
        const picker = pickerOf(hosts)
        const before = owners(picker)
        const gone = hosts[which % hosts.length] as Host
        picker.update(hosts.filter((host) => host !== gone))
        const after = owners(picker)
        for (const [at, host] of before.entries()) {
          if (host === gone) expect(after[at]).not.toBe(gone)
          else expect(after[at]).toBe(host)
        }
        // In another order, as DNS gives them.
        picker.update(hosts.toReversed())
        expect(owners(picker)).toEqual(before)
      }),
      { numRuns: 40 },
    )
  })

  it('one that joins gets its share, and none moves between the others', () => {
    fc.assert(
      fc.property(weights, fc.constantFrom(0.5, 1, 2), (given, weight) => {
        const hosts = hostsOf([...given, weight])
        const joins = hosts.at(-1) as Host
        const picker = pickerOf(hosts.slice(0, -1))
        const before = owners(picker)
        picker.update(hosts)
        const after = owners(picker)
        for (const [at, host] of after.entries()) if (host !== joins) expect(host).toBe(before[at])
        const share = weight / [...given, weight].reduce((sum, one) => sum + one, 0)
        expect(Math.abs((sharesOf(after, [joins])[0] as number) - share)).toBeLessThan(0.04)
      }),
      { numRuns: 40 },
    )
  })

  it('in slow start it gets more of its keys with each step, and keeps those it has', () => {
    const hosts = hostsOf([1, 1, 1, 1, 1])
    const [cold] = hosts as [Host]
    const picker = pickerOf(hosts)
    const all = owners(picker).filter((host) => host === cold).length
    let had: readonly Host[] = []
    for (const warmth of [0.1, 0.3, 0.6, 1]) {
      cold.warmth = warmth
      picker.update(hosts)
      const has = owners(picker)
      for (const [at, host] of had.entries()) if (host === cold) expect(has[at]).toBe(cold)
      const expected = (warmth / (4 + warmth)) * keys.length
      expect(Math.abs(has.filter((host) => host === cold).length - expected)).toBeLessThan(0.02 * keys.length)
      had = has
    }
    expect(had.filter((host) => host === cold)).toHaveLength(all)
  })

  it('whose host is away, goes to the same other one each time', () => {
    const hosts = hostsOf([1, 1, 1, 1])
    const picker = pickerOf(hosts)
    for (const key of keys.slice(0, 200)) {
      const first = picker.pick(callOf(key)) as Host
      const second = picker.pick(callOf(key, [first])) as Host
      expect(second).not.toBe(first)
      expect(picker.pick(callOf(key, [first]))).toBe(second)
      const rest = hosts.filter((host) => host !== first)
      expect(pickerOf(rest).pick(callOf(key))).toBe(second)
    }
  })
})

describe('bounded loads', () => {
  it('no host has more than so many times its share of the calls under way, whatever the keys', () => {
    const step = fc.record({ begins: fc.boolean(), key: fc.constantFrom('hot', 'warm', 'a', 'b', 'c', 'd', 'e') })
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0.5, 1, 2, 5), { minLength: 1, maxLength: 8 }),
        fc.constantFrom(1.01, 1.25, 2),
        fc.array(step, { minLength: 1, maxLength: 300 }),
        (weights, factor, steps) => {
          const hosts = hostsOf(weights)
          const picker = pickerOf(hosts, factor)
          const total = weights.reduce((sum, weight) => sum + weight, 0)
          const under: Host[] = []
          for (const { begins, key } of steps) {
            if (!begins) {
              const host = under.shift()
              if (host === undefined) continue
              host.inFlight--
              picker.ended(host)
              continue
            }
            const host = picker.pick(callOf(key)) as Host
            const bound = Math.ceil((factor * (under.length + 1) * host.weight) / total)
            host.inFlight++
            picker.began(host)
            under.push(host)
            expect(host.inFlight).toBeLessThanOrEqual(bound)
          }
        },
      ),
      { numRuns: 200 },
    )
  })

  it('one key that all ask for is spread only as far as the bound says', () => {
    const hosts = hostsOf(new Array(10).fill(1))
    const picker = pickerOf(hosts, 2)
    const used = new Set<Host>()
    for (let call = 0; call < 100; call++) {
      const host = picker.pick(callOf('hot')) as Host
      host.inFlight++
      picker.began(host)
      used.add(host)
    }
    expect(Math.max(...hosts.map(({ inFlight }) => inFlight))).toBe(20)
    expect(used.size).toBeLessThan(10)
  })

  it('calls to a host that leaves are not counted any more, and those of one that comes back are', () => {
    const hosts = hostsOf([1, 1])
    const [one, other] = hosts as [Host, Host]
    const picker = pickerOf(hosts)
    for (let call = 0; call < 10; call++) {
      one.inFlight++
      picker.began(one)
    }
    picker.update([other])
    one.inFlight--
    picker.ended(one)
    for (let call = 0; call < 20; call++) {
      expect(picker.pick(callOf(`${call}`))).toBe(other)
      other.inFlight++
      picker.began(other)
    }
    picker.update(hosts)
    // 29 under way, one more: up to 19 each.
    for (let call = 0; call < 20; call++) expect(picker.pick(callOf(`${call}`))).toBe(one)
  })
})
