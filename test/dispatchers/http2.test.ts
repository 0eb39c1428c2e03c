import { createAgent, createFetch, protocolOf, retry, tracing } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { peerOf } from '../../src/dispatchers/peers.ts'
import { call, chainTo, errorOf, protocols, quick, send, serve } from './retry-servers.ts'

const connectionSpecific = {
  te: 'gzip',
  'proxy-connection': 'keep-alive',
  'http2-settings': 'AAMAAABkAAQCAAAAAAIAAAAA',
  'keep-alive': 'timeout=5',
  'transfer-encoding': 'chunked',
  upgrade: 'h2c',
  connection: 'keep-alive',
}
/** What undici itself can send over HTTP/1.1. */
const sendable = ['te', 'proxy-connection', 'http2-settings']

describe('streams of one session', () => {
  it('32: giving one up leaves its siblings and the session alone', async () => {
    const server = await serve({ protocol: 'h2' })
    const chain = chainTo(server, retry(quick))
    const held = gate()
    server.script('/hang', { hang: 'head' })
    server.script('/body', { body: 'x'.repeat(1000), hang: 'body' })
    server.script('/sibling', { hold: held.promise, body: 'still here' })
    await call(chain, server.url('/'))
    const sibling = call(chain, server.url('/sibling'))
    const abort = new AbortController()
    const hanging = errorOf(send(chain, server.url('/hang'), { signal: abort.signal }))
    const { body } = await send(chain, server.url('/body'))
    await server.until(() => server.count('/hang') === 1)
    abort.abort()
    body.on('error', () => undefined).destroy()
    await hanging
    held.open()
    expect((await sibling).text).toBe('still here')
    expect((await call(chain, server.url('/'))).status).toBe(200)
    expect(new Set(server.requests.map(({ connection }) => connection)).size).toBe(1)
    expect(server.connections.opened).toBe(1)
  })
})

describe('headers of one connection', () => {
  it.each(Object.entries(connectionSpecific))(
    '33: %s never reaches an HTTP/2 session, cold or warm',
    async (name, value) => {
      const server = await serve({ protocol: 'h2' })
      const chain = chainTo(server)
      const held = gate()
      server.script('/sibling', { hold: held.promise, body: 'still here' })
      const cold = await call(chain, server.url('/cold'), { headers: { [name]: value, 'x-own': 'kept' } })
      const sibling = call(chain, server.url('/sibling'))
      const warm = await call(chain, server.url('/warm'), { headers: [name, value, 'x-own', 'kept'] })
      held.open()
      expect([cold.status, warm.status, (await sibling).text]).toEqual([200, 200, 'still here'])
      for (const { path, headers } of server.requests.filter(({ path }) => path !== '/sibling')) {
        expect({ path, headers }).toMatchObject({ headers: { 'x-own': 'kept' } })
        expect(headers).not.toHaveProperty(name)
      }
      expect(server.connections.opened).toBe(1)
    },
  )

  it('33: te: trailers may stay', async () => {
    const server = await serve({ protocol: 'h2' })
    const chain = chainTo(server)
    await call(chain, server.url('/'), { headers: { te: 'trailers' } })
    expect(server.requests[0]?.headers.te).toBe('trailers')
  })

  it.each(sendable)('33: %s does reach an HTTP/1.1 server, cold or warm', async (name) => {
    const server = await serve({ protocol: 'h1' })
    const chain = chainTo(server)
    const value = connectionSpecific[name as keyof typeof connectionSpecific]
    for (let at = 0; at < 2; at++) await call(chain, server.url('/'), { headers: { [name]: value, 'x-own': 'kept' } })
    expect(server.requests.map(({ headers }) => headers[name])).toEqual([value, value])
    expect(server.requests.map(({ headers }) => headers['x-own'])).toEqual(['kept', 'kept'])
  })

  it('33: an attempt that is sent again carries them again over HTTP/1.1', async () => {
    const server = await serve({ protocol: 'h1' })
    const chain = chainTo(server, retry(quick))
    server.script('/', [503, 200])
    await call(chain, server.url('/'), { headers: { te: 'gzip' } })
    expect(server.requests.map(({ headers }) => headers.te)).toEqual(['gzip', 'gzip'])
  })
})

