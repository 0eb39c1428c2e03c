// Groups that ask their hosts how they are; on real servers, with the clock in the test's hand.
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  attemptTimeout,
  type BalanceOptions,
  balance,
  bulkhead,
  circuitBreaker,
  compose,
  createAgent,
  type HealthOptions,
  logging,
  retry,
  route,
} from 'roundtripper'
import type { TestServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, chainTo, eventually, protocols, serveMany, stopClock, turns } from './retry-servers.ts'

const name = 'http://users'
const healthy = { '/healthz': 204 } as const

// Half of all jitter: the first check comes after half an interval, the others at its end.
const half = () => 0.5

function group(
  servers: readonly TestServer[],
  health: Partial<HealthOptions> = {},
  more: Partial<BalanceOptions> = {},
) {
  const hosts = servers.map(({ origin }) => origin)
  return balance({
    hosts,
    algorithm: 'roundRobin',
    slowStart: 0,
    random: half,
    health: { path: '/healthz', ...health },
    ...more,
  })
}

const checksOf = (server: TestServer) => server.count('/healthz')

/** Lets time go by, and every check that falls due come to its end. */
async function goOn(
  clock: ReturnType<typeof stopClock>,
  milliseconds: number,
  servers: readonly TestServer[],
  count: number,
) {
  await clock.advance(milliseconds)
  await eventually(() => servers.every((server) => checksOf(server) >= count))
  await turns(30)
}

