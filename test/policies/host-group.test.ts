import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { OutcomeKind } from '../../src/policies/outcome.ts'
import { origins, plain, type Sent, unsafe, World } from './host-group-fixtures.ts'

const out = (world: World) => world.standings().filter((standing) => standing === 'ejected' || standing === 'probing')

/** Ejects a host, and lets its time go by. */
function sitOut(world: World, at = 0): void {
  world.call(at, 'serverError', 5)
  world.pass(30_000)
}

describe('a probe', () => {
  it('is one call at a time, and decides', () => {
    const world = new World(3)
    sitOut(world)
    expect(world.host(0).standing).toBe('probing')
    const probe = world.send()
    expect(probe.host).toBe(world.host(0))
    for (let call = 0; call < 4; call++) expect(world.send().host).not.toBe(world.host(0))
    world.answer(probe)
    expect(world.host(0).standing).toBe('in')
  })

  it('that hangs has failed when its lease is over, and what comes of it later is ignored', () => {
    const world = new World(3)
    sitOut(world)
    const probe = world.send()
    world.pass(29_999)
    expect(world.host(0).standing).toBe('probing')
    world.pass(1)
    expect(world.host(0)).toMatchObject({ standing: 'ejected', reason: 'lease', ejections: 2 })
    world.answer(probe, 'success')
    expect(world.host(0).standing).toBe('ejected')
    world.pass(60_000)
    const second = world.send()
    world.answer(probe, 'serverError')
    expect(world.host(0).standing).toBe('probing')
    world.answer(second)
    expect(world.host(0).standing).toBe('in')
  })

  it('is not decided by calls that were sent before the ejection', () => {
    const world = new World(3)
    const old = [1, 2, 3, 4, 5, 6].map(() => world.sendTo(world.host(0)))
    sitOut(world)
    const probe = world.send()
    world.answer(old[0] as Sent, 'success')
    expect(world.host(0).standing).toBe('probing')
    world.answer(probe, 'success')
    for (const sent of old.slice(1)) world.answer(sent, 'timeout')
    expect(world.host(0)).toMatchObject({ standing: 'in', consecutiveFailures: 0 })
  })

  it('is a call that may be repeated, or after a second any', () => {
    const world = new World(3)
    sitOut(world)
    expect(world.send(unsafe).host).not.toBe(world.host(0))
    world.now += 999
    expect(world.send(unsafe).host).not.toBe(world.host(0))
    world.now += 1
    expect(world.send(unsafe).host).toBe(world.host(0))
  })

  it('that tells nothing makes room for another, after a second', () => {
    const world = new World(3)
    sitOut(world)
    world.answer(world.send(), 'cancelled')
    expect(world.host(0).standing).toBe('probing')
    expect(world.send().host).not.toBe(world.host(0))
    world.now += 1_000
    expect(world.send().host).toBe(world.host(0))
  })

  it('is no attempt of a call that the host has failed already', () => {
    const world = new World(3)
    sitOut(world)
    expect(world.send({ ...plain, hasTried: (host) => host === world.host(0) }).host).not.toBe(world.host(0))
    expect(world.send().host).toBe(world.host(0))
  })

  it('that goes well brings its host back through slow start', () => {
    const world = new World(3, { slowStart: 10_000 })
    sitOut(world)
    world.answer(world.send())
    expect(world.host(0).weight).toBeCloseTo(0.1)
    world.pass(5_000)
    expect(world.host(0).weight).toBeCloseTo(0.5)
    world.pass(5_000)
    expect(world.host(0).weight).toBe(1)
  })

  it('waits for a health check that passes, where there are checks', () => {
    const world = new World(3, { health: { path: '/' } })
    sitOut(world)
    expect(world.host(0).standing).toBe('ejected')
    const result = { passed: true, status: 200, error: undefined, at: world.now }
    world.group.checked(world.host(0), { ...result, passed: false }, true)
    expect(world.host(0).standing).toBe('ejected')
    world.group.checked(world.host(0), result, true)
    expect(world.host(0).standing).toBe('probing')
  })
})

