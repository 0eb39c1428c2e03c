// Hosts that are looked up, and hosts that change while calls are under way; on real servers.
import {
  type BalanceOptions,
  balance,
  bulkhead,
  deadline,
  type HostAnswer,
  type HostFunction,
  NoHostError,
  retry,
} from 'roundtripper'
import { type Gate, gate, type Protocol, seededRandom, type TestServer } from 'roundtripper/testing'
import { Agent } from 'undici'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, send, serve, stopClock, turns } from './retry-servers.ts'

const name = 'http://users'

function serveMany(count: number, protocol: Protocol): Promise<TestServer[]> {
  return Promise.all(Array.from({ length: count }, (_, at) => serve({ protocol, respond: { body: `host ${at}` } })))
}

function group(hosts: BalanceOptions['hosts'], options: Partial<BalanceOptions> = {}) {
  return balance({ algorithm: 'roundRobin', random: () => 0, slowStart: 0, name: 'users', hosts, ...options })
}

/** Look-ups whose answers the test gives. */
function asked() {
  const lookUps: { answer(hosts: HostAnswer): void; fail(error: Error): void }[] = []
  const hosts: HostFunction = () =>
    new Promise((resolve, reject) => {
      lookUps.push({ answer: resolve, fail: reject })
    })
  return { hosts, lookUps }
}

function warnings() {
  const seen: (Error & { code?: string })[] = []
  const note = (warning: Error) => void seen.push(warning)
  process.on('warning', note)
  onTestFinished(() => void process.off('warning', note))
  return seen
}

