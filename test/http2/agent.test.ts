// The agent over both protocols: what it negotiates, remembers and hands over, and what reaches a session.
import { AsyncLocalStorage } from 'node:async_hooks'
import { connect as connectTls } from 'node:tls'
import { compose, createAgent, createFetch, type PoolAgent, protocolOf, tracing } from 'roundtripper'
import { startServer, type TestServer } from 'roundtripper/testing'
import type { buildConnector } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { turns } from '../dispatchers/retry-servers.ts'
import { startFrameServer } from './frame-server.ts'
import { h2cAgent, outcomeOf, send } from './support.ts'

const answered = ['start', 'head 200', 'data', 'end']

async function serve(protocol: 'h1' | 'h2' | 'both' | 'h1c' | 'h2c'): Promise<TestServer> {
  const server = await startServer({ protocol, respond: { '*': { body: 'hello' } } })
  onTestFinished(() => server.close())
  return server
}

function keep(agent: PoolAgent): PoolAgent {
  onTestFinished(() => agent.destroy())
  return agent
}

/** An agent that offers what `offer` holds at the moment. */
function offering(server: TestServer, offer: { alpn: string[] }): PoolAgent {
  const connect: buildConnector.connector = ({ hostname, port }, callback) => {
    const socket = connectTls({ host: hostname, port: Number(port), ca: server.ca!, ALPNProtocols: offer.alpn })
    socket.once('secureConnect', () => callback(null, socket))
    socket.once('error', (error) => callback(error, null))
  }
  return keep(createAgent({ connect }))
}

describe('the protocol of an origin', () => {
  it('36: one connection decides, for all calls that wait for it', async () => {
    for (const protocol of ['h1', 'h2'] as const) {
      const server = await serve(protocol)
      const agent = keep(createAgent({ connect: { ca: server.ca! }, connections: 1 }))
      const calls = Array.from({ length: 20 }, () => send(agent, server.origin))
      for (const call of calls) expect(await outcomeOf(call)).toEqual(answered)
      expect(server.connections.opened).toBe(1)
      expect(agent.stats[server.origin]?.protocol).toBe(protocol === 'h2' ? '2' : '1.1')
    }
  })

  it('36: an origin that comes to speak HTTP/1.1 is spoken to in HTTP/1.1, and the other way round', async () => {
    const server = await serve('both')
    const offer = { alpn: ['h2'] }
    const agent = offering(server, offer)
    const version = async () => {
      const response = await createFetch(agent)(server.url('/'))
      await response.text()
      return protocolOf(response)
    }
    const lose = async () => {
      const gone = new Promise((resolve) => agent.once('disconnect', resolve))
      await server.resetConnections()
      await gone
      await turns()
    }
    expect(await version()).toBe('2')
    await lose()
    offer.alpn = ['http/1.1']
    expect([await version(), await version()]).toEqual(['1.1', '1.1'])
    await lose()
    offer.alpn = ['h2']
    expect(await version()).toBe('2')
    expect(await version()).toBe('2')
    expect(agent.stats[server.origin]?.protocol).toBe('2')
  })

  it('35: a call that goes on over HTTP/1.1 starts once, and can be paused and given up', async () => {
    const server = await serve('both')
    server.script('/', [{ refuse: true }, { body: 'x'.repeat(100_000), hang: 'body' }])
    const offer = { alpn: ['h2'] }
    const agent = offering(server, offer)
    await send(agent, server.origin, { path: '/warm' }).over
    offer.alpn = ['http/1.1']
    const [session] = [...(agent as unknown as Inside).origins.values()][0]!.http2.sessions
    const consumer = send(agent, server.origin, { on: { head: (one) => one.pause() } })
    session!.retire()
    await server.until(() => server.count('/') === 2)
    expect(consumer.events.filter((event) => event === 'start')).toEqual(['start'])
    const reason = new Error('enough')
    consumer.controller?.abort(reason)
    await consumer.over
    expect(consumer.error).toBe(reason)
  })

  it('is HTTP/1.1 where a request says so, beside the others', async () => {
    const server = await serve('both')
    const agent = keep(createAgent({ connect: { ca: server.ca! } }))
    for (const allowH2 of [undefined, false, undefined, false]) await send(agent, server.origin, { allowH2 }).over
    expect(server.requests.map(({ protocol }) => protocol)).toEqual(['2', '1.1', '2', '1.1'])
    expect(server.connections.opened).toBe(2)
  })

  it('is HTTP/1.1 for origins that are listed', async () => {
    const [old, both] = [await serve('both'), await serve('both')]
    const ca = [old.ca!, both.ca!].join('\n')
    const agent = keep(createAgent({ connect: { ca }, http1Origins: [old.url('/')] }))
    for (const server of [old, both]) await send(agent, server.origin).over
    expect([old.requests[0]?.protocol, both.requests[0]?.protocol]).toEqual(['1.1', '2'])
    expect(() => createAgent({ http1Origins: ['old.test'] })).toThrow(/http1Origins must hold scheme, host and port/)
  })

  it('a connection that cannot be made fails all that wait for it, once', async () => {
    const server = await serve('h2')
    const agent = keep(createAgent({ connect: { ca: server.ca! } }))
    await server.refuseConnections()
    const failed: unknown[] = []
    agent.on('connectionError', (_origin, _targets, error) => failed.push((error as { code?: string }).code))
    for (const call of [send(agent, server.origin), send(agent, server.origin)]) {
      expect(await outcomeOf(call)).toEqual(['error', 'ECONNREFUSED'])
    }
    expect(failed).toEqual(['ECONNREFUSED'])
  })
})