describe('transparent replays', () => {
  it('35: a stream that was refused, and sent again by undici, starts once for the consumer', async () => {
    const server = await serve({ protocol: 'h2' })
    const chain = chainTo(server, tracing(), retry(quick))
    server.script('/', [{ refuse: true }, { body: 'taken' }])
    const events: string[] = []
    await new Promise<void>((resolve, reject) => {
      chain.dispatch(
        { origin: server.origin, path: '/', method: 'POST', body: 'order' },
        {
          onRequestStart: () => void events.push('start'),
          onResponseStart: (_controller, status) => void events.push(`head ${status}`),
          onResponseData: (_controller, chunk) => void events.push(`data ${chunk}`),
          onResponseEnd: () => {
            events.push('end')
            resolve()
          },
          onResponseError: (_controller, error) => reject(error),
        },
      )
    })
    expect(events).toEqual(['start', 'head 200', 'data taken', 'end'])
    expect(server.count('/')).toBe(2)
  })
})

describe.each(protocols)('the negotiated protocol, $version', ({ protocol, version }) => {
  it('36: can be asked of what fetch and request answer, also after a retry', async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, tracing(), retry(quick))
    server.script('/flaky', [503, 200])
    const response = await createFetch(chain)(server.url('/flaky'))
    await response.text()
    expect(protocolOf(response)).toBe(version)
    const data = await send(chain, server.url('/'))
    await data.body.text()
    expect(protocolOf(data)).toBe(version)
  })
})

describe('createAgent', () => {
  it('36: speaks HTTP/2 where the server offers both, HTTP/1.1 where it must or is told to', async () => {
    const [both, old] = [await serve({ protocol: 'both' }), await serve({ protocol: 'h1' })]
    const versions: (string | undefined)[] = []
    for (const [server, allowH2] of [
      [both, true],
      [old, true],
      [both, false],
    ] as const) {
      const agent = createAgent({ allowH2, connect: { ca: server.ca } })
      onTestFinished(() => agent.destroy())
      const response = await createFetch(agent)(server.url('/'))
      await response.text()
      versions.push(protocolOf(response))
    }
    expect(versions).toEqual(['2', '1.1', '1.1'])
  })

  it('36: speaks HTTP/2 without TLS where it is told to', async () => {
    const server = await serve({ protocol: 'h2c' })
    const agent = createAgent({ useH2c: true })
    onTestFinished(() => agent.destroy())
    const response = await createFetch(agent)(server.url('/'))
    await response.text()
    expect(protocolOf(response)).toBe('2')
  })

  it('knows the other end while connections are open, and forgets it with the last', async () => {
    const server = await serve({ protocol: 'both' })
    const agent = createAgent({ connect: { ca: server.ca } })
    await call(agent, server.url('/'))
    expect(peerOf(server.origin)).toEqual({ alpn: 'h2', address: '127.0.0.1', port: server.port })
    const gone = new Promise((resolve) => agent.once('disconnect', resolve))
    await agent.destroy()
    await gone
    await new Promise((resolve) => setImmediate(resolve))
    expect(peerOf(server.origin)).toBeUndefined()
  })

  it.each([
    [{ connections: 0 }, RangeError, /createAgent: connections .* whole number of at least 1, got 0/],
    [{ keepAliveTimeout: 'long' }, TypeError, /createAgent: keepAliveTimeout .* got "long"/],
    [{ connectTimeout: -1 }, RangeError, /createAgent: connectTimeout .* got -1/],
    [{ poolSize: 3 }, TypeError, /unknown option "poolSize"; known are .*connections/],
    ['fast', TypeError, /createAgent: options must be an object, got "fast"/],
  ])('refuses %o', (options, kind, message) => {
    const make = () => createAgent(options as never)
    expect(make).toThrow(kind)
    expect(make).toThrow(message)
  })
})
