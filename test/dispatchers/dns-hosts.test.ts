// Hosts by DNS: a name server and servers of HTTP on loopback, all real; only time is the test's.
import { lookup } from 'node:dns/promises'
import { createServer } from 'node:http'
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import type { TLSSocket } from 'node:tls'
import {
  balance,
  compose,
  createAgent,
  createFetch,
  type DnsHostsOptions,
  type DnsRecord,
  dnsHosts,
  type FoundHosts,
} from 'roundtripper'
import { devCertificate } from 'roundtripper/testing'
import { Agent } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type DnsServer, serveDns } from './dns-server.ts'
import { call, chainTo, errorOf, stopClock, turns } from './retry-servers.ts'

const name = 'users.test'

interface Seen {
  readonly at: string | undefined
  readonly authority: string | undefined
  readonly servername: string | false | null
  readonly version: string
}

async function listen(server: Server, host: string): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

/** A server at every address of loopback, which answers with what it saw of the call. */
async function serveEverywhere(secure: boolean, host = '0.0.0.0') {
  const sockets = new Set<unknown>()
  const answer = (request: Http2ServerRequest, response: Http2ServerResponse) => {
    const socket = (request.stream === undefined ? request.socket : request.stream.session?.socket) as TLSSocket
    sockets.add(socket.remotePort)
    const seen: Seen = {
      at: socket.localAddress,
      authority: request.authority ?? request.headers.host,
      servername: socket.servername ?? null,
      version: request.httpVersion,
    }
    response.end(JSON.stringify(seen))
  }
  if (!secure) return { port: await listen(createServer(answer as never), host), ca: undefined, sockets }
  const { key, cert, ca } = await devCertificate({ hosts: [name] })
  const server = createSecureServer({ key, cert, allowHTTP1: true }, answer)
  return { port: await listen(server as unknown as Server, host), ca, sockets }
}

async function seen(dispatcher: Parameters<typeof call>[0], url: string, headers = {}): Promise<Seen> {
  return JSON.parse((await call(dispatcher, url, { headers })).text)
}

function sourceOf(server: DnsServer, options: DnsHostsOptions = {}, origin = `https://${name}:8443`) {
  return dnsHosts(origin, { resolver: server.resolver(), ...options })
}

async function found(source: ReturnType<typeof dnsHosts>): Promise<FoundHosts> {
  return (await source.resolve()) as FoundHosts
}

const originsOf = ({ hosts }: FoundHosts) => hosts.map((host) => (host as { origin: string }).origin)

