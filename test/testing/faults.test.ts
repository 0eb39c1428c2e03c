import { type ClientHttp2Session, connect, constants } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import type { StepOptions } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { callH2c } from './h2-frames.ts'
import { call, startPair, wires } from './support.ts'

const whole = 'The quick brown fox jumps over the lazy dog.'

/** What a caller got before the answer broke off, and how it broke off. */
async function broken(step: StepOptions, { protocol, version }: (typeof wires)[number]) {
  const { server, agent } = await startPair({ protocol })
  server.script('/', [step, 200])
  const connectionsBefore = server.connections.opened
  let status: number | undefined
  let text = ''
  let code: string | undefined
  let http2ErrorCode: number | undefined
  try {
    const { statusCode, body } = await agent.request({
      origin: server.origin,
      path: '/',
      method: 'POST',
      body: 'hello',
    })
    status = statusCode
    for await (const chunk of body) text += String(chunk)
  } catch (error) {
    const about = error as { code?: string; http2ErrorCode?: number }
    code = about.code
    http2ErrorCode = about.http2ErrorCode
  }
  const request = server.requests[0]!
  const end = await request.closed
  return { server, agent, version, status, text, code, http2ErrorCode, request, end, connectionsBefore }
}

describe.each(wires)('faults, $protocol', (wire) => {
  const { protocol, version } = wire
  const h2 = version === '2'

  it('resets before the head', async () => {
    const seen = await broken({ reset: 'before-head' }, wire)
    expect(seen.status).toBeUndefined()
    expect(seen.end).toEqual({ how: 'faulted', rstCode: h2 ? constants.NGHTTP2_INTERNAL_ERROR : undefined })
    if (h2) expect(seen.http2ErrorCode).toBe(constants.NGHTTP2_INTERNAL_ERROR)
    else expect(seen.code).toBe('ECONNRESET')
    expect(String(seen.request.body)).toBe('hello')
  })

  it('resets in the body, after its first half', async () => {
    const seen = await broken({ reset: 'in-body', body: whole }, wire)
    expect(seen.status).toBe(200)
    expect(whole.startsWith(seen.text)).toBe(true)
    expect(seen.text.length).toBeLessThan(whole.length)
    expect(seen.code).toBe(h2 ? 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' : 'ECONNRESET')
    expect(seen.end).toMatchObject({ how: 'faulted' })
  })

  it('resets after the last of the parts', async () => {
    const seen = await broken({ reset: 'in-body', body: ['one', 'two'] }, wire)
    expect(seen.status).toBe(200)
    expect(seen.end).toMatchObject({ how: 'faulted' })
    expect(seen.code).toBe(h2 ? 'ERR_HTTP2_STREAM_ERROR' : 'ECONNRESET')
  })

  it('resets with the code it is given', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', { reset: 'before-head', resetCode: constants.NGHTTP2_ENHANCE_YOUR_CALM })
    const error = await call(agent, server.url()).catch((thrown) => thrown)
    if (h2) expect(error.http2ErrorCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    else expect(error.code).toBe('ECONNRESET')
  })

  it('cuts a body short of its length', async () => {
    const seen = await broken({ cut: true, body: whole }, wire)
    expect(seen.status).toBe(200)
    expect(whole.startsWith(seen.text)).toBe(true)
    expect(seen.code).toBe(h2 ? 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' : 'UND_ERR_SOCKET')
    expect(seen.end).toEqual({ how: 'faulted', rstCode: h2 ? constants.NGHTTP2_CANCEL : undefined })
  })

  it.each([undefined, '', Buffer.alloc(0)])('has something to break where the body is %j', async (body) => {
    const seen = await broken({ cut: true, ...(body !== undefined && { body }) }, wire)
    expect(seen.status).toBe(200)
    expect(seen.code).toBeDefined()
  })

  it('does not hang in the body of an answer that has none', async () => {
    const { server, agent } = await startPair({ protocol, respond: { hang: 'body' } })
    await call(agent, server.url(), { method: 'HEAD' })
    await call(agent, server.url(), { method: 'HEAD' })
    expect(await server.requests[1]!.closed).toMatchObject({ how: 'answered' })
  })

  it('hangs before the head until the caller gives up', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', { hang: 'head' })
    const arriving = server.nextRequest('/')
    const controller = new AbortController()
    const calling = call(agent, server.url(), { signal: controller.signal })
    calling.catch(() => {})
    const request = await arriving
    await request.received
    expect([request.aborted, request.complete]).toEqual([false, true])
    controller.abort()
    await expect(calling).rejects.toThrow()
    expect(await request.closed).toMatchObject({ how: 'aborted' })
    expect(request.aborted).toBe(true)
  })

  it('hangs within the body until the caller gives up', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', { hang: 'body', body: whole })
    const response = await agent.request({ origin: server.origin, path: '/', method: 'GET' })
    const chunks = response.body[Symbol.asyncIterator]()
    expect(String((await chunks.next()).value)).toBe(whole.slice(0, whole.length / 2))
    expect(server.requests[0]!.aborted).toBe(false)
    response.body.on('error', () => {})
    response.body.destroy()
    expect(await server.requests[0]!.closed).toMatchObject({ how: 'aborted' })
  })

  it('refuses a request', async () => {
    const { server, agent } = await startPair({ protocol, respond: { refuse: true } })
    const error = await call(agent, server.url()).catch((thrown) => thrown)
    if (h2) expect(error.http2ErrorCode).toBe(constants.NGHTTP2_REFUSED_STREAM)
    else expect(error.code).toBe('UND_ERR_SOCKET')
    expect(await server.requests[0]!.closed).toEqual({
      how: 'faulted',
      rstCode: h2 ? constants.NGHTTP2_REFUSED_STREAM : undefined,
    })
  })

  it('refuses at once, with the request body still on its way', async () => {
    const { server, agent } = await startPair({ protocol, respond: { refuse: true } })
    const body = (async function* () {
      yield 'first'
      await new Promise(() => {})
    })()
    await expect(call(agent, server.url(), { method: 'POST', body: body as never })).rejects.toThrow()
    expect(server.requests[0]!.complete).toBe(false)
  })

  it.each(['before-head', 'in-body'] as const)('closes the whole connection, %s', async (destroySession) => {
    const { server, agent } = await startPair({ protocol })
    server.script('/hang', { hang: 'head' }).script('/', { destroySession, body: whole })
    await call(agent, server.url('/warm'))
    const sibling = call(agent, server.url('/hang'))
    sibling.catch(() => {})
    await server.until(() => server.count('/hang') === 1)
    await expect(call(agent, server.url())).rejects.toThrow()
    expect(await server.requests.at(-1)!.closed).toMatchObject({ how: 'faulted' })
    if (h2) await expect(sibling).rejects.toThrow()
    await call(agent, server.url('/again'))
    const [broke, again] = server.requests.slice(-2)
    expect(again!.connection).not.toBe(broke!.connection)
  })

  it('answers with a GOAWAY, after which the caller takes another connection', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', [{ goaway: {}, body: 'bye' }, 200])
    expect((await call(agent, server.url())).text).toBe('bye')
    expect((await call(agent, server.url())).status).toBe(200)
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2])
  })
})

