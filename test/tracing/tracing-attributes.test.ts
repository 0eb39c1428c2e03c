import { createRequire } from 'node:module'
import type { Attributes } from '@opentelemetry/api'
import { AlwaysOnSampler, type Sampler } from '@opentelemetry/sdk-trace'
import { bulkhead, circuitBreaker, compose, createFetch, retry, route, tracing } from 'roundtripper'
import { Dispatcher } from 'undici'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { call, protocols, Spans, serve, useOpenTelemetry } from './tracing-fixtures.ts'

useOpenTelemetry()

const beside = createRequire(createRequire(import.meta.url).resolve('@opentelemetry/sdk-node'))

/** Answers 200 to whatever it is given, so that any origin and method can be asked for. */
class Answering extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = { aborted: false, paused: false, reason: null, abort() {}, pause() {}, resume() {} }
    handler.onRequestStart?.(controller, {})
    handler.onResponseStart?.(controller, 200, {}, 'OK')
    handler.onResponseEnd?.(controller, {})
    return true
  }
}

/** Name and attributes of the one attempt of a request that no network carries. */
async function attributesOf(opts: object, layer: Parameters<typeof tracing>[0] = {}) {
  const spans = new Spans()
  const chain = compose(new Answering(), tracing({ tracerProvider: spans.provider, ...layer }))
  await new Promise<void>((resolve, reject) => {
    chain.dispatch({ origin: 'https://api.example.com', path: '/', method: 'GET', ...opts } as never, {
      onRequestStart() {},
      onResponseEnd: () => resolve(),
      onResponseError: (_, error) => reject(error),
    })
  })
  const [span] = spans.attempts
  return { name: span?.name, ...span?.attributes } as Attributes
}

describe.each(protocols)('attributes over $protocol', ({ protocol, version }) => {
  it('41: exactly those of the stable HTTP conventions', async () => {
    const { server, agent } = await serve({ protocol, respond: [{ status: 404, body: 'no' }] })
    const spans = new Spans()
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
    await call(chain, server.url('/a/b?X-Amz-Signature=deadbeef&color=blue&sig=abc#fragment'))
    const [span] = spans.attempts
    expect(span?.name).toBe('GET')
    expect(span?.attributes).toEqual({
      'http.request.method': 'GET',
      'server.address': '127.0.0.1',
      'server.port': server.port,
      'url.full': `${server.origin}/a/b?X-Amz-Signature=REDACTED&color=blue&sig=REDACTED`,
      'http.response.status_code': 404,
      'error.type': '404',
      'network.protocol.version': version,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': server.port,
    })
  })

  it('41: what is known before the request is there for the sampler', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const seen: Attributes[] = []
    const all = new AlwaysOnSampler()
    const sampler: Sampler = {
      shouldSample(...[, , , , attributes]) {
        seen.push({ ...attributes })
        return all.shouldSample()
      },
      toString: () => 'seeing',
    }
    const spans = new Spans({ sampler })
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }))
    await call(chain, server.url('/x'))
    const known = {
      'http.request.method': 'GET',
      'server.address': '127.0.0.1',
      'server.port': server.port,
      'url.full': server.url('/x'),
    }
    expect(seen).toEqual([{}, known, { ...known, 'http.request.resend_count': 1, 'roundtripper.backoff_ms': 1 }])
  })

  it('41: names have the template that the call gives, then the one of the layer', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const spans = new Spans()
    const asked: unknown[] = []
    const urlTemplate = (request: unknown) => {
      asked.push(request)
      return '/users/{id}'
    }
    const layer = tracing({ tracerProvider: spans.provider, urlTemplate })
    const chain = compose(agent, layer, retry({ backoff: 1 }))
    await call(chain, server.url('/users/7'))
    await call(chain, server.url('/orders/7'), { method: 'POST', resilience: { urlTemplate: '/orders/{id}' } })
    expect(spans.attempts.map(({ name, attributes }) => [name, attributes['url.template']])).toEqual([
      ['GET /users/{id}', '/users/{id}'],
      ['GET /users/{id}', '/users/{id}'],
      ['POST /orders/{id}', '/orders/{id}'],
    ])
    const response = await createFetch(chain)(server.url('/x'), { resilience: { urlTemplate: '/{any}' } })
    await response.text()
    expect(spans.attempts.at(-1)?.name).toBe('GET /{any}')
    expect(asked).toEqual(Array(2).fill({ method: 'GET', origin: server.origin, path: '/users/7' }))
  })
})

