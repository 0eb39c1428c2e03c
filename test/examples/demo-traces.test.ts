import { type HrTime, SpanKind } from '@opentelemetry/api'
import { TracerProvider } from '@opentelemetry/sdk-trace'
import { compose, createAgent, retry, tracing } from 'roundtripper'
import { type ScriptMap, startServer } from 'roundtripper/testing'
import { request } from 'undici'
import { expect, it } from 'vitest'
import { type EndedSpan, TraceCollector, treeLines } from '../../examples/demo/traces.ts'

it('keeps the first call that took three attempts and ended well, and draws it', async () => {
  const respond: ScriptMap = {
    '/once': [503, 200],
    '/gone': 503,
    '/twice': [503, 503, 200],
    '/later': [503, 503, 200],
  }
  const server = await startServer({ protocol: 'h2', respond })
  const collector = new TraceCollector()
  const tracerProvider = new TracerProvider({ spanProcessors: [collector] })
  const api = compose(
    createAgent({ connect: { ca: server.ca! } }),
    tracing({ tracerProvider, urlTemplate: ({ path }) => path }),
    retry({ maxAttempts: 3, backoff: 1 }),
  )
  const attempts: (number | undefined)[] = []
  for (const path of ['/ok', '/once', '/gone', '/twice', '/later']) {
    const { body } = await request(server.url(path), { dispatcher: api })
    await body.dump()
    attempts.push(collector.best?.attempts.length)
  }
  expect(attempts).toEqual([undefined, 2, 2, 3, 3])

  const lines = treeLines(collector.best!, 20)
  expect(lines).toHaveLength(4)
  expect(lines[0]).toMatch(/^GET call {5} {2}─{20} {2,}[\d.]+ ms {2}3 attempts, 2\.0 ms of backoff$/)
  expect(lines[1]).toMatch(/^├─ GET \/twice {2}.{20} {2,}[\d.]+ ms {2}503, HTTP\/2$/)
  expect(lines[2]).toMatch(/^├─ GET \/twice {2}.{20} {2,}[\d.]+ ms {2}503, HTTP\/2, after 1\.0 ms of backoff$/)
  expect(lines[3]).toMatch(/^└─ GET \/twice {2}.{20} {2,}[\d.]+ ms {2}200, HTTP\/2, after 1\.0 ms of backoff$/)
  await api.close()
  await server.close()
})

it('places the bars by time, and gives even the shortest span one character', () => {
  const span = (name: string, from: number, to: number, attributes: EndedSpan['attributes']) => {
    const time = (ms: number): HrTime => [1_700_000_000 + Math.floor(ms / 1_000), (ms % 1_000) * 1_000_000]
    return { name, kind: SpanKind.CLIENT, startTime: time(from), endTime: time(to), attributes } as EndedSpan
  }
  const call = span('GET call', 900, 1_900, { 'roundtripper.attempts': 3 })
  const attempts = [
    span('GET', 900, 1_100, { 'error.type': 'ECONNRESET' }),
    span('GET', 1_400, 1_500, { 'http.response.status_code': 503, 'roundtripper.backoff_ms': 300 }),
    span('GET', 1_900, 2_100, { 'error.type': 'ERR_CIRCUIT_OPEN', 'roundtripper.backoff_ms': 400 }),
  ]
  expect(treeLines({ call, attempts }, 10)).toEqual([
    'GET call  ──────────  1000.0 ms  3 attempts, 0.0 ms of backoff',
    '├─ GET    ██           200.0 ms  ECONNRESET',
    '├─ GET         █       100.0 ms  503, after 300.0 ms of backoff',
    '└─ GET             █   200.0 ms  ERR_CIRCUIT_OPEN, after 400.0 ms of backoff',
  ])
})