describe.each(wires.filter(({ version }) => version === '2'))('GOAWAY on the wire, $protocol', ({ protocol }) => {
  async function open(): Promise<Awaited<ReturnType<typeof startPair>> & { session: ClientHttp2Session }> {
    const pair = await startPair({ protocol })
    const session = connect(pair.server.origin, { ca: pair.server.ca ?? [] })
    session.on('error', () => {})
    onTestFinished(() => session.destroy())
    return { ...pair, session }
  }

  function send(session: ClientHttp2Session, path: string): Promise<string> {
    return new Promise((resolve) => {
      const stream = session.request({ ':path': path })
      let status: unknown
      stream.on('response', (headers) => {
        status = headers[':status']
      })
      stream.on('error', () => {})
      stream.on('close', () => resolve(`${status} ${stream.rstCode}`))
      stream.resume()
    })
  }

  it('carries code and last stream, and leaves younger streams unanswered', async () => {
    const { server, session } = await open()
    server.script('/', [200, { goaway: { code: 0, lastStreamId: 1 }, body: 'never' }])
    const goaway = new Promise((resolve) => session.on('goaway', (code, last) => resolve([code, last])))
    expect(await send(session, '/')).toBe('200 0')
    // nghttp2, the caller's side here, refuses what the server did not take on.
    expect(await send(session, '/')).toBe(`undefined ${constants.NGHTTP2_REFUSED_STREAM}`)
    expect(await goaway).toEqual([0, 1])
    expect(await server.requests[1]!.closed).toMatchObject({ how: 'faulted' })
  })

  it('goes out at once, while the answer may take its time; older streams still end', async () => {
    const { server, session } = await open()
    let release = () => {}
    const hold = new Promise<void>((resolve) => {
      release = resolve
    })
    server.script('/held', { hold, body: 'held' }).script('/bye', { goaway: {}, delay: 5 })
    const goaway = new Promise((resolve) => session.on('goaway', (_code, last) => resolve(last)))
    const older = send(session, '/held')
    const younger = send(session, '/bye')
    expect(await goaway).toBe(3)
    expect(await younger).toBe('200 0')
    release()
    expect(await older).toBe('200 0')
  })

  it('carries an error code', async () => {
    const { server, session } = await open()
    server.script('/', { goaway: { code: constants.NGHTTP2_ENHANCE_YOUR_CALM } })
    const goaway = new Promise((resolve) => session.on('goaway', (code) => resolve(code)))
    await send(session, '/')
    expect(await goaway).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  })
})

