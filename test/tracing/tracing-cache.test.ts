// What spans say where undici's cache stands in the chain.
import { compose, retry, tracing } from 'roundtripper'
import { interceptors } from 'undici'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { call, protocols, Spans, serve, useOpenTelemetry } from './tracing-fixtures.ts'

useOpenTelemetry()

describe.each(protocols)('spans and the cache over $protocol', ({ protocol }) => {
  it.each([
    // What is served is told, and what goes out for it later is nobody's.
    ['above', [['200'], ['200'], ['200']]],
    // What goes out is told, call by call: a hit leaves nothing.
    ['below', [['200'], ['503', '200']]],
  ] as const)('43: tracing %s the cache, while it serves what is stale and asks anew', async (place, expected) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => {
      vi.useRealTimers()
    })
    const control = { 'cache-control': 'max-age=1, stale-while-revalidate=600' }
    const fresh = { 'cache-control': 'max-age=600' }
    const { server, agent } = await serve({
      protocol,
      respond: [{ body: 'old', headers: control }, 503, { body: 'new', headers: fresh }],
    })
    const spans = new Spans()
    const traced = tracing({ tracerProvider: spans.provider })
    const cache = interceptors.cache()
    const chain = compose(agent, place === 'above' ? [traced, cache] : [cache, traced], retry({ backoff: 1 }))
    for (const _call of [1, 2]) {
      await spans.inSpan('caller', () => call(chain, server.url('/')))
      vi.setSystemTime(Date.now() + 5000)
    }
    await server.until(() => server.requests.length === 3)
    await server.requests[2]?.closed
    const ended = async () => {
      while (spans.open.length > 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await ended()
    vi.setSystemTime(Date.now() + 5000)
    await spans.inSpan('caller', () => call(chain, server.url('/')))
    await ended()
    const traces = new Map<string, string[]>()
    for (const span of spans.attempts) {
      const { traceId } = span.spanContext()
      traces.set(traceId, [...(traces.get(traceId) ?? []), String(span.attributes['http.response.status_code'])])
    }
    expect([...traces.values()]).toEqual(expected)
  })
})
