// What of a context goes where, on real servers: from a call, its attempts, its redirects and its fallbacks.
import {
  attemptTimeout,
  balance,
  bulkhead,
  circuitBreaker,
  compose,
  contextHeaders,
  createFetch,
  DeadlineExceededError,
  deadline,
  fallback,
  hedge,
  type Layers,
  type RequestContextFields,
  retry,
  runWithContext,
  standard,
} from 'roundtripper'
import { gate, type RecordedRequest, type TestServer } from 'roundtripper/testing'
import { interceptors } from 'undici'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  type CallInit,
  call,
  chainTo,
  errorOf,
  eventually,
  protocols,
  quick,
  serve,
  stopClock,
} from './retry-servers.ts'

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const all: RequestContextFields = {
  requestId: 'r-1',
  traceparent,
  tracestate: 'a=1',
  baggage: { user: 'é' },
  deadline: 60_000,
  priority: 'sheddable',
  tenant: 'acme',
}
const names = [
  'baggage',
  'traceparent',
  'tracestate',
  'x-request-id',
  'x-request-priority',
  'x-request-timeout-ms',
  'x-tenant-id',
]

/** What a request has brought of a context. */
function brought(request: RecordedRequest | undefined): Record<string, unknown> {
  const { headers } = request as RecordedRequest
  return Object.fromEntries(names.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]))
}

/** The milliseconds that a request was told it has. */
function timeOf(request: RecordedRequest | undefined): number {
  return Number(request?.headers['x-request-timeout-ms'])
}

function inContext(fields: RequestContextFields, ...args: Parameters<typeof call>): ReturnType<typeof call> {
  return runWithContext(fields, call, ...args)
}