describe('faults on the wire, frame by frame', () => {
  const steps: [string, StepOptions, string[]][] = [
    ['a body in one piece, reset', { reset: 'in-body', body: '12345678' }, ['HEADERS', 'DATA 4', 'RST_STREAM 2']],
    ['parts, reset', { reset: 'in-body', body: ['abc', 'de'] }, ['HEADERS', 'DATA 3', 'DATA 2', 'RST_STREAM 2']],
    ['a code of 0', { reset: 'in-body', resetCode: 0, body: '12' }, ['HEADERS', 'DATA 1', 'RST_STREAM 0']],
    ['reset before the head', { reset: 'before-head', resetCode: 11 }, ['RST_STREAM 11']],
    ['refused', { refuse: true }, ['RST_STREAM 7']],
    ['cut', { cut: true, body: ['abc'] }, ['HEADERS', 'DATA 3', 'RST_STREAM 8']],
    ['left out by GOAWAY', { goaway: { code: 11, lastStreamId: 1 }, body: 'never' }, ['GOAWAY 1 11']],
    ['with GOAWAY', { goaway: {}, body: 'bye' }, ['GOAWAY 3 0', 'HEADERS', 'DATA 3 END_STREAM']],
    ['in good order', { body: 'hi' }, ['HEADERS', 'DATA 2 END_STREAM']],
    ['in good order, empty', {}, ['HEADERS END_STREAM']],
    ['in good order, in parts', { body: ['hi'] }, ['HEADERS', 'DATA 2', 'DATA 0 END_STREAM']],
    ['trailers', { body: 'hi', trailers: { a: 'b' } }, ['HEADERS', 'DATA 2', 'HEADERS END_STREAM']],
  ]

  it.each(steps)('%s', async (_name, step, expected) => {
    const { server } = await startPair({ protocol: 'h2c' })
    server.script('/', step)
    const caller = callH2c(server.port)
    caller.get('/warm', 1)
    await caller.seen('HEADERS')
    caller.frames.length = 0
    caller.get('/', 3)
    await caller.seen(expected.at(-1)!)
    await server.requests[1]!.closed
    expect(caller.frames).toEqual(expected)
  })
})

describe('a connection that drops within an HTTP/1.1 body', () => {
  it('ends after half of the bytes, in cleartext as on the wire', async () => {
    const { server } = await startPair({ protocol: 'h1c', respond: { cut: true, body: '0123456789' } })
    const socket = connectTcp(server.port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    expect(text).toMatch(/content-length: 10\r\n/i)
    expect(text.slice(text.indexOf('\r\n\r\n') + 4)).toBe('01234')
  })
})
