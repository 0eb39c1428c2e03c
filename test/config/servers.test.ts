// Chains of a configuration, on real servers: HTTP/2 over TLS.
import { createFetch, isFallback } from 'roundtripper'
import { type Config, fromConfig } from 'roundtripper/config'
import type { TestServer } from 'roundtripper/testing'
import { expect, it, onTestFinished, vi } from 'vitest'
import { call, errorOf, serve } from '../dispatchers/retry-servers.ts'
import { configured } from './fixtures.ts'

async function threeServers(): Promise<[TestServer, TestServer, TestServer]> {
  const servers: TestServer[] = []
  for (let at = 0; at < 3; at++) servers.push(await serve({ protocol: 'h2', respond: { body: `host ${at}` } }))
  return servers as [TestServer, TestServer, TestServer]
}

function configFor(servers: readonly TestServer[], users: object = {}): Config {
  return {
    agent: { connect: { ca: servers[0]?.ca as string } },
    upstreams: {
      users: { hosts: servers.map(({ origin }) => origin), balance: { algorithm: 'roundRobin' }, ...users },
    },
  }
}

const sent = (servers: readonly TestServer[]) => servers.map(({ requests }) => requests.length)

it('calls go to the hosts of their upstream, over HTTP/2', async () => {
  const servers = await threeServers()
  const { upstreams } = configured(configFor(servers))
  const users = upstreams.users!
  for (let at = 0; at < 6; at++) expect((await call(users, 'https://users/7')).status).toBe(200)
  expect(sent(servers)).toEqual([2, 2, 2])
  expect(await (await createFetch(users)('https://users/8')).text()).toMatch(/^host [012]$/)
  const [last] = servers.flatMap(({ requests }) => requests.filter(({ path }) => path === '/8'))
  expect(last?.protocol).toBe('2')
})

it('what is sent again goes elsewhere, and a host that fails is ejected, as the configuration says', async () => {
  const servers = await threeServers()
  servers[1].script('*', 503)
  const users = {
    retry: { maxAttempts: 2, backoff: 1 },
    balance: { algorithm: 'roundRobin', ejection: { consecutiveFailures: 2 } },
  }
  const { upstreams } = configured(configFor(servers, users))
  for (let at = 0; at < 12; at++) expect((await call(upstreams.users!, 'https://users/')).status).toBe(200)
  expect(servers[1].requests).toHaveLength(2)

  const once = configured(configFor(servers, { retry: false, balance: { algorithm: 'roundRobin', ejection: false } }))
  const statuses: number[] = []
  for (let at = 0; at < 6; at++) statuses.push((await call(once.upstreams.users!, 'https://users/')).status)
  expect(statuses.toSorted()).toEqual([200, 200, 200, 200, 503, 503])
})

it('calls with the same header go to the same host', async () => {
  const servers = await threeServers()
  const balance = { algorithm: 'consistentHash', key: { header: 'X-User' } }
  const { upstreams } = configured(configFor(servers, { balance }))
  const hostOf = async (user: string) =>
    (await call(upstreams.users!, 'https://users/', { headers: { 'x-user': user } })).text
  const hosts = new Map<string, string>()
  for (let at = 0; at < 12; at++) hosts.set(`user ${at}`, await hostOf(`user ${at}`))
  expect(new Set(hosts.values()).size).toBeGreaterThan(1)
  for (const [user, host] of hosts) expect(await hostOf(user)).toBe(host)
})

it('hosts are asked how they are', async () => {
  const servers = await threeServers()
  servers[1].script('/healthz', 503)
  const balance = { algorithm: 'roundRobin', health: { path: '/healthz', interval: 5, unhealthyThreshold: 1 } }
  const made = configured(configFor(servers, { balance }))
  await vi.waitFor(async () => {
    servers[1].clear()
    for (let at = 0; at < 3; at++) await call(made.upstreams.users!, 'https://users/last')
    expect(servers[1].count('/last')).toBe(0)
  })
})

it('a fallback answers where all hosts fail', async () => {
  const servers = await threeServers()
  for (const server of servers) server.script('*', 500)
  const fallback = { value: { status: 200, headers: { 'x-from': 'config' }, body: 'none' } }
  const { upstreams } = configured(configFor(servers, { fallback, retry: false }))
  const answer = await createFetch(upstreams.users!)('https://users/')
  expect([answer.headers.get('x-from'), await answer.text(), isFallback(answer)]).toEqual(['config', 'none', true])
})

it('a fallback is another upstream, also where all is being closed', async () => {
  const [server] = await threeServers()
  const { agent, upstreams: one } = configFor([server], { fallback: { upstream: 'backup' }, retry: { backoff: 20 } })
  const made = configured({ agent, upstreams: { ...one, backup: { hosts: [server.origin], retry: false } } })
  server.script('/users', [503, 503, 503, 503, { body: 'backup' }])
  const late = call(made.upstreams.users!, 'https://users/users')
  const closed = made.close()
  expect((await late).text).toBe('backup')
  await closed
  expect(made.effective().upstreams.users).toContainEqual({
    layer: 'fallback',
    options: { upstream: 'backup', replayLimit: expect.any(Number) },
  })
})