const to = (...servers: TestServer[]) => contextHeaders({ origins: servers.map(({ origin }) => origin) })

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  it('sends all of it to an origin on the list, and nothing to another one', async () => {
    const [listed, other] = [await serve({ protocol }), await serve({ protocol })]
    const chain = chainTo(listed, to(listed), retry(quick))
    for (const server of [listed, other]) await inContext(all, chain, server.url())
    const { 'x-request-timeout-ms': left, ...sent } = brought(listed.requests[0])
    expect(sent).toEqual({
      baggage: 'user=%C3%A9',
      traceparent,
      tracestate: 'a=1',
      'x-request-id': 'r-1',
      'x-request-priority': 'sheddable',
      'x-tenant-id': 'acme',
    })
    expect(Number(left)).toBeGreaterThan(50_000)
    expect(Number(left)).toBeLessThanOrEqual(60_000)
    expect(brought(other.requests[0])).toEqual({})
    await call(chain, listed.url())
    expect(brought(listed.requests[1])).toEqual({})
  })

  const forms: [string, () => unknown][] = [
    ['an object', () => ({ 'X-Request-ID': 'own', accept: '*/*' })],
    ['a flat array', () => ['X-Request-ID', 'own', 'accept', '*/*']],
    [
      'pairs',
      () =>
        new Map([
          ['X-Request-ID', 'own'],
          ['accept', '*/*'],
        ]),
    ],
  ]
  it.each(forms)("the caller's own header stays as it is, given as %s", async (_, make) => {
    const server = await serve({ protocol, respond: [503, 200] })
    const chain = chainTo(server, to(server), retry(quick))
    const headers = make()
    await inContext({ requestId: 'r-1', tenant: 'acme' }, chain, server.url(), { headers } as CallInit)
    expect(server.requests).toHaveLength(2)
    for (const request of server.requests) {
      expect(brought(request)).toEqual({ 'x-request-id': 'own', 'x-tenant-id': 'acme' })
      expect(request.headers.accept).toBe('*/*')
    }
    expect(headers).toEqual(make())
  })

  it("a trace of the caller's own is not completed with a tracestate of the context's", async () => {
    const server = await serve({ protocol })
    const own = traceparent.replace('4bf', '0af')
    await inContext(all, chainTo(server, to(server)), server.url(), { headers: { traceparent: own } })
    expect(brought(server.requests[0])).toMatchObject({ traceparent: own })
    expect(server.requests[0]?.headers).not.toHaveProperty('tracestate')
  })

  it('sends the fields that are asked for, under the names that are given', async () => {
    const server = await serve({ protocol })
    const options = { fields: ['tenant', 'deadline'], names: { tenant: 'X-Org', deadline: 'grpc-timeout' } } as const
    const chain = chainTo(server, contextHeaders({ origins: [server.origin], ...options }))
    await inContext(all, chain, server.url())
    expect(brought(server.requests[0])).toEqual({})
    expect(server.requests[0]?.headers).toMatchObject({
      'x-org': 'acme',
      'grpc-timeout': expect.stringMatching(/^[56]\d{4}m$/),
    })
  })

  it.each<[string, (server: TestServer, layer: Layers) => Layers[]]>([
    ['above retry', (_, layer) => [layer, retry(quick)]],
    ['above retry and a deadline', (_, layer) => [layer, deadline(5000), retry(quick)]],
    ['below retry', (_, layer) => [retry(quick), layer]],
    ['above hedge', (_, layer) => [layer, hedge({ delay: 10_000, percentile: false })]],
    ['above the standard chain', (_, layer) => [layer, standard({ retry: quick })]],
    ['below the standard chain', (_, layer) => [standard({ retry: quick }), layer]],
  ])('each attempt says the time that is left to it, %s', async (_, chainOf) => {
    const held = gate()
    const server = await serve({ protocol, respond: [{ status: 503, hold: held.promise }, 200] })
    const chain = chainTo(server, ...chainOf(server, to(server)))
    const done = inContext({ requestId: 'r-1', tenant: 'acme', deadline: 4000 }, chain, server.url())
    await server.until(() => server.requests.length === 1)
    const before = performance.now()
    await eventually(() => performance.now() - before >= 5)
    held.open()
    expect((await done).status).toBe(200)
    expect(server.requests.map((request) => request.headers['x-request-id'])).toEqual(['r-1', 'r-1'])
    const [first, second] = server.requests.map(timeOf) as [number, number]
    expect(first).toBeLessThanOrEqual(4000)
    expect(second).toBeLessThanOrEqual(first - 5)
    expect(second).toBeGreaterThan(1000)
  })

  it('says the time of deadline(), where that is shorter', async () => {
    const server = await serve({ protocol })
    for (const layers of [
      [deadline(2000), to(server)],
      [to(server), deadline(2000), retry(quick)],
    ]) {
      await inContext(all, chainTo(server, ...layers), server.url())
    }
    for (const request of server.requests) expect(timeOf(request)).toBeLessThanOrEqual(2000)
    expect(server.requests).toHaveLength(2)
  })

  it.each<[string, (layer: Layers) => Layers[]]>([
    ['alone', (layer) => [layer]],
    ['above retry', (layer) => [layer, retry(quick), attemptTimeout(20_000)]],
    ['below retry', (layer) => [retry(quick), layer]],
    ['above the standard chain', (layer) => [layer, standard()]],
    ['below the standard chain', (layer) => [standard(), layer]],
    ['above a bulkhead that is full', (layer) => [layer, bulkhead({ limit: 1 })]],
  ])('19: a call has no more time than the context, to any origin, %s', async (_, chainOf) => {
    const server = await serve({ protocol, respond: { '/warm': 200, '*': { hang: 'head' } } })
    const chain = chainTo(server, ...chainOf(contextHeaders({ origins: [] })))
    await call(chain, server.url('/warm'))
    const blocking = errorOf(runWithContext({ deadline: 100_000 }, call, chain, server.url('/first')))
    await server.until(() => server.count('/first') === 1)
    const clock = stopClock()
    const error = errorOf(inContext({ deadline: 873 }, chain, server.url()))
    let isOver = false
    void error.then(() => {
      isOver = true
    })
    await clock.advance(872)
    expect(isOver).toBe(false)
    await clock.advance(2)
    expect(await error).toBeInstanceOf(DeadlineExceededError)
    expect(String(await error)).toContain('within 873 ms')
    await chain.destroy()
    await blocking
  })

  it('a call in a context whose time is up is refused before anything is sent', async () => {
    const server = await serve({ protocol })
    for (const layers of [[to(server), standard()], [standard(), to(server)], [contextHeaders({ origins: [] })]]) {
      const error = await errorOf(inContext({ deadline: 0 }, chainTo(server, ...layers), server.url()))
      expect(error).toBeInstanceOf(DeadlineExceededError)
      expect(String(error)).toContain(`nothing was sent to ${server.origin}`)
    }
    expect(server.requests).toEqual([])
  })

  it("the call's own time and priority come before those of the context, where they are stricter", async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, to(server), retry(quick))
    await inContext(all, chain, server.url(), { resilience: { priority: 'critical', deadline: 1000 } })
    await inContext(all, chain, server.url(), { resilience: { deadline: false } })
    expect(server.requests[0]?.headers['x-request-priority']).toBe('critical')
    expect(timeOf(server.requests[0])).toBeLessThanOrEqual(1000)
    expect(server.requests[1]?.headers['x-request-priority']).toBe('sheddable')
    expect(timeOf(server.requests[1])).toBeGreaterThan(1000)
  })

  it('28: the priority of the context counts in queues', async () => {
    const held = gate()
    const server = await serve({ protocol, respond: { '/first': { hold: held.promise }, '*': 200 } })
    const chain = chainTo(server, contextHeaders({ origins: [] }), retry(quick), bulkhead({ limit: 1 }))
    const calls = [call(chain, server.url('/first'))]
    for (const priority of ['sheddable', 'normal', 'critical'] as const) {
      calls.push(inContext({ priority }, chain, server.url(`/${priority}`)))
    }
    held.open()
    await Promise.all(calls)
    expect(server.requests.map(({ path }) => path)).toEqual(['/first', '/critical', '/normal', '/sheddable'])
  })

  describe('a redirect', () => {
    const redirect = () => interceptors.redirect({ maxRedirections: 5 })
    const sent = { 'x-request-id': 'r-1', 'x-tenant-id': 'acme' }
    const fields = { requestId: 'r-1', tenant: 'acme', deadline: 60_000 }
    const withTime = { ...sent, 'x-request-timeout-ms': expect.any(String) }

    it.each<[string, (layer: Layers) => Layers[]]>([
      ['below', (layer) => [layer, redirect()]],
      ['below, and retry with it', (layer) => [layer, retry(quick), redirect(), circuitBreaker(), attemptTimeout()]],
      ['below, above retry', (layer) => [layer, redirect(), retry(quick)]],
      ['above', (layer) => [redirect(), layer]],
      ['above retry', (layer) => [redirect(), retry(quick), layer]],
    ])("of undici's takes nothing to another origin, and all within the same, %s", async (_, chainOf) => {
      const [from, other] = [await serve({ protocol }), await serve({ protocol, respond: { '*': [503, 200] } })]
      from.script('/', { status: 307, headers: { location: '/same' } })
      from.script('/same', { status: 307, headers: { location: other.url('/there') } })
      other.script('/there', { status: 307, headers: { location: from.url('/back') } })
      const chain = chainTo(from, ...chainOf(to(from)))
      await inContext(fields, chain, from.url('/'), { headers: { 'x-own': '1' } })
      expect(from.requests.map(({ path }) => path)).toEqual(['/', '/same', '/back'])
      for (const request of from.requests) expect(brought(request)).toEqual(withTime)
      expect(other.requests.map(brought)).toEqual([{}])
      expect(other.requests[0]?.headers['x-own']).toBe('1')
    })

    it('takes it along to another origin that is on the list, and what the caller has set to any', async () => {
      const [from, listed, other] = [await serve({ protocol }), await serve({ protocol }), await serve({ protocol })]
      from.script('/', { status: 307, headers: { location: listed.url('/there') } })
      listed.script('/there', { status: 307, headers: { location: other.url('/end') } })
      const chain = chainTo(from, to(from, listed), retry(quick), redirect())
      await inContext(fields, chain, from.url('/'), { headers: { 'x-request-id': 'own' } })
      expect(brought(listed.requests[0])).toEqual({ ...withTime, 'x-request-id': 'own' })
      expect(brought(other.requests[0])).toEqual({ 'x-request-id': 'own' })
    })

    it('of fetch is a call of its own for each hop', async () => {
      const [from, other] = [await serve({ protocol }), await serve({ protocol })]
      from.script('/', { status: 302, headers: { location: '/same' } })
      from.script('/same', { status: 302, headers: { location: other.url('/there') } })
      other.script('/there', { status: 302, headers: { location: from.url('/back') } })
      const fetch = createFetch(chainTo(from, to(from), standard({ retry: quick })))
      await runWithContext(fields, async () => (await fetch(from.url('/'))).text())
      expect(from.requests.map(({ path }) => path)).toEqual(['/', '/same', '/back'])
      for (const request of from.requests) expect(brought(request)).toEqual(withTime)
      expect(brought(other.requests[0])).toEqual({})
    })
  })

  it.each<[string, boolean]>([
    ['is left behind', false],
    ['goes along where it is allowed', true],
  ])('a fallback to another upstream: what was added %s', async (_, isAllowed) => {
    const [server, spare] = [await serve({ protocol, respond: 503 }), await serve({ protocol })]
    const layer = isAllowed ? to(server, spare) : to(server)
    const chain = chainTo(server, layer, fallback({ upstream: spare.origin }), retry({ ...quick, maxAttempts: 2 }))
    const answer = await inContext(all, chain, server.url(), { headers: { 'x-own': '1' } })
    expect(answer.status).toBe(200)
    expect(server.requests).toHaveLength(2)
    for (const request of server.requests) expect(Object.keys(brought(request)).toSorted()).toEqual(names)
    expect(Object.keys(brought(spare.requests[0])).toSorted()).toEqual(isAllowed ? names : [])
    expect(spare.requests[0]?.headers['x-own']).toBe('1')
  })

  it('two layers with rules of their own add up, and are taken out each by its own', async () => {
    const [server, partner] = [await serve({ protocol }), await serve({ protocol })]
    server.script('/', { status: 307, headers: { location: partner.url('/there') } })
    const inside = contextHeaders({ origins: [server.origin] })
    const outside = contextHeaders({ origins: () => true, fields: ['requestId'] })
    const chain = chainTo(server, outside, inside, interceptors.redirect({ maxRedirections: 1 }))
    await inContext({ requestId: 'r-1', tenant: 'acme' }, chain, server.url('/'))
    expect(brought(server.requests[0])).toEqual({ 'x-request-id': 'r-1', 'x-tenant-id': 'acme' })
    expect(brought(partner.requests[0])).toEqual({ 'x-request-id': 'r-1' })
  })
})

