import { AsyncLocalStorage } from 'node:async_hooks'
import { context, trace } from '@opentelemetry/api'
import { attemptTimeout, compose, guard, type Layer, logging, retry, tracing } from 'roundtripper'
import { type Dispatcher, interceptors, MockAgent } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  call,
  idOf,
  parentOf,
  protocols,
  Spans,
  send,
  serve,
  traceparentOf,
  traceparentsAt,
  turn,
  useOpenTelemetry,
} from './tracing-fixtures.ts'

useOpenTelemetry()

function traceIds(spans: Spans): number {
  return new Set(spans.all.map((span) => span.spanContext().traceId)).size
}

function numbersOf(spans: Spans): unknown[] {
  return spans.attempts.map((span) => span.attributes['http.request.resend_count'] ?? 0)
}

describe.each(protocols)('tracing() elsewhere, over $protocol', ({ protocol }) => {
  it('48: alone in agent.compose', async () => {
    const { server, agent } = await serve({ protocol })
    const spans = new Spans()
    const chain = agent.compose(tracing({ tracerProvider: spans.provider }))
    await call(chain, server.url())
    expect(traceparentsAt(server)).toEqual(spans.attempts.map(traceparentOf))
    expect(spans.attempts).toHaveLength(1)
  })

  it('48: inside a retry every attempt has its span, number, link and peer', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 503, 200] })
    const spans = new Spans()
    const chain = compose(agent, retry({ backoff: 1 }), tracing({ tracerProvider: spans.provider }))
    const caller = await spans.inSpan('caller', async (span) => {
      await call(chain, server.url())
      return span
    })
    const { attempts } = spans
    expect(attempts.map(parentOf)).toEqual(Array(3).fill(caller.spanContext().spanId))
    expect(numbersOf(spans)).toEqual([0, 1, 2])
    expect(attempts.map(({ links }) => links[0]?.context.spanId)).toEqual([
      undefined,
      ...attempts.slice(0, 2).map(idOf),
    ])
    expect(attempts.map((span) => span.attributes['network.peer.port'])).toEqual(Array(3).fill(server.port))
    expect(traceparentsAt(server)).toEqual(attempts.map(traceparentOf))
  })

  it('39: inside a retry, without a caller, the attempts share a trace still', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 503, 200] })
    const spans = new Spans()
    const chain = compose(agent, retry({ backoff: 1 }), tracing({ tracerProvider: spans.provider }))
    await call(chain, server.url())
    expect(traceIds(spans)).toBe(1)
    const first = idOf(spans.attempts[0])
    expect(spans.all.map(parentOf)).toEqual([undefined, first, first])
    expect(numbersOf(spans)).toEqual([0, 1, 2])
  })

  it('43: a chain around a chain makes no second set of spans', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const spans = new Spans()
    const layer = () => tracing({ tracerProvider: spans.provider })
    const inner = compose(agent, layer(), attemptTimeout(5_000))
    await call(compose(inner, layer(), retry({ backoff: 1 })), server.url())
    await call(compose(inner, layer()), server.url())
    await call(agent.compose(layer(), layer()), server.url())
    expect(numbersOf(spans)).toEqual([0, 1, 0, 0])
    expect(spans.calls).toHaveLength(3)
    expect(traceparentsAt(server)).toEqual(spans.attempts.map(traceparentOf))
  })

  it("48: undici's retry inside is one attempt; above, each of its attempts has a span in the caller's trace", async () => {
    const { server, agent } = await serve({ protocol, respond: 503 })
    const again = () => interceptors.retry({ maxRetries: 2, minTimeout: 1, statusCodes: [503] })
    const inside = new Spans()
    await call(compose(agent, tracing({ tracerProvider: inside.provider }), again()), server.url()).catch(() => {})
    expect(inside.attempts).toHaveLength(1)
    expect(server.count()).toBe(3)

    // So that the next call's retries run in callbacks of a connection that another call opened.
    const above = new Spans()
    const chain = compose(agent, again(), tracing({ tracerProvider: above.provider }))
    const caller = await above.inSpan('caller', async (span) => {
      await call(chain, server.url()).catch(() => {})
      return span
    })
    expect(above.attempts.map(parentOf)).toEqual(Array(3).fill(caller.spanContext().spanId))
    expect(numbersOf(above)).toEqual([0, 1, 2])
    expect(traceparentsAt(server).slice(3)).toEqual(above.attempts.map(traceparentOf))
  })

  it("48: undici's redirect above gives each hop a span of the same trace, with our retry below", async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '*': 200, '/a': { status: 302, headers: { location: '/b' }, body: 'moved' }, '/b': [503, 200] },
    })
    const spans = new Spans()
    const hops = interceptors.redirect({ maxRedirections: 3 })
    const chain = compose(agent, hops, tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }))
    expect(await call(chain, server.url('/a'))).toBe(200)
    expect(traceIds(spans)).toBe(1)
    expect(spans.calls).toHaveLength(1)
    expect(spans.attempts.map(({ attributes }) => attributes['url.full'])).toEqual(
      ['/a', '/b', '/b'].map((path) => server.url(path)),
    )
    expect(numbersOf(spans)).toEqual([0, 1, 2])
    expect(spans.attempts.map(parentOf)).toEqual(Array(3).fill(idOf(spans.calls[0])))
    expect(traceparentsAt(server)).toEqual(spans.attempts.map(traceparentOf))
  })

  it("48: undici's redirect below is one attempt", async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '*': 200, '/a': { status: 302, headers: { location: '/b' } } },
    })
    const spans = new Spans()
    const chain = compose(
      agent,
      tracing({ tracerProvider: spans.provider }),
      interceptors.redirect({ maxRedirections: 3 }),
    )
    expect(await call(chain, server.url('/a'))).toBe(200)
    expect(spans.attempts.map((span) => span.attributes['http.response.status_code'])).toEqual([200])
  })

  it("48: undici's cache above answers without a span, below with one", async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { body: 'kept', headers: { 'cache-control': 'max-age=60' } },
    })
    for (const above of [true, false]) {
      const spans = new Spans()
      const layers = [interceptors.cache(), tracing({ tracerProvider: spans.provider })]
      const chain = compose(agent, above ? layers : layers.toReversed())
      for (let time = 0; time < 3; time++) expect(await call(chain, server.url(`/${above}`))).toBe(200)
      expect(server.count(`/${above}`)).toBe(1)
      expect(spans.attempts).toHaveLength(above ? 1 : 3)
      expect(spans.attempts.at(1)?.attributes['network.protocol.version']).toBe(undefined)
    }
  })

  it("48: undici's dns below leaves the name that was asked for", async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const spans = new Spans()
    const lookup = ((_origin: unknown, _options: unknown, done: (error: null, found: object[]) => void) =>
      done(null, [{ address: '127.0.0.1', family: 4, ttl: 1_000 }])) as never
    const layers = [tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }), interceptors.dns({ lookup })]
    expect(await call(compose(agent, layers), `${server.origin.replace('127.0.0.1', 'localhost')}/`)).toBe(200)
    expect(spans.attempts.map(({ attributes }) => attributes['server.address'])).toEqual(['localhost', 'localhost'])
  })
})

