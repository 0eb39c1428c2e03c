import { context, propagation, trace } from '@opentelemetry/api'
import { compose, createFetch, retry, tracing } from 'roundtripper'
import type { TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, protocols, Spans, serve, traceparentOf, traceparentsAt, useOpenTelemetry } from './tracing-fixtures.ts'

useOpenTelemetry()

const foreign = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`

/** Names and values as they were sent, but for what undici and HTTP/2 add. */
function headersAt(server: TestServer, at = 0): [string, string][] {
  const { rawHeaders = [] } = server.requests[at] ?? {}
  const pairs: [string, string][] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase()
    if (!name.startsWith(':') && !['host', 'connection'].includes(name)) pairs.push([name, rawHeaders[i + 1] as string])
  }
  return pairs
}

describe.each(protocols)('headers over $protocol', ({ protocol }) => {
  const forms: [string, () => unknown][] = [
    ['an object', () => ({ 'X-First': '1', TraceParent: foreign, tracestate: 'old=1', 'x-many': ['2', '3'] })],
    [
      'a flat array',
      () => ['X-First', '1', 'TraceParent', foreign, 'x-many', '2', 'tracestate', 'old=1', 'x-many', '3'],
    ],
    [
      'pairs',
      () =>
        new Map<string, string | string[]>([
          ['X-First', '1'],
          ['TraceParent', foreign],
          ['tracestate', 'old=1'],
          ['x-many', ['2', '3']],
        ]),
    ],
  ]
  it.each(forms)(
    "41: the caller's own traceparent is replaced, other headers are kept, given as %s",
    async (_, make) => {
      const { server, agent } = await serve({ protocol, respond: [503, 200] })
      const spans = new Spans()
      const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }))
      const headers = make()
      const before = JSON.stringify([...((headers as Map<string, unknown>).entries?.() ?? [headers])])
      await call(chain, server.url(), { headers: headers as Record<string, string> })
      expect(JSON.stringify([...((headers as Map<string, unknown>).entries?.() ?? [headers])])).toBe(before)

      expect(spans.attempts).toHaveLength(2)
      for (const [at, span] of spans.attempts.entries()) {
        const sent = headersAt(server, at)
        const many = sent.filter(([name]) => name === 'x-many').flatMap(([, value]) => value.split(', '))
        expect(many).toEqual(['2', '3'])
        expect(sent.filter(([name]) => name !== 'x-many').toSorted()).toEqual([
          ['traceparent', traceparentOf(span)],
          ['x-first', '1'],
        ])
      }
    },
  )

  it('38: fetch carries it too', async () => {
    const { server, agent } = await serve({ protocol })
    const spans = new Spans()
    const fetch = createFetch(compose(agent, tracing({ tracerProvider: spans.provider })))
    const response = await fetch(server.url(), { headers: { traceparent: foreign, 'x-own': '1' } })
    await response.text()
    expect(traceparentsAt(server)).toEqual(spans.attempts.map(traceparentOf))
    expect(server.requests[0]?.headers['x-own']).toBe('1')
  })
})

it("38: the state of the caller's trace goes along", async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const spans = new Spans()
  const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
  const carrier = { traceparent: foreign, tracestate: 'vendor=value' }
  const incoming = propagation.extract(context.active(), carrier)
  await context.with(incoming, () => call(chain, server.url(), { headers: { tracestate: 'old=1' } }))
  expect(server.requests[0]?.headers.tracestate).toBe('vendor=value')
  expect(spans.all[0]?.spanContext().traceId).toBe('1'.repeat(32))
})

it("38: baggage of the context takes the place of the caller's header, which stays where there is none", async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const spans = new Spans()
  const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
  const headers = { Baggage: 'mine=1' }
  await call(chain, server.url(), { headers })
  const baggage = propagation.createBaggage({ theirs: { value: '2' } })
  await context.with(propagation.setBaggage(context.active(), baggage), () => call(chain, server.url(), { headers }))
  expect(server.requests.map((request) => request.headers.baggage)).toEqual(['mine=1', 'theirs=2'])
})

it('38: a request without headers gets only the traceparent', async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const spans = new Spans()
  const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
  await call(chain, server.url())
  expect(headersAt(server)).toEqual([['traceparent', traceparentOf(spans.attempts[0]!)]])
})

it('38: without a propagator the headers stay as they are', async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const spans = new Spans()
  const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
  const kept = Reflect.get(propagation, '_getGlobalPropagator').call(propagation)
  propagation.disable()
  try {
    await call(chain, server.url(), { headers: { traceparent: foreign } })
  } finally {
    propagation.setGlobalPropagator(kept)
  }
  expect(headersAt(server)).toEqual([['traceparent', foreign]])
  expect(spans.attempts).toHaveLength(1)
  expect(trace.getActiveSpan()).toBeUndefined()
})
