// Calls to a name, and the hosts behind it; on real servers.
import {
  type BalanceOptions,
  balance,
  bulkhead,
  type CallRecord,
  circuitBreaker,
  compose,
  contextHeaders,
  createAgent,
  createFetch,
  hedge,
  logging,
  retry,
  runWithContext,
} from 'roundtripper'
import type { TestServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, serve, serveMany } from './retry-servers.ts'

const name = 'http://users'

function group(servers: readonly TestServer[], options: Partial<BalanceOptions> = {}) {
  return balance({ algorithm: 'roundRobin', random: () => 0, hosts: servers.map(({ origin }) => origin), ...options })
}

const counts = (servers: readonly TestServer[]) => servers.map(({ requests }) => requests.length)

describe.each(protocols)('balance over $version', ({ protocol }) => {
  it('calls to a name go to its hosts, each in its turn', async () => {
    const servers = await serveMany(3, protocol)
    const layer = group(servers)
    const chain = chainTo(servers[0] as TestServer, layer)
    const answers: string[] = []
    for (let at = 0; at < 6; at++) answers.push((await call(chain, `${name}/a?b=${at}`)).text)
    expect(answers).toEqual(['host 0', 'host 1', 'host 2', 'host 0', 'host 1', 'host 2'])
    expect(servers[1]?.requests[0]?.path).toBe('/a?b=1')
    expect(layer.state()[servers[2]?.origin as string]).toMatchObject({ standing: 'in', calls: 2, inFlight: 0 })
    expect(await (await createFetch(chain)(`${name}/f`)).text()).toBe('host 0')
  })

  it('a retry goes to another host', async () => {
    const servers = await serveMany(3, protocol)
    for (const server of servers.slice(0, 2)) server.script('*', 503)
    const chain = chainTo(servers[0] as TestServer, retry({ ...quick, maxAttempts: 3 }), group(servers))
    for (let at = 0; at < 3; at++) expect((await call(chain, `${name}/`)).status).toBe(200)
    for (const server of servers) server.script('*', 503)
    expect((await call(chain, `${name}/last`)).status).toBe(503)
    for (const server of servers) expect(server.requests.filter(({ path }) => path === '/last')).toHaveLength(1)
  })

  it('a hedge goes to another host', async () => {
    const servers = await serveMany(2, protocol)
    servers[0]?.script('*', { hang: 'head' })
    const chain = chainTo(servers[0] as TestServer, hedge({ delay: 5 }), group(servers))
    expect((await call(chain, `${name}/`)).text).toBe('host 1')
  })

  it('a host that refuses the connection costs no call, not even an unsafe one, and is ejected', async () => {
    const servers = await serveMany(3, protocol)
    const [dead] = servers as [TestServer]
    const layer = group(servers, { ejection: { consecutiveFailures: 2 } })
    const chain = chainTo(dead, layer)
    await dead.close()
    for (let at = 0; at < 9; at++) {
      expect((await call(chain, `${name}/`, { method: 'POST', body: 'x' })).status).toBe(200)
    }
    expect(layer.state()[dead.origin]).toMatchObject({ standing: 'ejected', failures: 2, calls: 2 })
    expect(counts(servers).toSorted((a, b) => a - b)).toEqual([0, 4, 5])
  })

  it('breaker and bulkhead below have a state for each host, and a host that they refuse is passed over', async () => {
    const servers = await serveMany(2, protocol)
    const breaker = circuitBreaker()
    const slots = bulkhead({ limit: 1, queue: 0 })
    const records: CallRecord[] = []
    const write = (record: object) => void records.push(record as CallRecord)
    const chain = chainTo(
      servers[0] as TestServer,
      logging({ logger: { debug: write, info: write, warn: write, isLevelEnabled: (level) => level !== 'debug' } }),
      group(servers, { ejection: false }),
      breaker,
      slots,
    )
    breaker.force('open', servers[0]?.origin as string)
    for (let at = 0; at < 4; at++) expect((await call(chain, `${name}/`)).text).toBe('host 1')
    expect(Object.keys(slots.state())).toEqual([servers[1]?.origin])
    breaker.force('open')
    expect(await errorOf(call(chain, `${name}/`))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
    expect(records.map(({ outcome, url, host }) => [outcome, url, host])).toEqual([
      ...Array.from({ length: 4 }, () => ['success', `${name}/`, servers[1]?.origin]),
      ['shed', `${name}/`, expect.any(String)],
    ])
  })
})

it('a group without hosts, or with wrong ones, says so', async () => {
  expect(() => balance({ hosts: ['ftp://a'] })).toThrow('balance: hosts[0]: origin must be an http(s) origin')
  expect(() => balance({ hosts: [{ origin: 'http://a', weight: -1 }] })).toThrow('balance: hosts[0]: weight must be')
  const agent = createAgent()
  onTestFinished(() => agent.destroy())
  const chain = compose(agent, balance({ hosts: [], name: 'users' }))
  expect(await errorOf(call(chain, `${name}/`))).toMatchObject({
    code: 'ERR_NO_HOST',
    message: 'No host of users to call',
    origin: name,
  })
})

it('hosts come and go while calls are under way', async () => {
  const one = await serve({ protocol: 'h2', respond: { body: 'one' } })
  const two = await serve({ protocol: 'h2', respond: { body: 'two' } })
  const layer = group([one])
  const chain = chainTo(one, layer)
  expect((await call(chain, `${name}/`)).text).toBe('one')
  layer.update({ hosts: [two.origin] })
  expect((await call(chain, `${name}/`)).text).toBe('two')
  expect(Object.keys(layer.state())).toEqual([two.origin])
})

it('options of an algorithm are checked, and its memory outlasts other updates', async () => {
  const [one, two] = (await serveMany(2, 'h1c')) as [TestServer, TestServer]
  const hosts = [one.origin, two.origin]
  expect(() => balance({ hosts, algorithm: 'fastest' as 'random' })).toThrow('algorithm must be one of "peakEwma", ')
  expect(() => balance({ hosts, algorithm: 'consistentHash' })).toThrow('algorithm "consistentHash" needs a key')
  expect(() => balance({ hosts, key: () => 'a' })).toThrow('a key is for algorithm "consistentHash" only')
  expect(() => balance({ hosts, loadFactor: 1 })).toThrow('loadFactor must be a number from 1.01')
  const layer = group([one, two], { slowStart: 0 })
  const chain = chainTo(one, layer)
  const answers: string[] = []
  for (let at = 0; at < 4; at++) {
    answers.push((await call(chain, `${name}/`)).text)
    layer.update({ hosts, panicThreshold: 0.1 * at })
  }
  expect(answers).toEqual(['host 0', 'host 1', 'host 0', 'host 1'])
  layer.update({ algorithm: 'consistentHash', key: ({ path }) => path })
  const keyed = new Set<string>()
  for (let at = 0; at < 4; at++) keyed.add((await call(chain, `${name}/ada`)).text)
  expect(keyed.size).toBe(1)
})

it('a key that throws is warned of once, and its calls go to any host', async () => {
  const [one] = (await serveMany(1, 'h1c')) as [TestServer]
  const warned: Error[] = []
  const listen = (warning: Error) => void warned.push(warning)
  process.on('warning', listen)
  onTestFinished(() => void process.off('warning', listen))
  const broken = () => {
    throw new Error('no key')
  }
  const chain = chainTo(one, balance({ hosts: [one.origin], algorithm: 'consistentHash', key: broken }))
  for (let at = 0; at < 2; at++) expect((await call(chain, `${name}/`)).text).toBe('host 0')
  await new Promise((resolve) => setImmediate(resolve))
  expect(warned.filter((one) => (one as { code?: string }).code === 'ROUNDTRIPPER_BALANCE_KEY')).toHaveLength(1)
})

it('a chain below has a state for each host, and gets what is sent of the context', async () => {
  const servers = await serveMany(2, 'h1c')
  const slots = bulkhead({ limit: 4 })
  const below = chainTo(servers[0] as TestServer, slots)
  const chain = compose(below, contextHeaders({ origins: [name] }), group(servers))
  await runWithContext({ requestId: 'r-1' }, async () => {
    for (let at = 0; at < 2; at++) expect((await call(chain, `${name}/`)).status).toBe(200)
  })
  expect(Object.keys(slots.state()).toSorted()).toEqual(servers.map(({ origin }) => origin).toSorted())
  expect(servers.map(({ requests }) => requests[0]?.headers['x-request-id'])).toEqual(['r-1', 'r-1'])
})
