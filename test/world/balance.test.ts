// A group of modelled servers, one of them bad, under thousands of calls by chance: what docs/balance.md claims.
import { describe, expect, it } from 'vitest'
import { attemptTimeout, type BalanceAlgorithm, compose, retry } from '../../src/index.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { read } from '../house/files.ts'
import { algorithms, balancePage, callers, group, hostCount, makeHosts, play, table, withTable } from './balance.ts'
import { inWorld, type ModelServer } from './world.ts'

const playSlow = (algorithm: BalanceAlgorithm, seed: number) => play(algorithm, 'slow', { ejection: false }, seed)

it('the table of the page is what the command writes', async () => {
  const page = read(balancePage)
  expect(page).toBe(withTable(page, await table()))
}, 60_000)

it('with one slow host of five, peakEwma has at most half the p99 of round robin', async () => {
  const ratios: number[] = []
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const [quick, inTurns] = [await playSlow('peakEwma', seed), await playSlow('roundRobin', seed)]
    ratios.push(quick.p99 / inTurns.p99)
    expect(quick.p50).toBeLessThanOrEqual(inTurns.p50)
    expect(quick.failed + inTurns.failed).toBe(0)
  }
  console.log(`p99 of peakEwma over that of roundRobin, by seed: ${ratios.map((one) => one.toFixed(2)).join(' ')}`)
  expect(Math.max(...ratios)).toBeLessThan(0.55)
  expect(ratios.reduce((sum, one) => sum + one, 0) / ratios.length).toBeLessThan(0.5)
})

it('a host that fails at once, or hangs, draws no calls under peakEwma, without any ejection', async () => {
  for (const trouble of ['failing', 'hanging'] as const) {
    const { failed, calls } = await play('peakEwma', trouble)
    expect(failed / calls).toBeLessThan(0.002)
  }
})

it('a host that hangs costs no call, with an attempt timeout below and a retry above', async () => {
  await inWorld(async (clock) => {
    const hosts = makeHosts(clock, 4)
    const layer = group(hosts, 'peakEwma', { ejection: false })
    const again = retry({ random: seededRandom(3).next })
    const load = callers(clock, compose(hosts, again, layer, attemptTimeout(1_000)), 41)
    await clock.run(5_000)
    const hanging = hosts.servers.get(hosts.origins[0] as string) as ModelServer
    hanging.outage = 'hang'
    await clock.run(20_000)
    load.stop()
    await clock.run(10_000)
    const results = new Set(load.records.map(({ result }) => result))
    expect([...results]).toEqual([200])
    expect(load.records.filter(({ took }) => took >= 1_000).length).toBeLessThan(20)
  })
})

describe.each(algorithms)('%s', (algorithm) => {
  it('a dead host of five costs no call, and no attempt beyond those that have it ejected', async () => {
    const { failed, attempts } = await play(algorithm, 'dead', {})
    expect(failed).toBe(0)
    // Five failures eject it; the next ones may be on their way by then. After that, one probe.
    expect(attempts).toBeLessThanOrEqual(5 + 3)
  })

  it('a host that comes back grows into its share, and never has more than that', async () => {
    await inWorld(async (clock) => {
      const hosts = makeHosts(clock, 5)
      const [first] = hosts.origins as [string]
      const server = hosts.servers.get(first) as ModelServer
      const layer = group(hosts, algorithm, {
        ejection: { consecutiveFailures: 1, ejectionTime: 10_000 },
        slowStart: 10_000,
      })
      const load = callers(clock, compose(hosts, layer), 31)
      await clock.run(5_000)
      server.outage = 500
      await clock.run(5_000)
      expect(layer.state()[first]?.standing).toBe('ejected')
      server.outage = null
      while (layer.state()[first]?.standing !== 'in') await clock.run(10)
      const shares: number[] = []
      const inFlight: number[] = []
      const calls = () => hosts.origins.map((origin) => layer.state()[origin]?.calls ?? 0)
      for (let second = 0; second < 14; second++) {
        const before = calls()
        await clock.run(1_000)
        const made = calls().map((count, at) => count - (before[at] as number))
        shares.push((made[0] as number) / made.reduce((sum, one) => sum + one, 0))
        inFlight.push(layer.state()[first]?.inFlight ?? 0)
      }
      load.stop()
      await clock.run(10_000)
      const fair = 1 / hostCount
      console.log(algorithm, shares.map((share) => share.toFixed(3)).join(' '), inFlight.join(' '))
      // By the weight it has by then, with as much again as chance may add in a second of 400 calls.
      for (const [second, share] of shares.entries()) {
        const warmth = Math.min(1, (second + 1) / 10)
        expect(share).toBeLessThan(warmth / (hostCount - 1 + warmth) + 0.06)
      }
      expect(shares[0] as number).toBeLessThan(fair / 3)
      expect(shares.slice(10).reduce((sum, share) => sum + share, 0) / 4).toBeGreaterThan(0.75 * fair)
    })
  })
})