describe('what is found', () => {
  it('every address is a host, with the name for TLS and the host header; those of both families, in a steady order', async () => {
    const server = await serveDns({
      A: [
        ['10.0.0.2', 30],
        ['10.0.0.1', 20],
      ],
      AAAA: [['fd00::7', 40]],
    })
    const named = { servername: name, authority: `${name}:8443` }
    expect(await found(sourceOf(server))).toEqual({
      hosts: [
        { origin: 'https://10.0.0.1:8443', ...named },
        { origin: 'https://10.0.0.2:8443', ...named },
        { origin: 'https://[fd00::7]:8443', ...named },
      ],
      ttl: 20_000,
    })
    expect(server.queries.toSorted()).toEqual([`A ${name}`, `AAAA ${name}`])
    expect((await found(sourceOf(server, {}, `http://${name}.`))).hosts[0]).toEqual({
      origin: 'http://10.0.0.1',
      authority: name,
    })
  })

  it.each([
    [4, ['https://10.0.0.1:8443'], ['A users.test']],
    [6, ['https://[fd00::7]:8443'], ['AAAA users.test']],
  ] as const)('family %i alone', async (family, origins, queries) => {
    const server = await serveDns({ A: [['10.0.0.1', 20]], AAAA: [['fd00::7', 40]] })
    expect(originsOf(await found(sourceOf(server, { family })))).toEqual(origins)
    expect(server.queries).toEqual(queries)
  })

  it.each([
    ['no AAAA', { A: [['10.0.0.1', 20]] }, 'https://10.0.0.1:8443'],
    ['no A', { AAAA: [['fd00::7', 20]] }, 'https://[fd00::7]:8443'],
    ['a failing AAAA', { A: [['10.0.0.1', 20]], AAAA: 'SERVFAIL' }, 'https://10.0.0.1:8443'],
  ] as [string, DnsServer['answers'], string][])('%s is no failure', async (_what, answers, origin) => {
    expect(originsOf(await found(sourceOf(await serveDns(answers))))).toEqual([origin])
  })

  it('a family that does not answer holds up the other for 50 ms, and has what it answered before', async () => {
    const clock = stopClock()
    const never = new Promise<never>(() => undefined)
    let six: Promise<DnsRecord[]> = never
    const resolver = { resolve4: async () => [{ address: '10.0.0.1', ttl: 20 }], resolve6: () => six }
    const source = dnsHosts('http://users.test', { resolver })
    const log: string[][] = []
    const look = async (milliseconds: number) => {
      void found(source).then((answer) => log.push(originsOf(answer)))
      await clock.advance(milliseconds)
    }
    await look(49)
    expect(log).toEqual([])
    await clock.advance(1)
    expect(log).toEqual([['http://10.0.0.1']])
    six = Promise.resolve([{ address: 'fd00::7', ttl: 5 }])
    await look(0)
    six = never
    await look(50)
    expect(log.slice(1)).toEqual(Array.from({ length: 2 }, () => ['http://10.0.0.1', 'http://[fd00::7]']))
  })

  it('a family that fails keeps what it answered before; one that says it has none does not', async () => {
    const server = await serveDns({ A: [['10.0.0.1', 20]], AAAA: [['fd00::7', 5]] })
    const source = sourceOf(server)
    await found(source)
    server.answers.A = [['10.0.0.2', 20]]
    server.answers.AAAA = 'SERVFAIL'
    expect(originsOf(await found(source))).toEqual(['https://10.0.0.2:8443', 'https://[fd00::7]:8443'])
    server.answers.AAAA = []
    expect(originsOf(await found(source))).toEqual(['https://10.0.0.2:8443'])
    server.answers.AAAA = 'SERVFAIL'
    expect(originsOf(await found(source))).toEqual(['https://10.0.0.2:8443'])
  })

  it.each([
    ['NXDOMAIN', 'ENOTFOUND'],
    ['SERVFAIL', 'ESERVFAIL'],
    ['REFUSED', 'EREFUSED'],
    ['silence', 'ETIMEOUT'],
    [[], 'ENODATA'],
  ] as const)('%s fails with its code', async (answer, code) => {
    const server = await serveDns({ A: answer, AAAA: answer })
    expect(await errorOf(found(sourceOf(server)))).toMatchObject({ code })
  })

  it.each([
    [0, 1_000],
    [7, 7_000],
    [86_400, 60_000],
  ])('a TTL of %i s holds for %i ms', async (ttl, milliseconds) => {
    const server = await serveDns({ A: [['10.0.0.1', ttl]] })
    expect((await found(sourceOf(server))).ttl).toBe(milliseconds)
  })

  it('bounds of the TTL can be given', async () => {
    const server = await serveDns({ A: [['10.0.0.1', 7]] })
    expect((await found(sourceOf(server, { minTtl: 10_000 }))).ttl).toBe(10_000)
    expect((await found(sourceOf(server, { maxTtl: 5_000 }))).ttl).toBe(5_000)
  })

  it.each([
    ['https://10.0.0.7:8443', 'https://10.0.0.7:8443'],
    ['http://[fd00::7]', 'http://[fd00::7]'],
  ])('an address such as %s is asked of nobody', async (given, origin) => {
    const server = await serveDns()
    expect(await found(sourceOf(server, {}, given))).toEqual({ hosts: [origin], ttl: Number.POSITIVE_INFINITY })
    expect(server.queries).toEqual([])
  })

  it('a name that only the system knows is found through it', async () => {
    const known = await lookup('localhost', { all: true, family: 4 })
    expect(await found(dnsHosts('http://localhost:8080', { family: 4 }))).toMatchObject({
      hosts: known.map(({ address }) => ({ origin: `http://${address}:8080`, authority: 'localhost:8080' })),
    })
  })

  it('an address that is named twice is one host', async () => {
    const records = ['10.0.0.2', '10.0.0.1', '10.0.0.2'].map((address) => ({ address, ttl: 5 }))
    const resolver = { resolve4: async () => records, resolve6: async () => [] }
    const hosts = originsOf(await found(dnsHosts('http://users.test', { resolver })))
    expect(hosts).toEqual(['http://10.0.0.1', 'http://10.0.0.2'])
  })

  it('wrong options say so', () => {
    expect(() => dnsHosts('users.test')).toThrow('dnsHosts: origin must be an http(s) origin')
    expect(() => dnsHosts('http://a', { family: 5 as never })).toThrow('dnsHosts: family must be 0, 4 or 6, got 5')
    expect(() => dnsHosts('http://a', { minTtl: 0 })).toThrow('dnsHosts: minTtl must be')
    expect(() => dnsHosts('http://a', { minTtl: 61_000 })).toThrow('dnsHosts: maxTtl must be')
    expect(() => dnsHosts('http://a', { resolver: {} as never })).toThrow(
      'dnsHosts: resolver.resolve4 must be a function',
    )
    expect(() => dnsHosts('http://a', { srv: true } as never)).toThrow('dnsHosts: unknown option "srv"')
  })
})

