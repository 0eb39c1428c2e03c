import { SpanStatusCode } from '@opentelemetry/api'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import {
  attemptTimeout,
  bodyTimeout,
  bulkhead,
  circuitBreaker,
  classify,
  compose,
  deadline,
  guard,
  type Layers,
  retry,
  tracing,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { interceptors } from 'undici'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { call, protocols, Spans, send, serve, traceparentsAt, turn, useOpenTelemetry } from './tracing-fixtures.ts'

useOpenTelemetry()

function chainOf(agent: Parameters<typeof compose>[0], ...layers: Layers[]) {
  const spans = new Spans()
  return { spans, chain: compose(agent, tracing({ tracerProvider: spans.provider }), ...layers) }
}

function outcomeOf(span: ReadableSpan | undefined) {
  return {
    status: span?.status.code,
    type: span?.attributes['error.type'],
    exceptions: span?.events.filter(({ name }) => name === 'exception').length,
  }
}

function failed(type: string, exceptions = 1) {
  return { status: SpanStatusCode.ERROR, type, exceptions }
}

function milliseconds([seconds, nanoseconds]: readonly [number, number] = [0, 0]): number {
  return seconds * 1e3 + nanoseconds / 1e6
}

const unset = { status: SpanStatusCode.UNSET, type: undefined, exceptions: 0 }

describe.each(protocols)('outcomes over $protocol', ({ protocol }) => {
  it.each([
    [200, unset],
    [302, unset],
    [304, unset],
    [404, failed('404', 0)],
    [429, failed('429', 0)],
    [500, failed('500', 0)],
    [503, failed('503', 0)],
  ])('42: %d', async (status, expected) => {
    const { server, agent } = await serve({ protocol, respond: { status, body: status === 304 ? '' : 'text' } })
    const { spans, chain } = chainOf(agent)
    await call(chain, server.url())
    for (const span of spans.all) expect(outcomeOf(span)).toEqual(expected)
    expect(spans.attempts[0]?.status.message).toBeUndefined()
    expect(spans.attempts[0]?.attributes['http.response.status_code']).toBe(status)
  })

  it('42: an abort leaves the span unset: before the head, and in the body', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '*': 200, '/head': { hang: 'head' }, '/body': { body: 'x'.repeat(20), hang: 'body' } },
    })
    const { spans, chain } = chainOf(agent, retry())
    const early = new AbortController()
    const waiting = send(chain, server.url('/head'), { signal: early.signal })
    await server.until(() => server.count('/head') === 1)
    early.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')

    const late = new AbortController()
    const { body } = await send(chain, server.url('/body'), { signal: late.signal })
    late.abort()
    await expect(body.text()).rejects.toThrow()
    expect(spans.all).toHaveLength(4)
    for (const span of spans.all) expect(outcomeOf(span)).toEqual(unset)
    expect(spans.attempts.map((span) => span.attributes['http.response.status_code'])).toEqual([undefined, 200])
  })

  it('42: an error page that is not read to its end is an error still', async () => {
    const { server, agent } = await serve({ protocol, respond: { status: 500, body: 'x'.repeat(20), hang: 'body' } })
    const { spans, chain } = chainOf(agent)
    const { body } = await send(chain, server.url())
    body.destroy()
    await new Promise((resolve) => body.on('error', () => {}).on('close', resolve))
    expect(spans.all.map(outcomeOf)).toEqual([failed('500', 0), failed('500', 0)])
  })

  it('42: our timeouts are errors', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '*': 200, '/head': { hang: 'head' }, '/body': { body: 'x'.repeat(20), hang: 'body' } },
    })
    const timed = chainOf(agent, attemptTimeout(20))
    await expect(call(timed.chain, server.url('/head'))).rejects.toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    const bounded = chainOf(agent, deadline(20))
    await expect(call(bounded.chain, server.url('/head'))).rejects.toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    const flowing = chainOf(agent, bodyTimeout(20))
    await expect(call(flowing.chain, server.url('/body'))).rejects.toMatchObject({ code: 'ERR_BODY_TIMEOUT' })

    expect(timed.spans.all.map(outcomeOf)).toEqual(Array(2).fill(failed('ERR_ATTEMPT_TIMEOUT')))
    expect(bounded.spans.all.map(outcomeOf)).toEqual(Array(2).fill(failed('ERR_DEADLINE_EXCEEDED')))
    expect(flowing.spans.all.map(outcomeOf)).toEqual(Array(2).fill(failed('ERR_BODY_TIMEOUT')))
    expect(timed.spans.attempts[0]?.status.message).toMatch(/No response head .* within 20 ms/)
  })

  it('42: the deadline of a call under retry ends the attempt under way', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, { hang: 'head' }] })
    // Below the agent's own bound on the wait for a head, which the stopped clock drives as well.
    const { spans, chain } = chainOf(agent, deadline(100_000), retry({ backoff: 1 }))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const late = expect(call(chain, server.url())).rejects.toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    while (server.count() < 2) {
      vi.advanceTimersByTime(1)
      await turn()
    }
    vi.advanceTimersByTime(100_000)
    await late
    expect(spans.attempts.map(outcomeOf)).toEqual([failed('503', 0), failed('ERR_DEADLINE_EXCEEDED')])
  })

  it('42: network errors show their code', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '*': 200, '/reset': { reset: 'before-head' }, '/gone': { destroySession: 'before-head' } },
    })
    const { spans, chain } = chainOf(agent)
    const codes: unknown[] = []
    for (const path of ['/reset', '/gone']) {
      codes.push(await call(chain, server.url(path)).catch(({ code }: { code: unknown }) => code))
    }
    await server.refuseConnections()
    codes.push(await call(chain, server.url()).catch(({ code }: { code: unknown }) => code))
    const reset = protocol === 'h1' ? 'ECONNRESET' : 'ERR_HTTP2_STREAM_ERROR'
    expect(codes).toEqual([reset, 'UND_ERR_SOCKET', 'ECONNREFUSED'])
    expect(spans.attempts.map(outcomeOf)).toEqual(codes.map((code) => failed(String(code))))
    expect(spans.calls.map(outcomeOf)).toEqual(codes.map((code) => failed(String(code))))
  })

  it('43: an error in the body ends the span, and is recorded', async () => {
    const { server, agent } = await serve({ protocol, respond: { reset: 'in-body' } })
    const { spans, chain } = chainOf(agent, retry())
    const code = await call(chain, server.url()).catch((error: { code: unknown }) => error.code)
    expect(spans.attempts.map(outcomeOf)).toEqual([failed(String(code))])
    expect(spans.attempts[0]?.attributes['http.response.status_code']).toBe(200)
    expect(server.count()).toBe(1)
  })

  it('40: an open circuit leaves a span that says so, and its state', async () => {
    const { server, agent } = await serve({ protocol, respond: 500 })
    const breaker = circuitBreaker({ minimumCalls: 1, failureShare: 0.5 })
    const { spans, chain } = chainOf(agent, breaker, attemptTimeout(5_000))
    expect(await call(chain, server.url())).toBe(500)
    await expect(call(chain, server.url())).rejects.toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
    expect(spans.attempts.map(outcomeOf)).toEqual([failed('500', 0), failed('ERR_CIRCUIT_OPEN')])
    expect(spans.attempts.map(({ attributes }) => attributes['roundtripper.circuit.state'])).toEqual([
      undefined,
      'open',
    ])
    expect(server.count()).toBe(1)
  })

  it('40: a full bulkhead leaves a span that says so; queue wait is an attribute', async () => {
    const held = gate()
    const { server, agent } = await serve({ protocol, respond: { hold: held.promise } })
    const { spans, chain } = chainOf(agent, retry({ backoff: 1 }), bulkhead({ limit: 1, queue: 1 }))
    const first = call(chain, server.url())
    await server.until(() => server.count() === 1)
    const second = call(chain, server.url())
    await expect(call(chain, server.url())).rejects.toMatchObject({ code: 'ERR_BULKHEAD_FULL' })
    const refused = spans.exporter.getFinishedSpans().map(outcomeOf)
    expect(refused.length).toBeGreaterThanOrEqual(2)
    expect(refused).toEqual(refused.map(() => failed('ERR_BULKHEAD_FULL')))
    held.open()
    await Promise.all([first, second])

    const waits = spans.attempts.map(({ attributes }) => attributes['roundtripper.queued_ms'])
    expect(waits[0]).toBeUndefined()
    expect(waits[1]).toBeGreaterThan(0)
    // The span began before the wait, which ended when the first call did.
    const [holder, waiter] = spans.attempts
    // Spans begin at whole milliseconds.
    expect(milliseconds(waiter?.startTime)).toBeLessThanOrEqual(Math.ceil(milliseconds(holder?.endTime)))
    expect(traceparentsAt(server)).toHaveLength(2)
  })

  it('40: a call that gives up in a queue leaves a span', async () => {
    const held = gate()
    const { server, agent } = await serve({ protocol, respond: { hold: held.promise } })
    const slots = bulkhead({ limit: 1 })
    const holder = call(compose(agent, slots), server.url())
    const { spans, chain } = chainOf(agent, retry(), slots)
    const bounded = chainOf(agent, deadline(20), retry(), slots)
    const abort = new AbortController()
    const calls = Promise.allSettled([
      call(chain, server.url('/aborted'), { signal: abort.signal }),
      call(bounded.chain, server.url('/late')),
    ])
    await turn()
    abort.abort(new Error('enough'))
    expect(await calls).toMatchObject([
      { reason: { message: 'enough' } },
      { reason: { code: 'ERR_DEADLINE_EXCEEDED' } },
    ])
    held.open()
    await holder

    const seen = [...spans.attempts, ...bounded.spans.attempts].map((span) => [
      String(span.attributes['url.full']).slice(server.origin.length),
      outcomeOf(span),
      Number(span.attributes['roundtripper.queued_ms'] ?? 0) > 0,
    ])
    expect(seen).toEqual([
      ['/aborted', unset, true],
      ['/late', failed('ERR_DEADLINE_EXCEEDED'), true],
    ])
    expect(server.count()).toBe(1)
  })

  it('40: backoff, Retry-After and why there was no further attempt are attributes', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, { status: 429, retryAfter: 60 }] })
    const { spans, chain } = chainOf(agent, retry({ backoff: 3 }))
    await spans.inSpan('caller', () => call(chain, server.url()))
    const seen = spans.attempts.map(({ attributes }) => [
      attributes['roundtripper.backoff_ms'],
      attributes['roundtripper.retry_after'],
      attributes['roundtripper.retry.refusal'],
    ])
    expect(seen).toEqual([
      [undefined, undefined, undefined],
      [3, '60', 'retry-after-too-long'],
    ])
  })

  it('40: a network error also says why there was no further attempt', async () => {
    const { server, agent } = await serve({ protocol, respond: { reset: 'before-head' } })
    const { spans, chain } = chainOf(agent, retry({ backoff: 1, maxAttempts: 2 }))
    await spans.inSpan('caller', () => call(chain, server.url()).catch(() => undefined))
    expect(spans.attempts.map(({ attributes }) => attributes['roundtripper.retry.refusal'])).toEqual([
      undefined,
      'exhausted',
    ])
  })
})