describe('41: a request', () => {
  it.each([
    ['https://api.example.com', 'api.example.com', 443],
    ['http://api.example.com', 'api.example.com', 80],
    ['https://api.example.com:8443', 'api.example.com', 8443],
    ['http://[::1]:8080', '::1', 8080],
    ['https://[2001:db8::2]', '2001:db8::2', 443],
    [new URL('https://user:password@api.example.com'), 'api.example.com', 443],
    [new URL('http://127.0.0.1:1'), '127.0.0.1', 1],
  ])('to %s', async (origin, address, port) => {
    const attributes = await attributesOf({ origin })
    expect(attributes['server.address']).toBe(address)
    expect(attributes['server.port']).toBe(port)
    expect(attributes['url.full']).toBe(`${new URL(origin).origin}/`)
  })

  it.each([
    ['GET', 'GET', 'GET', undefined],
    ['QUERY', 'QUERY', 'QUERY', undefined],
    ['PATCH', 'PATCH', 'PATCH', undefined],
    ['patch', 'PATCH', 'PATCH', 'patch'],
    ['PROPFIND', 'HTTP', '_OTHER', 'PROPFIND'],
    ['constructor', 'HTTP', '_OTHER', 'constructor'],
  ])('with method %s', async (method, name, value, original) => {
    const attributes = await attributesOf({ method })
    expect(attributes.name).toBe(name)
    expect(attributes['http.request.method']).toBe(value)
    expect(attributes['http.request.method_original']).toBe(original)
    expect('http.request.method_original' in attributes).toBe(original !== undefined)
  })

  it.each([
    [{ query: { sig: 'secret', 'a b': ['1', '2'] } }, 'https://api.example.com/?sig=REDACTED&a%20b=1&a%20b=2'],
    [{ path: '/p?SIGNATURE=x&token' }, 'https://api.example.com/p?SIGNATURE=REDACTED&token'],
    [{ path: 'http://user:p@ss@other.example/p?key=1' }, 'http://other.example/p?key=REDACTED'],
  ])('with %j', async (opts, full) => {
    expect((await attributesOf(opts))['url.full']).toBe(full)
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('no template')
      },
    ],
    ['gives nothing', () => undefined],
    ['gives no text', () => 7 as never],
    ['gives an empty text', () => ''],
  ])('has none where urlTemplate %s', async (_, urlTemplate) => {
    const attributes = await attributesOf({}, { urlTemplate })
    expect(attributes.name).toBe('GET')
    expect('url.template' in attributes).toBe(false)
  })
})

it('41: no attribute but ours is unknown to the conventions', async () => {
  const { ATTR_URL_TEMPLATE } = beside('@opentelemetry/semantic-conventions/incubating') as Record<string, string>
  const registry = beside('@opentelemetry/semantic-conventions') as Record<string, unknown>
  const known = new Set(Object.entries(registry).flatMap(([name, value]) => (name.startsWith('ATTR_') ? [value] : [])))
  known.add(ATTR_URL_TEMPLATE)
  const { server, agent } = await serve({ protocol: 'h2', respond: [{ status: 503, retryAfter: 0 }, 500, 200] })
  const spans = new Spans()
  const layer = tracing({ tracerProvider: spans.provider, urlTemplate: () => '/' })
  const chain = compose(
    agent,
    layer,
    retry({ backoff: 1 }),
    circuitBreaker({ minimumCalls: 2 }),
    bulkhead({ limit: 1 }),
  )
  await Promise.allSettled([
    call(chain, server.url(), { method: 'PURGE' }),
    call(chain, server.url()),
    call(chain, server.url()),
  ])
  const names = new Set(spans.all.flatMap(({ attributes }) => Object.keys(attributes)))
  const own = [...names].filter((name) => !known.has(name))
  expect(names.size - own.length).toBeGreaterThanOrEqual(9)
  expect(own.toSorted()).toEqual([
    'roundtripper.attempts',
    'roundtripper.backoff_ms',
    'roundtripper.circuit.state',
    'roundtripper.queued_ms',
    'roundtripper.retry.refusal',
    'roundtripper.retry_after',
  ])
})

describe('41: OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS', () => {
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.resetModules()
  })

  it('takes the place of the list, case and all', async () => {
    vi.stubEnv('OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS', 'GET, PURGE,fetchIt')
    vi.resetModules()
    const { methodOf } = await import('../../src/tracing/attributes.ts')
    expect(['GET', 'PURGE', 'purge', 'fetchIt', 'POST'].map((method) => methodOf(method).value)).toEqual([
      'GET',
      'PURGE',
      'PURGE',
      'fetchIt',
      '_OTHER',
    ])
    expect(methodOf('POST').original).toBe('POST')
  })
})

it('41: many different methods and origins are not kept for ever', async () => {
  for (let number = 0; number < 200; number++) {
    const attributes = await attributesOf({ method: `M${number}`, origin: `https://h${number}.example` })
    expect(attributes['http.request.method_original']).toBe(`M${number}`)
    expect(attributes['server.address']).toBe(`h${number}.example`)
  }
})

it('40: spans name the route, and a call that no route is for has one that says so', async () => {
  const spans = new Spans()
  const table = route([
    { path: '/a', name: 'a', to: [retry()] },
    { path: '/b', to: [] },
  ])
  const chain = compose(new Answering(), tracing({ tracerProvider: spans.provider }), table)
  for (const path of ['/a', '/b', '/c']) {
    await new Promise<void>((resolve) => {
      const end = () => resolve()
      const origin = 'https://api.example.com'
      chain.dispatch({ origin, path, method: 'GET' }, { onRequestStart() {}, onResponseEnd: end, onResponseError: end })
    })
  }
  expect(spans.attempts.map(({ attributes }) => attributes['roundtripper.route'])).toEqual(['a', undefined, undefined])
  expect(spans.attempts.map(({ attributes }) => attributes['error.type'])).toEqual([
    undefined,
    undefined,
    'ERR_NO_ROUTE',
  ])
})
