// The trace that a request has come with, and the spans of the calls made for it.
import { context, propagation, trace } from '@opentelemetry/api'
import { compose, contextHeaders, retry, runWithContext, tracing } from 'roundtripper'
import type { RecordedRequest, TestServer } from 'roundtripper/testing'
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

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const received = { requestId: 'r-1', traceparent: `00-${traceId}-${parentId}-01`, tracestate: 'a=1,b=2' }

/** How often a request brought a header, and what it said. */
function valuesOf({ rawHeaders }: RecordedRequest, name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name)
}

const to = ({ origin }: TestServer) => contextHeaders({ origins: [origin] })

describe.each(protocols)('over $protocol', ({ protocol }) => {
  it.each([
    ['above tracing', true],
    ['below tracing', false],
  ])('38: spans are children of the trace that came in; contextHeaders %s adds no second one', async (_, isAbove) => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const spans = new Spans()
    const traced = tracing({ tracerProvider: spans.provider })
    const layers = isAbove ? [to(server), traced] : [traced, to(server)]
    const chain = compose(agent, ...layers, retry({ backoff: 1 }))
    await runWithContext(received, call, chain, server.url())

    expect(spans.calls).toEqual([])
    expect(spans.attempts).toHaveLength(2)
    for (const span of spans.attempts) {
      expect(span.spanContext().traceId).toBe(traceId)
      expect(parentOf(span)).toBe(parentId)
      expect(span.parentSpanContext?.isRemote).toBe(true)
    }
    expect(traceparentsAt(server)).toEqual(spans.attempts.map(traceparentOf))
    for (const request of server.requests) {
      expect(valuesOf(request, 'traceparent')).toHaveLength(1)
      // What other vendors wrote goes on with it (W3C Trace Context §3.5).
      expect(valuesOf(request, 'tracestate')).toEqual(['a=1,b=2'])
      expect(valuesOf(request, 'x-request-id')).toEqual(['r-1'])
    }
  })

  it('38: a span that is active comes first', async () => {
    const { server, agent } = await serve({ protocol })
    const spans = new Spans()
    const chain = compose(agent, to(server), tracing({ tracerProvider: spans.provider }))
    await runWithContext(received, () => spans.inSpan('caller', () => call(chain, server.url())))
    const [caller] = spans.started
    expect(spans.attempts.map(parentOf)).toEqual([idOf(caller)])
    expect(traceparentsAt(server)).toEqual(spans.attempts.map(traceparentOf))
    expect(server.requests[0]?.headers.tracestate).toBeUndefined()
  })

  it('39: a call has a span of its own in that trace where it is asked for', async () => {
    const { server, agent } = await serve({ protocol })
    const spans = new Spans()
    const chain = compose(agent, tracing({ tracerProvider: spans.provider, callSpan: true }))
    await runWithContext(received, call, chain, server.url())
    expect(spans.calls.map(parentOf)).toEqual([parentId])
    expect(spans.attempts.map(parentOf)).toEqual(spans.calls.map(idOf))
  })

  it('a trace that was not sampled stays so', async () => {
    const { server, agent } = await serve({ protocol })
    const spans = new Spans()
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
    const unsampled = { traceparent: received.traceparent.replace(/01$/, '00') }
    await runWithContext(unsampled, call, chain, server.url())
    expect(spans.started).toEqual([])
    expect(traceparentsAt(server)).toEqual([expect.stringMatching(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`))])
  })

  it.each([
    ['above tracing', true],
    ['below tracing', false],
  ])('there is one baggage header: that of OpenTelemetry where it has one, %s', async (_, isAbove) => {
    const { server, agent } = await serve({ protocol })
    const spans = new Spans()
    const traced = tracing({ tracerProvider: spans.provider })
    const chain = compose(agent, ...(isAbove ? [to(server), traced] : [traced, to(server)]))
    const active = propagation.setBaggage(context.active(), propagation.createBaggage({ from: { value: 'otel' } }))
    const fields = { baggage: { from: 'context' } }
    await runWithContext(fields, () => context.with(active, () => call(chain, server.url())))
    await runWithContext(fields, call, chain, server.url())
    expect(server.requests.map((request) => valuesOf(request, 'baggage'))).toEqual([['from=otel'], ['from=context']])
  })
})

it('44: without an SDK the trace goes out as it came', async () => {
  const { server, agent } = await serve({ protocol: 'h1c', respond: [503, 200] })
  // Those of this file are an SDK's.
  propagation.disable()
  trace.disable()
  const chain = compose(agent, tracing(), to(server), retry({ backoff: 1 }))
  await runWithContext(received, call, chain, server.url())
  expect(server.requests.map(({ headers }) => [headers.traceparent, headers.tracestate])).toEqual([
    [received.traceparent, received.tracestate],
    [received.traceparent, received.tracestate],
  ])
})