it('40: a wait above the retry shows on the first attempt, whose span includes it', async () => {
  const held = gate()
  const { server, agent } = await serve({ protocol: 'h1', respond: [{ hold: held.promise }, 503, 200] })
  const slots = bulkhead({ limit: 1 })
  const holder = call(compose(agent, slots), server.url())
  await server.until(() => server.count() === 1)
  const { spans, chain } = chainOf(agent, slots, retry({ backoff: 1 }))
  const waiting = call(chain, server.url())
  await turn()
  held.open()
  await Promise.all([holder, waiting])
  expect(spans.attempts.map(({ attributes }) => attributes['roundtripper.queued_ms'])).toEqual([
    expect.any(Number),
    undefined,
  ])
})

it('40: a half-open circuit shows on the probe', async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: [500, 200] })
  let now = 1
  const breaker = circuitBreaker({ minimumCalls: 1, openFor: 10, now: () => now })
  const { spans, chain } = chainOf(agent, breaker, attemptTimeout(5_000))
  await call(chain, server.url())
  now += 10
  await call(chain, server.url())
  await call(chain, server.url())
  expect(spans.attempts.map(({ attributes }) => attributes['roundtripper.circuit.state'])).toEqual([
    undefined,
    'halfOpen',
    undefined,
  ])
})

