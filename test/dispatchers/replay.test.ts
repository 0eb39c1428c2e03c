import { Readable } from 'node:stream'
import { retry } from 'roundtripper'
import { type Echo, gate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { Exchange } from '../../src/dispatchers/exchange.ts'
import { RecordedBody, recordedBytes, replayDefaults } from '../../src/dispatchers/replay.ts'
import { call, chainTo, errorOf, protocols, quick, send, serve } from './retry-servers.ts'

const kib = 1024

function* filling(size: number, piece = 16 * kib) {
  for (let left = size; left > 0; left -= piece) yield Buffer.alloc(Math.min(left, piece), 'x')
}

function newExchange(): Exchange {
  return new Exchange({ origin: 'http://a.test', path: '/', method: 'PUT' })
}

describe.each(protocols)('recorded bodies over HTTP/$version', ({ protocol }) => {
  it('16: a stream beyond replayLimit is sent once, whole, and its 503 is the answer', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'busy' } })
    const chain = chainTo(server, retry({ ...quick, replayLimit: 64 * kib }))
    const answer = await call(chain, server.url(), { method: 'PUT', body: filling(300 * kib) })
    expect(answer).toEqual({ status: 503, text: 'busy' })
    expect(server.requests.map(({ bodyLength, complete }) => ({ bodyLength, complete }))).toEqual([
      { bodyLength: 300 * kib, complete: true },
    ])
    expect(recordedBytes()).toBe(0)
  })

  it.each([
    [64 * kib, 2],
    [64 * kib + 1, 1],
  ])('16: a stream of %d bytes is sent %d times with a replayLimit of 64 KiB', async (size, attempts) => {
    const server = await serve({ protocol, respond: [503, { echo: true }] })
    const chain = chainTo(server, retry({ ...quick, replayLimit: 64 * kib }))
    await call(chain, server.url(), { method: 'PUT', body: filling(size) })
    expect(server.requests.map(({ bodyLength }) => bodyLength)).toEqual(Array(attempts).fill(size))
  })

  it('16: replayLimit 0 records nothing', async () => {
    const server = await serve({ protocol, respond: 503 })
    const chain = chainTo(server, retry({ ...quick, replayLimit: 0 }))
    expect(await call(chain, server.url(), { method: 'PUT', body: filling(10) })).toMatchObject({ status: 503 })
    expect(server.requests.map(({ bodyLength }) => bodyLength)).toEqual([10])
  })

  it('16: bytes and functions are sent again whatever their size', async () => {
    const server = await serve({ protocol, respond: [503, { echo: true }], bodyLimit: 0 })
    const chain = chainTo(server, retry({ ...quick, replayLimit: 0 }))
    for (const body of [Buffer.alloc(200 * kib), () => filling(200 * kib)]) {
      server.clear()
      server.script('*', [503, { echo: true }])
      const { text } = await call(chain, server.url(), { method: 'PUT', body })
      expect((JSON.parse(text) as Echo).bodyLength).toBe(200 * kib)
      expect(server.count()).toBe(2)
    }
  })

  it('16: after a retry a long body streams through; what was recorded is let go', async () => {
    const mib = kib * kib
    const refused = gate()
    let most = 0
    async function* body() {
      yield Buffer.alloc(10, 'a')
      await refused.promise
      for (const piece of filling(4 * mib)) {
        most = Math.max(most, recordedBytes())
        yield piece
      }
    }
    const server = await serve({
      protocol,
      bodyLimit: 0,
      respond: [
        { status: 503, waitForBody: false },
        (request) => {
          refused.open()
          return request.received.then(() => ({ body: String(request.bodyLength) }))
        },
      ],
    })
    const chain = chainTo(server, retry({ ...quick, replayLimit: 100 * kib }))
    expect(await call(chain, server.url(), { method: 'PUT', body: body() })).toEqual({
      status: 200,
      text: String(4 * mib + 10),
    })
    expect(server.count()).toBe(2)
    expect(most).toBeLessThanOrEqual(100 * kib + 2 * 16 * kib)
    expect(recordedBytes()).toBe(0)
  })

  it('16: the record is let go when the answer is accepted, not when it ends', async () => {
    const end = gate()
    const server = await serve({ protocol, respond: { body: ['first ', end.promise, 'last'] } })
    const chain = chainTo(server, retry(quick))
    const { body } = await send(chain, server.url(), { method: 'PUT', body: filling(50 * kib) })
    expect(recordedBytes()).toBe(0)
    end.open()
    expect(await body.text()).toBe('first last')
  })

  it('16: two retries, one around the other, record a body once and send it whole', async () => {
    const server = await serve({ protocol, respond: [503, 503, 503, { echo: true }] })
    const chain = chainTo(server).compose(retry({ ...quick, maxAttempts: 2 }), retry({ ...quick, maxAttempts: 2 }))
    const { text } = await call(chain, server.url(), { method: 'PUT', body: filling(20 * kib) })
    expect((JSON.parse(text) as Echo).bodyLength).toBe(20 * kib)
    expect(server.requests.map(({ bodyLength }) => bodyLength)).toEqual(Array(4).fill(20 * kib))
    expect(recordedBytes()).toBe(0)
  })
})

