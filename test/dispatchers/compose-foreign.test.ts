// Where undici's own interceptors, and other foreign layers, stand in and around a chain: theirs works, and ours does.
import { gzipSync } from 'node:zlib'
import {
  attemptTimeout,
  bulkhead,
  compose,
  createAgent,
  deadline,
  guard,
  type Layer,
  logging,
  type Outcome,
  retry,
  standard,
} from 'roundtripper'
import { gate, startBlackhole, startServer, type TestServer } from 'roundtripper/testing'
import { type Dispatcher, interceptors, request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { Consumer } from '../contract/consumer.ts'
import { nothing } from '../contract/table.ts'
import { call, errorOf, protocols, stopClock, turns } from './retry-servers.ts'

const quiet = { logger: { debug() {}, info() {}, warn() {} } }
const whole = () => standard({ logging: quiet, retry: { backoff: 1 } })
const loopback = [{ address: '127.0.0.1', family: 4 as const, ttl: 60_000 }]
const zipped = gzipSync('unpacked')

/** Layers, outermost first, put together by a chain or by undici. */
const ways: readonly (readonly [string, (ground: Dispatcher, layers: readonly Layer[]) => Dispatcher])[] = [
  ['compose', (ground, layers) => compose(ground, layers)],
  ['agent.compose', (ground, layers) => ground.compose([...layers].reverse())],
]

describe.each(protocols)('over HTTP/$version', ({ protocol, version }) => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ protocol, respond: { '/hang': { hang: 'head' }, '*': { body: 'hello' } } })
  })
  afterAll(() => server.close())
  beforeEach(() => server.clear())

  function agentOf(): Dispatcher {
    const agent = createAgent({ connect: { ca: server.ca! } })
    onTestFinished(() => agent.destroy())
    return agent
  }

  function send(dispatcher: Dispatcher, given: object = {}, consumer = new Consumer()): Consumer {
    dispatcher.dispatch({ origin: server.origin, path: '/', method: 'GET', ...given } as never, consumer)
    return consumer
  }

  describe.each(ways)("undici's interceptors with %s", (_way, assemble) => {
    const positions: readonly (readonly [string, (foreign: Layer) => Dispatcher])[] = [
      ['inside standard()', (foreign) => assemble(agentOf(), [...whole(), foreign])],
      ['around standard()', (foreign) => assemble(agentOf(), [foreign, ...whole()])],
      ['in the midst of it', (foreign) => assemble(agentOf(), [...whole().slice(0, 3), foreign, ...whole().slice(3)])],
    ]

    it.each(positions)('48: retry %s tries again', async (_position, put) => {
      // Not one of ours, so that the attempts are undici's.
      server.script('/mended', [{ status: 520 }, { body: 'mended' }], { afterLast: 'default' })
      const chain = put(interceptors.retry({ minTimeout: 1, statusCodes: [520] }))
      expect(await call(chain, server.url('/mended'))).toEqual({ status: 200, text: 'mended' })
      expect(server.count('/mended')).toBe(2)
    })

    it.each(positions)('48: redirect %s follows', async (_position, put) => {
      server.script('/moved', { status: 302, headers: { location: '/there' } })
      const chain = put(interceptors.redirect({ maxRedirections: 2 }))
      expect(await call(chain, server.url('/moved'))).toEqual({ status: 200, text: 'hello' })
      expect(server.requests.map(({ path }) => path)).toEqual(['/moved', '/there'])
    })

    it.each(positions)('48: cache %s answers the second call', async (_position, put) => {
      server.script('/kept', { body: 'kept', headers: { 'cache-control': 'max-age=60' } })
      const chain = put(interceptors.cache())
      for (let at = 0; at < 3; at++) {
        expect(await call(chain, server.url('/kept'))).toEqual({ status: 200, text: 'kept' })
        await turns()
      }
      expect(server.count('/kept')).toBe(1)
    })

    it.each(positions)('48: dns %s looks up', async (_position, put) => {
      const { port, protocol: scheme } = new URL(server.origin)
      let lookups = 0
      const lookup = (_origin: unknown, _options: unknown, done: (error: null, found: unknown) => void) => {
        lookups++
        setImmediate(done, null, loopback)
      }
      const chain = put(interceptors.dns({ dualStack: false, lookup: lookup as never }))
      expect(await call(chain, `${scheme}//localhost:${port}/`)).toEqual({ status: 200, text: 'hello' })
      expect(lookups).toBe(1)
      const [{ headers } = { headers: {} as Record<string, unknown> }] = server.requests
      expect(headers.host ?? headers[':authority']).toBe(`localhost:${port}`)
    })

    it.each(positions)('48: decompress %s unpacks', async (_position, put) => {
      server.script('/packed', { body: zipped, headers: { 'content-encoding': 'gzip' } })
      const chain = put(interceptors.decompress())
      expect(await call(chain, server.url('/packed'))).toEqual({ status: 200, text: 'unpacked' })
    })

    it.each(positions)('48: dump %s drops the body', async (_position, put) => {
      expect(await call(put(interceptors.dump()), server.url('/'))).toEqual({ status: 200, text: '' })
    })

    it.each(positions)('48: responseError %s makes an error of a status', async (_position, put) => {
      server.script('/refused', { status: 403, body: 'no', headers: { 'content-type': 'text/plain' } })
      const error = await errorOf(call(put(interceptors.responseError()), server.url('/refused')))
      expect(error).toMatchObject({ code: 'UND_ERR_RESPONSE', statusCode: 403, body: 'no' })
    })

    it.each(positions)('48: deduplicate %s sends once for two', async (_position, put) => {
      const chain = put(interceptors.deduplicate())
      const answers = await Promise.all([call(chain, server.url('/once')), call(chain, server.url('/once'))])
      expect(answers).toEqual(Array(2).fill({ status: 200, text: 'hello' }))
      expect(server.count('/once')).toBe(1)
    })
  })

  it('24: the attempt timeout covers a foreign layer that never goes on', async () => {
    const lost = interceptors.dns({ lookup: () => {} })
    for (const [, assemble] of ways) {
      const chain = assemble(agentOf(), [attemptTimeout(10), lost])
      const { error, over } = send(chain, { origin: 'http://name.test' })
      expect(error).toBeUndefined()
      await over
      const consumer = send(chain, { origin: 'http://name.test' })
      await consumer.over
      expect(consumer.error).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    }
  })

  it('17: an abort acts at once in a foreign layer that never goes on', async () => {
    for (const [, assemble] of ways) {
      const chain = assemble(agentOf(), [...whole(), interceptors.dns({ lookup: () => {} })])
      const abort = new AbortController()
      const failed = errorOf(request('http://name.test/', { dispatcher: chain, signal: abort.signal }))
      await turns()
      abort.abort()
      expect(await failed).toBe(abort.signal.reason)
    }
  })

  it('19: waiting in a queue beneath a foreign layer, or in a chain beneath the chain, is no time of the attempt', async () => {
    const clock = stopClock()
    const held = gate()
    server.script('/busy', { hold: held.promise })
    const grounds: readonly ((slots: Layer) => { ground: Dispatcher; layers: Layer[] })[] = [
      (slots) => ({ ground: compose(agentOf(), slots), layers: [] }),
      (slots) => ({ ground: agentOf(), layers: [nothing, slots] }),
      (slots) => ({ ground: agentOf().compose(slots, nothing), layers: [] }),
    ]
    const waiting: Consumer[] = []
    const busy: Consumer[] = []
    for (const make of grounds) {
      const slots = bulkhead({ limit: 1 })
      const { ground, layers } = make(slots)
      busy.push(send(compose(ground, layers), { path: '/busy' }))
      waiting.push(send(compose(ground, attemptTimeout(5_000), layers), { path: '/queued' }))
    }
    await server.until(() => server.count('/busy') === 3)
    await clock.advance(60_000)
    expect(waiting.map(({ events }) => events)).toEqual(Array(3).fill(['start']))
    held.open()
    await Promise.all([...waiting, ...busy].map(({ over }) => over))
    expect(waiting.map(({ error }) => error)).toEqual(Array(3).fill(undefined))
  })

  it('24: once the call has its slot there, the attempt has its time', async () => {
    const chain = compose(compose(agentOf(), bulkhead({ limit: 1 })), attemptTimeout(10))
    const consumer = send(chain, { path: '/hang' })
    await consumer.over
    expect(consumer.error).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
  })

  it("24: a timeout acts where undici's dump, around it, has taken the consumer's abort", async () => {
    const dump = () => interceptors.dump()
    const chains = [
      agentOf().compose(attemptTimeout(10), dump()),
      compose(agentOf(), dump(), attemptTimeout(10)),
      agentOf().compose(deadline(10), dump()),
      agentOf().compose(attemptTimeout(10), retry({ maxAttempts: 1 }), dump()),
    ]
    for (const chain of chains) {
      const consumer = send(chain, { path: '/hang' })
      await consumer.over
      expect(consumer.error).toMatchObject({ code: expect.stringMatching(/^ERR_(ATTEMPT_TIMEOUT|DEADLINE_EXCEEDED)$/) })
    }
  })

  it("what the consumer throws is not tried again by undici's retry beneath", async () => {
    const thrown = new Error('the consumer threw')
    const fail = () => {
      throw thrown
    }
    const chain = compose(agentOf(), logging(quiet), interceptors.retry({ minTimeout: 1 }))
    for (const moment of ['start', 'head', 'data', 'end'] as const) {
      server.clear()
      const consumer = send(chain, {}, new Consumer({ [moment]: fail }))
      await consumer.over
      await turns()
      expect(consumer.error).toBe(thrown)
      expect(server.count()).toBe(moment === 'start' ? 0 : 1)
    }
  })

  it('what a foreign layer in between throws is an answer that failed, not the caller’s fault', async () => {
    const told: Outcome[] = []
    const ledger = () => guard({ acquire: () => ({ settle: (outcome) => void told.push(outcome) }) })
    const picky: Layer = (dispatch) => (opts, handler) =>
      dispatch(opts, {
        onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
        onResponseStart() {
          throw new Error('not to my taste')
        },
        onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
      })
    const chain = compose(agentOf(), ledger(), picky, ledger())
    const consumer = send(chain)
    await consumer.over
    expect((consumer.error as Error).message).toBe('not to my taste')
    expect(told.map(({ kind }) => kind)).toEqual(['networkError', 'networkError'])
  })

  it('33: headers of one connection pass a foreign layer between two edges, and reach HTTP/1.1 only', async () => {
    const between: readonly (readonly Layer[])[] = [
      [logging(quiet), nothing, retry({ backoff: 1 })],
      [retry({ backoff: 1 }), nothing, nothing, logging(quiet)],
    ]
    for (const layers of between) {
      for (const [, assemble] of ways) {
        server.clear()
        server.script('/mended', [503, 200])
        const chain = assemble(agentOf(), layers)
        await call(chain, server.url('/mended'), { headers: { te: 'gzip', 'x-own': 'kept' } })
        const sent = version === '2' ? undefined : 'gzip'
        expect(server.requests.map(({ headers }) => [headers.te, headers['x-own']])).toEqual([
          [sent, 'kept'],
          [sent, 'kept'],
        ])
      }
    }
  })

  it('a connect that hangs beneath a foreign layer is bounded, aborted, and destroyed as any other', async () => {
    const blackhole = await startBlackhole()
    onTestFinished(() => blackhole.close())
    const chain = compose(agentOf(), attemptTimeout(10), nothing)
    const late = send(chain, { origin: blackhole.origin })
    await late.over
    expect(late.error).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    const aborted = send(chain, { origin: blackhole.origin })
    const reason = new Error('enough')
    aborted.controller?.abort(reason)
    expect(aborted.error).toBe(reason)
  })
})
