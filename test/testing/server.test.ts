import { once } from 'node:events'
import { connect, constants } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { gate, startServer } from 'roundtripper/testing'
import { Agent } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, startPair, wires } from './support.ts'

describe.each(wires)('startServer, $protocol', ({ protocol, version }) => {
  it('answers 200 to everything until told otherwise, in the protocol it was asked for', async () => {
    const { server, agent } = await startPair({ protocol })
    const { status, text, headers } = await call(agent, server.url('/any?x=1'))
    expect([status, text, headers['content-length']]).toEqual([200, '', '0'])
    expect(server.requests[0]).toMatchObject({ method: 'GET', path: '/any?x=1', protocol: version })
    expect(server.origin).toBe(`${protocol.endsWith('c') ? 'http' : 'https'}://127.0.0.1:${server.port}`)
    expect(server.ca === undefined).toBe(protocol.endsWith('c'))
  })

  it('sends status, headers and a body in one piece with its length', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', { status: 418, headers: { 'X-One': '1', 'set-cookie': ['a=1', 'b=2'] }, body: 'grün' })
    const { status, text, headers } = await call(agent, server.url())
    expect([status, text]).toEqual([418, 'grün'])
    expect(headers).toMatchObject({ 'x-one': '1', 'set-cookie': ['a=1', 'b=2'], 'content-length': '5' })
  })

  it('sends bytes, and large bodies, whole', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', { body: Buffer.alloc(1_000_000, 'z') })
    const { text } = await call(agent, server.url())
    expect(text).toBe('z'.repeat(1_000_000))
    expect(await server.requests[0]!.closed).toMatchObject({ how: 'answered' })
  })

  it('sends a body in parts without a length, and waits at a promise among them', async () => {
    const { server, agent } = await startPair({ protocol })
    const { promise, open } = gate()
    server.script('/', { body: ['one ', promise, Buffer.from('two '), Promise.resolve('three')] })
    const response = await agent.request({ origin: server.origin, path: '/', method: 'GET' })
    const chunks = response.body[Symbol.asyncIterator]()
    expect(String((await chunks.next()).value)).toBe('one ')
    expect(response.headers['content-length']).toBeUndefined()
    open()
    let rest = ''
    for await (const chunk of chunks) rest += String(chunk)
    expect(rest).toBe('two three')
  })

  it('sends the parts of an async generator', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', () => ({
      body: (async function* () {
        yield 'a'
        yield new Uint8Array([98])
      })(),
    }))
    expect((await call(agent, server.url())).text).toBe('ab')
    expect((await call(agent, server.url())).text).toBe('ab')
  })

  it('sends interim responses before the head, and trailers after the body', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', {
      early: [{ headers: { link: ['</a.css>', '</b.css>'] } }, { status: 102 }],
      body: 'x',
      trailers: { 'x-sum': '7' },
    })
    const interim: { statusCode: number; headers: unknown }[] = []
    const { status, text, trailers } = await call(agent, server.url(), { onInfo: (info) => interim.push(info) })
    expect([status, text]).toEqual([200, 'x'])
    expect(trailers).toEqual({ 'x-sum': '7' })
    expect(interim.map(({ statusCode }) => statusCode)).toEqual([103, 102])
    expect(JSON.stringify(interim[0]!.headers)).toContain('</b.css>')
  })

  it('tells Retry-After, and echoes what came', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/busy', { status: 503, retryAfter: 3 }).script('/echo', { echo: true })
    expect((await call(agent, server.url('/busy'))).headers['retry-after']).toBe('3')
    const { text } = await call(agent, server.url('/echo?q'), { method: 'PUT', body: 'abc', headers: { 'x-a': 'b' } })
    expect(JSON.parse(text)).toMatchObject({
      method: 'PUT',
      path: '/echo?q',
      protocol: version,
      headers: { 'x-a': 'b' },
      bodyLength: 3,
      bodySha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
      body: 'abc',
    })
  })

  it('sends no body to a HEAD, nor with 204 and 304, and keeps the connection', async () => {
    const { server, agent } = await startPair({ protocol, respond: { '/204': 204, '/304': 304, '*': { body: 'hi' } } })
    expect((await call(agent, server.url(), { method: 'HEAD' })).headers['content-length']).toBe('2')
    expect((await call(agent, server.url('/204'))).text).toBe('')
    expect((await call(agent, server.url('/304'))).text).toBe('')
    expect((await call(agent, server.url())).text).toBe('hi')
    for (const request of server.requests) expect(await request.closed).toMatchObject({ how: 'answered' })
  })

  it('waits before the head and before each part for as long as the step says', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', { delay: 30, bodyDelay: 20, body: ['a', 'b'] })
    const startedAt = performance.now()
    const response = await agent.request({ origin: server.origin, path: '/', method: 'GET' })
    // Timers of Node may fire up to a millisecond early.
    expect(performance.now() - startedAt).toBeGreaterThan(28)
    expect(await response.body.text()).toBe('ab')
    expect(performance.now() - startedAt).toBeGreaterThan(66)
  })

  it('holds an answer until the test lets it go', async () => {
    const { server, agent } = await startPair({ protocol })
    const { promise, open } = gate()
    server.script('/', [{ hold: promise, body: 'late' }, 200])
    const held = call(agent, server.url('/'))
    await server.until(() => server.count() === 1)
    const order: string[] = []
    const first = held.then(() => order.push('held'))
    await call(agent, server.url('/other')).then(() => order.push('other'))
    open()
    await first
    expect(order).toEqual(['other', 'held'])
    expect((await held).text).toBe('late')
  })
})