describe('the bound of the process', () => {
  async function drain(readable: Readable): Promise<number> {
    let size = 0
    for await (const chunk of readable) size += (chunk as Buffer).length
    return size
  }

  it('16: holds over all bodies under way; the one that crosses it is sent once, whole', async () => {
    const mib = kib * kib
    const first = new RecordedBody(
      filling(replayDefaults.perProcess - mib, mib),
      newExchange(),
      Number.MAX_SAFE_INTEGER,
    )
    const second = new RecordedBody(filling(3 * mib, mib), newExchange(), Number.MAX_SAFE_INTEGER)
    expect(await drain(first.read())).toBe(replayDefaults.perProcess - mib)
    expect(await drain(second.read())).toBe(3 * mib)
    expect(recordedBytes()).toBe(replayDefaults.perProcess - mib)
    expect([first.replayable, second.replayable]).toEqual([true, false])
    expect(() => second.read()).toThrow('cannot be sent a second time')
    expect(await drain(first.read())).toBe(replayDefaults.perProcess - mib)
    first.release()
    second.release()
    expect(recordedBytes()).toBe(0)
  })

  it('16: a piece that comes between two attempts is kept for the next one, also beyond the bound', async () => {
    const next = gate()
    async function* source() {
      yield 'ab'
      await next.promise
      yield 'cdef'
      yield 'gh'
    }
    const body = new RecordedBody(source(), newExchange(), 3)
    const attempt = body.read()
    expect(
      String(
        await attempt[Symbol.asyncIterator]()
          .next()
          .then(({ value }) => value),
      ),
    ).toBe('ab')
    attempt.read(0)
    body.rewind()
    expect(body.replayable).toBe(true)
    next.open()
    await new Promise((resolve) => setImmediate(resolve))
    expect(Buffer.concat(await body.read().toArray()).toString()).toBe('abcdefgh')
    expect(body.replayable).toBe(false)
    body.release()
    expect(recordedBytes()).toBe(0)
  })
})

describe.each(protocols)('bodies that can be read once, over HTTP/$version', ({ protocol }) => {
  const spent = 'the body has been sent before and can be read only once'
  const oneShots = [
    ['a generator', () => filling(10)],
    ['a Node stream', () => Readable.from(['0123456789'])],
    ['a web stream', () => Readable.toWeb(Readable.from(['0123456789']))],
  ] as const

  it.each(oneShots)('16: %s given to a second call is refused, never sent empty', async (_, make) => {
    const server = await serve({ protocol })
    for (const chain of [chainTo(server), chainTo(server, retry(quick))]) {
      server.clear()
      const body = make()
      await call(chain, server.url(), { method: 'POST', body })
      expect(await errorOf(call(chain, server.url(), { method: 'POST', body }))).toMatchObject({
        code: 'ERR_INVALID_REQUEST',
      })
      expect(server.requests.map(({ bodyLength }) => bodyLength)).toEqual([10])
    }
  })

  it.each(oneShots)('16: a function that makes the same %s again is refused, never sent empty', async (_, make) => {
    const server = await serve({ protocol, respond: [503, 200] })
    const chain = chainTo(server, retry(quick))
    const body = make()
    const error = await errorOf(call(chain, server.url(), { method: 'PUT', body: () => body }))
    expect(error).toMatchObject({ code: 'ERR_INVALID_REQUEST', message: expect.stringContaining(spent) })
    expect(server.requests.map(({ bodyLength }) => bodyLength)).toEqual([10])
  })

  it('16: two lists of the same pieces are two bodies', async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    const body = ['01234', '56789']
    await call(chain, server.url(), { method: 'PUT', body })
    await call(chain, server.url(), { method: 'PUT', body })
    expect(server.requests.map(({ bodyLength }) => bodyLength)).toEqual([10, 10])
  })
})
