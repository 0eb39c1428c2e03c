import { context, SpanKind, trace } from '@opentelemetry/api'
import { circuitBreaker, compose, retry, standard, tracing } from 'roundtripper'
import { seededRandom } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import {
  call,
  idOf,
  parentOf,
  protocols,
  Spans,
  serve,
  traceparentOf,
  traceparentsAt,
  useOpenTelemetry,
} from './tracing-fixtures.ts'

useOpenTelemetry()

describe.each(protocols)('attempts over $protocol', ({ protocol }) => {
  it('38: one CLIENT span per attempt, child of the calling context, each linked to the one before', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 502, 200] })
    const spans = new Spans()
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }))
    const caller = await spans.inSpan('caller', async (span) => {
      expect(await call(chain, server.url('/users'))).toBe(200)
      return span
    })

    const { attempts } = spans
    expect(spans.all).toHaveLength(3)
    expect(attempts.map(({ kind, name }) => [kind, name])).toEqual(Array(3).fill([SpanKind.CLIENT, 'GET']))
    expect(attempts.map(parentOf)).toEqual(Array(3).fill(caller.spanContext().spanId))
    expect(new Set(attempts.map((span) => span.spanContext().traceId))).toEqual(new Set([caller.spanContext().traceId]))
    expect(attempts.map((span) => span.attributes['http.request.resend_count'])).toEqual([undefined, 1, 2])
    expect(attempts.map(({ links }) => links.map((link) => link.context.spanId))).toEqual([
      [],
      [idOf(attempts[0])],
      [idOf(attempts[1])],
    ])
    expect(traceparentsAt(server)).toEqual(attempts.map(traceparentOf))
  })

  it('38: interleaved calls with retries on reused sockets each stay in their own trace', async () => {
    const random = seededRandom()
    const calls = 200
    const failures = new Map<string, number>()
    const { server, agent } = await serve({
      protocol,
      respond: ({ path }) => {
        const left = failures.get(path) ?? 0
        failures.set(path, left - 1)
        if (left <= 0) return { body: 'hello', delay: random.chance(0.2) ? 1 : 0 }
        if (random.chance(0.3)) return { reset: 'before-head' }
        return { status: 503, body: 'busy' }
      },
    })
    const spans = new Spans()
    const chain = compose(
      agent,
      tracing({ tracerProvider: spans.provider }),
      retry({ backoff: () => random.integer(0, 4), budget: false }),
    )
    // Few sockets, so that nearly every retry runs in callbacks of a connection that another call opened.
    let next = 0
    const parents = new Map<string, string>()
    const worker = async () => {
      for (let number = next++; number < calls; number = next++) {
        const path = `/${number}`
        failures.set(path, random.integer(0, 3))
        await spans.inSpan(path, async (span) => {
          parents.set(path, traceparentOf(span))
          expect(await call(chain, server.url(path)), `seed ${random.seed}`).toBe(200)
        })
      }
    }
    await Promise.all(Array.from({ length: 12 }, worker))

    const { attempts } = spans
    expect(attempts.length, `seed ${random.seed}`).toBeGreaterThan(calls)
    const byParent = new Map<string, typeof attempts>()
    for (const span of attempts) {
      const path = new URL(String(span.attributes['url.full'])).pathname
      const [, traceId, parentId] = (parents.get(path) ?? '').split('-')
      expect([span.spanContext().traceId, parentOf(span)], `seed ${random.seed}, ${path}`).toEqual([traceId, parentId])
      byParent.set(path, [...(byParent.get(path) ?? []), span])
    }
    expect(byParent.size).toBe(calls)
    for (const [path, ofCall] of byParent) {
      const arrived = server.requests.filter((request) => request.path === path)
      expect(arrived.map(({ headers }) => headers.traceparent)).toEqual(ofCall.map(traceparentOf))
      expect(ofCall.map((span) => span.attributes['http.request.resend_count'] ?? 0)).toEqual(ofCall.map((_, at) => at))
      expect(ofCall.map(({ links }) => links[0]?.context.spanId)).toEqual([undefined, ...ofCall.slice(0, -1).map(idOf)])
    }
    expect(server.connections.opened).toBeLessThan(attempts.length)
  })

  it('39: a call without a caller gets an INTERNAL span, and its attempts one trace', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 503, 200] })
    const spans = new Spans()
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry({ backoff: [1, 2] }))
    expect(await call(chain, server.url(), { method: 'PUT', body: 'x' })).toBe(200)

    const [own, ...more] = spans.calls
    expect(more).toEqual([])
    expect(own).toMatchObject({ name: 'PUT call', kind: SpanKind.INTERNAL, parentSpanContext: undefined })
    expect(own?.attributes).toEqual({ 'roundtripper.attempts': 3, 'roundtripper.backoff_ms': 3 })
    expect(spans.attempts.map(parentOf)).toEqual(Array(3).fill(idOf(own)))
    expect(new Set(spans.all.map((span) => span.spanContext().traceId)).size).toBe(1)
    expect(traceparentsAt(server)).toEqual(spans.attempts.map(traceparentOf))
  })

  it('39: callSpan makes one also below a caller', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const spans = new Spans()
    const layer = tracing({ tracerProvider: spans.provider, callSpan: true })
    const chain = compose(agent, layer, retry({ backoff: 1 }))
    const caller = await spans.inSpan('caller', async (span) => {
      await call(chain, server.url())
      return span
    })
    expect(spans.calls.map(parentOf)).toEqual([caller.spanContext().spanId])
    expect(spans.attempts.map(parentOf)).toEqual(Array(2).fill(idOf(spans.calls[0])))
  })

  it('39: without a caller two calls are two traces', async () => {
    const { server, agent } = await serve({ protocol })
    const spans = new Spans()
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
    await Promise.all([call(chain, server.url('/a')), call(chain, server.url('/b'))])
    expect(new Set(spans.attempts.map((span) => span.spanContext().traceId)).size).toBe(2)
    expect(spans.attempts.map(parentOf).toSorted()).toEqual(spans.calls.map(idOf).toSorted())
  })
})

