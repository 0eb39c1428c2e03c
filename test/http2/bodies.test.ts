// Bodies in both directions: whole, or an error; never a part that looks whole.
import { Blob } from 'node:buffer'
import { Readable } from 'node:stream'
import { createAgent } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { FormData } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startFrameServer } from './frame-server.ts'
import { h2cAgent, outcomeOf, send, turn } from './support.ts'

const cut = ['start', 'head 200', 'data', 'error']

describe('an answer that is cut off', () => {
  it.each([
    ['a reset with NO_ERROR', 0],
    ['a reset with CANCEL', 8],
    ['a reset with INTERNAL_ERROR', 2],
  ])('by %s is an error, and no short 200', async (_name, code) => {
    const server = await startFrameServer()
    server.onStream = (connection, stream) => {
      connection.head(stream)
      connection.data(stream, 'a part')
      connection.reset(stream, code)
    }
    const consumer = send(h2cAgent(), server.origin)
    expect(await outcomeOf(consumer)).toEqual([...cut, 'ERR_HTTP2_STREAM_ERROR'])
    expect(consumer.error).toMatchObject({ code: 'ERR_HTTP2_STREAM_ERROR', http2ErrorCode: code })
  })

  it.each([
    ['closed', 'end'],
    ['reset', 'resetAndDestroy'],
  ] as const)('by a connection that is %s is an error', async (_name, how) => {
    const server = await startFrameServer()
    server.onStream = (connection, stream) => {
      connection.head(stream)
      connection.data(stream, 'a part')
    }
    const consumer = send(h2cAgent(), server.origin, { on: { data: () => server.connections[0]!.socket[how]() } })
    expect(await outcomeOf(consumer)).toEqual([...cut, 'UND_ERR_SOCKET'])
  })

  it('32: leaves its siblings alone', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at !== 2) return
      connection.head(1)
      connection.data(1, 'a part')
      connection.reset(1, 8)
      connection.answer(stream)
    }
    const agent = h2cAgent()
    const one = send(agent, server.origin)
    await server.until(() => server.streams === 1)
    const other = send(agent, server.origin)
    expect(await outcomeOf(one)).toEqual([...cut, 'ERR_HTTP2_STREAM_ERROR'])
    expect(await outcomeOf(other)).toEqual(['start', 'head 200', 'data', 'end'])
    expect(server.connections.length).toBe(1)
  })

  it('a whole answer stays whole, whatever becomes of its stream after END_STREAM', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream) => {
      connection.answer(stream)
      connection.reset(stream, 2)
      connection.socket.end()
    }
    expect(await outcomeOf(send(h2cAgent(), server.origin))).toEqual(['start', 'head 200', 'data', 'end'])
  })

  it('a whole answer is given whole to a consumer that pauses, after the connection is gone', async () => {
    const server = await startFrameServer()
    server.onStream = (connection, stream) => {
      connection.head(stream)
      for (let at = 0; at < 10; at++) connection.data(stream, 'x'.repeat(1000))
      connection.data(stream, '', true)
      connection.socket.end()
    }
    const agent = h2cAgent()
    const consumer = send(agent, server.origin, { on: { head: (one) => one.pause() } })
    await new Promise((resolve) => agent.once('disconnect', resolve))
    expect([consumer.bytes, consumer.isOver]).toEqual([0, false])
    consumer.resume()
    expect(await outcomeOf(consumer)).toEqual(['start', 'head 200', 'data', 'end'])
    expect(consumer.bytes).toBe(10_000)
  })
})

describe('a call that is given up', () => {
  it.each(['turn', 'callback'])('sends CANCEL (from a %s of its own)', async (where) => {
    const server = await startFrameServer()
    server.onStream = (connection, stream) => {
      connection.head(stream)
      connection.data(stream, 'a part')
    }
    const reason = new Error('enough')
    const agent = h2cAgent()
    const consumer = send(agent, server.origin, {
      on: {
        data: (one) => {
          if (where === 'callback') one.controller?.abort(reason)
          else setImmediate(() => one.controller?.abort(reason))
        },
      },
    })
    await consumer.over
    expect(consumer.error).toBe(reason)
    await server.until(() => server.connections[0]!.of(1).includes('RST_STREAM 8'))
    server.onStream = (connection, stream) => connection.answer(stream)
    expect(await outcomeOf(send(agent, server.origin))).toEqual(['start', 'head 200', 'data', 'end'])
    expect(server.connections.length).toBe(1)
  })

  it('in the queue is never sent', async () => {
    const server = await startFrameServer()
    server.onConnection = (connection) => connection.settings(1)
    server.onStream = () => {}
    const agent = h2cAgent({ connections: 1 })
    const busy = send(agent, server.origin)
    await server.until(() => server.streams === 1)
    const waiting = Array.from({ length: 3 }, () => send(agent, server.origin))
    expect(agent.stats[server.origin]).toMatchObject({ streams: 1, queued: 3, sessions: 1, protocol: '2' })
    await agent.destroy(new Error('over'))
    for (const one of [busy, ...waiting]) expect((one.error as Error).message).toBe('over')
    expect(server.streams).toBe(1)
  })

  const uploads: [string, () => unknown][] = [
    ['a stream', () => new Readable({ read() {} }).on('error', () => {})],
    [
      'a generator',
      async function* () {
        yield Buffer.from('begun')
        await new Promise(() => {})
      },
    ],
    [
      'a web stream',
      () => new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('begun')) }) as never,
    ],
  ]
  it.each(uploads)('with %s on its way never looks whole to the server', async (_name, make) => {
    const server = await startFrameServer()
    server.onStream = () => {}
    const body = make() as Readable
    const agent = h2cAgent()
    const consumer = send(agent, server.origin, {
      method: 'PUT',
      body: typeof body === 'function' ? (body as () => unknown)() : body,
    })
    if (body instanceof Readable) body.push('begun')
    await server.until(() => server.connections[0]?.of(1).includes('DATA 5') === true)
    consumer.controller?.abort(new Error('enough'))
    await server.until(() => server.connections[0]!.of(1).some((one) => one.startsWith('RST_STREAM')))
    for (let at = 0; at < 5; at++) await turn()
    expect(server.connections[0]!.of(1)).toEqual(['HEADERS', 'DATA 5', 'RST_STREAM 8'])
    if (body instanceof Readable) expect(body.destroyed).toBe(true)
  })

  it('within a large upload that the server does not read never looks whole', async () => {
    const server = await startFrameServer()
    server.onStream = () => {}
    const consumer = send(h2cAgent(), server.origin, { method: 'PUT', body: Buffer.alloc(1_000_000) })
    await server.until(() => server.connections[0]?.of(1).includes('DATA 16384') === true)
    consumer.controller?.abort(new Error('enough'))
    await server.until(() => server.connections[0]!.of(1).includes('RST_STREAM 8'))
    for (let at = 0; at < 5; at++) await turn()
    expect(server.connections[0]!.of(1).filter((one) => one.endsWith('END'))).toEqual([])
  })
})

