// A server of HTTP/2 that wants HTTP/1.1 (HTTP_1_1_REQUIRED): what may be sent again goes there, and so does all that follows.
import { createServer as createHttpServer, type IncomingMessage } from 'node:http'
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { h2cAgent, outcomeOf, send } from './support.ts'

const answered = ['start', 'head 200', 'data', 'end']
const http11Required = 13

/** Speaks HTTP/2 and HTTP/1.1 on one port, and turns HTTP/2 away from the `from`th stream on. */
async function serve(how: 'reset' | 'goaway', from = 1): Promise<{ origin: string; over: string[] }> {
  const over: string[] = []
  const http1 = createHttpServer(async (request: IncomingMessage, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    over.push(`1.1 ${request.method} ${body}`)
    response.end('hello')
  })
  const http2: Http2Server = createServer()
  http2.on('sessionError', () => {})
  let at = 0
  http2.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {})
    over.push(`2 ${headers[':method']}`)
    if (++at < from) {
      stream.respond({ ':status': 200 })
      stream.end('hello')
    } else if (how === 'reset') stream.close(http11Required)
    else stream.session!.goaway(http11Required, from * 2 - 3 < 0 ? 0 : from * 2 - 3)
  })
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null
      if (first === null) return
      socket.unshift(first)
      if (first.toString().startsWith('PRI *')) http2.emit('connection', socket)
      else http1.emit('connection', socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, over }
}

describe('HTTP_1_1_REQUIRED', () => {
  it('by a reset: a GET goes out again over HTTP/1.1, starts once, and the origin stays there', async () => {
    const { origin, over } = await serve('reset')
    const agent = h2cAgent()
    const calls = [send(agent, origin), send(agent, origin)]
    for (const call of calls) expect(await outcomeOf(call)).toEqual(answered)
    expect(over.filter((one) => one.startsWith('1.1')).length).toBe(2)
    const before = over.length
    expect(await outcomeOf(send(agent, origin, { method: 'POST', body: 'order' }))).toEqual(answered)
    expect(over.slice(before)).toEqual(['1.1 POST order'])
    expect(agent.stats[origin]?.protocol).toBe('1.1')
    await agent.close()
  })

  it('by a reset: a POST is reported and not sent twice, and the next one goes over HTTP/1.1', async () => {
    const { origin, over } = await serve('reset')
    const agent = h2cAgent()
    const first = send(agent, origin, { method: 'POST', body: 'order' })
    expect((await outcomeOf(first)).at(-1)).toBe('ERR_HTTP2_STREAM_ERROR')
    expect(first.error).toMatchObject({ http2ErrorCode: http11Required })
    expect(await outcomeOf(send(agent, origin, { method: 'POST', body: 'order' }))).toEqual(answered)
    expect(over).toEqual(['2 POST', '1.1 POST order'])
  })

  it('by a reset: a POST that is marked goes out again, unless its body was read', async () => {
    const { origin, over } = await serve('reset')
    const marked = send(h2cAgent(), origin, { method: 'POST', body: 'order', idempotent: true })
    expect(await outcomeOf(marked)).toEqual(answered)
    expect(over).toEqual(['2 POST', '1.1 POST order'])
    const read = send(h2cAgent(), origin, { method: 'POST', body: Readable.from(['order']), idempotent: true })
    expect((await outcomeOf(read)).at(-1)).toBe('ERR_HTTP2_STREAM_ERROR')
  })

  it('by a GOAWAY: what was above its last stream goes over HTTP/1.1, whatever its method', async () => {
    const { origin, over } = await serve('goaway', 2)
    const agent = h2cAgent()
    expect(await outcomeOf(send(agent, origin))).toEqual(answered)
    const calls = [send(agent, origin, { method: 'POST', body: 'order' }), send(agent, origin)]
    for (const call of calls) expect(await outcomeOf(call)).toEqual(answered)
    expect(over.filter((one) => one.startsWith('1.1'))).toEqual(['1.1 POST order', '1.1 GET '])
  })

  it('is asked again after five minutes', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => {
      vi.useRealTimers()
    })
    const { origin, over } = await serve('reset')
    const agent = h2cAgent()
    expect(await outcomeOf(send(agent, origin))).toEqual(answered)
    for (const [minutes, wanted] of [
      [4, ['1.1 GET ']],
      [2, ['2 GET', '1.1 GET ']],
    ] as const) {
      vi.advanceTimersByTime(minutes * 60_000)
      const before = over.length
      expect(await outcomeOf(send(agent, origin))).toEqual(answered)
      expect(over.slice(before)).toEqual(wanted)
    }
  })

  it('trailers have nowhere to go then', async () => {
    const { origin } = await serve('reset')
    const call = send(h2cAgent(), origin, { trailers: { 'x-a': '1' } })
    expect((await outcomeOf(call)).at(-1)).toBe('UND_ERR_NOT_SUPPORTED')
  })
})
