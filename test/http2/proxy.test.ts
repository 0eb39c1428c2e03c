// The agent through a proxy: tunnels, forwarded requests, what a proxy refuses, and who is reached without one.
import {
  type AgentOptions,
  compose,
  createAgent,
  createFetch,
  type PoolAgent,
  ProxyError,
  protocolOf,
  retry,
} from 'roundtripper'
import { devCertificate, gate, type Protocol, startServer, type TestServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { startProxy } from './proxy-server.ts'
import { outcomeOf, send, turn } from './support.ts'

const answered = ['start', 'head 200', 'data', 'end']
const name = 'origin.test'

/** A server, and how it is called behind a proxy. */
async function serve(protocol: Protocol): Promise<{ server: TestServer; origin: string; ca: string | undefined }> {
  const server = await startServer({ protocol, respond: { '*': { body: 'hello' } } })
  onTestFinished(() => server.close())
  const { port, protocol: scheme } = new URL(server.origin)
  return { server, origin: `${scheme}//${name}:${port}`, ca: server.ca }
}

async function agentFor(ca: string | undefined, options: AgentOptions): Promise<PoolAgent> {
  const agent = createAgent(ca === undefined ? options : { ...options, connect: { ca, servername: 'localhost' } })
  onTestFinished(() => agent.destroy())
  return agent
}

function setVariables(variables: Record<string, string>): void {
  for (const variable of ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY']) {
    vi.stubEnv(variable, undefined)
    vi.stubEnv(variable.toLowerCase(), undefined)
  }
  for (const [variable, value] of Object.entries(variables)) vi.stubEnv(variable, value)
  onTestFinished(() => {
    vi.unstubAllEnvs()
  })
}

describe('a tunnel', () => {
  it.each([
    ['h2', '2'],
    ['both', '2'],
    ['h1', '1.1'],
  ] as const)('to a server of %s speaks HTTP/%s by ALPN', async (protocol, version) => {
    const { server, origin, ca } = await serve(protocol)
    const proxy = await startProxy()
    const agent = await agentFor(ca, { proxy: proxy.url })
    const calls = Array.from({ length: 3 }, () => send(agent, origin, { method: 'POST', body: 'order' }))
    for (const call of calls) expect(await outcomeOf(call)).toEqual(answered)
    expect(server.requests.map((request) => request.protocol)).toEqual([version, version, version])
    const target = new URL(origin).host
    expect(proxy.tunnels).toEqual(version === '2' ? [target] : [target, target, target])
    expect(proxy.headers[0]).toMatchObject({ host: target })
    expect(agent.stats[origin]?.protocol).toBe(version)
  })

  it('carries HTTP/2 without TLS by prior knowledge', async () => {
    const { server, origin } = await serve('h2c')
    const proxy = await startProxy()
    const agent = await agentFor(undefined, { proxy: proxy.url, useH2c: true })
    expect(await outcomeOf(send(agent, origin))).toEqual(answered)
    expect([server.requests[0]?.protocol, proxy.tunnels.length]).toEqual(['2', 1])
  })

  it('goes through a proxy that is spoken to over TLS', async () => {
    const { server, origin, ca } = await serve('h2')
    const certificate = await devCertificate({ hosts: ['127.0.0.1', 'proxy.test'] })
    const proxy = await startProxy({ certificate })
    const agent = await agentFor(ca, { proxy: { url: proxy.url, tls: { ca: certificate.ca } } })
    expect(await outcomeOf(send(agent, origin))).toEqual(answered)
    expect(server.requests[0]?.protocol).toBe('2')
    const distrusting = await agentFor(ca, { proxy: proxy.url })
    const consumer = send(compose(distrusting, retry({ backoff: 1 })), origin)
    expect((await outcomeOf(consumer)).at(-1)).toBe('ERR_PROXY')
    expect(consumer.error).toMatchObject({ cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } })
    expect(proxy.connections).toBe(2)
  })

  it('has the user and password of the URL, and no origin sees them', async () => {
    const { server, origin, ca } = await serve('h2')
    const authorization = `Basic ${Buffer.from('ada:p@ss word').toString('base64')}`
    const proxy = await startProxy({ authorization })
    const agent = await agentFor(ca, { proxy: `http://ada:p%40ss%20word@${proxy.host}` })
    expect(await outcomeOf(send(agent, origin))).toEqual(answered)
    expect(server.requests[0]?.headers).not.toHaveProperty('proxy-authorization')
    const bearer = await startProxy({ authorization: 'Bearer token' })
    const headers = { 'Proxy-Authorization': 'Bearer token' }
    expect(await outcomeOf(send(await agentFor(ca, { proxy: { url: bearer.url, headers } }), origin))).toEqual(answered)
  })

  it.each([
    [407, 1],
    [403, 1],
    [502, 3],
  ])(
    'that is refused with %i is a clear error, asked for %i times, and nothing of the password is told',
    async (status, times) => {
      const { origin, ca } = await serve('h2')
      const proxy = await startProxy({ status })
      const agent = await agentFor(ca, { proxy: `http://ada:secret@${proxy.host}` })
      const consumer = send(compose(agent, retry({ maxAttempts: 3, backoff: 1 })), origin, {
        method: 'POST',
        body: 'order',
      })
      expect((await outcomeOf(consumer)).at(-1)).toBe('ERR_PROXY')
      expect(consumer.error).toBeInstanceOf(ProxyError)
      expect(consumer.error).toMatchObject({ status, origin })
      const { message } = consumer.error as Error
      expect(message).toBe(`The proxy ${proxy.url} refused a connection to ${new URL(origin).host}: ${status} No`)
      expect(proxy.tunnels.length).toBe(times)
    },
  )

  it('fails where the proxy closes, says nothing, or is not there', async () => {
    const { origin, ca } = await serve('h2')
    const closing = await startProxy({ onConnect: (socket) => socket.destroy() })
    const silent = await startProxy({ onConnect: () => {} })
    const gone = await startProxy()
    gone.close()
    for (const [proxy, message] of [
      [closing, /gave no connection to origin\.test:\d+$/],
      [silent, /gave no connection to origin\.test:\d+ within 40 ms$/],
      [gone, /could not be reached$/],
    ] as const) {
      const agent = await agentFor(ca, { proxy: proxy.url, connectTimeout: 40 })
      const [one, http1] = [send(agent, origin), send(agent, origin, { allowH2: false })]
      for (const consumer of [one, http1]) {
        expect((await outcomeOf(consumer)).at(-1)).toBe('ERR_PROXY')
        expect((consumer.error as Error).message).toMatch(message)
      }
      expect(agent.stats[origin]?.queued ?? 0).toBe(0)
    }
  })

  it('46: destroy ends an attempt that waits for the proxy', async () => {
    const { origin, ca } = await serve('h2')
    const asked = gate()
    const proxy = await startProxy({ onConnect: () => asked.open() })
    const agent = await agentFor(ca, { proxy: proxy.url })
    const consumer = send(agent, origin)
    await asked.promise
    await agent.destroy()
    expect(await outcomeOf(consumer)).toEqual(['error', 'UND_ERR_DESTROYED'])
  })
})

