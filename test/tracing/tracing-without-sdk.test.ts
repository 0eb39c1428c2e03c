import { trace } from '@opentelemetry/api'
import { type CallRecord, type Logger, logging, retry, tracing } from 'roundtripper'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, serve } from '../dispatchers/retry-servers.ts'

describe.each(protocols)('tracing where there is no SDK, over $version', ({ protocol }) => {
  it('44: breaks nothing, sends nothing of its own, and leaves no trace in the records', async () => {
    const server = await serve({ protocol })
    server.script('/flaky', [503, { body: 'whole' }])
    const records: CallRecord[] = []
    const note = (record: object) => records.push(record as CallRecord)
    const logger: Logger = { debug: note, info: note, warn: note }
    const chain = chainTo(
      server,
      tracing({ callSpan: true, urlTemplate: () => '/x' }),
      logging({ logger }),
      retry(quick),
    )
    const answer = await call(chain, server.url('/flaky'), { headers: { traceparent: 'the caller knows' } })
    expect(answer).toEqual({ status: 200, text: 'whole' })
    expect(server.requests.map(({ headers }) => headers.traceparent)).toEqual(['the caller knows', 'the caller knows'])
    expect(records.map(({ trace_id }) => trace_id)).toEqual([undefined, undefined, undefined])
    await server.refuseConnections()
    await server.resetConnections()
    expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('44: sees an SDK that comes later', async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, tracing())
    await call(chain, server.url('/before'))
    let asked = 0
    trace.setGlobalTracerProvider({
      getTracer(name) {
        asked++
        throw new Error(`asked for ${name}`)
      },
    })
    try {
      // The layer may take an absent SDK for granted for a millisecond of the calls' own clock.
      const seen = performance.now()
      while (performance.now() - seen < 2);
      expect((await call(chain, server.url('/after'))).status).toBe(200)
      expect(asked).toBeGreaterThan(0)
    } finally {
      trace.disable()
    }
  })
})
