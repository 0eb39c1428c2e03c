// What the server never took goes out again by itself; what it may have taken is reported, and not sent twice.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { compose, retry } from 'roundtripper'
import { describe, expect, it, onTestFinished } from 'vitest'
import { isUnsent } from '../../src/policies/errors.ts'
import { type FrameConnection, startFrameServer } from './frame-server.ts'
import { h2cAgent, outcomeOf, send } from './support.ts'

const answered = ['start', 'head 200', 'data', 'end']
const graceful = 2 ** 31 - 1

describe('GOAWAY', () => {
  it('calls that go out again do so in the order they came', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at > 5) connection.answer(stream)
      else if (at === 5) {
        connection.goaway(1)
        connection.answer(1)
      }
    }
    const agent = h2cAgent()
    const calls = ['a', 'b', 'c', 'd', 'e'].map((body) => send(agent, server.origin, { method: 'POST', body }))
    for (const call of calls) expect(await outcomeOf(call)).toEqual(answered)
    const bodies = server.connections[1]!.frames.filter(({ type }) => type === 'DATA').map(
      ({ payload }) => `${payload}`,
    )
    expect(bodies).toEqual(['b', 'c', 'd', 'e'])
  })

  it('34, 35: a POST above the last stream id goes out again on another session, and starts once', async () => {
    const server = await startFrameServer()
    const held: [FrameConnection, number][] = []
    server.onStream = (connection, stream, at) => {
      if (at === 1) held.push([connection, stream])
      else if (at === 2) connection.goaway(1)
      else connection.answer(stream)
    }
    const agent = h2cAgent()
    const first = send(agent, server.origin, { method: 'POST', body: 'one' })
    await server.until(() => server.streams === 1)
    const second = send(agent, server.origin, { method: 'POST', body: 'two' })
    // Answered on a second session, while the first still waits for its slow stream.
    expect(await outcomeOf(second)).toEqual(answered)
    expect(first.events).toEqual(['start'])
    expect(server.connections.length).toBe(2)
    const [connection, stream] = held[0]!
    connection.answer(stream)
    expect(await outcomeOf(first)).toEqual(answered)
    expect(server.streams).toBe(3)
    expect(server.connections[1]!.of(1)).toEqual(['HEADERS', 'DATA 3 END'])
  })

  it('34: new calls do not wait for the streams of a draining session', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at === 1) connection.goaway(graceful)
      else connection.answer(stream)
    }
    const agent = h2cAgent()
    const slow = send(agent, server.origin)
    await server.until(() => server.connections[0]?.count('GOAWAY') === 1)
    for (let at = 0; at < 5; at++) expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
    expect(slow.events).toEqual(['start'])
    server.connections[0]!.answer(1)
    expect(await outcomeOf(slow)).toEqual(answered)
    expect(server.connections.length).toBe(2)
  })

  it('34: with an error code, what the server has taken may still be answered, and the rest goes elsewhere', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at === 2) connection.goaway(1, 2)
      else if (at > 2) connection.answer(stream)
    }
    const agent = h2cAgent()
    const first = send(agent, server.origin, { method: 'POST', body: 'one' })
    await server.until(() => server.streams === 1)
    const second = send(agent, server.origin, { method: 'POST', body: 'two' })
    expect(await outcomeOf(second)).toEqual(answered)
    server.connections[0]!.answer(1)
    expect(await outcomeOf(first)).toEqual(answered)
    await server.until(() => server.connections[0]!.count('GOAWAY') > 0)
  })

  it('a POST that the server had taken is reported once, and not sent twice', async () => {
    const server = await startFrameServer()
    server.onStream = (connection) => {
      connection.goaway(1)
      connection.socket.end()
    }
    const lost = send(h2cAgent(), server.origin, { method: 'POST', body: 'order' })
    expect(await outcomeOf(lost)).toEqual(['start', 'error', 'UND_ERR_SOCKET'])
    expect(isUnsent(lost.error)).toBe(false)
    expect(server.streams).toBe(1)
  })

  it('a body that was read and can be read only once is not sent again, but known as unsent', async () => {
    const server = await startFrameServer()
    server.onStream = (connection) => connection.goaway(0)
    const body = Readable.from([Buffer.from('once')])
    const lost = send(h2cAgent(), server.origin, { method: 'POST', body })
    expect(await outcomeOf(lost)).toEqual(['start', 'error', 'UND_ERR_SOCKET'])
    expect(isUnsent(lost.error)).toBe(true)
    expect(server.streams).toBe(1)
  })

  it('a retry above sends it again all the same, for it has kept the bytes', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at === 1) connection.goaway(0)
      else connection.answer(stream)
    }
    const chain = compose(h2cAgent(), retry({ backoff: 1 }))
    const body = Readable.from([Buffer.from('once')])
    expect(await outcomeOf(send(chain, server.origin, { method: 'POST', body }))).toEqual(answered)
    expect(server.connections[1]!.of(1)).toEqual(['HEADERS', 'DATA 4', 'DATA 0 END'])
  })

  it.each([
    ['above the last stream id', 0],
    ['that the server had taken', 1],
  ])('ENHANCE_YOUR_CALM is never replayed: a stream %s', async (_name, last) => {
    const server = await startFrameServer()
    server.onStream = (connection) => {
      connection.goaway(last, 11)
      connection.socket.end()
    }
    const lost = send(h2cAgent(), server.origin)
    expect(await outcomeOf(lost)).toEqual(['start', 'error', 'UND_ERR_SOCKET'])
    expect(server.streams).toBe(1)
    expect(server.connections.length).toBe(1)
  })

  it('a server that never takes anything is asked a bounded number of times', async () => {
    const server = await startFrameServer()
    server.onStream = (connection) => connection.goaway(0)
    expect(await outcomeOf(send(h2cAgent(), server.origin))).toEqual(['start', 'error', 'UND_ERR_SOCKET'])
    expect(server.streams).toBe(17)
  })
})

