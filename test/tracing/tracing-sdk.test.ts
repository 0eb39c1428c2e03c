import { context, ProxyTracerProvider, propagation, TraceFlags, type TracerProvider, trace } from '@opentelemetry/api'
import { AlwaysOffSampler, ParentBasedSampler, type SpanProcessor } from '@opentelemetry/sdk-trace'
import { compose, createFetch, logging, retry, standard, tracing } from 'roundtripper'
import { startTracing } from 'roundtripper/tracing'
import { request } from 'undici'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  call,
  protocols,
  Spans,
  serve,
  suppressTracing,
  traceparentOf,
  traceparentsAt,
  useOpenTelemetry,
} from './tracing-fixtures.ts'

useOpenTelemetry()

const foreign = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`

/** Resolves with the warnings of the kit that come while `step` runs. */
async function warningsOf(step: () => Promise<unknown>): Promise<string[]> {
  const seen: string[] = []
  const listen = (warning: Error & { code?: string }) => {
    if (warning.code === 'ROUNDTRIPPER_TRACING') seen.push(warning.message)
  }
  process.on('warning', listen)
  try {
    await step()
    await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.removeListener('warning', listen)
  }
  return seen
}

describe.each(protocols)('44: without an SDK over $protocol', ({ protocol }) => {
  it('calls, retries, aborts and failures go on as they would, and headers stay', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '*': [503, { echo: true }], '/hang': { hang: 'head' } },
    })
    const records: object[] = []
    const note = (record: object) => records.push(record)
    const chain = compose(
      agent,
      standard({ retry: { backoff: 1 }, logging: { logger: { debug() {}, info: note, warn: note } } }),
    )
    const response = await createFetch(chain)(server.url(), { headers: { traceparent: foreign } })
    expect(await response.json()).toMatchObject({ headers: { traceparent: foreign } })
    expect(await call(agent.compose(tracing({ callSpan: true })), server.url())).toBe(200)
    expect(traceparentsAt(server)).toEqual([foreign, foreign, undefined])
    await expect(call(chain, server.url('/hang'), { signal: AbortSignal.timeout(10) })).rejects.toThrow()
    expect(records).toMatchObject([
      { attempts: 2, trace_id: undefined, span_id: undefined },
      { outcome: 'cancelled', trace_id: undefined },
    ])
  })
})

describe('the global provider', () => {
  afterEach(() => trace.disable())

  it('is found by a layer that was made before it was set, and forgotten when it is gone', async () => {
    const { server, agent } = await serve({ protocol: 'h1' })
    const chain = compose(agent, tracing())
    await call(chain, server.url())
    const spans = new Spans()
    trace.setGlobalTracerProvider(spans.provider)
    await call(chain, server.url())
    trace.disable()
    await call(chain, server.url())
    expect(traceparentsAt(server)).toEqual([undefined, traceparentOf(spans.attempts[0]!), undefined])
  })

  it('yields to the one that was given', async () => {
    const { server, agent } = await serve({ protocol: 'h1' })
    const [everyone, own] = [new Spans(), new Spans()]
    trace.setGlobalTracerProvider(everyone.provider)
    await call(compose(agent, tracing({ tracerProvider: own.provider })), server.url())
    expect([everyone.all.length, own.all.length]).toEqual([0, 2])
  })

  it('that makes no spans passes on the trace of the caller', async () => {
    const { server, agent } = await serve({ protocol: 'h1' })
    const chain = compose(agent, tracing({ tracerProvider: new ProxyTracerProvider() }))
    await call(chain, server.url(), { headers: { traceparent: foreign } })
    const caller = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: TraceFlags.SAMPLED }
    await context.with(trace.setSpanContext(context.active(), caller), () => call(chain, server.url()))
    expect(traceparentsAt(server)).toEqual([foreign, `00-${caller.traceId}-${caller.spanId}-01`])
  })
})

describe.each(protocols)('what is not recorded, over $protocol', ({ protocol }) => {
  it('38: a trace that the sampler drops is propagated as such, attempt by attempt', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const spans = new Spans({ sampler: new AlwaysOffSampler() })
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }))
    expect(await call(chain, server.url(), { headers: { traceparent: foreign } })).toBe(200)
    const sent = traceparentsAt(server).map((header) => String(header).split('-'))
    expect(sent.map(([, , , flags]) => flags)).toEqual(['00', '00'])
    expect(new Set(sent.map(([, traceId]) => traceId)).size).toBe(1)
    expect(new Set(sent.map(([, , spanId]) => spanId)).size).toBe(2)
    expect(sent[0]?.[1]).not.toBe('1'.repeat(32))
    expect(spans.all).toEqual([])
  })

  it('38: a caller that is not sampled stays so', async () => {
    const { server, agent } = await serve({ protocol })
    const spans = new Spans({ sampler: new ParentBasedSampler({ root: new AlwaysOffSampler() }) })
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
    const caller = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: TraceFlags.NONE }
    await context.with(trace.setSpanContext(context.active(), caller), () => call(chain, server.url()))
    expect(String(traceparentsAt(server)[0])).toMatch(/^00-a{32}-(?!b{16})[0-9a-f]{16}-00$/)
  })

  it('38: a context that suppresses tracing leaves the call alone', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const spans = new Spans()
    const records: object[] = []
    const note = (record: object) => records.push(record)
    const chain = compose(
      agent,
      tracing({ tracerProvider: spans.provider }),
      logging({ logger: { debug() {}, info: note, warn: note } }),
      retry({ backoff: 1 }),
    )
    await context.with(suppressTracing(context.active()), () =>
      call(chain, server.url(), { headers: { traceparent: foreign } }),
    )
    expect(spans.all).toEqual([])
    expect(traceparentsAt(server)).toEqual([foreign, foreign])
    expect(records).toMatchObject([{ attempts: 2, trace_id: undefined }])
  })
})

describe('44: an OpenTelemetry that throws harms no call, and warns once', () => {
  const fail = () => {
    throw new Error('broken telemetry')
  }
  const processors: [string, Partial<SpanProcessor>][] = [
    ['onStart', { onStart: fail }],
    ['onEnd', { onEnd: fail }],
  ]

  it.each(processors)('%s of a processor', async (_, broken) => {
    const { server, agent } = await serve({ protocol: 'h1', respond: [503, 503, 200] })
    const processor = { onStart() {}, onEnd() {}, forceFlush: async () => {}, shutdown: async () => {}, ...broken }
    const spans = new Spans({ spanProcessors: [processor] })
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }))
    const warnings = await warningsOf(async () => {
      expect(await call(chain, server.url())).toBe(200)
      expect(await call(chain, server.url())).toBe(200)
    })
    expect(warnings).toEqual([expect.stringContaining('broken telemetry')])
  })

  it('the second span of a call', async () => {
    const { server, agent } = await serve({ protocol: 'h1', respond: [503, 200] })
    let started = 0
    const onStart = () => {
      if (++started === 3) fail()
    }
    const processor = { onStart, onEnd() {}, forceFlush: async () => {}, shutdown: async () => {} }
    const spans = new Spans({ spanProcessors: [processor] })
    const chain = compose(agent, tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 }))
    const warnings = await warningsOf(async () => expect(await call(chain, server.url())).toBe(200))
    expect(warnings).toHaveLength(1)
    expect(started).toBe(3)
  })

  it('getTracer', async () => {
    const { server, agent } = await serve({ protocol: 'h1' })
    const chain = compose(agent, tracing({ tracerProvider: { getTracer: fail } as TracerProvider }))
    const warnings = await warningsOf(async () => {
      for (let time = 0; time < 3; time++) expect(await call(chain, server.url())).toBe(200)
    })
    expect(warnings).toHaveLength(1)
  })

  it('a propagator', async () => {
    const { server, agent } = await serve({ protocol: 'h1' })
    const inject = vi.spyOn(propagation, 'inject').mockImplementation(fail)
    try {
      const spans = new Spans()
      const chain = compose(agent, tracing({ tracerProvider: spans.provider }))
      const warnings = await warningsOf(async () => expect(await call(chain, server.url())).toBe(200))
      expect(warnings).toHaveLength(1)
      expect(spans.all).toHaveLength(2)
    } finally {
      inject.mockRestore()
    }
  })
})

describe('43: beside instrumentation-undici', () => {
  it('nothing is exported twice', async () => {
    const { server, agent } = await serve({ protocol: 'h1', respond: [503, 200] })
    const spans = new Spans()
    // startTracing sets its own context manager and propagator, as it finds none.
    context.disable()
    propagation.disable()
    vi.stubEnv('OTEL_TRACES_EXPORTER', 'none')
    const telemetry = startTracing({ signals: false, spanProcessors: [spans] })
    try {
      const chain = compose(agent, standard({ retry: { backoff: 1 } }))
      await call(chain, server.url('/kit'))
      await (await createFetch(chain)(server.url('/fetch'))).text()
      await context.with(suppressTracing(context.active()), () => call(chain, server.url('/quiet')))
      await (await request(server.url('/bare'), { dispatcher: agent })).body.text()
    } finally {
      await telemetry.shutdown()
      vi.unstubAllEnvs()
    }
    const seen = spans.started.map(({ kind, attributes, instrumentationScope }) => [
      instrumentationScope.name,
      kind,
      attributes['url.full'],
    ])
    const kit = (path: string) => ['roundtripper', 2, server.url(path)]
    expect(seen).toEqual([
      ['roundtripper', 0, undefined],
      kit('/kit'),
      kit('/kit'),
      ['roundtripper', 0, undefined],
      kit('/fetch'),
      ['@opentelemetry/instrumentation-undici', 2, server.url('/bare')],
    ])
    expect(spans.open).toEqual([])
  })
})

describe('options of tracing()', () => {
  it.each([
    [{ tracerProvider: {} }, 'tracing: tracerProvider.getTracer must be a function'],
    [{ urlTemplate: '/x' }, 'tracing: urlTemplate must be a function'],
    [{ callSpan: 1 }, 'tracing: callSpan must be true or false'],
    [{ unreadBodyTimeout: 0 }, 'tracing: unreadBodyTimeout must be a number from 1'],
    [{ unreadBodyTimeout: true }, 'tracing: unreadBodyTimeout must be a number from 1'],
    [{ spans: true }, 'tracing: unknown option "spans"'],
    [null, 'tracing: options must be an object'],
  ])('%j is refused', (options, message) => {
    expect(() => tracing(options as never)).toThrow(message)
  })
})