it('takes a content-length of the step, however it is written', async () => {
  const { server } = await startPair({ protocol: 'h1c' })
  server.script('/', { headers: { 'Content-Length': 2, connection: 'close' }, body: 'hi' })
  const socket = connectTcp(server.port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  expect(text.match(/content-length/gi)).toHaveLength(1)
})

describe('the protocols on offer', () => {
  it('lets the caller choose with both, and refuses a handshake without common ground', async () => {
    const { server } = await startPair()
    await using onlyH2 = await startServer({ protocol: 'h2' })
    const http1 = new Agent({ connect: { ca: server.ca! }, allowH2: false })
    onTestFinished(() => http1.destroy())
    await call(http1, server.url())
    expect(server.requests[0]!.protocol).toBe('1.1')
    await expect(call(http1, onlyH2.url())).rejects.toThrow()
    expect(onlyH2.requests).toHaveLength(0)
  })

  it('closes on a caller that offers no protocol where only HTTP/2 is spoken', async () => {
    const { server } = await startPair({ protocol: 'h2' })
    const socket = connectTls({ port: server.port, host: '127.0.0.1', ca: server.ca })
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(socket, 'close')
    expect(server.requests).toHaveLength(0)
  })

  it('speaks to a plain HTTP/2 session too, and survives a thousand cancelled streams on it', async () => {
    const { server } = await startPair({ protocol: 'h2', respond: { '*': 200, '/hang': { hang: 'head' } } })
    const session = connect(server.origin, { ca: server.ca! })
    onTestFinished(() => session.destroy())
    const cancelled = Array.from({ length: 1200 }, () => {
      const stream = session.request({ ':path': '/hang' })
      stream.on('error', () => {})
      stream.on('ready', () => stream.close(constants.NGHTTP2_CANCEL))
      return new Promise((resolve) => stream.on('close', resolve))
    })
    await Promise.all(cancelled)
    const stream = session.request({ ':path': '/' }).resume()
    const status = await new Promise((resolve) => stream.on('response', (headers) => resolve(headers[':status'])))
    expect(status).toBe(200)
    expect(server.connections.opened).toBe(1)
  })
})
