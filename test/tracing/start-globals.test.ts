import { channel } from 'node:diagnostics_channel'
import { createRequire } from 'node:module'
import { context, createContextKey, ProxyTracerProvider, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { startTracing, type Telemetry } from '../../src/tracing/start.ts'
import { run } from './start-child.ts'

// CommonJS and ES modules get a copy of the API each.
const commonJs = createRequire(import.meta.url)('@opentelemetry/api') as typeof import('@opentelemetry/api')
const key = createContextKey('test')
const activeIsKept = () => context.with(ROOT_CONTEXT.setValue(key, 1), () => context.active().getValue(key) === 1)

const globals = () => ({
  spans: trace.getTracer('test').startSpan('span').isRecording(),
  spansInCommonJs: commonJs.trace.getTracer('test').startSpan('span').isRecording(),
  context: activeIsKept(),
  fields: propagation.fields().length > 0,
  signals: process.listenerCount('SIGTERM'),
  channels: channel('undici:request:create').hasSubscribers,
  registered: Object.keys((globalThis as Record<symbol, object>)[Symbol.for('opentelemetry.js.api.1')] ?? {}).filter(
    (name) => name !== 'version',
  ),
})

let telemetry: Telemetry | undefined
let exporter: InMemorySpanExporter
const start = () => {
  exporter = new InMemorySpanExporter()
  telemetry = startTracing({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  return telemetry
}
const flushedNames = async () => {
  await telemetry?.flush()
  return exporter.getFinishedSpans().map(({ name }) => name)
}

beforeEach(() => {
  vi.stubEnv('OTEL_TRACES_EXPORTER', 'none')
})
afterEach(async () => {
  await telemetry?.shutdown()
  vi.unstubAllEnvs()
})

describe('globals', () => {
  it.each([
    ['as it is', {}],
    ['with all that variables can add', { OTEL_LOG_LEVEL: 'error', OTEL_METRICS_EXPORTER: 'console' }],
  ])('are taken back by shutdown, every one, %s', async (_how, variables) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
    const before = globals()
    start()
    expect(globals()).toMatchObject({
      spans: true,
      spansInCommonJs: true,
      context: true,
      fields: true,
      signals: before.signals + 1,
      channels: true,
    })
    await telemetry?.shutdown()
    expect(globals()).toEqual(before)
  })

  it('stay where somebody else had put them', async () => {
    const manager = new AsyncLocalStorageContextManager().enable()
    context.setGlobalContextManager(manager)
    const propagator = { inject() {}, extract: () => ROOT_CONTEXT, fields: () => ['x-own'] }
    propagation.setGlobalPropagator(propagator)
    await start().shutdown()
    expect(activeIsKept()).toBe(true)
    expect(propagation.fields()).toEqual(['x-own'])
    context.disable()
    propagation.disable()
  })

  it('are taken back when the start fails', async () => {
    const before = globals()
    const broken = { onStart() {}, onEnd() {}, async forceFlush() {}, async shutdown() {} }
    const set = vi.spyOn(commonJs.trace, 'setGlobalTracerProvider').mockImplementation(() => {
      throw new Error('broken')
    })
    expect(() => startTracing({ spanProcessors: [broken] })).toThrow('broken')
    set.mockRestore()
    expect(globals()).toEqual(before)
  })
})

describe('a tracer', () => {
  it.each([
    ['ES modules', trace],
    ['CommonJS', commonJs.trace],
  ])('made in %s before the start records from then on', async (_copy, api) => {
    const early = api.getTracer('early')
    start()
    early.startSpan('one').end()
    expect(await flushedNames()).toEqual(['one'])
  })

  it('made after a second start records to the second', async () => {
    await start().shutdown()
    start()
    trace.getTracer('test').startSpan('two').end()
    expect(await flushedNames()).toEqual(['two'])
  })
})

describe('starting', () => {
  it('twice is refused until the first is shut down', async () => {
    const first = start()
    expect(() => startTracing()).toThrow(/tracing is already on; keep what the first call returned/)
    const stopped = first.shutdown()
    expect(() => startTracing()).toThrow(/tracing is already on/)
    await stopped
    expect(() => start()).not.toThrow()
  })

  it('beside another SDK is refused', () => {
    trace.setGlobalTracerProvider(new TracerProvider())
    expect(() => startTracing()).toThrow(
      /another OpenTelemetry SDK is already registered; tracing\(\) uses it as it is/,
    )
    expect(trace.getTracerProvider()).toBeInstanceOf(ProxyTracerProvider)
    trace.disable()
  })

  it('beside another version of the API is explained, and undone', async () => {
    const { stdout } = await run(`
      globalThis[Symbol.for('opentelemetry.js.api.1')] = { version: '1.9.0' }
      try { startTracing({ endpoint: 'http://127.0.0.1:9' }) } catch ({ message }) { console.log(message) }
      console.log(process.listenerCount('SIGTERM'))
    `).ended
    expect(stdout).toBe(
      'startTracing: the SDK could not register itself, because several versions of @opentelemetry/api are loaded; `npm ls @opentelemetry/api` shows them\n0\n',
    )
  })
})

it('shutdown is one and the same, also as Symbol.asyncDispose', async () => {
  const started = start()
  trace.getTracer('test').startSpan('one').end()
  const disposed = started[Symbol.asyncDispose]()
  expect(started.shutdown()).toBe(disposed)
  expect(started.flush()).toBe(disposed)
  await disposed
})