it('38: attempts of a caller that is itself remote are its children', async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const spans = new Spans()
  const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
  const remote = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1, isRemote: true }
  await context.with(trace.setSpanContext(context.active(), remote), () => call(chain, server.url()))
  expect(spans.all.map((span) => [span.spanContext().traceId, parentOf(span)])).toEqual([
    [remote.traceId, remote.spanId],
  ])
})

it('38: an attempt refused in the middle keeps its number, and the next links to it', async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: 503 })
  const spans = new Spans()
  const chain = compose(
    agent,
    tracing({ tracerProvider: spans.provider }),
    retry({ backoff: 1, retryOn: () => true }),
    circuitBreaker({ minimumCalls: 2, failureShare: 0.5 }),
  )
  await spans.inSpan('caller', () => call(chain, server.url()).catch(() => undefined))
  const seen = spans.attempts.map(({ attributes }) => [
    attributes['error.type'],
    attributes['http.request.resend_count'],
  ])
  expect(seen.slice(0, 3)).toEqual([
    ['503', undefined],
    ['503', 1],
    ['ERR_CIRCUIT_OPEN', 2],
  ])
})

it('38: the standard chain traces by default through the global provider', async () => {
  const { server, agent } = await serve({ protocol: 'h2', respond: [503, 200] })
  const spans = new Spans()
  trace.setGlobalTracerProvider(spans.provider)
  try {
    expect(await call(compose(agent, standard({ retry: { backoff: 1 } })), server.url())).toBe(200)
  } finally {
    trace.disable()
  }
  expect(spans.attempts.map((span) => span.attributes['http.response.status_code'])).toEqual([503, 200])
  expect(spans.calls).toHaveLength(1)
})