it('40: a refusal above the retry leaves a span too', async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const refusal = Object.assign(new Error('not now'), { code: 'ERR_MINE' })
  const acquire = () => {
    throw refusal
  }
  const { spans, chain } = chainOf(agent, guard({ acquire }), retry())
  await spans.inSpan('caller', () => expect(call(chain, server.url())).rejects.toBe(refusal))
  expect(spans.all.map(outcomeOf)).toEqual([failed('ERR_MINE')])
})

it('40: a request that cannot be sent leaves a span, whatever is wrong with it', async () => {
  const { server, agent } = await serve({ protocol: 'h1' })
  const { spans, chain } = chainOf(agent, retry())
  const bad = [
    { path: '/a b?sig=secret' },
    { path: 5 },
    { path: '/', method: 'G T' },
    { path: '/', headers: ['odd'] },
    { path: '/', headers: 'text' },
    { path: '/', headers: { 'bad name': 'x' } },
  ]
  for (const opts of bad) {
    const error = new Promise((resolve) => {
      const handler = { onRequestStart() {}, onResponseError: (_: unknown, reason: Error) => resolve(reason) }
      chain.dispatch({ origin: server.origin, method: 'GET', ...opts } as never, handler)
    })
    expect(await error).toMatchObject({ code: 'ERR_INVALID_REQUEST' })
  }
  expect(spans.attempts.map(outcomeOf)).toEqual(bad.map(() => failed('ERR_INVALID_REQUEST')))
  expect(
    JSON.stringify(spans.attempts.map(({ attributes, status, events }) => [attributes, status, events])),
  ).not.toMatch('secret')
  expect(server.count()).toBe(0)
})

it('42: what undici turned into an error is told by its status', async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: { status: 503, body: 'busy' } })
  const { spans, chain } = chainOf(agent, interceptors.responseError())
  await expect(call(chain, server.url())).rejects.toMatchObject({ statusCode: 503 })
  expect(spans.attempts.map(outcomeOf)).toEqual([failed('503')])
  expect(spans.attempts[0]?.attributes['http.response.status_code']).toBe(503)
})

it("42: a user's own judgement counts", async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: { '*': 200, '/missing': 404 } })
  const { spans, chain } = chainOf(
    agent,
    classify(({ status }) => (status === 404 ? 'success' : 'serverError')),
  )
  await call(chain, server.url('/missing'))
  await call(chain, server.url('/wrong'))
  expect(spans.attempts.map(outcomeOf)).toEqual([unset, failed('serverError', 0)])
})