it('48: between two retries every attempt of the outer one has a span', async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: [503, 503, 503, 200] })
  const spans = new Spans()
  const twice = () => retry({ backoff: 1, maxAttempts: 2 })
  expect(await call(agent.compose(twice(), tracing({ tracerProvider: spans.provider }), twice()), server.url())).toBe(
    200,
  )
  expect(spans.attempts.map((span) => span.attributes['http.response.status_code'])).toEqual([503, 200])
  const [first, second] = spans.attempts.map(traceparentOf)
  expect(traceparentsAt(server)).toEqual([first, first, second, second])
})

it('42: an abort while a foreign layer makes us wait ends the span', async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const slow: Layer = (dispatch) => (opts, handler) => {
    setTimeout(() => dispatch(opts, handler), 20)
    return true
  }
  const spans = new Spans()
  const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry(), slow)
  const abort = new AbortController()
  const waiting = send(chain, server.url(), { signal: abort.signal })
  await turn()
  abort.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  expect(spans.all.map(({ status, attributes }) => [status.code, attributes['error.type']])).toEqual([
    [0, undefined],
    [0, undefined],
  ])
})

it('42: an abort out of a policy, before the attempt could be given up, ends the span', async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const abort = new AbortController()
  const queue = { acquire: () => Promise.resolve(null) }
  const aborting = {
    acquire: () => {
      abort.abort(new Error('enough'))
      return null
    },
  }
  const spans = new Spans()
  const chain = compose(agent, tracing({ tracerProvider: spans.provider }), guard(queue), retry(), guard(aborting))
  await expect(send(chain, server.url(), { signal: abort.signal })).rejects.toThrow('enough')
  expect(spans.all.map(({ status }) => status.code)).toEqual([0, 0])
  expect(server.count()).toBe(0)
})