describe('behind balance()', () => {
  const group = 'http://orders.internal'

  it('a host that was chosen gets what the name may get', async () => {
    const host = await serve({ protocol: 'h1c', respond: [503, 200] })
    const hosts = balance({ hosts: [host.origin] })
    await inContext(all, chainTo(host, contextHeaders({ origins: [group] }), retry(quick), hosts), `${group}/`)
    expect(host.requests).toHaveLength(2)
    for (const request of host.requests) expect(Object.keys(brought(request)).toSorted()).toEqual(names)
  })

  it('a redirect of a host to an address gets nothing, whatever the name of the host was', async () => {
    const [host, other] = [await serve({ protocol: 'h1c' }), await serve({ protocol: 'h1c' })]
    host.script('/', { status: 307, headers: { location: other.url('/there') } })
    const hosts = balance({ hosts: [{ origin: host.origin, servername: 'orders.internal' }] })
    const redirect = interceptors.redirect({ maxRedirections: 1 })
    const origins = (origin: string) => new URL(origin).hostname === 'orders.internal'
    await inContext(all, chainTo(host, contextHeaders({ origins }), hosts, redirect), `${group}/`)
    expect(Object.keys(brought(host.requests[0])).toSorted()).toEqual(names)
    expect(brought(other.requests[0])).toEqual({})
  })
})

