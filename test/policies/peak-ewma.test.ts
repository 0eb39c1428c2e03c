// The vectors are those of Finagle's P2CPeakEwmaTest.scala and of tower's load/peak_ewma.rs, which took it from there.
import { describe, expect, it } from 'vitest'
import type { Host } from '../../src/policies/host.ts'
import { decayed, observed, PeakEwma } from '../../src/policies/peak-ewma.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { type Answer, drive, hostsOf, plainCall, sharesOf } from './balance-fixtures.ts'

const decayTime = 10_000

function pickerOf(hosts: readonly Host[], time = decayTime): PeakEwma {
  const picker = new PeakEwma(seededRandom(7).next, time)
  picker.update(hosts)
  return picker
}

// Nothing is under way any more.
function calm(hosts: readonly Host[]): void {
  for (const host of hosts) {
    host.inFlight = 0
    host.unanswered = 0
  }
}

function begin(host: Host, now: number): void {
  host.inFlight++
  if (host.unanswered++ === 0) host.heardAt = now
}

describe('what a call would cost', () => {
  it('decays while nothing is heard, as in tower: default_decay', () => {
    expect(decayed(10, 0, 1_000)).toBe(10)
    expect(decayed(10, 100, 1_000)).toBeCloseTo(9.048, 3)
    expect(decayed(10, 200, 1_000)).toBeCloseTo(8.187, 3)
  })

  it('follows a peak at once, and comes down over time, as in tower: compound_decay', () => {
    const [host] = hostsOf([1]) as [Host]
    const picker = pickerOf([host], 1_000)
    host.latency = 20
    const answer = (now: number, took: number) => {
      host.inFlight--
      host.unanswered--
      host.heardAt = now
      picker.answered(host, 'success', took, now)
    }
    expect(picker.costOf(host, 0)).toBe(20)
    begin(host, 100)
    expect(picker.costOf(host, 100)).toBeGreaterThan(20)
    begin(host, 200)
    expect(picker.costOf(host, 200)).toBeGreaterThan(40)
    answer(300, 200)
    expect(picker.costOf(host, 300)).toBe(400)
    answer(400, 200)
    expect(picker.costOf(host, 400)).toBe(200)
    expect(picker.costOf(host, 1_400)).toBeLessThan(100)
    expect(picker.costOf(host, 11_400)).toBeLessThan(0.1)
  })

  it('below the average the new one counts for the time that has gone by', () => {
    // e^-1 of the old one, after as long as the decay time.
    expect(observed(100, decayTime, 50, decayTime)).toBeCloseTo(50 + 50 / Math.E, 6)
    expect(observed(100, 0, 50, decayTime)).toBe(100)
    expect(observed(100, 5, 101, decayTime)).toBe(101)
  })

  it('of a host that owes answers it grows with the time since it gave one', () => {
    const [host] = hostsOf([1]) as [Host]
    const picker = pickerOf([host])
    begin(host, 0)
    calm([host])
    host.heardAt = 50
    picker.answered(host, 'success', 50, 50)
    begin(host, 60)
    begin(host, 1_000)
    expect(picker.costOf(host, 30_060)).toBe(30_000 * 3)
  })
})