describe.each(protocols)('health checks over $version', ({ protocol }) => {
  it('begin with the first call, within an interval, and then come once in each', async () => {
    const clock = stopClock()
    const servers = await serveMany(2, protocol, healthy)
    const layer = group(servers)
    const chain = chainTo(servers[0] as TestServer, layer)
    await clock.advance(60_000)
    expect(servers.map(checksOf)).toEqual([0, 0])
    await call(chain, `${name}/`)
    await clock.advance(4_999)
    await turns(30)
    expect(servers.map(checksOf)).toEqual([0, 0])
    await goOn(clock, 1, servers, 1)
    await clock.advance(9_999)
    await turns(30)
    expect(servers.map(checksOf)).toEqual([1, 1])
    await goOn(clock, 1, servers, 2)
    expect(servers.map(checksOf)).toEqual([2, 2])
    expect(layer.state()[servers[1]?.origin as string]?.lastCheck).toMatchObject({ passed: true, status: 204 })
  })

  it('take a host out after three failures, and back after two that pass', async () => {
    const clock = stopClock()
    const servers = await serveMany(3, protocol, healthy)
    const sick = servers[1] as TestServer
    const layer = group(servers)
    const chain = chainTo(sick, layer)
    const view = () => layer.state()[sick.origin]
    await call(chain, `${name}/`)
    sick.script('/healthz', 503)
    await goOn(clock, 5_000, servers, 1)
    await goOn(clock, 10_000, servers, 2)
    expect(view()).toMatchObject({ standing: 'in', isHealthy: true, lastCheck: { passed: false, status: 503 } })
    await goOn(clock, 10_000, servers, 3)
    expect(view()).toMatchObject({ standing: 'unhealthy', reason: 'health', isHealthy: false })
    const texts: string[] = []
    for (let at = 0; at < 4; at++) texts.push((await call(chain, `${name}/`)).text)
    expect(new Set(texts)).toEqual(new Set(['host 0', 'host 2']))
    sick.script('/healthz', 200)
    await goOn(clock, 10_000, servers, 4)
    expect(view()?.standing).toBe('unhealthy')
    await goOn(clock, 10_000, servers, 5)
    expect(view()).toMatchObject({ standing: 'in', isHealthy: true })
  })

  it('do not pass through the layers: nothing counts, limits, or logs them', async () => {
    const clock = stopClock()
    const servers = await serveMany(2, protocol, healthy)
    const [breaker, slots] = [circuitBreaker(), bulkhead({ limit: 1, queue: 0 })]
    const lines: unknown[] = []
    const write = (record: unknown) => void lines.push(record)
    const logger = { debug: write, info: write, warn: write }
    const layer = group(servers, { unhealthyThreshold: 1, expect: [200] })
    const chain = chainTo(servers[0] as TestServer, logging({ logger }), layer, breaker, slots, attemptTimeout())
    await call(chain, `${name}/`)
    await call(chain, `${name}/`)
    for (const server of servers) server.script('*', { hang: 'head' })
    const aborter = new AbortController()
    const hanging = [1, 2].map(() => call(chain, `${name}/`, { signal: aborter.signal }).catch(() => {}))
    await eventually(() => servers.every(({ requests }) => requests.length === 2))
    const written = lines.length
    await goOn(clock, 5_000, servers, 1)
    expect(Object.values(layer.state()).map(({ standing }) => standing)).toEqual(['unhealthy', 'unhealthy'])
    expect(lines).toHaveLength(written)
    for (const view of Object.values(breaker.state())) expect(view).toMatchObject({ calls: 1, failures: 0 })
    for (const view of Object.values(slots.state())) expect(view).toMatchObject({ inUse: 1, refused: 0 })
    aborter.abort()
    await Promise.all(hanging)
  })

  it('fail when the answer takes too long, breaks off, or is not what is expected', async () => {
    const clock = stopClock()
    const servers = await serveMany(4, protocol, healthy)
    const [hangs, breaks, other, long] = servers as [TestServer, TestServer, TestServer, TestServer]
    hangs.script('/healthz', { hang: 'head' })
    breaks.script('/healthz', { body: 'x'.repeat(100), reset: 'in-body' })
    other.script('/healthz', { status: 200, headers: { 'x-state': 'draining' } })
    long.script('/healthz', { body: 'x'.repeat(500_000), headers: { 'x-state': 'ok' } })
    const layer = group(servers, { expect: (status, headers) => status === 200 && headers['x-state'] !== 'draining' })
    const chain = chainTo(hangs, layer)
    await call(chain, `${name}/`)
    await goOn(clock, 5_000, servers, 1)
    await goOn(clock, 2_000, servers, 1)
    const found = () => servers.map(({ origin }) => layer.state()[origin]?.lastCheck)
    await eventually(() => found().every((check) => check !== null))
    expect(found()).toMatchObject([
      { passed: false, status: undefined, error: 'timeout' },
      { passed: false, status: 200, error: expect.any(String) },
      { passed: false, status: 200, error: undefined },
      { passed: true, status: 200, error: undefined },
    ])
  })

  it('are so many at once at most', async () => {
    const clock = stopClock()
    const servers = await serveMany(5, protocol, healthy)
    for (const server of servers) server.script('/healthz', { hang: 'head' })
    const layer = group(servers, { concurrency: 2, timeout: 1_000 })
    const chain = chainTo(servers[0] as TestServer, layer)
    await call(chain, `${name}/`)
    const asked = () => servers.reduce((sum, server) => sum + checksOf(server), 0)
    await clock.advance(5_000)
    await eventually(() => asked() === 2)
    await turns(50)
    expect(asked()).toBe(2)
    await clock.advance(1_000)
    await eventually(() => asked() === 4)
    await clock.advance(1_000)
    await eventually(() => asked() === 5)
  })

  it('stop when nobody has called for ten intervals, and begin again with a call', async () => {
    const clock = stopClock()
    const servers = await serveMany(1, protocol, healthy)
    const [server] = servers as [TestServer]
    const chain = chainTo(server, group(servers, { interval: 1_000 }))
    await call(chain, `${name}/`)
    for (let at = 0; at < 15; at++) {
      await clock.advance(1_000)
      await turns(30)
    }
    const count = checksOf(server)
    expect(count).toBeGreaterThanOrEqual(9)
    expect(count).toBeLessThanOrEqual(11)
    await call(chain, `${name}/`)
    await goOn(clock, 500, servers, count + 1)
    expect(checksOf(server)).toBe(count + 1)
  })

  it('stop with the chain: one that is closed or destroyed asks nobody', async () => {
    const clock = stopClock()
    for (const way of ['close', 'destroy'] as const) {
      const servers = await serveMany(1, protocol, healthy)
      const [server] = servers as [TestServer]
      const chain = chainTo(server, group(servers))
      await call(chain, `${name}/`)
      await goOn(clock, 5_000, servers, 1)
      await chain[way]()
      await clock.advance(60_000)
      await turns(30)
      expect(checksOf(server)).toBe(1)
    }
  })

  it('follow the hosts of the group, and end with the option', async () => {
    const clock = stopClock()
    const servers = await serveMany(3, protocol, healthy)
    const [one, two, three] = servers as [TestServer, TestServer, TestServer]
    const layer = group([one, two])
    const chain = chainTo(one, layer)
    await call(chain, `${name}/`)
    layer.update({ hosts: [two.origin, three.origin] })
    await goOn(clock, 5_000, [two, three], 1)
    expect(servers.map(checksOf)).toEqual([0, 1, 1])
    layer.update({ health: false })
    await clock.advance(30_000)
    await turns(30)
    expect(servers.map(checksOf)).toEqual([0, 1, 1])
  })

  it('are asked before a call probes a host that was ejected', async () => {
    const clock = stopClock()
    const servers = await serveMany(3, protocol, healthy)
    const sick = servers[1] as TestServer
    // Not often enough to make it unhealthy.
    const layer = group(servers, { unhealthyThreshold: 100 }, { ejection: { ejectionTime: 12_000, jitter: 0 } })
    const chain = chainTo(sick, layer)
    sick.script('*', 500)
    sick.script('/healthz', 500)
    for (let at = 0; at < 15; at++) await call(chain, `${name}/`)
    expect(layer.state()[sick.origin]?.standing).toBe('ejected')
    await goOn(clock, 5_000, servers, 1)
    await goOn(clock, 10_000, servers, 2)
    for (let at = 0; at < 3; at++) expect((await call(chain, `${name}/`)).status).toBe(200)
    expect(layer.state()[sick.origin]?.standing).toBe('ejected')
    sick.script('*', 200)
    sick.script('/healthz', 200)
    await goOn(clock, 10_000, servers, 3)
    expect(layer.state()[sick.origin]?.standing).toBe('probing')
    for (let at = 0; at < 3; at++) expect((await call(chain, `${name}/`)).status).toBe(200)
    expect(layer.state()[sick.origin]?.standing).toBe('in')
  })

  it('send the headers that they are given, and the authority of the host', async () => {
    const clock = stopClock()
    const servers = await serveMany(1, protocol, healthy)
    const [server] = servers as [TestServer]
    const hosts = [{ origin: server.origin, authority: 'users.internal', servername: 'localhost' }]
    const layer = group(servers, { headers: { 'x-check': 'yes' } }, { hosts })
    const chain = chainTo(server, layer)
    await call(chain, `${name}/`)
    await goOn(clock, 5_000, servers, 1)
    const check = server.requests.find(({ path }) => path === '/healthz')
    expect(check?.headers['x-check']).toBe('yes')
    expect(check?.headers.host ?? check?.headers[':authority']).toBe('users.internal')
  })
})