it('a canary is another upstream, and a mirror copies to one', async () => {
  const [users, next, shadow] = await threeServers()
  const { agent } = configFor([users, next, shadow])
  const only = (server: TestServer) => ({ hosts: [server.origin], balance: { algorithm: 'roundRobin' } })
  const made = configured({
    agent: { ...agent, connect: { ca: [users.ca, next.ca, shadow.ca] } },
    upstreams: {
      users: {
        ...only(users),
        canary: { variants: { stable: { weight: 1 }, next: { weight: 0, to: 'next' } }, header: 'x-variant' },
        mirror: { to: 'shadow' },
      },
      next: only(next),
      shadow: only(shadow),
    },
  })
  expect((await call(made.dispatcher, 'https://users/7')).text).toBe('host 0')
  expect((await call(made.dispatcher, 'https://users/8', { headers: { 'x-variant': 'next' } })).text).toBe('host 1')
  await made.close()
  expect(shadow.requests.map(({ path }) => path)).toEqual(['/7'])
  expect(made.effective().upstreams.users?.[0]).toMatchObject({
    layer: 'canary',
    options: { variants: { stable: { weight: 1 }, next: { weight: 0, to: 'next' } } },
  })
})

it('closing one upstream leaves the others their connections', async () => {
  const [server] = await threeServers()
  const { agent, upstreams: one } = configFor([server])
  const made = configured({ agent, upstreams: { ...one, orders: { hosts: [server.origin] } } })
  await made.upstreams.users?.close()
  expect(await errorOf(call(made.upstreams.users!, 'https://users/'))).toMatchObject({ code: 'UND_ERR_CLOSED' })
  expect((await call(made.upstreams.orders!, 'https://orders/')).status).toBe(200)
  await made.close()
  expect(await errorOf(call(made.upstreams.orders!, 'https://orders/'))).toMatchObject({ code: 'UND_ERR_CLOSED' })
  await made.close()
})

it('a call that waits for its next attempt in one upstream outlives the last call of another', async () => {
  const servers = await threeServers()
  const [server] = servers
  const { agent, upstreams: one } = configFor([server], { retry: { backoff: 50 } })
  const made = configured({ agent, upstreams: { ...one, orders: { hosts: [server.origin] } } })
  expect((await call(made.upstreams.orders!, 'https://orders/')).status).toBe(200)
  server.script('/late', [503, { body: 'late' }])
  const late = call(made.upstreams.users!, 'https://users/late')
  const closed = made.close()
  expect((await late).text).toBe('late')
  await closed
})

it('a new configuration takes over from the old one, and no call is lost', async () => {
  const servers = await threeServers()
  let current = fromConfig(configFor(servers.slice(0, 2)))
  const calls: Promise<number>[] = []
  const send = () => calls.push(call(current.upstreams.users!, 'https://users/').then(({ status }) => status))
  for (let round = 0; round < 20; round++) {
    for (let at = 0; at < 10; at++) send()
    const old = current
    current = fromConfig(configFor(round % 2 === 0 ? servers : servers.slice(1)))
    const closed = old.close()
    send()
    if (round % 5 === 0) await closed
  }
  onTestFinished(() => current.destroy())
  const statuses = await Promise.all(calls)
  expect(statuses).toHaveLength(220)
  expect(statuses.every((status) => status === 200)).toBe(true)
})

it('destroy fails what is under way, and await using closes', async () => {
  const [server] = await threeServers()
  server.script('*', { hang: 'head' })
  const made = configured(configFor([server]))
  const failed = errorOf(call(made.upstreams.users!, 'https://users/'))
  const reason = new Error('over')
  await made.destroy(reason)
  expect(await failed).toBe(reason)
  let users: { closed: boolean } | undefined
  {
    await using other = fromConfig(configFor([server]))
    users = other.upstreams.users
  }
  expect(users?.closed).toBe(true)
})

it('a configuration that is refused leaves nothing behind', async () => {
  const before = process.getActiveResourcesInfo().length
  for (let at = 0; at < 50; at++) {
    const users = {
      hosts: ['https://127.0.0.1:1'],
      balance: {},
      rateLimit: { limit: 1 },
      circuitBreaker: { windowCalls: 1, minimumCalls: 2 },
    }
    expect(() => fromConfig({ upstreams: { users, orders: { hosts: ['https://127.0.0.1:1'] } } })).toThrow(
      'minimumCalls',
    )
  }
  expect(process.getActiveResourcesInfo().length).toBe(before)
})
