import { SpanStatusCode } from '@opentelemetry/api'
import { compose, hedge, retry, tracing } from 'roundtripper'
import { gate } from 'roundtripper/testing'
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

const soon = { delay: 5, percentile: false, budget: false } as const

describe.each(protocols)('spans of hedged calls over $protocol', ({ protocol }) => {
  it('38: one CLIENT span for each attempt, numbered and linked; the loser is no error', async () => {
    const slow = gate()
    const { server, agent } = await serve({ protocol, respond: [{ hold: slow.promise }, { body: 'fast' }] })
    const spans = new Spans()
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }), hedge(soon))
    const caller = await spans.inSpan('caller', async (span) => {
      expect(await call(chain, server.url('/'))).toBe(200)
      return span
    })
    const { attempts } = spans
    expect(attempts.map(parentOf)).toEqual(Array(2).fill(caller.spanContext().spanId))
    expect(attempts.map(({ attributes }) => attributes['http.request.resend_count'])).toEqual([undefined, 1])
    expect(attempts[1]?.links.map((link) => link.context.spanId)).toEqual([idOf(attempts[0])])
    expect(attempts.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([undefined, 200])
    expect(attempts.map(({ status }) => status.code)).toEqual([SpanStatusCode.UNSET, SpanStatusCode.UNSET])
    expect(attempts[1]?.attributes).toMatchObject({ 'roundtripper.hedge.sent': 1, 'roundtripper.hedge.winner': 2 })
    expect(traceparentsAt(server)).toEqual(attempts.map(traceparentOf))
  })

  it('38: over retry, one span for each request that went out, and no more', async () => {
    const slow = gate()
    const { server, agent } = await serve({ protocol, respond: [503, { hold: slow.promise }, { body: 'fast' }] })
    const spans = new Spans()
    const chain = compose(
      agent,
      tracing({ tracerProvider: spans.provider }),
      hedge({ ...soon, delay: 40 }),
      retry({ backoff: 1, budget: false }),
    )
    expect(await call(chain, server.url('/'))).toBe(200)
    const { attempts } = spans
    expect(server.requests).toHaveLength(3)
    expect(attempts.map(({ attributes }) => attributes['http.request.resend_count'])).toEqual([undefined, 1, 2])
    expect(attempts.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([503, undefined, 200])
    expect(traceparentsAt(server)).toEqual(attempts.map(traceparentOf))
    expect(spans.calls).toHaveLength(1)
    expect(spans.calls[0]?.attributes['roundtripper.attempts']).toBe(3)
  })
})