it('a group behind a route asks past what is below the route, too', async () => {
  const clock = stopClock()
  const servers = await serveMany(1, 'h1', healthy)
  const [server] = servers as [TestServer]
  const slots = bulkhead({ limit: 1, queue: 0 })
  const layer = group(servers)
  const chain = chainTo(server, route([{ path: '/*', to: [retry(), layer] }]), slots)
  await call(chain, `${name}/`)
  server.script('*', { hang: 'head' })
  const aborter = new AbortController()
  const hanging = call(chain, `${name}/`, { signal: aborter.signal }).catch(() => {})
  await eventually(() => server.requests.length === 2)
  await goOn(clock, 5_000, servers, 1)
  expect(layer.state()[server.origin]?.lastCheck).toMatchObject({ passed: true })
  expect(Object.values(slots.state())).toMatchObject([{ inUse: 1, refused: 0 }])
  aborter.abort()
  await hanging
})

it('checks run outside of the context of whoever called first', async () => {
  const clock = stopClock()
  const servers = await serveMany(1, 'h1', healthy)
  const [server] = servers as [TestServer]
  const store = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const expectContext = () => {
    seen.push(store.getStore())
    return true
  }
  const chain = chainTo(server, group(servers, { expect: expectContext }))
  await store.run('the first caller', () => call(chain, `${name}/`))
  await goOn(clock, 5_000, servers, 1)
  await eventually(() => seen.length === 1)
  expect(seen).toEqual([undefined])
})

it('a layer in two chains asks once, and goes on through the one that is left', async () => {
  const clock = stopClock()
  const servers = await serveMany(1, 'h1', healthy)
  const [server] = servers as [TestServer]
  const layer = group(servers)
  const [one, two] = [1, 2].map(() => compose(createAgent({ connect: { ca: server.ca as string } }), layer))
  if (one === undefined || two === undefined) throw new Error('two chains')
  onTestFinished(() => two.destroy())
  await call(one, `${name}/`)
  await call(two, `${name}/`)
  await goOn(clock, 5_000, servers, 1)
  expect(checksOf(server)).toBe(1)
  await one.destroy()
  await clock.advance(10_000)
  await turns(30)
  expect(checksOf(server)).toBe(1)
  await call(two, `${name}/`)
  await goOn(clock, 5_000, servers, 2)
  expect(checksOf(server)).toBe(2)
})

it('a chain tells what its checks go by, but not what their headers hold', () => {
  const health = { path: '/healthz', headers: { authorization: 'Bearer secret' } }
  const chain = compose(createAgent(), balance({ hosts: ['http://a.test'], health }))
  onTestFinished(() => chain.destroy())
  const [described] = chain.describe()
  expect(described?.options).toMatchObject({
    health: { path: '/healthz', interval: 10_000, headers: ['authorization'] },
  })
  expect(JSON.stringify(described)).not.toContain('secret')
})

it.each([
  [{}, 'balance: health: path must be a path such as /healthz'],
  [{ path: 'healthz' }, 'balance: health: path must be'],
  [{ path: '/', interval: 0 }, 'balance: health: interval must be'],
  [{ path: '/', timeout: 'x' }, 'balance: health: timeout must be'],
  [{ path: '/', expect: 200 }, 'balance: health: expect must be a list of statuses or a function'],
  [{ path: '/', expect: [] }, 'balance: health: expect must name at least one status'],
  [{ path: '/', expect: [99] }, 'balance: health: expect must be'],
  [{ path: '/', concurrency: 0 }, 'balance: health: concurrency must be'],
  [{ path: '/', headers: { a: 1 } }, 'balance: health: headers: a must be a string'],
  [{ path: '/', headers: { 'a b': 'c' } }, 'balance: health: headers: "a b" with the value "c" is no header'],
  [{ path: '/a b' }, 'balance: health: path must be'],
  [{ path: '/', every: 1 }, 'balance: health: unknown option "every"'],
])('health %j is refused', (health, message) => {
  expect(() => balance({ hosts: ['http://a.test'], health: health as never })).toThrow(message)
})
