import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import {
  attemptTimeout,
  bulkhead,
  type CallRecord,
  circuitBreaker,
  createFetch,
  deadline,
  isShed,
  logging,
  RateLimitedError,
  type RateLimitLayer,
  rateLimit,
  retry,
  tracing,
} from 'roundtripper'
import type { TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import {
  type CallInit,
  call,
  chainTo,
  errorOf,
  protocols,
  quick,
  send,
  serve,
  stopClock,
  turns,
  warmChainTo,
} from './retry-servers.ts'

const oneASecond = { limit: 1, window: 1000 } as const

function view(layer: RateLimitLayer, server: TestServer) {
  return layer.state()[server.origin]
}

describe.each(protocols)('rateLimit over $version', ({ protocol }) => {
  it('30: refuses what is beyond it, and sends nothing of it', async () => {
    const server = await serve({ protocol })
    const layer = rateLimit({ limit: 2, window: 60_000, queue: 0 })
    const chain = chainTo(server, layer)
    await Promise.all([call(chain, server.url('/')), call(chain, server.url('/'))])
    const error = await errorOf(call(chain, server.url('/')))
    expect(error).toBeInstanceOf(RateLimitedError)
    expect(error).toMatchObject({ code: 'ERR_RATE_LIMITED', origin: server.origin })
    expect((error as RateLimitedError).retryAfter).toBeGreaterThan(20_000)
    expect((error as RateLimitedError).retryAfter).toBeLessThanOrEqual(30_000)
    const thrown = (await errorOf(createFetch(chain)(server.url('/')))) as Error
    expect(isShed(thrown)).toBe(true)
    expect(server.count()).toBe(2)
    expect(view(layer, server)).toMatchObject({ admitted: 2, refused: 2, queued: 0, available: 0 })
  })

  it('30: lets calls go evenly, in the order they came', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, rateLimit({ limit: 10, window: 1000, algorithm: 'leakyBucket' }))
    const clock = stopClock()
    const calls = ['a', 'b', 'c'].map((name) => call(chain, server.url(`/${name}`)))
    await server.until(() => server.count() === 1)
    await clock.advance(99)
    expect(server.count()).toBe(1)
    await clock.advance(1)
    await server.until(() => server.count() === 2)
    await clock.advance(100)
    await Promise.all(calls)
    expect(server.requests.map(({ path }) => path)).toEqual(['/a', '/b', '/c'])
  })

  it('27: who aborts in the queue leaves at once, and nothing is sent', async () => {
    const server = await serve({ protocol })
    const layer = rateLimit({ ...oneASecond, window: 60_000 })
    const chain = chainTo(server, layer)
    await call(chain, server.url('/'))
    const abort = new AbortController()
    const waiting = errorOf(send(chain, server.url('/'), { signal: abort.signal }))
    await turns()
    expect(view(layer, server)?.queued).toBe(1)
    abort.abort(new Error('enough'))
    expect(await waiting).toMatchObject({ message: 'enough' })
    expect(view(layer, server)?.queued).toBe(0)
    expect(server.count()).toBe(1)
  })

  it('19: a wait beyond the deadline is refused at once; one that ends before it is not', async () => {
    const server = await serve({ protocol })
    const limit = rateLimit(oneASecond)
    const [short, long] = [
      await warmChainTo(server, deadline(900), limit),
      await warmChainTo(server, deadline(1500), limit),
    ]
    const clock = stopClock()
    await call(short, server.url('/'))
    const refused = await errorOf(call(short, server.url('/')))
    expect(refused).toMatchObject({ code: 'ERR_RATE_LIMITED', retryAfter: 1000 })
    const waiting = call(long, server.url('/'))
    await clock.advance(1000)
    expect(await waiting).toMatchObject({ status: 200 })
  })

  it('46: close() waits for calls in the queue, destroy() does not', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, rateLimit(oneASecond))
    const clock = stopClock()
    const first = call(chain, server.url('/'))
    const second = call(chain, server.url('/'))
    const closed = chain.close()
    await first
    await clock.advance(1000)
    expect(await second).toMatchObject({ status: 200 })
    await closed
    const other = chainTo(server, rateLimit(oneASecond))
    await call(other, server.url('/'))
    const waiting = errorOf(call(other, server.url('/')))
    await other.destroy()
    expect(await waiting).toMatchObject({ code: 'UND_ERR_DESTROYED' })
  })

  it('30: below retry() it counts attempts, above it calls', async () => {
    const server = await serve({ protocol, respond: [503, 503, 200] })
    const inside = rateLimit({ limit: 2, window: 60_000, queue: 0 })
    const refused = await errorOf(call(chainTo(server, retry(quick), inside), server.url('/')))
    // The third attempt is refused, and a refusal is not retried.
    expect(refused).toMatchObject({ code: 'ERR_RATE_LIMITED' })
    expect(server.count()).toBe(2)
    server.script('*', [503, 503, 200])
    const outside = rateLimit({ limit: 2, window: 60_000, queue: 0 })
    expect(await call(chainTo(server, outside, retry(quick)), server.url('/'))).toMatchObject({ status: 200 })
    expect(view(outside, server)?.admitted).toBe(1)
  })

  it('28: critical calls go before those that came first', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, rateLimit({ limit: 10, window: 1000, burst: 1 }))
    const clock = stopClock()
    const names = ['normal', 'sheddable', 'normal', 'critical'] as const
    const calls = [call(chain, server.url('/first'))]
    for (const priority of names) {
      calls.push(call(chain, server.url(`/${priority}`), { resilience: { priority } } as CallInit))
    }
    for (let at = 1; at <= 4; at++) {
      await server.until(() => server.count() === at)
      await clock.advance(100)
    }
    await Promise.all(calls)
    const order = ['/first', '/critical', '/normal', '/normal', '/sheddable']
    expect(server.requests.map(({ path }) => path)).toEqual(order)
  })

  it('6: what it refuses feeds no breaker', async () => {
    const server = await serve({ protocol })
    const breaker = circuitBreaker({ minimumCalls: 1, failureShare: 0.01 })
    const limit = rateLimit({ limit: 1, window: 60_000, queue: 0 })
    const chain = chainTo(server, breaker, limit, attemptTimeout())
    await call(chain, server.url('/'))
    for (let at = 0; at < 5; at++) {
      expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_RATE_LIMITED' })
    }
    expect(breaker.state()[server.origin]).toMatchObject({ state: 'closed', calls: 1, failures: 0 })
  })

  it('19: a wait for its turn is not the attempt’s time', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, retry(quick), rateLimit(oneASecond), attemptTimeout(100))
    const clock = stopClock()
    await call(chain, server.url('/'))
    const second = call(chain, server.url('/'))
    await clock.advance(1000)
    expect(await second).toMatchObject({ status: 200 })
    expect(server.count()).toBe(2)
  })
})