describe.each(protocols)('over $version', ({ protocol }) => {
  it('hosts come from a function, asked again when their time is over', async () => {
    const servers = await serveMany(2, protocol)
    let current = servers[0]?.origin as string
    const hosts = vi.fn(async () => [current])
    const chain = chainTo(servers[0] as TestServer, group(hosts, { refresh: 1_000 }))
    const clock = stopClock()
    expect((await call(chain, name)).text).toBe('host 0')
    current = servers[1]?.origin as string
    await clock.advance(999)
    expect((await call(chain, name)).text).toBe('host 0')
    expect(hosts).toHaveBeenCalledTimes(1)
    await clock.advance(1)
    expect((await call(chain, name)).text).toBe('host 0')
    expect((await call(chain, name)).text).toBe('host 1')
    expect(hosts).toHaveBeenCalledTimes(2)
  })

  it('17: calls wait for the first list; one that is aborted meanwhile settles at once, and nothing is sent for it', async () => {
    const [server] = (await serveMany(1, protocol)) as [TestServer]
    const { hosts, lookUps } = asked()
    const slots = bulkhead({ limit: 1 })
    const chain = chainTo(server, retry(quick), group(hosts), slots)
    const abort = new AbortController()
    const aborted = errorOf(send(chain, `${name}/aborted`, { signal: abort.signal }))
    const waiting = call(chain, `${name}/waiting`, { method: 'POST', body: 'x' })
    await turns()
    abort.abort(new Error('changed my mind'))
    expect(await aborted).toMatchObject({ message: 'changed my mind' })
    expect(lookUps).toHaveLength(1)
    lookUps[0]?.answer([server.origin])
    expect((await waiting).text).toBe('host 0')
    expect(server.requests.map(({ path }) => path)).toEqual(['/waiting'])
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
  })

  it('a deadline bounds the wait for the first list', async () => {
    const [server] = (await serveMany(1, protocol)) as [TestServer]
    const { hosts, lookUps } = asked()
    const chain = chainTo(server, deadline(50), group(hosts))
    const clock = stopClock()
    const late = errorOf(send(chain, name))
    await turns()
    await clock.advance(50)
    expect(await late).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    lookUps[0]?.answer([server.origin])
    await turns()
    expect(server.requests).toEqual([])
    expect((await call(chain, name)).text).toBe('host 0')
  })

  it('what cannot be looked up at first fails the call and says why; later it leaves what is known, with one warning', async () => {
    const [server] = (await serveMany(1, protocol)) as [TestServer]
    const seen = warnings()
    let answer: () => unknown = () => Promise.reject(new Error('no route'))
    const layer = group((() => answer()) as HostFunction, { refresh: 1_000 })
    const chain = chainTo(server, retry(quick), layer)
    const clock = stopClock()
    const error = await errorOf(call(chain, name))
    expect(error).toBeInstanceOf(NoHostError)
    expect(error).toMatchObject({
      message: 'No host of users to call: no route',
      cause: { message: 'no route' },
      origin: name,
    })
    await clock.advance(100)
    answer = () => [server.origin]
    expect((await call(chain, name)).text).toBe('host 0')
    answer = () => [`${server.origin}/path`]
    for (let at = 0; at < 5; at++) {
      await clock.advance(6_000)
      expect((await call(chain, name)).text).toBe('host 0')
    }
    await turns()
    expect(seen.map(({ code }) => code)).toEqual(['ROUNDTRIPPER_HOSTS_STALE'])
    expect(seen[0]?.message).toContain(`hosts[0]: origin must be an http(s) origin`)
    expect(Object.keys(layer.state())).toEqual([server.origin])
  })

  // Each server answers a call when the test says so: most calls are under way while hosts come and go.
  it('hosts come and go by chance while hundreds of calls are under way: each is answered, none twice', async () => {
    const seed = 20261126
    const random = seededRandom(seed)
    const count = 5
    const gates: Gate[] = []
    const servers = await serveMany(count, protocol)
    for (const [at, server] of servers.entries()) {
      server.script('*', async ({ path }) => {
        if (Number(path.slice(1)) % 2 === 0) return { body: `host ${at}` }
        const held = gate()
        gates.push(held)
        await held.promise
        return { body: `host ${at}` }
      })
    }
    const some = (): string[] => {
      const picked = servers.filter(() => random.chance(0.5)).map(({ origin }) => origin)
      return picked.length > 0 ? picked : [random.pick(servers).origin]
    }
    const layer = group(some())
    const chain = chainTo(servers[0] as TestServer, layer)
    const calls: Promise<{ readonly status: number }>[] = []
    let looked = 0
    for (let at = 0; at < 400; at++) {
      const unsafe = random.chance(0.5)
      calls.push(call(chain, `${name}/${at}`, unsafe ? { method: 'POST', body: `${at}` } : {}))
      if (random.chance(0.2)) {
        const form = random.integer(0, 2)
        if (form === 0) layer.update({ hosts: some() })
        else if (form === 1) layer.update({ hosts: () => some(), refresh: 1 })
        else {
          const hosts = some()
          layer.update({ hosts: { resolve: async () => ({ hosts, ttl: ++looked % 3 }) } })
        }
      }
      if (random.chance(0.2)) await turns(1)
      if (random.chance(0.3)) gates.splice(random.integer(0, gates.length), 1)[0]?.open()
    }
    const all = Promise.all(calls)
    let isOver = false
    all.finally(() => {
      isOver = true
    })
    while (!isOver) {
      for (const held of gates.splice(0)) held.open()
      await turns(1)
    }
    expect((await all).map(({ status }) => status).filter((status) => status !== 200)).toEqual([])
    const paths = servers.flatMap(({ requests }) => requests.map(({ path }) => path))
    expect(paths.toSorted(), `seed ${seed}`).toEqual(calls.map((_, at) => `/${at}`).toSorted())
    expect(servers.every(({ requests }) => requests.length > 0)).toBe(true)
    layer.update({ hosts: servers.map(({ origin }) => origin) })
    expect(Object.values(layer.state()).map(({ inFlight }) => inFlight)).toEqual([0, 0, 0, 0, 0])
  })
})

it('update takes a list, a function and a source, in the place of each other', async () => {
  const servers = await serveMany(3, 'h1c')
  const origins = servers.map(({ origin }) => origin)
  const layer = group([origins[0] as string])
  const chain = chainTo(servers[0] as TestServer, layer)
  expect((await call(chain, name)).text).toBe('host 0')
  layer.update({ hosts: () => [origins[1] as string] })
  expect((await call(chain, name)).text).toBe('host 1')
  layer.update({ hosts: { name: 'two', resolve: async () => ({ hosts: [origins[2] as string], ttl: 10 }) } })
  expect((await call(chain, name)).text).toBe('host 2')
  layer.update({ hosts: [origins[0] as string] })
  expect((await call(chain, name)).text).toBe('host 0')
  expect(() => layer.update({ hosts: { resolve: 1 } as never })).toThrow('balance: hosts must be a list of hosts')
  expect(() => layer.update({ refresh: 0 })).toThrow('balance: refresh must be')
  expect((await call(chain, name)).text).toBe('host 0')
})