describe('REFUSED_STREAM', () => {
  it.each(['GET', 'POST'] as const)('35: a refused %s goes out again, and starts once', async (method) => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at < 3) connection.reset(stream, 7)
      else connection.answer(stream)
    }
    const body = method === 'GET' ? undefined : 'order'
    expect(await outcomeOf(send(h2cAgent(), server.origin, { method, body }))).toEqual(answered)
    expect(server.streams).toBe(3)
    expect(server.connections.length).toBe(1)
  })

  it('a server that always refuses is asked four times; what it told is passed on', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream) => connection.reset(stream, 7)
    const refused = send(h2cAgent(), server.origin, { method: 'POST', body: 'order' })
    expect(await outcomeOf(refused)).toEqual(['start', 'error', 'ERR_HTTP2_STREAM_ERROR'])
    expect(refused.error).toMatchObject({ http2ErrorCode: 7 })
    expect(isUnsent(refused.error)).toBe(true)
    expect(server.streams).toBe(4)
  })

  it.each([1, 2, 8, 11])('a stream reset with code %i was taken: it is reported', async (code) => {
    const server = await startFrameServer()
    server.onStream = (connection, stream) => connection.reset(stream, code)
    const reset = send(h2cAgent(), server.origin)
    expect(await outcomeOf(reset)).toEqual(['start', 'error', 'ERR_HTTP2_STREAM_ERROR'])
    expect(reset.error).toMatchObject({ http2ErrorCode: code })
    expect(server.streams).toBe(1)
  })
})

describe('a lost connection', () => {
  it.each([
    ['closed', (connection: FrameConnection) => connection.socket.end()],
    ['reset', (connection: FrameConnection) => connection.socket.resetAndDestroy()],
  ])('%s before a byte of the answer: what may be repeated goes out again, a POST is reported', async (_name, lose) => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at === 1 || at > 3) connection.answer(stream)
      else if (at === 3) lose(connection)
    }
    const agent = h2cAgent()
    await send(agent, server.origin).over
    const get = send(agent, server.origin)
    const post = send(agent, server.origin, { method: 'POST', body: 'order' })
    expect(await outcomeOf(post)).toEqual(['start', 'error', 'UND_ERR_SOCKET'])
    expect(await outcomeOf(get)).toEqual(answered)
    expect(server.streams).toBe(4)
  })

  it('whose session has not heard of it yet takes no call', async () => {
    const server = await startFrameServer()
    const agent = h2cAgent()
    const sockets: Socket[] = []
    const note = (message: unknown) => sockets.push((message as { socket: Socket }).socket)
    subscribe('undici:client:sendHeaders', note)
    onTestFinished(() => void unsubscribe('undici:client:sendHeaders', note))
    await send(agent, server.origin).over
    sockets[0]!.destroy()
    expect(await outcomeOf(send(agent, server.origin, { method: 'POST', body: 'order' }))).toEqual(answered)
    expect(server.connections.length).toBe(2)
  })

  it('that had never answered anything is tried again once', async () => {
    const server = await startFrameServer()
    server.onStream = (connection) => connection.socket.destroy()
    expect(await outcomeOf(send(h2cAgent(), server.origin))).toEqual(['start', 'error', 'UND_ERR_SOCKET'])
    expect(server.streams).toBe(2)
    server.onStream = (connection, stream, at) => {
      if (at === 3) connection.socket.destroy()
      else connection.answer(stream)
    }
    expect(await outcomeOf(send(h2cAgent(), server.origin))).toEqual(answered)
    expect(server.streams).toBe(4)
  })

  it('after an interim answer it is reported', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at === 1) {
        connection.answer(stream)
        return
      }
      // :status 103, as a literal.
      connection.send(1, 4, stream, Buffer.concat([Buffer.from([0x08, 3]), Buffer.from('103')]))
      connection.socket.end()
    }
    const agent = h2cAgent()
    await send(agent, server.origin).over
    expect(await outcomeOf(send(agent, server.origin))).toEqual(['start', 'info 103', 'error', 'UND_ERR_SOCKET'])
    expect(server.streams).toBe(2)
  })

  it('idempotent: true repeats a POST without a body, idempotent: false no GET', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at === 2) connection.socket.destroy()
      else connection.answer(stream)
    }
    for (const [opts, expected] of [
      [{ method: 'POST', idempotent: true }, answered],
      [{ method: 'GET', idempotent: false }, ['start', 'error', 'UND_ERR_SOCKET']],
    ] as const) {
      server.streams = 0
      const agent = h2cAgent()
      await send(agent, server.origin).over
      expect(await outcomeOf(send(agent, server.origin, opts))).toEqual(expected)
    }
  })
})