describe('panic', () => {
  it('calls all when too few can take calls, and what the ejected ones answer decides nothing', () => {
    const world = new World(4, { ejection: { maxEjected: 1 }, panicThreshold: 0.5 })
    world.call(0, 'serverError', 5)
    world.call(1, 'serverError', 5)
    expect(world.called(8)).toEqual([2, 3])
    world.call(2, 'serverError', 5)
    expect(world.group.isPanicking).toBe(true)
    expect(world.called(8)).toEqual([0, 1, 2, 3])
    world.call(0, 'success', 10)
    world.call(1, 'serverError', 10)
    expect(world.standings()).toEqual(['ejected', 'ejected', 'ejected', 'in'])
    expect(world.host(1)).toMatchObject({ ejections: 1, failures: 15 })
  })

  it('is over when enough can take calls again', () => {
    const world = new World(4, { ejection: { maxEjected: 1 } })
    for (const at of [0, 1, 2]) world.call(at, 'serverError', 5)
    world.pass(30_000)
    expect(world.standings()).toEqual(['probing', 'probing', 'probing', 'in'])
    world.answer(world.send())
    expect(world.group.isPanicking).toBe(false)
    expect(world.standings()).toEqual(['in', 'probing', 'probing', 'in'])
  })

  it('calls all when every health check fails, and none below a threshold of 0', () => {
    const world = new World(3, { health: { path: '/' } })
    const down = { passed: false, status: 503, error: undefined, at: world.now }
    for (const host of world.group.hosts) world.group.checked(host, down, false)
    expect(world.standings()).toEqual(['unhealthy', 'unhealthy', 'unhealthy'])
    expect(world.called(6)).toEqual([0, 1, 2])
    world.update({ panicThreshold: 0, health: { path: '/' } })
    expect(world.group.pick(plain, world.now)).toBeNull()
  })

  it('does not call hosts without a weight', () => {
    const hosts = origins(2).map((origin, at) => ({ origin, weight: 1 - at }))
    const world = new World(2, { hosts })
    world.call(0, 'serverError', 5)
    expect(world.called(4)).toEqual([0])
  })
})

it('bodies that break are a run of their own, which heads that are good do not end', () => {
  const world = new World(3)
  for (let call = 0; call < 5; call++) {
    const sent = world.sendTo(world.host(0))
    world.group.answered(sent.host, { kind: 'success' } as never, sent.epoch, world.now)
    expect(sent.host.standing).toBe('in')
    world.group.broke(sent.host, sent.epoch, world.now)
    world.group.ended(sent.host)
  }
  expect(world.host(0)).toMatchObject({ standing: 'ejected', reason: 'brokenBodies' })
})

it('a whole body ends a run of broken ones', () => {
  const world = new World(3)
  const host = world.host(0)
  for (let round = 0; round < 3; round++) {
    for (let call = 0; call < 4; call++) world.group.broke(host, host.epoch, world.now)
    world.group.delivered(host, host.epoch)
  }
  expect(host.standing).toBe('in')
})

it('other hosts, or other settings, do not begin the interval anew', () => {
  const world = new World(5, { ejection: { consecutiveFailures: false } })
  for (const at of [1, 2, 3, 4]) world.call(at, 'success', 100)
  world.call(0, 'serverError', 50)
  world.call(0, 'success', 50)
  world.pass(5_000)
  world.update({ hosts: origins(6), slowStart: 0, ejection: { consecutiveFailures: false } })
  world.pass(5_000)
  expect(world.host(0)).toMatchObject({ standing: 'ejected', reason: 'successShare' })
})

it('what was counted more than an interval ago is not judged', () => {
  const world = new World(5, { ejection: { consecutiveFailures: false } })
  for (const at of [0, 1, 2, 3, 4]) world.call(at, 'success', 100)
  for (let call = 0; call < 200; call++) world.call(0, 'serverError')
  world.pass(20_001)
  expect(out(world)).toEqual([])
})

