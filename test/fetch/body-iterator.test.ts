// `for await` over a body goes past its stream. What can be seen of it is held against a stream of the runtime's own.
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { gate } from '../../src/testing/index.ts'
import { protocols, serve } from './servers.ts'

type Body = ReadableStream<Uint8Array>

const text = (pieces: readonly Uint8Array[]) => Buffer.concat(pieces).toString()

async function openBody(protocol: 'h1' | 'h2', respond: object): Promise<Body> {
  const { server, agent } = await serve({ protocol, respond: respond as never })
  return (await createFetch(agent)(server.url())).body as unknown as Body
}

function ownStream(pieces: readonly string[], error?: Error): Body {
  const left = [...pieces]
  return new ReadableStream({
    type: 'bytes',
    pull(controller) {
      const piece = left.shift()
      if (piece !== undefined) controller.enqueue(new TextEncoder().encode(piece))
      else if (error !== undefined) controller.error(error)
      else {
        controller.close()
        controller.byobRequest?.respond(0)
      }
    },
  }) as Body
}

/** What is seen of a body that is iterated by hand. */
async function iterated(body: Body) {
  const iterator = body[Symbol.asyncIterator]()
  const before = [body.locked, Readable.isDisturbed(body as never)]
  const first = await iterator.next()
  const within = [body.locked, Readable.isDisturbed(body as never), first.done, first.value instanceof Uint8Array]
  const plain = Object.getPrototypeOf(first.value) === Uint8Array.prototype
  while (!(await iterator.next()).done);
  const last = await iterator.next()
  const after = [
    body.locked,
    Readable.isDisturbed(body as never),
    last,
    await (iterator as AsyncGenerator).return('kept'),
  ]
  const reader = body.getReader()
  return {
    before,
    within,
    plain,
    after,
    read: await reader.read(),
    self: iterator[Symbol.asyncIterator]() === iterator,
  }
}

describe.each(protocols)('for await over a body over $protocol', ({ protocol }) => {
  it('is seen as that of any stream', async () => {
    const ours = await iterated(await openBody(protocol, { body: ['one', 'two'] }))
    expect(ours).toEqual(await iterated(ownStream(['one', 'two'])))
  })

  it('gives all of it, in order, also where many steps are asked for at once', async () => {
    const body = await openBody(protocol, { body: ['one', 'two', 'three'] })
    const iterator = body[Symbol.asyncIterator]()
    const steps = await Promise.all(Array.from({ length: 8 }, () => iterator.next()))
    const pieces = steps.flatMap(({ done, value }) => (done ? [] : [value as Uint8Array]))
    expect(text(pieces)).toBe('onetwothree')
    expect(steps.slice(pieces.length).every(({ done }) => done)).toBe(true)
    expect(body.locked).toBe(false)
  })

  it('leaves a stream that was left behind cancelled, and its call given up', async () => {
    const { server, agent } = await serve({ protocol, respond: { hang: 'body', body: ['one'] } })
    const response = await createFetch(agent)(server.url())
    const body = response.body as unknown as Body
    for await (const piece of body) {
      expect(Buffer.from(piece).toString()).toBe('one')
      break
    }
    expect([body.locked, response.bodyUsed]).toEqual([false, true])
    expect(await body.getReader().read()).toEqual({ done: true, value: undefined })
    await server.requests[0]?.closed
  })

  it('waits with its end for a step under way', async () => {
    const more = gate()
    const body = await openBody(protocol, {
      body: (async function* () {
        yield 'one'
        await more.promise
        yield 'two'
      })(),
    })
    const iterator = body[Symbol.asyncIterator]()
    await iterator.next()
    const next = iterator.next()
    const left = (iterator as AsyncGenerator).return('why')
    more.open()
    expect(Buffer.from((await next).value as Uint8Array).toString()).toBe('two')
    expect(await left).toEqual({ done: true, value: 'why' })
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  it('fails once with the error of a body that breaks, and the stream with it', async () => {
    const body = await openBody(protocol, { cut: true, body: ['one'], headers: { 'content-length': '9' } })
    const iterator = body[Symbol.asyncIterator]()
    const outcomes: unknown[] = []
    for (let step = 0; step < 4; step++) {
      outcomes.push(
        await iterator.next().then(
          ({ done }) => done,
          (error: Error) => error.message,
        ),
      )
    }
    expect(outcomes.filter((outcome) => outcome === 'terminated')).toHaveLength(1)
    expect(outcomes.at(-1)).toBe(true)
    await expect(body.getReader().read()).rejects.toThrow('terminated')
  })

  it('fails with the reason of an abort, in a step and before one', async () => {
    const { server, agent } = await serve({ protocol, respond: { hang: 'body', body: ['one'] } })
    const reason = new Error('enough')
    const within = new AbortController()
    const first = (await createFetch(agent)(server.url(), { signal: within.signal })).body as unknown as Body
    const iterator = first[Symbol.asyncIterator]()
    await iterator.next()
    const step = iterator.next()
    within.abort(reason)
    await expect(step).rejects.toBe(reason)

    const before = new AbortController()
    const second = (await createFetch(agent)(server.url(), { signal: before.signal })).body as unknown as Body
    const other = second[Symbol.asyncIterator]()
    await other.next()
    before.abort(reason)
    await expect(other.next()).rejects.toBe(reason)
    expect(await other.next()).toEqual({ done: true, value: undefined })
  })

  it('goes on where a reader has begun, and where the stream is to be kept', async () => {
    const body = await openBody(protocol, { body: ['one', 'two', 'three'] })
    const reader = body.getReader()
    const pieces = [(await reader.read()).value as Uint8Array]
    reader.releaseLock()
    for await (const piece of body.values({ preventCancel: true })) pieces.push(piece)
    expect(text(pieces)).toBe('onetwothree')
  })

  it('shows a stream as any other', async () => {
    const body = await openBody(protocol, { body: ['one'] })
    expect(body).toBeInstanceOf(ReadableStream)
    expect([body.constructor, Object.keys(body), `${body}`]).toEqual([ReadableStream, [], '[object ReadableStream]'])
    body.getReader()
    expect(() => body.values()).toThrow(TypeError)
  })
})
