import { context, type Span, trace } from '@opentelemetry/api'
import {
  attemptTimeout,
  bulkhead,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  deadline,
  type Layers,
  retry,
  standard,
  tracing,
} from 'roundtripper'
import { gate, startServer, type TestServer } from 'roundtripper/testing'
import { startTracing, type Telemetry } from 'roundtripper/tracing'
import { type Agent, type Dispatcher, request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drawTrace, type JaegerSpan, type JaegerTrace, jaeger, linksOf, parentOf, tagsOf } from './jaeger.ts'

const collector = await jaeger()
let telemetry: Telemetry | undefined
const service = `calls-${process.pid}-${Date.now()}`

beforeAll(() => {
  if (collector !== undefined) {
    telemetry = startTracing({ serviceName: service, endpoint: collector.otlpEndpoint, signals: false })
  }
})
afterAll(async () => {
  await telemetry?.shutdown()
  await collector?.stop()
})

type Options = Partial<Dispatcher.RequestOptions>

async function call(chain: Dispatcher, url: string, options: Options = {}): Promise<number | string> {
  try {
    const { statusCode, body } = await request(url, { ...options, dispatcher: chain } as Parameters<typeof request>[1])
    await body.text()
    return statusCode
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

/** Runs `step` with a span of its own active, as a program's. */
async function inSpan<T>(name: string, step: () => Promise<T>): Promise<T> {
  const span: Span = trace.getTracer('program').startSpan(name)
  try {
    return await context.with(trace.setSpan(context.active(), span), step)
  } finally {
    span.end()
  }
}

interface Read {
  readonly trace: JaegerTrace
  readonly root: JaegerSpan
  /** The spans of attempts, in the order of their start. */
  readonly attempts: readonly JaegerSpan[]
}

describe.skipIf(collector === undefined).each([
  { protocol: 'h1', version: '1.1' },
  { protocol: 'h2', version: '2' },
] as const)('calls over $protocol, read back from Jaeger', ({ protocol, version }) => {
  let server: TestServer
  let agent: Agent
  let traces: JaegerTrace[]
  const held = gate()
  const traced = (...layers: Layers[]) => compose(agent, tracing(), ...layers)

  beforeAll(async () => {
    server = await startServer({
      protocol,
      respond: {
        '*': 200,
        '/retried': [503, { reset: 'before-head' }, { body: 'at last' }],
        '/alone': [503, 200],
        '/fetch': [503, 200],
        '/held': { hold: held.promise },
        '/broken': 500,
        '/hang': { hang: 'head' },
        '/aborted': { hang: 'head' },
      },
    })
    agent = createAgent({ connect: { ca: server.ca } })
    await makeCalls()
    await telemetry?.flush()
    const calls = ['/retried', '/alone', '/fetch', '/held', '/full', '/broken', '/open', '/hang', '/late', '/aborted']
    const urls = calls.map((path) => server.url(path))
    const ofServer = (found: JaegerTrace[]) => found.filter((one) => urls.some((url) => has(one, url)))
    const until = (found: JaegerTrace[]) => ofServer(found).length === calls.length
    traces = ofServer((await collector?.tracesOf(service, { until })) ?? [])
  })
  afterAll(async () => {
    await agent?.destroy()
    await server?.close()
  })

  async function makeCalls(): Promise<void> {
    await inSpan('program', () => call(traced(retry({ backoff: [2, 3] })), server.url('/retried')))
    await call(traced(retry({ backoff: 1 })), server.url('/alone'))
    const fetch = createFetch(compose(agent, standard({ retry: { backoff: 1 } })))
    await inSpan('program', async () => (await fetch(server.url('/fetch'))).text())

    const slots = traced(retry({ backoff: 1 }), bulkhead({ limit: 1, queue: 0 }))
    const first = call(slots, server.url('/held'))
    await server.until(() => server.count('/held') === 1)
    expect(await call(slots, server.url('/full'), { method: 'POST', body: 'x' })).toBe('ERR_BULKHEAD_FULL')
    held.open()
    expect(await first).toBe(200)

    const breaker = traced(circuitBreaker({ minimumCalls: 1 }), attemptTimeout(5_000))
    expect(await call(breaker, server.url('/broken'))).toBe(500)
    expect(await call(breaker, server.url('/open'))).toBe('ERR_CIRCUIT_OPEN')

    const timed = traced(retry({ maxAttempts: 2, backoff: 1 }), attemptTimeout(20))
    expect(await call(timed, server.url('/hang'))).toBe('ERR_ATTEMPT_TIMEOUT')
    server.script('/late', { hang: 'head' })
    expect(await call(traced(deadline(20)), server.url('/late'))).toBe('ERR_DEADLINE_EXCEEDED')

    const abort = new AbortController()
    const aborted = inSpan('program', () => call(traced(retry()), server.url('/aborted'), { signal: abort.signal }))
    await server.until(() => server.count('/aborted') === 1)
    abort.abort()
    await aborted
  }

  function has(one: JaegerTrace, url: string): boolean {
    return one.spans.some((span) => tagsOf(span)['url.full'] === url)
  }

  /** The one trace of the call to a path: a root, and attempts below it. */
  function read(path: string): Read {
    const found = traces.filter((one) => has(one, server.url(path)))
    expect(found).toHaveLength(1)
    const [one] = found as [JaegerTrace]
    const roots = one.spans.filter((span) => parentOf(span) === undefined)
    expect(roots, drawTrace(one)).toHaveLength(1)
    const [root] = roots as [JaegerSpan]
    const attempts = one.spans.filter((span) => span !== root).toSorted((a, b) => a.startTime - b.startTime)
    expect(attempts.map(parentOf), drawTrace(one)).toEqual(attempts.map(() => root.spanID))
    for (const span of attempts) expect(tagsOf(span)['span.kind']).toBe('client')
    return { trace: one, root, attempts }
  }

  function tags(spans: readonly JaegerSpan[], ...names: string[]): unknown[][] {
    return spans.map((span) => names.map((name) => tagsOf(span)[name]))
  }

  /** The traceparent headers that the server saw at a path. */
  function seen(path: string): unknown[] {
    return server.requests.filter((one) => one.path === path).map(({ headers }) => headers.traceparent)
  }

  function carried({ trace: { traceID }, attempts }: Read): string[] {
    return attempts.map(({ spanID }) => `00-${traceID}-${spanID}-01`)
  }

  it('38: retried: every attempt below the caller, with its number, its link and what became of it', () => {
    const call = read('/retried')
    expect(call.root.operationName).toBe('program')
    expect(call.attempts.map(({ operationName }) => operationName)).toEqual(['GET', 'GET', 'GET'])
    expect(tags(call.attempts, 'http.request.resend_count', 'http.response.status_code', 'error.type')).toEqual([
      [undefined, 503, '503'],
      [1, undefined, expect.stringMatching(/^[A-Z0-9_]+$/)],
      [2, 200, undefined],
    ])
    expect(tags(call.attempts, 'otel.status_code', 'error')).toEqual([
      ['ERROR', true],
      ['ERROR', true],
      [undefined, undefined],
    ])
    const [first, second] = call.attempts.map(({ spanID }) => spanID)
    expect(call.attempts.map(linksOf)).toEqual([[], [first], [second]])
    expect(tags(call.attempts, 'roundtripper.backoff_ms')).toEqual([[undefined], [2], [3]])
    expect(call.attempts[1]?.logs.flatMap(({ fields }) => fields.map(({ value }) => value))).toContain('exception')
    expect(seen('/retried')).toEqual(carried(call))
  })

  it('41: retried: where it went, and how', () => {
    const { attempts } = read('/retried')
    expect(tagsOf(attempts.at(-1)!)).toMatchObject({
      'http.request.method': 'GET',
      'url.full': server.url('/retried'),
      'server.address': '127.0.0.1',
      'server.port': server.port,
      'network.protocol.version': version,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': server.port,
      'otel.scope.name': 'roundtripper',
    })
  })

  it('39: without a caller the call has a span, and its attempts one trace', () => {
    const call = read('/alone')
    expect(call.root.operationName).toBe('GET call')
    expect(tagsOf(call.root)).toMatchObject({ 'span.kind': 'internal', 'roundtripper.attempts': 2 })
    expect(tags(call.attempts, 'http.response.status_code')).toEqual([[503], [200]])
    expect(seen('/alone')).toEqual(carried(call))
  })

  it('38: through fetch and the standard chain', () => {
    const call = read('/fetch')
    expect(call.root.operationName).toBe('program')
    expect(tags(call.attempts, 'http.response.status_code')).toEqual([[503], [200]])
    expect(seen('/fetch')).toEqual(carried(call))
  })

  it.each([
    ['/full', 'ERR_BULKHEAD_FULL'],
    ['/open', 'ERR_CIRCUIT_OPEN'],
  ])('40: refused: %s says %s, and nothing was sent', (path, code) => {
    const { root, attempts } = read(path)
    expect(tags([root, attempts.at(-1)!], 'error.type', 'otel.status_code')).toEqual(Array(2).fill([code, 'ERROR']))
    expect(seen(path)).toEqual([])
  })

  it('40: the call that held the slot, and the one that opened the circuit, are traces of their own', () => {
    expect(tags(read('/held').attempts, 'http.response.status_code')).toEqual([[200]])
    expect(tags(read('/broken').attempts, 'error.type')).toEqual([['500']])
  })

  it('42: timed out: each attempt, and the deadline', () => {
    const timed = read('/hang')
    expect(tags(timed.attempts, 'error.type', 'http.request.resend_count')).toEqual([
      ['ERR_ATTEMPT_TIMEOUT', undefined],
      ['ERR_ATTEMPT_TIMEOUT', 1],
    ])
    for (const { duration } of timed.attempts) expect(duration).toBeGreaterThanOrEqual(19_000)
    const late = read('/late')
    expect(tags([late.root, ...late.attempts], 'error.type')).toEqual(Array(2).fill(['ERR_DEADLINE_EXCEEDED']))
  })

  it('42: aborted: neither success nor error', () => {
    const call = read('/aborted')
    expect(tags(call.attempts, 'error.type', 'otel.status_code', 'http.response.status_code')).toEqual([
      [undefined, undefined, undefined],
    ])
    expect(seen('/aborted')).toEqual(carried(call))
  })
})