it('ejection that is switched off brings all back, and so do health checks', () => {
  const world = new World(4, { health: { path: '/' } })
  world.call(0, 'serverError', 5)
  world.group.checked(world.host(1), { passed: false, status: 500, error: undefined, at: world.now }, false)
  expect(world.standings()).toEqual(['ejected', 'unhealthy', 'in', 'in'])
  world.update({ ejection: false, health: false })
  expect(world.standings()).toEqual(['in', 'in', 'in', 'in'])
})

it('a listener is told when all is as it is to be, and may change the group', () => {
  const seen: string[] = []
  const world: World = new World(3, {
    onHostChange: ({ host, to, reason }) => {
      seen.push(`${host} ${to} ${reason} ${world.host(0).standing}`)
      world.update({ panicThreshold: 0 })
    },
  })
  world.call(0, 'serverError', 5)
  expect(seen).toEqual(['http://host-0.test ejected consecutiveFailures ejected'])
})

// Everything that can happen to a group, in any order.
const kinds: readonly OutcomeKind[] = ['success', 'serverError', 'networkError', 'cancelled', 'shed', 'timeout']
const event = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('send'), isRepeatable: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant('answer'), at: fc.nat(), kind: fc.constantFrom(...kinds) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('fail'), at: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('pass'), time: fc.integer({ min: 1, max: 40_000 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('hosts'), from: fc.nat(3), count: fc.integer({ min: 0, max: 8 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('bound'), maxEjected: fc.constantFrom(0, 0.1, 0.34, 0.5, 1) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('check'), at: fc.nat(), passed: fc.boolean() }) },
)
type Event = {
  readonly type: string
  readonly at: number
  readonly kind: OutcomeKind
  readonly time: number
  readonly from: number
  readonly count: number
  readonly maxEjected: number
  readonly isRepeatable: boolean
  readonly passed: boolean
}

it('never are more hosts ejected or probed than the bound allows, whatever happens and whoever joins or leaves', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9)
  console.log(`ejection bound: seed ${seed}`)
  let most = 0
  const property = fc.property(fc.array(event, { maxLength: 200 }), fc.boolean(), (events, isChecked) => {
    let maxEjected = 0.5
    let hosts = origins(6)
    const options = () => ({
      hosts,
      ejection: { maxEjected, consecutiveFailures: 2 },
      health: isChecked ? { path: '/' } : (false as const),
    })
    const world = new World(6, options())
    const sent: Sent[] = []
    for (const given of events) {
      const one = given as Event
      const { group } = world
      if (one.type === 'send') {
        const host = group.pick({ ...plain, isRepeatable: one.isRepeatable }, world.now)
        if (host !== null) sent.push(world.sendTo(host))
      } else if (one.type === 'answer' && sent.length > 0) {
        world.answer(sent.splice(one.at % sent.length, 1)[0] as Sent, one.kind)
      } else if (one.type === 'fail' && group.hosts.length > 0) {
        const host = group.hosts[one.at % group.hosts.length] as Sent['host']
        for (let call = 0; call < 2; call++) world.answer(world.sendTo(host), 'serverError')
      } else if (one.type === 'pass') {
        world.pass(one.time)
      } else if (one.type === 'hosts') {
        hosts = origins(one.from + one.count).slice(one.from)
        world.update(options())
      } else if (one.type === 'bound') {
        maxEjected = one.maxEjected
        world.update(options())
      } else if (one.type === 'check' && isChecked && group.hosts.length > 0) {
        const host = group.hosts[one.at % group.hosts.length] as Sent['host']
        group.checked(host, { passed: one.passed, status: 200, error: undefined, at: world.now }, one.passed)
      }
      const count = out(world).length
      most = Math.max(most, count)
      if (group.hosts.length > 0)
        expect(count).toBeLessThanOrEqual(Math.max(1, Math.floor(group.hosts.length * maxEjected)))
      for (const { standing, isHealthy } of group.hosts) {
        if (standing === 'unhealthy') expect(isHealthy).toBe(false)
        if (standing === 'in' || standing === 'probing') expect(isHealthy).toBe(true)
      }
    }
    for (const one of sent) world.answer(one)
    for (const { inFlight } of world.group.hosts) expect(inFlight).toBe(0)
  })
  fc.assert(property, { seed, numRuns: 300 })
  expect(most).toBeGreaterThan(1)
})