describe('an http origin', () => {
  it('is asked for with its whole URL, and keeps its connection to the proxy', async () => {
    const { server, origin } = await serve('h1c')
    const authorization = `Basic ${Buffer.from('ada:secret').toString('base64')}`
    const proxy = await startProxy({ authorization })
    const agent = await agentFor(undefined, { proxy: `http://ada:secret@${proxy.host}` })
    const first = { path: '/a?b=c', headers: { 'x-own': 'kept' }, method: 'POST', body: 'order' } as const
    expect(await outcomeOf(send(agent, origin, first))).toEqual(answered)
    await turn()
    expect(await outcomeOf(send(agent, origin, { path: '/b', query: { c: 'd' } }))).toEqual(answered)
    expect(proxy.forwarded).toEqual([`${origin}/a?b=c`, `${origin}/b?c=d`])
    expect([proxy.tunnels.length, proxy.connections]).toEqual([0, 1])
    expect(server.requests.map(({ path }) => path)).toEqual(['/a?b=c', '/b?c=d'])
    expect(server.requests[0]?.headers).toMatchObject({ host: new URL(origin).host, 'x-own': 'kept' })
  })

  it('that asks the proxy for a password shows its 407', async () => {
    const { origin } = await serve('h1c')
    const proxy = await startProxy({ authorization: 'Basic no' })
    const agent = await agentFor(undefined, { proxy: proxy.url })
    expect((await outcomeOf(send(agent, origin)))[1]).toBe('head 407')
  })
})

