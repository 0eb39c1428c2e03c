// 32 in every phase of a stream: the others on its session go on, and so does the session.
import { Readable } from 'node:stream'
import { attemptTimeout, bodyTimeout, compose, createAgent, type Layers, retry } from 'roundtripper'
import { gate, startServer, type TestServer } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { Consumer, type Reactions } from '../contract/consumer.ts'
import { call, turns } from './retry-servers.ts'

const thrown = new Error('the consumer threw')
function fail(): never {
  throw thrown
}
const reason = new Error('enough')
const abort = ({ controller }: Consumer) => controller?.abort(reason)

interface End {
  readonly path: string
  readonly layers?: Layers[]
  readonly on?: Reactions
  readonly method?: string
  readonly body?: () => unknown
  /** Waits for the moment, and acts. */
  readonly act?: (consumer: Consumer, server: TestServer) => Promise<void>
  readonly error: unknown
}

const ends: readonly (readonly [string, End])[] = [
  [
    'before its head, by an abort',
    {
      path: '/hang',
      act: async (consumer, server) => {
        await server.until(() => server.count('/hang') === 1)
        abort(consumer)
      },
      error: reason,
    },
  ],
  [
    'in the turn it was opened, by an abort',
    { path: '/hang', act: async (consumer) => abort(consumer), error: reason },
  ],
  ['as it is sent, by an abort', { path: '/hang', on: { requestSent: abort }, error: reason }],
  [
    'before its head, by a timeout',
    { path: '/hang', layers: [attemptTimeout(10)], error: { code: 'ERR_ATTEMPT_TIMEOUT' } },
  ],
  ['at its head, by an abort', { path: '/body', on: { head: abort }, error: reason }],
  ['in its body, by an abort', { path: '/body', on: { data: abort }, error: reason }],
  ['in its body, by a throw', { path: '/body', on: { data: fail }, error: thrown }],
  ['in its body, by a timeout', { path: '/body', layers: [bodyTimeout(10)], error: { code: 'ERR_BODY_TIMEOUT' } }],
  [
    'with its body held back, by an abort',
    {
      path: '/large',
      on: {
        head: (consumer) => {
          consumer.pause()
          setImmediate(abort, consumer)
        },
      },
      error: reason,
    },
  ],
  [
    'while its body is sent, by an abort',
    {
      path: '/upload',
      method: 'PUT',
      body: () => {
        const body = new Readable({ read() {} })
        body.push('begun')
        return body
      },
      act: async (consumer, server) => {
        while (server.requests.find(({ path }) => path === '/upload')?.bodyLength !== 5) await turns(1)
        abort(consumer)
      },
      error: reason,
    },
  ],
  ['by the server, before its head', { path: '/reset', error: { code: 'ERR_HTTP2_STREAM_ERROR' } }],
  ['by the server, in its body', { path: '/cut', error: { code: 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' } }],
]

describe('a stream that ends early', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({
      protocol: 'h2',
      respond: {
        '/hang': { hang: 'head' },
        '/body': { body: 'hello hello', hang: 'body' },
        '/large': { body: Buffer.alloc(300_000) },
        '/reset': { reset: 'before-head' },
        '/cut': { body: 'hello hello', cut: true },
        '/echo': { echo: true },
        '*': { body: 'hello' },
      },
    })
  })
  afterAll(() => server.close())
  beforeEach(() => server.clear())

  it.each(ends)('32: %s: leaves its siblings and the session alone', async (_name, end) => {
    const ground = createAgent({ connect: { ca: server.ca! } })
    onTestFinished(() => ground.destroy())
    await call(ground, server.url('/warm'))
    const held = gate()
    server.script('/held', { hold: held.promise, body: 'hello' })
    server.script('/slow', { body: ['a', held.promise, 'b'] })
    const upload = new Readable({ read() {} })
    upload.push('some')
    const siblings = [
      call(ground, server.url('/held')),
      call(ground, server.url('/slow')),
      call(ground, server.url('/echo'), { method: 'PUT', body: upload }),
    ]
    await server.until(() => server.count() === 4)

    const chain = compose(ground, retry({ maxAttempts: 1 }), end.layers)
    const consumer = new Consumer(end.on)
    const body = end.body?.()
    chain.dispatch(
      { origin: server.origin, path: end.path, method: end.method ?? 'GET', body } as Dispatcher.DispatchOptions,
      consumer,
    )
    await end.act?.(consumer, server)
    await consumer.over
    if (end.error instanceof Error) expect(consumer.error).toBe(end.error)
    else expect(consumer.error).toMatchObject(end.error as object)

    held.open()
    upload.push('thing')
    upload.push(null)
    const answers = await Promise.all(siblings)
    expect(answers.map(({ text }) => text).slice(0, 2)).toEqual(['hello', 'ab'])
    expect(JSON.parse(answers[2]!.text)).toMatchObject({ body: 'something' })
    expect((await call(ground, server.url('/after'))).text).toBe('hello')
    expect(server.requests.map(({ connection }) => connection).every((one, _at, [first]) => one === first)).toBe(true)
    expect(server.connections.open).toBe(1)
  })

  it('32: a hundred that end early, between a hundred that do not', async () => {
    const agent = createAgent({ connect: { ca: server.ca! } })
    onTestFinished(() => agent.destroy())
    const chain = compose(agent, retry({ maxAttempts: 1 }))
    await call(chain, server.url('/warm'))
    const given = Array.from({ length: 100 }, (_, at) => {
      const consumer = new Consumer(at % 2 === 0 ? { data: abort } : { head: abort })
      chain.dispatch({ origin: server.origin, path: '/large', method: 'GET' }, consumer)
      return consumer
    })
    const kept = Array.from({ length: 100 }, () => call(chain, server.url('/kept')))
    await Promise.all([...kept, ...given.map(({ over }) => over)])
    expect(given.every(({ error }) => error === reason)).toBe(true)
    expect((await Promise.all(kept)).every(({ text }) => text === 'hello')).toBe(true)
    // As many as undici opens for so many at once, and none for those that ended early.
    expect(new Set(server.requests.map(({ connection }) => connection)).size).toBeLessThanOrEqual(3)
  })
})