describe('keys', () => {
  it('9: each origin has a limit of its own', async () => {
    const [one, other] = [await serve({ protocol: 'h1c' }), await serve({ protocol: 'h1c' })]
    const layer = rateLimit({ limit: 1, window: 60_000, queue: 0 })
    const chain = chainTo(one, layer)
    await call(chain, one.url('/'))
    await call(chain, other.url('/'))
    expect(Object.keys(layer.state())).toEqual([one.origin, other.origin])
    expect(await errorOf(call(chain, other.url('/')))).toMatchObject({ origin: other.origin })
  })

  it('30: a function gives calls a limit by what they are', async () => {
    const server = await serve({ protocol: 'h1c' })
    const key = ({ headers }: { headers: Readonly<Record<string, unknown>> }) => String(headers['x-tenant'])
    const layer = rateLimit({ limit: 1, window: 60_000, queue: 0, key })
    const chain = chainTo(server, layer)
    const as = (tenant: string) => call(chain, server.url('/'), { headers: { 'X-Tenant': tenant } })
    await Promise.all([as('a'), as('b')])
    expect(await errorOf(as('a'))).toMatchObject({ code: 'ERR_RATE_LIMITED', origin: server.origin })
    expect(Object.keys(layer.state()).sort()).toEqual(['a', 'b'])
  })

  it('30: one that fails leaves calls under their origin, and is told of once', async () => {
    const server = await serve({ protocol: 'h1c' })
    const codes: unknown[] = []
    const collect = (warning: Error & { code?: string }) => codes.push(warning.code)
    process.on('warning', collect)
    const layer = rateLimit({ limit: 5, key: () => undefined as unknown as string })
    const chain = chainTo(server, layer)
    await call(chain, server.url('/'))
    await call(chain, server.url('/'))
    process.off('warning', collect)
    expect(Object.keys(layer.state())).toEqual([server.origin])
    expect(codes).toEqual(['ROUNDTRIPPER_RATE_LIMIT_KEY'])
  })

  it('30: beyond maxKeys the least recently used is forgotten, but none that a call waits under', async () => {
    const server = await serve({ protocol: 'h1c' })
    const layer = rateLimit({ limit: 1, window: 60_000, maxKeys: 2, key: ({ path }) => path })
    const chain = chainTo(server, layer)
    await call(chain, server.url('/a'))
    const abort = new AbortController()
    const waiting = errorOf(send(chain, server.url('/a'), { signal: abort.signal }))
    await turns()
    for (const path of ['/b', '/c', '/d']) await call(chain, server.url(path))
    expect(Object.keys(layer.state())).toEqual(['/a', '/d'])
    abort.abort()
    await waiting
  })

  it('30: of ten thousand origins a thousand are remembered', () => {
    const layer = rateLimit({ limit: 100, algorithm: 'slidingWindow' })
    let sent = 0
    const dispatch = layer((_opts, handler) => {
      handler.onResponseError?.(null as never, new Error('no network here'))
      sent++
      return true
    })
    const handler = { onRequestStart: () => {}, onResponseError: () => {} }
    for (let at = 0; at < 10_000; at++) {
      dispatch({ origin: `https://host-${at}.test`, path: '/', method: 'GET' }, handler as never)
    }
    expect(sent).toBe(10_000)
    expect(Object.keys(layer.state())).toHaveLength(1000)
  })
})

