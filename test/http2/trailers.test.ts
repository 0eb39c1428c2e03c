// Trailers of a request, over HTTP/2, on servers that read them; and what cannot be sent.
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { compose, createAgent, retry, type TrailerOptions } from 'roundtripper'
import { startServer, type TestServer } from 'roundtripper/testing'
import { type Dispatcher, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startFrameServer } from './frame-server.ts'
import { h2cAgent, outcomeOf, send } from './support.ts'

const answered = ['start', 'head 200', 'data', 'end']
const trailers = { 'X-Checksum': 'abc', 'grpc-status': '0' }
const seen = { 'x-checksum': 'abc', 'grpc-status': '0' }

async function serve(protocol: 'h2' | 'h2c' | 'h1' | 'both' | 'h1c'): Promise<TestServer> {
  const server = await startServer({ protocol, respond: { '*': { body: 'hello' } } })
  onTestFinished(() => server.close())
  return server
}

async function ended(server: TestServer): Promise<TestServer['requests'][number]> {
  await server.until(() => server.requests[0]?.complete === true)
  return server.requests[0]!
}

describe('trailers', () => {
  const bodies: [string, () => unknown][] = [
    ['no body', () => undefined],
    ['an empty body', () => ''],
    ['a string', () => 'order'],
    ['a stream', () => Readable.from(['or', 'der'])],
    [
      'a generator',
      () =>
        (function* () {
          yield 'order'
        })(),
    ],
    ['a Blob', () => new Blob(['order'])],
    ['a large body', () => Buffer.alloc(1_000_000, 'x')],
  ]
  it.each(bodies)('follow %s', async (_name, body) => {
    const server = await serve('h2c')
    const agent = h2cAgent()
    expect(await outcomeOf(send(agent, server.origin, { method: 'POST', body: body(), trailers }))).toEqual(answered)
    expect((await ended(server)).trailers).toMatchObject(seen)
    expect(agent.stats[server.origin]?.streams).toBe(0)
  })

  it('are made when the body has gone out, by undici.request, through a chain, over TLS', async () => {
    const server = await serve('h2')
    const chain = compose(createAgent({ connect: { ca: server.ca! } }), retry())
    onTestFinished(() => chain.destroy())
    const hash = createHash('sha256')
    const body = Readable.from(
      (async function* () {
        for (const piece of ['or', 'der']) {
          hash.update(piece)
          yield piece
        }
      })(),
    )
    const options: TrailerOptions & { method: Dispatcher.HttpMethod; body: Readable } = {
      method: 'POST',
      body,
      trailers: () => ({ 'x-checksum': hash.digest('hex') }),
    }
    const response = await request(server.url('/'), { ...options, dispatcher: chain })
    expect(await response.body.text()).toBe('hello')
    const got = await ended(server)
    expect(got.trailers).toMatchObject({ 'x-checksum': got.bodySha256 })
  })

  it('are asked for again when the request goes out again', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => (at === 1 ? connection.reset(stream, 7) : connection.answer(stream))
    let asked = 0
    const made = () => ({ 'x-at': `${++asked}` })
    const call = send(h2cAgent(), server.origin, { method: 'POST', body: 'order', trailers: made })
    expect(await outcomeOf(call)).toEqual(answered)
    await server.until(() => server.connections[0]!.of(3).includes('HEADERS END'))
    expect(server.connections[0]!.of(3)).toEqual(['HEADERS', 'DATA 5', 'HEADERS END'])
  })

  it('that are empty end the request all the same', async () => {
    const server = await serve('h2c')
    expect(await outcomeOf(send(h2cAgent(), server.origin, { method: 'POST', body: 'order', trailers: {} }))).toEqual(
      answered,
    )
    expect((await ended(server)).body.toString()).toBe('order')
  })

  it.each([
    ['a pseudo header', { ':path': '/' }],
    ['a length', { 'Content-Length': '1' }],
    ['credentials', { authorization: 'x' }],
    ['a header of the connection', { connection: 'close' }],
    ['a condition', { 'if-match': 'x' }],
    ['a line break', { a: 'b\r\nc: d' }],
    ['a number', { a: 1 }],
    ['the same twice', { a: '1', A: '2' }],
    ['a list', ['a', 'b']],
    ['a string', 'a: b'],
  ])('33: %s is refused at once, before a stream is opened', async (_name, wrong) => {
    const server = await startFrameServer()
    const refused = send(h2cAgent(), server.origin, { method: 'POST', body: 'order', trailers: wrong })
    expect(refused.events).toEqual(['error'])
    expect(refused.error).toMatchObject({ code: 'UND_ERR_INVALID_ARG' })
    expect((refused.error as Error).message).toMatch(/^trailers (must|hold)/)
    expect(server.streams).toBe(0)
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('no checksum')
      },
      'no checksum',
    ],
    ['gives what cannot be sent', () => ({ host: 'a' }), 'trailers must not hold host, which belongs in the head'],
  ])(
    'of a function that %s fail the call, reset with CANCEL, and are no failure to repeat',
    async (_name, made, message) => {
      const server = await startFrameServer()
      server.onStream = () => {}
      const agent = h2cAgent()
      const call = send(agent, server.origin, { method: 'POST', body: 'order', trailers: made })
      await call.over
      expect((call.error as Error).message).toBe(message)
      await server.until(() => server.connections[0]!.of(1).includes('RST_STREAM 8'))
      expect(server.connections[0]!.of(1)).toEqual(['HEADERS', 'DATA 5', 'RST_STREAM 8'])
      server.onStream = (connection, stream) => connection.answer(stream)
      expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
    },
  )

  it.each(['h1', 'h1c'] as const)('to a server of %s are a clear error, cold and known', async (protocol) => {
    const server = await serve(protocol)
    const agent = createAgent(server.ca === undefined ? {} : { connect: { ca: server.ca } })
    onTestFinished(() => agent.destroy())
    for (const chain of [agent, compose(agent, retry({ backoff: 1 }))]) {
      const call = send(chain, server.origin, { method: 'POST', body: 'order', trailers })
      expect((await outcomeOf(call)).at(-1)).toBe('UND_ERR_NOT_SUPPORTED')
      expect((call.error as Error).message).toBe(
        `trailers are sent over HTTP/2 only, and this request to ${server.origin} goes over HTTP/1.1`,
      )
    }
    expect(server.requests.length).toBe(0)
    expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
  })
})

describe('headers that `connection` names', () => {
  it('33: do not reach a session, te: trailers and the rest do', async () => {
    const server = await serve('h2c')
    const headers = {
      'x-hop': '1',
      connection: 'X-Hop, close, TE, x-more',
      te: 'trailers',
      'X-More': '2',
      'x-own': 'kept',
    }
    const agent = h2cAgent()
    for (const given of [headers, Object.entries(headers).flat(), new Map(Object.entries(headers))]) {
      expect(await outcomeOf(send(agent, server.origin, { headers: given as never }))).toEqual(answered)
    }
    for (const { headers: got } of server.requests) {
      expect(got).toMatchObject({ 'x-own': 'kept', te: 'trailers' })
      expect(Object.keys(got)).not.toEqual(expect.arrayContaining(['x-hop']))
      expect(got).not.toHaveProperty('x-more')
    }
  })
})