describe('a request body', () => {
  const form = new FormData()
  form.set('a', 'line\nbreak')
  const kinds: [string, () => unknown, string][] = [
    ['a string', () => 'grüße', 'grüße'],
    ['bytes', () => Buffer.from('hello'), 'hello'],
    ['a typed array', () => new Uint16Array([0x6161]), 'aa'],
    ['an ArrayBuffer', () => new TextEncoder().encode('hello').buffer, 'hello'],
    ['a Blob', () => new Blob(['hello']), 'hello'],
    ['URLSearchParams', () => new URLSearchParams({ a: '1 2' }), 'a=1+2'],
    ['a list', () => ['he', 'llo'], 'hello'],
    ['a Node stream', () => Readable.from(['he', 'llo']), 'hello'],
    ['a web stream', () => new Blob(['hello']).stream(), 'hello'],
    ['an empty string', () => '', ''],
    ['an empty stream', () => Readable.from([]), ''],
  ]
  it.each(kinds)('%s arrives whole', async (_name, make, text) => {
    const server = await startServer({ protocol: 'h2', respond: { echo: true } })
    const agent = createAgent({ connect: { ca: server.ca! } })
    onTestFinished(async () => {
      await agent.destroy()
      await server.close()
    })
    const consumer = send(agent, server.origin, { method: 'PUT', body: make() })
    expect((await outcomeOf(consumer)).at(-1)).toBe('end')
    expect(server.requests[0]).toMatchObject({ complete: true, bodyLength: Buffer.byteLength(text) })
    expect(String(server.requests[0]!.body)).toBe(text)
  })

  it('a form arrives with its boundary and its length', async () => {
    const server = await startServer({ protocol: 'h2', respond: { echo: true } })
    const agent = createAgent({ connect: { ca: server.ca! } })
    onTestFinished(async () => {
      await agent.destroy()
      await server.close()
    })
    await send(agent, server.origin, { method: 'POST', body: form }).over
    const { headers, body } = server.requests[0]!
    expect(Number(headers['content-length'])).toBe(body.length)
    const seen = await new Response(Uint8Array.from(body), {
      headers: { 'content-type': String(headers['content-type']) },
    }).formData()
    expect(seen.get('a')).toBe('line\r\nbreak')
  })

  it.each([
    ['more', Readable.from([Buffer.from('123456')])],
    ['less', Readable.from([Buffer.from('123')])],
    ['other bytes', Buffer.from('123')],
  ])('of %s than its content-length says is an error, and never looks whole', async (_name, body) => {
    const server = await startFrameServer()
    server.onStream = () => {}
    const consumer = send(h2cAgent(), server.origin, { method: 'PUT', body, headers: { 'content-length': '5' } })
    expect((await outcomeOf(consumer)).at(-1)).toBe('UND_ERR_REQ_CONTENT_LENGTH_MISMATCH')
    for (let at = 0; at < 10; at++) await turn()
    expect((server.connections[0]?.of(1) ?? []).filter((one) => one.endsWith('END'))).toEqual([])
  })

  it('waits for 100 where it is asked to, and is not sent where the answer comes first', async () => {
    const server = await startFrameServer()
    const agent = h2cAgent()
    server.onStream = (connection, stream) => {
      if (stream === 1) connection.send(1, 4, stream, Buffer.concat([Buffer.from([0x08, 3]), Buffer.from('100')]))
      else connection.answer(stream)
    }
    const one = send(agent, server.origin, { method: 'PUT', body: 'hello', expectContinue: true })
    await server.until(() => server.connections[0]?.of(1).includes('DATA 5 END') === true)
    server.connections[0]!.answer(1)
    expect(await outcomeOf(one)).toEqual(['start', 'info 100', 'head 200', 'data', 'end'])
    const other = send(agent, server.origin, { method: 'PUT', body: 'hello', expectContinue: true })
    expect(await outcomeOf(other)).toEqual(['start', 'head 200', 'data', 'end'])
    await server.until(() => server.connections[0]!.of(3).includes('RST_STREAM 8'))
    expect(server.connections[0]!.of(3)).toEqual(['HEADERS', 'RST_STREAM 8'])
  })
})