describe('the variables', () => {
  it('are read by default, HTTPS_PROXY for https and HTTP_PROXY for http', async () => {
    const [secure, plain] = [await serve('h2'), await serve('h1c')]
    const [one, other] = [await startProxy(), await startProxy()]
    setVariables({ HTTPS_PROXY: one.host, http_proxy: other.url })
    const agent = await agentFor(secure.ca, {})
    const response = await createFetch(agent)(`${secure.origin}/`)
    expect([await response.text(), protocolOf(response)]).toEqual(['hello', '2'])
    expect(await outcomeOf(send(agent, plain.origin))).toEqual(answered)
    expect([one.tunnels.length, other.forwarded.length]).toEqual([1, 1])
  })

  it('ALL_PROXY stands in for both, and NO_PROXY names who is reached without', async () => {
    const { origin, server } = await serve('h1c')
    const proxy = await startProxy()
    setVariables({ ALL_PROXY: proxy.url, NO_PROXY: 'other.test, direct.test' })
    const lookup = (_host: string, _options: unknown, found: (...result: unknown[]) => void) =>
      found(null, [{ address: '127.0.0.1', family: 4 }])
    const agent = createAgent({ connect: { lookup } as never })
    onTestFinished(() => agent.destroy())
    for (const host of [name, 'direct.test', 'below.direct.test']) {
      expect(await outcomeOf(send(agent, origin.replace(name, host)))).toEqual(answered)
    }
    expect([proxy.forwarded.length, server.requests.length]).toEqual([1, 3])
    expect(proxy.forwarded[0]).toBe(`${origin}/`)
  })

  it('lead no call to this machine through a proxy, and none of an agent that wants none', async () => {
    const { server, origin, ca } = await serve('both')
    const proxy = await startProxy()
    setVariables({ HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url })
    expect(await outcomeOf(send(await agentFor(ca, {}), server.origin))).toEqual(answered)
    const none = await agentFor(ca, { proxy: false, connectTimeout: 1 })
    expect((await outcomeOf(send(none, origin))).at(-2)).toBe('error')
    expect(proxy.connections).toBe(0)
  })

  it('HTTP_PROXY counts for nothing in a CGI program, where callers can set it', async () => {
    const { origin } = await serve('h1c')
    const [evil, good] = [await startProxy(), await startProxy()]
    setVariables({ HTTP_PROXY: evil.url, REQUEST_METHOD: 'GET', ALL_PROXY: good.url })
    expect(await outcomeOf(send(await agentFor(undefined, {}), origin))).toEqual(answered)
    expect([evil.connections, good.connections]).toEqual([0, 1])
  })

  it('that cannot be used are told at once, without what they hold', () => {
    setVariables({ HTTPS_PROXY: 'socks5://ada:secret@proxy.test' })
    expect(() => createAgent()).toThrow(
      'createAgent: HTTPS_PROXY must be the URL of a proxy that begins with http:// or https://, got socks5://; proxy: false asks for none',
    )
    expect(() => createAgent({ proxy: false })).not.toThrow()
    expect(() => createAgent({ connect: () => {} })).not.toThrow()
    for (const proxy of ['http://', true, 7, {}, { url: 5 }, { url: 'ftp://a' }, { url: 'http://a', uri: 'b' }]) {
      expect(() => createAgent({ proxy: proxy as never })).toThrow(/^createAgent: proxy/)
    }
    expect(() => createAgent({ proxy: 'http://a', connect: () => {} })).toThrow(/two ways/)
  })
})