describe('with many hosts, as in Finagle', () => {
  const others = (hosts: readonly Host[]) => hosts.slice(0, -1)

  it('balances evenly across identical nodes', () => {
    const hosts = hostsOf(new Array(20).fill(1))
    const picked = drive(pickerOf(hosts), 20_000, 100, () => ({ took: 5 }))
    for (const share of sharesOf(picked, hosts)) expect(Math.abs(share - 0.05)).toBeLessThan(0.003)
  })

  it('probes a node without latency history at most once', () => {
    const hosts = hostsOf(new Array(21).fill(1))
    const slow = hosts.at(-1) as Host
    const picker = pickerOf(others(hosts))
    drive(picker, 1_000, 20, () => ({ took: 1 }))
    calm(hosts)
    picker.update(hosts)
    const picked = drive(picker, 20_000, 100, (host) => ({ took: host === slow ? 1e9 : 1 }))
    expect(picked.filter((host) => host === slow)).toHaveLength(1)
  })

  it('a node that takes twice as long gets half as much, by calls under way', () => {
    const hosts = hostsOf(new Array(11).fill(1))
    const slow = hosts.at(-1) as Host
    const picked = drive(pickerOf(hosts), 20_000, 200, (host) => ({ took: host === slow ? 80 : 40 }))
    const shares = sharesOf(picked, hosts)
    const usual = others(hosts).length
    const mean = shares.slice(0, -1).reduce((sum, share) => sum + share, 0) / usual
    // Latency times calls under way is what is made equal: half of the calls under way, so a quarter of the calls.
    expect((shares.at(-1) as number) / mean).toBeGreaterThan(0.15)
    expect((shares.at(-1) as number) / mean).toBeLessThan(0.5)
  })
})

describe('failures', () => {
  it.each([
    ['at once', 0.1],
    ['after a while', 400],
  ])('a host that fails %s does not attract calls', (_, took) => {
    const hosts = hostsOf([1, 1, 1, 1, 1])
    const [bad] = hosts as [Host]
    const answer: Answer = (host) => (host === bad ? { took, failed: true } : { took: 40 })
    for (const inFlight of [1, 20, 200]) {
      const picked = drive(pickerOf(hosts), 20_000, inFlight, answer)
      expect(picked.filter((host) => host === bad).length).toBeLessThan(200)
    }
  })

  it('one failure by chance costs a host about half of its calls, for a while', () => {
    const hosts = hostsOf([1, 1, 1, 1, 1])
    const picker = pickerOf(hosts)
    drive(picker, 1_000, 1, () => ({ took: 40 }))
    calm(hosts)
    const [unlucky] = hosts as [Host]
    const now = unlucky.latencyAt
    picker.answered(unlucky, 'serverError', 1, now)
    expect(unlucky.latency).toBeGreaterThan(70)
    expect(unlucky.latency).toBeLessThan(81)
    expect(picker.costOf(unlucky, now + 10_000)).toBeLessThan(40)
  })

  it('a group that fails as a whole does not become endlessly slow', () => {
    const hosts = hostsOf([1, 1])
    const picker = pickerOf(hosts)
    drive(picker, 100, 1, () => ({ took: 40 }))
    drive(picker, 10_000, 1, () => ({ took: 1, failed: true }))
    for (const { latency } of hosts) expect(latency).toBeLessThanOrEqual(4_000)
  })

  it('a call that was given up has taken at least so long', () => {
    const [host] = hostsOf([1]) as [Host]
    const picker = pickerOf([host])
    picker.answered(host, 'success', 40, 0)
    picker.answered(host, 'cancelled', 10, 0)
    expect(host.latency).toBe(40)
    picker.answered(host, 'cancelled', 900, 0)
    expect(host.latency).toBe(900)
    picker.answered(host, 'invalid', 5_000, 0)
    expect(host.latency).toBe(900)
  })
})

it('of one that comes back nothing is known: it gets one call, until that is answered', () => {
  const hosts = hostsOf([1, 1, 1, 1, 1])
  const [back] = hosts as [Host]
  const picker = pickerOf(hosts)
  drive(picker, 1_000, 5, () => ({ took: 40 }))
  calm(hosts)
  picker.update(hosts.slice(1))
  picker.update(hosts)
  const now = back.latencyAt + 60_000
  let picked = 0
  for (let call = 0; call < 1_000; call++) {
    const host = picker.pick(plainCall, now) as Host
    if (host === back) picked++
    begin(host, now)
    // The others answer at once.
    if (host !== back) {
      host.inFlight--
      host.unanswered--
      picker.answered(host, 'success', 40, now)
    }
  }
  expect(picked).toBe(1)
})
