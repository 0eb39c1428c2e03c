// What a bad host costs under load, and how it comes back: in virtual time, with models of servers.
import {
  attemptTimeout,
  type BalanceOptions,
  balance,
  compose,
  type HostChange,
  type Layers,
  retry,
} from 'roundtripper'
import { seededRandom } from 'roundtripper/testing'
import { Dispatcher } from 'undici'
import { describe, expect, it } from 'vitest'
import { type CallRecord, inWorld, ModelServer, OpenLoop, type Outage, type VirtualClock } from './world.ts'

const hostCount = 5
const serviceTime = 20
/** Calls a second, of all hosts together. */
const rate = 500
const share = rate / hostCount

/** Several servers, each at an origin of its own; and how many calls each of them has, and had. */
class Hosts extends Dispatcher {
  readonly servers: ModelServer[]
  readonly origins: string[]
  readonly sent: number[]
  /** When calls were sent to the first one. */
  readonly sentToFirst: number[] = []

  constructor(clock: VirtualClock) {
    super()
    const make = () => new ModelServer({ clock, workers: 100, serviceTime: () => serviceTime })
    this.servers = Array.from({ length: hostCount }, make)
    this.origins = this.servers.map((_, at) => `http://host-${at}.test`)
    this.sent = this.servers.map(() => 0)
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const at = this.origins.indexOf(String(opts.origin))
    this.sent[at] = (this.sent[at] ?? 0) + 1
    if (at === 0) this.sentToFirst.push(performance.now())
    return (this.servers[at] as ModelServer).dispatch(opts, handler)
  }
}

interface Played {
  readonly records: readonly CallRecord[]
  readonly steps: readonly (HostChange & { readonly at: number })[]
  /** When calls were sent to the bad host. */
  readonly sent: readonly number[]
}

const badFrom = 2_000

interface Setting {
  readonly outage: Outage
  /** Milliseconds after which the host works again. */
  readonly badFor?: number
  readonly until?: number
  readonly options?: Partial<BalanceOptions>
  readonly above?: Layers
}

/** The first of five hosts goes bad after two seconds. */
function play({ outage, badFor = 1e9, until = 20_000, options = {}, above = [] }: Setting): Promise<Played> {
  return inWorld(async (clock) => {
    const random = seededRandom(7)
    const hosts = new Hosts(clock)
    const steps: (HostChange & { at: number })[] = []
    const layer = balance({
      hosts: hosts.origins,
      algorithm: 'roundRobin',
      random: () => random.next(),
      onHostChange: (step) => void steps.push({ ...step, at: performance.now() - began }),
      ...options,
    })
    const dispatcher = compose(hosts, above, layer, attemptTimeout(250))
    const began = performance.now()
    const load = new OpenLoop({ clock, random, dispatcher, patience: 10_000, rate })
    await clock.run(badFrom)
    const bad = hosts.servers[0] as ModelServer
    bad.outage = outage
    await clock.run(Math.min(badFor, until - badFrom))
    bad.outage = null
    await clock.run(Math.max(0, until - badFrom - badFor))
    load.stop()
    bad.outage = null
    await clock.run(10_000)
    expect(Object.values(layer.state()).map(({ inFlight }) => inFlight)).toEqual([0, 0, 0, 0, 0])
    const records = load.records.map((call) => ({ ...call, at: call.at - began }))
    return { records, steps, sent: hosts.sentToFirst.map((at) => at - began) }
  })
}

const bad = ({ records }: Played) => records.filter(({ result }) => result !== 200)
const ejectedAt = ({ steps }: Played) => steps.find(({ to }) => to === 'ejected')?.at ?? Number.POSITIVE_INFINITY

describe('one dead host of five, under load', () => {
  it('that refuses connections costs no caller anything', async () => {
    const played = await play({ outage: 'refuse' })
    expect(bad(played)).toEqual([])
    expect(ejectedAt(played) - badFrom).toBeLessThan(200)
    // Those that notice it, and those that were on their way by then.
    expect(played.sent.filter((at) => at >= badFrom).length).toBeLessThanOrEqual(7)
  })

  it.each([
    ['answers 500', 500 as const, 7],
    // Each takes 250 ms to fail, in which 25 more are sent.
    ['hangs', 'hang' as const, 5 + share / 4 + 10],
  ])('that %s costs those calls that notice it, and those under way by then', async (_name, outage, most) => {
    const played = await play({ outage })
    const found = bad(played)
    expect(found.length).toBeGreaterThanOrEqual(5)
    expect(found.length).toBeLessThanOrEqual(most)
    for (const { at } of found) expect(at).toBeLessThanOrEqual(ejectedAt(played))
    expect(played.sent.filter((at) => at > ejectedAt(played))).toEqual([])
  })

  it('with retry() above costs nobody an answer', async () => {
    for (const outage of ['hang', 500] as const) {
      const played = await play({ outage, above: retry({ backoff: 1, random: () => 0.5 }) })
      expect(bad(played)).toEqual([])
    }
  })
})

describe('a host that comes back', () => {
  const settings = { badFor: 20_000, until: 60_000, options: { ejection: { jitter: 0 } } } as const

  it('gets one probe, then a share that grows', async () => {
    const played = await play({ outage: 500, ...settings })
    const { steps, sent } = played
    expect(steps.map(({ to, reason }) => `${to} ${reason}`)).toEqual([
      'ejected consecutiveFailures',
      'probing time',
      'in recovered',
    ])
    const [out, probing, back] = steps.map(({ at }) => at) as [number, number, number]
    expect(probing - out).toBeGreaterThanOrEqual(30_000)
    const between = (from: number, to: number) => sent.filter((at) => at > from && at <= to).length
    expect(between(out, back)).toBe(1)
    // A tenth of its share at first, and all of it ten seconds later.
    expect(between(back, back + 1_000)).toBeLessThanOrEqual(0.2 * share)
    expect(between(back + 4_000, back + 5_000)).toBeLessThan(0.8 * share)
    expect(between(back + 11_000, back + 12_000)).toBeGreaterThan(0.7 * share)
  })

  it('has few calls at once in its first second', async () => {
    const { steps, sent } = await play({ outage: 500, ...settings })
    const back = steps.find(({ to }) => to === 'in')?.at as number
    const first = sent.filter((at) => at > back && at <= back + 1_000)
    // Each is with it for as long as it works.
    const atOnce = first.map((at) => first.filter((other) => other <= at && other > at - serviceTime - 1).length)
    expect(Math.max(...atOnce)).toBeLessThanOrEqual(2)
  })

  it('is not the same moment for hosts that went together', async () => {
    const times = await inWorld(async (clock) => {
      const random = seededRandom(3)
      const hosts = new Hosts(clock)
      const back: number[] = []
      const layer = balance({
        hosts: hosts.origins,
        algorithm: 'roundRobin',
        random: () => random.next(),
        onHostChange: ({ to }) => {
          if (to === 'probing') back.push(performance.now())
        },
      })
      const load = new OpenLoop({ clock, random, dispatcher: compose(hosts, layer), patience: 10_000, rate })
      for (const server of hosts.servers.slice(0, 2)) server.outage = 503
      await clock.run(40_000)
      load.stop()
      await clock.run(10_000)
      return back.slice(0, 2)
    })
    expect(Math.abs((times[0] as number) - (times[1] as number))).toBeGreaterThan(100)
  })
})