it('an update of something else does not look up again; calls that wait go to the source that comes', async () => {
  const servers = await serveMany(2, 'h1c')
  const { hosts, lookUps } = asked()
  const layer = group(hosts)
  const chain = chainTo(servers[0] as TestServer, layer)
  const waiting = call(chain, name)
  await turns()
  layer.update({ panicThreshold: 0 })
  expect(lookUps).toHaveLength(1)
  layer.update({ hosts: async () => [servers[1]?.origin as string] })
  expect((await waiting).text).toBe('host 1')
  lookUps[0]?.answer([servers[0]?.origin as string])
  await turns()
  expect((await call(chain, name)).text).toBe('host 1')
})

it('46: close() waits for calls that wait for hosts, destroy() fails them', async () => {
  const [server] = (await serveMany(1, 'h1c')) as [TestServer]
  const { hosts, lookUps } = asked()
  const closing = chainTo(server, group(hosts))
  const served = call(closing, name)
  await turns()
  const closed = closing.close()
  lookUps[0]?.answer([server.origin])
  expect((await served).text).toBe('host 0')
  await closed
  const destroyed = chainTo(server, group(asked().hosts))
  const failed = errorOf(call(destroyed, name))
  await turns()
  await destroyed.destroy()
  expect(await failed).toMatchObject({ code: 'UND_ERR_DESTROYED' })
})

it('48: hosts that are looked up work alone in agent.compose', async () => {
  const [server] = (await serveMany(1, 'h1c')) as [TestServer]
  const { hosts, lookUps } = asked()
  const agent = new Agent()
  onTestFinished(() => agent.destroy())
  const chain = agent.compose(group(hosts))
  const first = call(chain, name)
  await turns()
  lookUps[0]?.answer([server.origin])
  expect((await first).text).toBe('host 0')
  expect((await call(chain, name)).text).toBe('host 0')
})

it('a group of a source is called by its name, where it has no other', async () => {
  const chain = chainTo({}, balance({ hosts: { name: 'consul', resolve: () => [] } }))
  expect(await errorOf(call(chain, name))).toMatchObject({
    code: 'ERR_NO_HOST',
    message: 'No host of consul to call: the list of hosts is empty',
  })
})

it('a host that leaves while it is ejected, or is called, comes back as it was; one at rest comes as a new one', async () => {
  const [one, two] = (await serveMany(2, 'h1c')) as [TestServer, TestServer]
  const layer = group([one.origin, two.origin], { ejection: { consecutiveFailures: 1 } })
  const chain = chainTo(one, layer)
  one.script('*', [503, 200])
  expect((await call(chain, name)).status).toBe(503)
  const held = gate()
  two.script('*', async () => {
    await held.promise
    return 200
  })
  const slow = call(chain, name)
  await two.until(() => two.requests.length === 1)
  layer.update({ hosts: ['http://127.0.0.1:1'] })
  layer.update({ hosts: [one.origin, two.origin] })
  expect(layer.state()).toMatchObject({
    [one.origin]: { standing: 'ejected', failures: 1 },
    [two.origin]: { inFlight: 1, calls: 1 },
  })
  held.open()
  expect((await slow).status).toBe(200)
  expect(layer.state()[two.origin]).toMatchObject({ inFlight: 0 })
  layer.update({ hosts: [one.origin] })
  layer.update({ hosts: [one.origin, two.origin] })
  expect(layer.state()[two.origin]).toMatchObject({ calls: 0 })
})

it('weight of a host that stays holds for the calls that follow', async () => {
  const [one, two] = (await serveMany(2, 'h1c')) as [TestServer, TestServer]
  const layer = group([one.origin, two.origin])
  const chain = chainTo(one, layer)
  layer.update({ hosts: [{ origin: one.origin, weight: 0 }, two.origin] })
  expect(layer.state()[one.origin]).toMatchObject({ weight: 0 })
  expect((await call(chain, name)).status).toBe(200)
  layer.update({ hosts: [{ origin: one.origin, authority: 'users.test' }] })
  await call(chain, name)
  expect(one.requests.at(-1)?.headers.host).toBe('users.test')
})
