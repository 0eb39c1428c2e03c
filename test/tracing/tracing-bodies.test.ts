import { SpanStatusCode } from '@opentelemetry/api'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { bulkhead, compose, createFetch, type Layers, logging, retry, tracing } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { upgrade } from 'undici'
import { describe, expect, it } from 'vitest'
import { call, idOf, protocols, Spans, send, serve, useOpenTelemetry } from './tracing-fixtures.ts'

useOpenTelemetry()

function chainOf(agent: Parameters<typeof compose>[0], unreadBodyTimeout: number | false, ...layers: Layers[]) {
  const spans = new Spans()
  const chain = compose(agent, tracing({ tracerProvider: spans.provider, unreadBodyTimeout }), ...layers)
  return { spans, chain }
}

// Far more than every buffer between the server and somebody who does not read.
const huge = Buffer.alloc(4 * 1024 * 1024, 'x')

async function ended(spans: Spans): Promise<void> {
  while (spans.open.length > 0) await new Promise((resolve) => setTimeout(resolve, 1))
}

function eventsOf(span: ReadableSpan | undefined) {
  return span?.events.map(({ name }) => name)
}

describe.each(protocols)('bodies over $protocol', ({ protocol, version }) => {
  it('43: the span ends with the body, not at the head', async () => {
    const rest = gate()
    const { server, agent } = await serve({ protocol, respond: { body: ['first', rest.promise, 'last'] } })
    const { spans, chain } = chainOf(agent, 30_000, retry())
    const { body } = await send(chain, server.url())
    const reader = body[Symbol.asyncIterator]()
    expect(String((await reader.next()).value)).toBe('first')
    expect(spans.open.map(({ name }) => name)).toEqual(['GET call', 'GET'])
    rest.open()
    expect(String((await reader.next()).value)).toBe('last')
    expect((await reader.next()).done).toBe(true)
    expect(spans.attempts.map(({ status }) => status.code)).toEqual([SpanStatusCode.UNSET])
  })

  it('43: HEAD, 204 and 304 end at once', async () => {
    const { server, agent } = await serve({ protocol, respond: { '*': 200, '/204': 204, '/304': 304 } })
    const { spans, chain } = chainOf(agent, 30_000, retry())
    for (const [path, method] of [
      ['/', 'HEAD'],
      ['/204', 'GET'],
      ['/304', 'GET'],
    ] as const) {
      await send(chain, server.url(path), { method })
    }
    expect(spans.attempts.map((span) => span.attributes['http.response.status_code'])).toEqual([200, 204, 304])
  })

  it('43: a body that is cancelled ends the span, unset', async () => {
    const { server, agent } = await serve({ protocol, respond: { body: huge } })
    const { spans, chain } = chainOf(agent, 30_000, retry())
    const { body } = await send(chain, server.url())
    body.on('error', () => {})
    body.destroy()
    await ended(spans)
    const response = await createFetch(chain)(server.url())
    await response.body?.cancel()
    await ended(spans)
    expect(spans.all.map((span) => [span.status.code, eventsOf(span)])).toEqual(
      Array(4).fill([SpanStatusCode.UNSET, []]),
    )
    expect(spans.attempts.map((span) => span.attributes['http.response.status_code'])).toEqual([200, 200])
  })

  it('43: a body that nobody reads ends all its spans after unreadBodyTimeout, and stays readable', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, { body: huge }] })
    const { spans, chain } = chainOf(agent, 20, retry({ backoff: 1 }))
    const { body } = await send(chain, server.url())
    expect(spans.open.map(({ name }) => name)).toEqual(['GET call', 'GET'])
    await ended(spans)

    expect(spans.all.map((span) => [span.name, eventsOf(span)])).toEqual([
      ['GET call', ['body.unread']],
      ['GET', []],
      ['GET', ['body.unread']],
    ])
    const [, last] = spans.attempts
    expect(last?.status.code).toBe(SpanStatusCode.UNSET)
    expect(last?.attributes).toMatchObject({
      'http.response.status_code': 200,
      'network.protocol.version': version,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': server.port,
    })
    expect((await body.arrayBuffer()).byteLength).toBe(huge.length)
    expect(spans.all).toHaveLength(3)
  })

  it('43: a body that is read in time has no event', async () => {
    const { server, agent } = await serve({ protocol, respond: { body: huge } })
    const { spans, chain } = chainOf(agent, 30_000)
    await call(chain, server.url())
    expect(spans.all.map(eventsOf)).toEqual([[], []])
  })
})

it('43: unreadBodyTimeout: false keeps the span until the body ends, whatever its neighbours do', async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: { body: huge } })
  const slots = bulkhead({ unreadBodyTimeout: 10 })
  const records: object[] = []
  const note = (record: object) => records.push(record)
  const logger = { debug() {}, info: note, warn: note }
  const { spans, chain } = chainOf(agent, false, logging({ logger, unreadBodyTimeout: 15 }), slots)
  const { body } = await send(chain, server.url())
  while (records.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  expect(slots.state()[server.origin]?.inUse).toBe(0)
  expect(spans.open).toHaveLength(2)
  await body.arrayBuffer()
  expect(spans.all).toHaveLength(2)
  expect(records).toHaveLength(1)
})

it('43: an upgrade ends the span once it is established', async () => {
  const { server, agent } = await serve({
    protocol: 'h1',
    respond: { status: 101, headers: { connection: 'upgrade', upgrade: 'echo' } },
  })
  const { spans, chain } = chainOf(agent, 30_000, retry())
  const { socket } = await upgrade(server.url(), { dispatcher: chain, protocol: 'echo' })
  expect(spans.attempts.map((span) => span.attributes['http.response.status_code'])).toEqual([101])
  socket.destroy()
})

it('43: an attempt that is not wanted any more ends before the next begins', async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: [{ status: 503, body: huge }, 200] })
  const { spans, chain } = chainOf(agent, 30_000, retry({ backoff: 5 }))
  await call(chain, server.url())
  const [first, second] = spans.attempts
  const after = (a: readonly number[], b: readonly number[]) => (a[0]! - b[0]!) * 1e9 + (a[1]! - b[1]!)
  expect(after(second!.startTime, first!.endTime)).toBeGreaterThanOrEqual(-1e6)
  expect(first?.status.code).toBe(SpanStatusCode.ERROR)
  expect(second?.links[0]?.context.spanId).toBe(idOf(first))
})