describe.each([
  { what: 'HTTP/1.1', secure: false, allowH2: true, version: '1.1' },
  { what: 'HTTP/1.1 over TLS', secure: true, allowH2: false, version: '1.1' },
  { what: 'HTTP/2', secure: true, allowH2: true, version: '2.0' },
])('calls over $what', ({ secure, allowH2, version }) => {
  it('go to each address, checked for the name, with the name as host; connections are used again', async () => {
    const { port, ca, sockets } = await serveEverywhere(secure)
    const dns = await serveDns({
      A: [
        ['127.0.0.1', 60],
        ['127.0.0.2', 60],
      ],
    })
    const origin = `${secure ? 'https' : 'http'}://${name}:${port}`
    const agent = createAgent({ allowH2, ...(ca === undefined ? null : { connect: { ca } }) })
    const chain = compose(
      agent,
      balance({ algorithm: 'roundRobin', random: () => 0, hosts: sourceOf(dns, {}, origin) }),
    )
    onTestFinished(() => chain.destroy())
    const answers: Seen[] = []
    for (let at = 0; at < 6; at++) answers.push(await seen(chain, 'http://users/a'))
    const servername = secure ? name : null
    for (const [at, one] of answers.entries()) {
      expect(one).toEqual({ at: `127.0.0.${1 + (at % 2)}`, authority: `${name}:${port}`, servername, version })
    }
    expect(sockets.size).toBe(2)
    // A host header of the call's own counts, and is no other name for TLS.
    expect(await seen(chain, 'http://users/a', { host: 'other.test' })).toMatchObject({
      authority: 'other.test',
      servername,
    })
    expect(await (await createFetch(chain)('http://users/f')).json()).toMatchObject({ authority: `${name}:${port}` })
    expect(sockets.size).toBe(2)
    expect(dns.queries).toHaveLength(2)
  })

  it('an authority without a name for TLS, and through an agent of undici', async () => {
    const { port, ca } = await serveEverywhere(secure)
    const origin = `${secure ? 'https' : 'http'}://127.0.0.1:${port}`
    const chain = chainTo({ ca }, balance({ hosts: [{ origin, authority: name }] }))
    expect(await seen(chain, 'http://users/a')).toMatchObject({ authority: name, at: '127.0.0.1' })
    const dns = await serveDns({ A: [['127.0.0.2', 60]] })
    const agent = new Agent({ allowH2, ...(ca === undefined ? null : { connect: { ca } }) })
    onTestFinished(() => agent.destroy())
    const hosts = sourceOf(dns, {}, `${secure ? 'https' : 'http'}://${name}:${port}`)
    for (let at = 0; at < 2; at++) {
      expect(await seen(compose(agent, balance({ hosts })), 'http://users/a')).toMatchObject({
        at: '127.0.0.2',
        authority: `${name}:${port}`,
      })
    }
  })
})