interface Inside {
  readonly origins: Map<string, { readonly http2: { readonly sessions: { retire(): void }[] } }>
}

describe('headers', () => {
  const specific = {
    connection: 'keep-alive',
    te: 'gzip',
    'proxy-connection': 'keep-alive',
    'http2-settings': 'AAMAAABkAAQCAAAAAAIAAAAA',
    'keep-alive': 'timeout=5',
    'transfer-encoding': 'chunked',
    upgrade: 'h2c',
  }

  it.each(Object.entries(specific))('33: %s does not reach a session, without a layer', async (name, value) => {
    const server = await serve('h2')
    const agent = keep(createAgent({ connect: { ca: server.ca! } }))
    const cold = send(agent, server.origin, { headers: { [name]: value, 'x-own': 'kept' } })
    expect(await outcomeOf(cold)).toEqual(answered)
    const warm = send(agent, server.origin, { headers: [name, value, 'x-own', 'kept'] })
    expect(await outcomeOf(warm)).toEqual(answered)
    for (const { headers } of server.requests) {
      expect(headers).toMatchObject({ 'x-own': 'kept' })
      expect(headers).not.toHaveProperty(name)
    }
    expect(server.connections.opened).toBe(1)
  })

  it('33: te: trailers stays', async () => {
    const server = await serve('h2c')
    await send(h2cAgent(), server.origin, { headers: { TE: 'Trailers' } }).over
    expect(server.requests[0]?.headers.te).toBe('trailers')
  })

  const wrong: [string, Record<string, unknown>][] = [
    ['a name that is no token', { headers: { 'a b': '1' } }],
    ['a pseudo header', { headers: { ':path': '/other' } }],
    ['a value with a line break', { headers: { a: 'b\r\nc: d' } }],
    ['half a list', { headers: ['a'] }],
    ['an object as value', { headers: { a: {} } }],
    ['two lengths', { headers: ['content-length', '1', 'Content-Length', '1'] }],
    ['two hosts', { headers: ['host', 'a', 'Host', 'b'] }],
    ['a method that is no token', { method: 'G T' }],
    ['a path without a slash', { path: 'x' }],
    ['a path with a space', { path: '/a b' }],
    ['a body that is none', { method: 'PUT', body: 7 }],
    ['an odd timeout', { headersTimeout: -1 }],
  ]
  it.each(wrong)('33: %s is refused at once, before a stream is opened, cold or warm', async (_name, opts) => {
    const server = await startFrameServer()
    const agent = h2cAgent()
    for (const streams of [0, 1]) {
      const refused = send(agent, server.origin, opts)
      expect(refused.events).toEqual(['error'])
      expect(refused.error).toMatchObject({ code: 'UND_ERR_INVALID_ARG' })
      expect(server.streams).toBe(streams)
      if (streams === 0) expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
    }
    expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
    expect(server.connections.length).toBe(1)
  })

  it('given twice become one, but cookies, which stay apart', async () => {
    const server = await serve('h2c')
    const headers = [
      'Accept',
      'a',
      'accept',
      'b',
      'content-type',
      'x',
      'Content-Type',
      'y',
      'cookie',
      'c=1',
      'cookie',
      'd=2',
    ]
    expect(await outcomeOf(send(h2cAgent(), server.origin, { headers }))).toEqual(answered)
    expect(server.requests[0]?.headers).toMatchObject({ accept: 'a, b', 'content-type': 'x, y', cookie: 'c=1; d=2' })
  })

  it('large ones come through, in both directions', async () => {
    const large = 'x'.repeat(30_000)
    const server = await startServer({ protocol: 'h2c', respond: { headers: { 'x-large': large }, body: 'hello' } })
    onTestFinished(() => server.close())
    const call = send(h2cAgent(), server.origin, { headers: { 'x-large': large } })
    expect(await outcomeOf(call)).toEqual(answered)
    expect(call.headers['x-large']).toBe(large)
    expect(server.requests[0]?.headers['x-large']).toBe(large)
  })
})

describe('what a layer above learns', () => {
  it('the peer of the very connection a request took', async () => {
    const [one, other] = [await startFrameServer(), await startFrameServer()]
    const agent = h2cAgent()
    const seen: unknown[] = []
    const peer = ({ controller }: { controller: unknown }) => seen.push((controller as { peer?: unknown }).peer)
    for (const server of [one, other]) await send(agent, server!.origin, { on: { head: peer } }).over
    const ports = [one, other].map((server) => Number(new URL(server!.origin).port))
    expect(seen).toEqual(ports.map((port) => ({ alpn: 'h2', address: '127.0.0.1', port })))
  })

  it('calls back in the context of the caller, through a chain', async () => {
    const store = new AsyncLocalStorage<string>()
    const server = await startFrameServer()
    const chain = compose(h2cAgent(), tracing())
    const seen: unknown[] = []
    const note = () => void seen.push(store.getStore())
    const calls = ['a', 'b'].map((name) =>
      store.run(name, () => send(chain, server.origin, { on: { head: note, data: note, end: note } })),
    )
    await Promise.all(calls.map(({ over }) => over))
    expect(seen.sort()).toEqual(['a', 'a', 'a', 'b', 'b', 'b'])
  })
})
