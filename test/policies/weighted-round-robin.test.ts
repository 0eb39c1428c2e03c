import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Host } from '../../src/policies/host.ts'
import { WeightedRoundRobin } from '../../src/policies/weighted-round-robin.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { hostsOf, plainCall } from './balance-fixtures.ts'

function pickerOf(hosts: readonly Host[], random: () => number = () => 0): WeightedRoundRobin {
  const picker = new WeightedRoundRobin(random)
  picker.update(hosts)
  return picker
}

const orderOf = (hosts: readonly Host[], picker: WeightedRoundRobin, calls: number) =>
  Array.from({ length: calls }, () => 'abcdefgh'[hosts.indexOf(picker.pick(plainCall) as Host)]).join('')

it('each in its turn, and as evenly as nginx: no host twice where another could stand between', () => {
  const equal = hostsOf([1, 1, 1])
  expect(orderOf(equal, pickerOf(equal), 7)).toBe('abcabca')
  // nginx's smooth round robin of these weights, from its commit message of 2012: a a b a c a a.
  const unlike = hostsOf([5, 1, 1])
  expect(orderOf(unlike, pickerOf(unlike), 14)).toBe('abaacaaabaacaa')
  const fractions = hostsOf([0.5, 0.25])
  expect(orderOf(fractions, pickerOf(fractions), 6)).toBe('abaaba')
})

it('begins with any of them: a thousand processes that start do not all call the first one', () => {
  const random = seededRandom(1)
  const hosts = hostsOf([1, 1, 1, 1])
  const counts = [0, 0, 0, 0]
  for (let process = 0; process < 1_000; process++) {
    const at = hosts.indexOf(pickerOf(hosts, random.next).pick(plainCall) as Host)
    counts[at] = (counts[at] as number) + 1
  }
  for (const count of counts) expect(count).toBeGreaterThan(200)
})

it('exact after each round, and never a whole call away from the share before', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
      fc.constantFrom(1, 0.1, 3.7),
      (whole, scale) => {
        const hosts = hostsOf(whole.map((weight) => weight * scale))
        const picker = pickerOf(hosts)
        const counts = new Map<Host, number>(hosts.map((host) => [host, 0]))
        const round = whole.reduce((sum, weight) => sum + weight, 0)
        for (let call = 1; call <= 2 * round; call++) {
          const host = picker.pick(plainCall) as Host
          counts.set(host, (counts.get(host) as number) + 1)
          for (const [at, one] of hosts.entries()) {
            const share = (call * (whole[at] as number)) / round
            expect(Math.abs((counts.get(one) as number) - share)).toBeLessThan(1 + 1e-6)
          }
        }
        expect([...counts.values()]).toEqual(whole.map((weight) => 2 * weight))
      },
    ),
    { numRuns: 60 },
  )
})

it('changes of weights and hosts, however many, do not begin anew with the same host', () => {
  const hosts = hostsOf([1, 1, 1, 1])
  const picker = pickerOf(hosts)
  const counts = new Map<Host, number>()
  for (let call = 0; call < 4_000; call++) {
    // As a host in slow start has it: a little more each time.
    const [first] = hosts as [Host]
    first.warmth = 0.1 + (0.9 * call) / 4_000
    picker.update(hosts)
    const host = picker.pick(plainCall) as Host
    counts.set(host, (counts.get(host) ?? 0) + 1)
  }
  // The average of w / (3 + w) for w from 0.1 to 1 is 0.152.
  const [first, ...others] = hosts.map((host) => counts.get(host) as number) as [number, ...number[]]
  expect(Math.abs(first - 608)).toBeLessThan(15)
  for (const other of others) expect(Math.abs(other - (4_000 - first) / 3)).toBeLessThan(5)
})

it('one that was away has nothing to catch up', () => {
  const hosts = hostsOf([1, 1, 1])
  const picker = pickerOf(hosts)
  picker.update(hosts.slice(1))
  for (let call = 0; call < 1_000; call++) picker.pick(plainCall)
  picker.update(hosts)
  expect(orderOf(hosts, picker, 9).replaceAll(/[^a]/g, '')).toBe('aaa')
})