it('a certificate of another name is refused', async () => {
  const { port, ca } = await serveEverywhere(true)
  const dns = await serveDns({ A: [['127.0.0.1', 60]] })
  const chain = chainTo({ ca }, balance({ hosts: sourceOf(dns, {}, `https://other.test:${port}`) }))
  expect(await errorOf(call(chain, 'http://users/'))).toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
})

it('an address of IPv6 is called in its brackets', async () => {
  const { port } = await serveEverywhere(false, '::1')
  const dns = await serveDns({ AAAA: [['::1', 60]] })
  const chain = chainTo({}, balance({ hosts: sourceOf(dns, {}, `http://${name}:${port}`) }))
  expect(await seen(chain, 'http://users/')).toMatchObject({ at: '::1', authority: `${name}:${port}` })
})

it('addresses change when their TTL is over and a call comes; where DNS fails, those that are known stay', async () => {
  const { port } = await serveEverywhere(false)
  const dns = await serveDns({ A: [['127.0.0.1', 5]] })
  const layer = balance({ hosts: sourceOf(dns, { family: 4 }, `http://${name}:${port}`) })
  const chain = chainTo({}, layer)
  const clock = stopClock()
  const where = async () => (await seen(chain, 'http://users/')).at
  const asked = async (queries: number) => {
    while (dns.queries.length < queries) await turns(1)
    await turns(20)
  }
  expect(await where()).toBe('127.0.0.1')
  dns.answers.A = [['127.0.0.2', 5]]
  await clock.advance(4_999)
  expect(await where()).toBe('127.0.0.1')
  expect(dns.queries).toHaveLength(1)
  await clock.advance(1)
  expect(await where()).toBe('127.0.0.1')
  await asked(2)
  expect(await where()).toBe('127.0.0.2')
  expect(Object.keys(layer.state())).toEqual([`http://127.0.0.2:${port}`])
  let queries = 2
  for (const failure of ['SERVFAIL', 'NXDOMAIN', 'REFUSED', []] as const) {
    dns.answers.A = failure
    await clock.advance(6_000)
    expect(await where()).toBe('127.0.0.2')
    await asked(++queries)
  }
  dns.answers.A = [['127.0.0.3', 5]]
  await clock.advance(6_000)
  expect(await where()).toBe('127.0.0.2')
  await asked(queries + 1)
  expect(await where()).toBe('127.0.0.3')
})

it('a name that DNS does not know at first fails the call with the reason, and is asked for again', async () => {
  const { port } = await serveEverywhere(false)
  const dns = await serveDns({ A: 'NXDOMAIN', AAAA: 'NXDOMAIN' })
  const origin = `http://${name}:${port}`
  const chain = chainTo({}, balance({ hosts: sourceOf(dns, {}, origin) }))
  const clock = stopClock()
  const error = errorOf(call(chain, 'http://users/'))
  expect(await error).toMatchObject({
    code: 'ERR_NO_HOST',
    message: `No host of ${origin} to call: queryA ENOTFOUND ${name}`,
    cause: { code: 'ENOTFOUND' },
  })
  for (let at = 0; at < 5; at++)
    expect(await errorOf(call(chain, 'http://users/'))).toMatchObject({ code: 'ERR_NO_HOST' })
  expect(dns.queries).toHaveLength(2)
  dns.answers.A = [['127.0.0.1', 5]]
  await clock.advance(100)
  expect((await call(chain, 'http://users/')).status).toBe(200)
})