it('a redirect above dns() is known by its name', async () => {
  const [from, other] = [await serve({ protocol: 'h1c' }), await serve({ protocol: 'h1c' })]
  const named = (server: TestServer) => `http://localhost:${server.port}`
  from.script('/', { status: 307, headers: { location: `${named(other)}/there` } })
  const dns = interceptors.dns({ dualStack: false, affinity: 4 })
  const chain = chainTo(
    from,
    contextHeaders({ origins: [named(from)] }),
    interceptors.redirect({ maxRedirections: 1 }),
    dns,
  )
  await inContext({ requestId: 'r-1' }, chain, `${named(from)}/`)
  expect(brought(from.requests[0])).toEqual({ 'x-request-id': 'r-1' })
  expect(brought(other.requests[0])).toEqual({})

  const both = contextHeaders({ origins: [named(from), named(other)] })
  const allowing = chainTo(from, both, interceptors.redirect({ maxRedirections: 1 }), dns)
  await inContext({ requestId: 'r-1' }, allowing, `${named(from)}/`)
  expect(brought(other.requests[1])).toEqual({ 'x-request-id': 'r-1' })
})

it('headers that are no list are left for the check at the edge', async () => {
  const server = await serve({ protocol: 'h1c' })
  const chain = chainTo(server, to(server))
  const error = await errorOf(inContext(all, chain, server.url(), { headers: [[1, 2, 3]].values() as never }))
  expect(String(error)).toContain('header')
  expect(server.requests).toEqual([])
})

it('with a propagator of an SDK the trace is left to it', async () => {
  const server = await serve({ protocol: 'h1c' })
  const key = Symbol.for('opentelemetry.js.api.1')
  const globals = globalThis as unknown as Record<symbol, unknown>
  vi.stubGlobal(key as never, { ...(globals[key] as object), propagation: {} })
  onTestFinished(() => {
    vi.unstubAllGlobals()
  })
  // That there was none holds for a millisecond.
  for (const asked = performance.now(); performance.now() < asked + 1; );
  await inContext(all, chainTo(server, to(server)), server.url())
  expect(Object.keys(brought(server.requests[0]))).not.toContain('traceparent')
  expect(Object.keys(brought(server.requests[0]))).not.toContain('tracestate')
  expect(brought(server.requests[0])).toMatchObject({ 'x-request-id': 'r-1' })
})

it('compose may have several, and undici composes it as well', async () => {
  const server = await serve({ protocol: 'h1c' })
  const chain = chainTo(server)
  await inContext({ requestId: 'r-1' }, chain.compose(to(server)), server.url())
  await inContext({ requestId: 'r-2' }, compose(chain, to(server), to(server)), server.url())
  expect(server.requests.map(brought)).toEqual([{ 'x-request-id': 'r-1' }, { 'x-request-id': 'r-2' }])
})
