// A mirror changes nothing for the caller: the same calls with and without one, over a target that fails in every way it
// can, compared in outcomes, spans, records and permits.
import { SpanKind } from '@opentelemetry/api'
import {
  adaptiveLimit,
  attemptTimeout,
  bulkhead,
  type CallRecord,
  circuitBreaker,
  compose,
  createAgent,
  type Layers,
  logging,
  mirror,
  retry,
  retryBudget,
  tracing,
} from 'roundtripper'
import { type Script, startServer, type TestServer } from 'roundtripper/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Spans, useOpenTelemetry } from '../tracing/tracing-fixtures.ts'
import { type CallInit, call, eventually, protocols, turns } from './retry-servers.ts'

useOpenTelemetry()

const targets: Readonly<Record<string, Script>> = {
  'answers the same': { body: 'hello' },
  'answers 500': 500,
  'answers 429 with a long retry-after': { status: 429, retryAfter: 3600 },
  'hangs before the head': { hang: 'head' },
  'hangs in the body': { body: 'hello hello', hang: 'body' },
  'resets before the head': { reset: 'before-head' },
  'resets in the body': { body: 'hello hello', reset: 'in-body' },
  'cuts its body short': { body: 'hello hello', cut: true },
  'takes the whole connection down': { destroySession: 'before-head' },
  'has a body without end': { body: 'x'.repeat(2_000_000) },
  'sends hints first': { early: [{ status: 103, headers: { link: '</a>' } }], body: 'hello' },
}

const calls: readonly (readonly [string, CallInit])[] = [
  ['/good', {}],
  ['/head', { method: 'HEAD' }],
  ['/missing', {}],
  ['/flaky', {}],
  ['/broken', {}],
  ['/reset', {}],
  ['/cut', {}],
  ['/order', { method: 'POST', body: 'order' }],
  ['/upload', { method: 'PUT', body: 'upload' }],
  ['/bad', { headers: { 'a b': 'c' } }],
]

function script(server: TestServer): void {
  server.script('*', { body: 'hello' })
  server.script('/missing', 404)
  server.script('/flaky', [503, { body: 'well' }])
  server.script('/broken', 500)
  server.script('/reset', { reset: 'before-head' })
  server.script('/cut', { body: 'hello hello', cut: true })
}

/** What a caller, an operator and the server can see of the calls; without times and ids. */
async function storyOf(server: TestServer, mirroring: Layers) {
  script(server)
  server.clear()
  const spans = new Spans()
  const records: object[] = []
  const write = (record: object) => {
    const { durationMs, headMs, queuedMs, backoffMs, trace_id, span_id, ...rest } = record as CallRecord
    records.push(rest)
  }
  const slots = bulkhead({ limit: 4 })
  const limit = adaptiveLimit({ minLimit: 20 })
  const circuit = circuitBreaker({ minimumCalls: 1000 })
  const budget = retryBudget()
  const again = retry({ backoff: 1, maxAttempts: 3, budget })
  const agent = createAgent(server.ca === undefined ? {} : { connect: { ca: server.ca } })
  const chain = compose(
    agent,
    tracing({ tracerProvider: spans.provider }),
    logging({ logger: { debug: write, info: write, warn: write } }),
    again,
    circuit,
    slots,
    limit,
    attemptTimeout(),
    mirroring,
  )
  const answers: unknown[] = []
  for (const [path, init] of calls) {
    const answer = call(chain, server.url(path), init).catch(
      (error: Error & { code?: string }) => error.code ?? error.name,
    )
    answers.push([path, await answer])
  }
  await turns()
  const { origin } = server
  const { calls: seen, failures } = circuit.state()[origin] as { calls: number; failures: number }
  const story = {
    answers,
    records,
    spans: spans.started.map(({ name, kind, attributes, status, events, links }) => {
      const { 'network.peer.port': _, ...rest } = attributes
      return [name, SpanKind[kind], rest, status.code, events.map((event) => event.name), links.length]
    }),
    open: spans.open.length,
    circuits: { seen, failures, known: Object.keys(circuit.state()) },
    slots: slots.state(),
    limits: Object.entries(limit.state()).map(([name, { inUse, refused }]) => [name, inUse, refused]),
    budget: budget.state()[origin]?.granted,
    requests: server.requests.map(({ method, path, headers }) => [method, path, 'x-mirrored' in headers]),
  }
  await chain.destroy()
  return story
}

describe.each(protocols)('a mirror over $version', ({ protocol }) => {
  let server: TestServer
  let shadow: TestServer
  beforeAll(async () => {
    server = await startServer({ protocol })
    shadow = await startServer({ protocol })
  })
  afterAll(async () => {
    await server.close()
    await shadow.close()
  })

  it.each(Object.entries(targets))('45, 47: to a target that %s changes nothing', async (_name, respond) => {
    shadow.script('*', respond)
    shadow.clear()
    const layer = mirror({ to: shadow.origin, methods: ['GET', 'HEAD', 'POST', 'PUT'] })
    const without = await storyOf(server, [])
    const within = await storyOf(server, layer)
    expect(within).toEqual(without)
    await eventually(() => layer.state()[server.origin]?.inUse === 0)
    const { mirrored, dropped } = layer.state()[server.origin] as { mirrored: number; dropped: number }
    // What is no valid request has no copy.
    expect([mirrored, dropped]).toEqual([calls.length - 1, 1])
    // What a connection that is gone had not taken on is sent again by the agent.
    expect(shadow.count()).toBeGreaterThanOrEqual(calls.length - 1)
  })

  it('45, 47: to a target that refuses connections changes nothing', async () => {
    await shadow.refuseConnections()
    const layer = mirror({ to: shadow.origin })
    const without = await storyOf(server, [])
    const within = await storyOf(server, layer)
    await shadow.resume()
    expect(within).toEqual(without)
    await eventually(() => layer.state()[server.origin]?.inUse === 0)
    expect(layer.state()[server.origin]).toMatchObject({ mirrored: 7, failed: 7 })
  })
})