it('38: a span that a layer of the user makes is the parent of those below it', async () => {
  const { server, agent } = await serve({ protocol: 'h2', respond: [503, 200] })
  const spans = new Spans()
  const tracer = spans.provider.getTracer('mine')
  const mine: string[] = []
  const inSpan: Layer = (dispatch) => (opts, handler) => {
    const span = tracer.startSpan('mine')
    mine.push(span.spanContext().spanId)
    span.end()
    return context.with(trace.setSpan(context.active(), span), () => dispatch(opts, handler))
  }
  await call(compose(agent, inSpan, tracing({ tracerProvider: spans.provider })), server.url())
  const chain = compose(agent, retry({ backoff: 1 }), inSpan, tracing({ tracerProvider: spans.provider }))
  await spans.inSpan('caller', () => call(chain, server.url()))
  expect(spans.attempts.map(parentOf)).toEqual(mine)
})

it('38: a queue above does not move the call into the context of whoever frees the place', async () => {
  const { server, agent } = await serve({ protocol: 'h2' })
  const spans = new Spans()
  const freed: (() => void)[] = []
  const queue = { acquire: () => new Promise<null>((resolve) => freed.push(() => resolve(null))) }
  const chain = compose(agent, guard(queue), tracing({ tracerProvider: spans.provider }))
  const parents: string[] = []
  const calls = ['a', 'b'].map((name) =>
    spans.inSpan(name, async (span) => {
      parents.push(span.spanContext().spanId)
      return call(chain, server.url(`/${name}`))
    }),
  )
  await spans.inSpan('c', async () => {
    for (const free of freed.toReversed()) free()
    await Promise.all(calls)
  })
  const byPath = new Map(spans.attempts.map((span) => [new URL(String(span.attributes['url.full'])).pathname, span]))
  expect([parentOf(byPath.get('/a')), parentOf(byPath.get('/b'))]).toEqual(parents)
})

it('48: with MockAgent, and logging above', async () => {
  const mock = new MockAgent()
  onTestFinished(() => mock.close())
  mock.disableNetConnect()
  const seen: unknown[] = []
  mock
    .get('https://api.example.com')
    .intercept({ path: '/', method: 'GET' })
    .reply(200, ({ headers }: { headers: unknown }) => {
      seen.push(headers)
      return 'mocked'
    })
  const spans = new Spans()
  const records: { trace_id?: string }[] = []
  const note = (record: object) => records.push(record)
  const layers = [
    logging({ logger: { debug() {}, info: note, warn: note } }),
    tracing({ tracerProvider: spans.provider }),
  ]
  expect(await call(compose(mock as Dispatcher, layers), 'https://api.example.com/')).toBe(200)
  expect(seen).toEqual([{ traceparent: traceparentOf(spans.attempts[0]!) }])
  expect(records[0]?.trace_id).toBe(spans.attempts[0]?.spanContext().traceId)
})

it("47: nothing of the caller's context is lost on the way", async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: [503, 200] })
  const store = new AsyncLocalStorage<string>()
  const spans = new Spans()
  const seen: unknown[] = []
  const look: Layer = (dispatch) => (opts, handler) => {
    seen.push(store.getStore())
    return dispatch(opts, handler)
  }
  const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }), look)
  await store.run('mine', () => call(chain, server.url()))
  expect(seen).toEqual(['mine', 'mine'])
})