describe('logs and spans', () => {
  it('40: tell how long a call waited, and when a refused one would have gone', async () => {
    const server = await serve({ protocol: 'h1c' })
    const records: CallRecord[] = []
    const write = (record: object) => records.push(record as CallRecord)
    const exporter = new InMemorySpanExporter()
    const tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
    const chain = await warmChainTo(
      server,
      tracing({ tracerProvider }),
      logging({ logger: { debug: () => {}, info: write, warn: write } }),
      rateLimit({ ...oneASecond, queue: 1 }),
    )
    const clock = stopClock()
    const first = call(chain, server.url('/'))
    const second = call(chain, server.url('/'))
    expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_RATE_LIMITED' })
    await first
    await clock.advance(1000)
    await second
    const told = records.map(({ outcome, error, queuedMs, notes }) => ({ outcome, error, queuedMs, notes }))
    expect(told).toEqual([
      { outcome: 'shed', error: 'ERR_RATE_LIMITED', queuedMs: 0, notes: { 'ratelimit.retry_after_ms': 2000 } },
      { outcome: 'success', error: undefined, queuedMs: 0, notes: undefined },
      { outcome: 'success', error: undefined, queuedMs: 1000, notes: { 'ratelimit.waited_ms': 1000 } },
    ])
    const attributes = exporter.getFinishedSpans().map((span) => span.attributes)
    expect(attributes).toContainEqual(
      expect.objectContaining({ 'error.type': 'ERR_RATE_LIMITED', 'roundtripper.ratelimit.retry_after_ms': 2000 }),
    )
    expect(attributes).toContainEqual(expect.objectContaining({ 'roundtripper.ratelimit.waited_ms': 1000 }))
  })
})

describe('update and shadow', () => {
  it('30: another limit holds for calls that wait, and for origins to come', async () => {
    const server = await serve({ protocol: 'h1c' })
    const layer = rateLimit({ ...oneASecond, window: 60_000 })
    const chain = await warmChainTo(server, layer)
    const clock = stopClock()
    await call(chain, server.url('/'))
    const waiting = call(chain, server.url('/'))
    layer.update({ window: 100 })
    await clock.advance(100)
    expect(await waiting).toMatchObject({ status: 200 })
  })

  it('30: an update that is wrong changes nothing', async () => {
    const layer = rateLimit({ limit: 5 })
    expect(() => layer.update({ limit: 10, window: -1 })).toThrow('rateLimit: window must be')
    expect(() => layer.update({ algorithm: 'leakyBucket' } as never)).toThrow(
      'rateLimit: update: unknown option "algorithm"; known are limit, window, burst',
    )
    const server = await serve({ protocol: 'h1c' })
    await call(chainTo(server, layer), server.url('/'))
    expect(view(layer, server)?.available).toBe(4)
  })

  it('30: shadow refuses nothing and counts', async () => {
    const server = await serve({ protocol: 'h1c' })
    const layer = rateLimit({ limit: 1, window: 60_000, queue: 0, shadow: true })
    const chain = chainTo(server, layer, bulkhead())
    for (let at = 0; at < 3; at++) await call(chain, server.url('/'))
    expect(view(layer, server)).toMatchObject({ admitted: 3, refused: 0, shadowRefused: 2 })
    layer.update({ shadow: false })
    expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_RATE_LIMITED' })
  })
})
