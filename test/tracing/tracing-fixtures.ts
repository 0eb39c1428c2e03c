// Spans in memory, and servers and chains to make them with.
import { createRequire } from 'node:module'
import {
  type Context,
  context,
  DiagLogLevel,
  diag,
  propagation,
  type Span,
  SpanKind,
  type TextMapPropagator,
  trace,
} from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanProcessor,
  TracerProvider,
  type TracerProviderOptions,
} from '@opentelemetry/sdk-trace'
import { createAgent } from 'roundtripper'
import { type ServerOptions, startServer, type TestServer } from 'roundtripper/testing'
import { type Agent, type Dispatcher, request } from 'undici'
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from 'vitest'

export const protocols = [
  { protocol: 'h1', version: '1.1' },
  { protocol: 'h2', version: '2' },
] as const

const require = createRequire(import.meta.url)
const core = createRequire(require.resolve('@opentelemetry/sdk-node'))('@opentelemetry/core') as {
  readonly W3CTraceContextPropagator: new () => TextMapPropagator
  readonly W3CBaggagePropagator: new () => TextMapPropagator
  readonly CompositePropagator: new (config: { propagators: TextMapPropagator[] }) => TextMapPropagator
  suppressTracing(parent: Context): Context
}

export const { suppressTracing } = core

/** Sets the context manager and the propagators for this file, and fails tests in which a span is misused. */
export function useOpenTelemetry(): void {
  const misuse: string[] = []
  const note = (message: string, ...rest: unknown[]) => misuse.push([message, ...rest].join(' '))
  beforeAll(() => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
    const propagators = [new core.W3CTraceContextPropagator(), new core.W3CBaggagePropagator()]
    propagation.setGlobalPropagator(new core.CompositePropagator({ propagators }))
    const quiet = () => {}
    diag.setLogger({ error: note, warn: note, info: quiet, debug: quiet, verbose: quiet }, DiagLogLevel.WARN)
  })
  afterEach(() => {
    expect(misuse.splice(0)).toEqual([])
  })
  afterAll(() => {
    context.disable()
    propagation.disable()
    diag.disable()
  })
}

/** Keeps every span from its start, in that order. */
export class Spans implements SpanProcessor {
  readonly exporter = new InMemorySpanExporter()
  readonly provider: TracerProvider
  readonly started: ReadableSpan[] = []

  constructor(options: TracerProviderOptions = {}) {
    const spanProcessors = [this, new SimpleSpanProcessor({ exporter: this.exporter })]
    this.provider = new TracerProvider({ spanProcessors, ...options })
  }

  onStart(span: unknown): void {
    this.started.push(span as ReadableSpan)
  }

  onEnd(): void {}

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {}

  /** What was started and has not ended. */
  get open(): ReadableSpan[] {
    return this.started.filter((span) => !span.ended)
  }

  /** All spans of the kit in the order of their start. Each was exported exactly once. */
  get all(): ReadableSpan[] {
    expect(this.open.map(({ name }) => name)).toEqual([])
    expect(new Set(this.exporter.getFinishedSpans())).toEqual(new Set(this.started))
    expect(this.exporter.getFinishedSpans()).toHaveLength(this.started.length)
    return this.started.filter((span) => span.instrumentationScope.name === 'roundtripper')
  }

  /** The spans of attempts. */
  get attempts(): ReadableSpan[] {
    return this.all.filter(({ kind }) => kind === SpanKind.CLIENT)
  }

  /** The spans of calls. */
  get calls(): ReadableSpan[] {
    return this.all.filter(({ kind }) => kind === SpanKind.INTERNAL)
  }

  /** Runs `step` with a span of its own active, as a caller's. */
  async inSpan<T>(name: string, step: (span: Span) => Promise<T>): Promise<T> {
    const span = this.provider.getTracer('caller').startSpan(name)
    try {
      return await context.with(trace.setSpan(context.active(), span), step, undefined, span)
    } finally {
      span.end()
    }
  }
}

/** A server and an agent that are closed with the test. */
export async function serve(options: ServerOptions): Promise<{ server: TestServer; agent: Agent }> {
  const server = await startServer(options)
  const agent = createAgent(server.ca === undefined ? {} : { connect: { ca: server.ca } })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  return { server, agent }
}

type CallOptions = Partial<Dispatcher.RequestOptions> & { resilience?: object }

/** Sends a request, without reading the answer. */
export function send(
  dispatcher: Dispatcher,
  url: string,
  options: CallOptions = {},
): Promise<Dispatcher.ResponseData<unknown>> {
  return request(url, { ...options, dispatcher } as Parameters<typeof request>[1])
}

/** Sends a request and reads the answer to its end. */
export async function call(dispatcher: Dispatcher, url: string, options: CallOptions = {}): Promise<number> {
  const { statusCode, body } = await send(dispatcher, url, options)
  await body.text()
  return statusCode
}

export function parentOf(span: ReadableSpan | undefined): string | undefined {
  return span?.parentSpanContext?.spanId
}

export function idOf(span: ReadableSpan | undefined): string | undefined {
  return span?.spanContext().spanId
}

/** The `traceparent` that carries a span. */
export function traceparentOf(span: ReadableSpan | Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-0${traceFlags}`
}

/** What a server saw, in the order of arrival. */
export function traceparentsAt(server: TestServer): unknown[] {
  return server.requests.map(({ headers }) => headers.traceparent)
}

/** Lets everything that is due run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
