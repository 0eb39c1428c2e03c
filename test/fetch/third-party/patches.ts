// Others that put something over the global fetch, or listen to undici.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { context, propagation, SpanKind, type TextMapPropagator, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { compose } from '../../../src/dispatchers/compose.ts'
import { installFetch } from '../../../src/fetch/install-fetch.ts'
import { standard } from '../../../src/standard.ts'
import { agentOf, type Case, type World } from './world.ts'

const require = createRequire(import.meta.url)
const { W3CTraceContextPropagator } = createRequire(require.resolve('@opentelemetry/sdk-node'))(
  '@opentelemetry/core',
) as { readonly W3CTraceContextPropagator: new () => TextMapPropagator }

/** Spans in memory, of a tracer that is the global one until the case is over. */
function recordSpans({ onEnd }: World) {
  const exporter = new InMemorySpanExporter()
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(provider)
  const ignoreRequestHook = ({ headers }: { headers: string | readonly unknown[] }) => headers.includes('traceparent')
  const instrumentation = new UndiciInstrumentation({ ignoreRequestHook })
  instrumentation.setTracerProvider(provider)
  onEnd(() => {
    instrumentation.disable()
    trace.disable()
    propagation.disable()
    context.disable()
  })
  return exporter
}

interface Line {
  readonly method: string
  readonly url: string
  readonly status: number
}

/** What a program puts over the global fetch to see what goes out. */
function logFetch(lines: Line[]): () => void {
  const inner = globalThis.fetch
  globalThis.fetch = async (input, init) => {
    const request = new Request(input, init)
    const { method, url } = request
    const response = await inner(request)
    lines.push({ method, url, status: response.status })
    return response
  }
  return () => {
    globalThis.fetch = inner
  }
}

export const patchCases: readonly Case[] = [
  {
    name: 'instrumentation-undici beside ours, with and without tracing of the kit: one span, which the one traceparent names',
    installs: true,
    async run(world) {
      const server = await world.serve({ echo: true })
      const exporter = recordSpans(world)
      // As startTracing() sets it: what carries a traceparent already has its span.
      const scopes = [
        { tracing: false, scope: '@opentelemetry/instrumentation-undici' },
        { tracing: {}, scope: 'roundtripper' },
      ] as const
      for (const { tracing, scope } of scopes) {
        const uninstall = installFetch(compose(agentOf(world), standard({ retry: false, tracing })))
        world.onEnd(uninstall)
        const response = await fetch(server.url('/x'), { method: 'PUT', body: 'whole' })
        assert.equal(((await response.json()) as { body: string }).body, 'whole')
        uninstall()
        const { headers, rawHeaders } = server.requests.at(-1)!
        const [span, ...more] = exporter.getFinishedSpans().filter(({ kind }) => kind === SpanKind.CLIENT)
        assert.deepEqual([span?.instrumentationScope.name, more.length], [scope, 0])
        const { traceId, spanId } = span!.spanContext()
        assert.equal(headers.traceparent, `00-${traceId}-${spanId}-01`)
        assert.equal(rawHeaders.filter((name) => name.toLowerCase() === 'traceparent').length, 1)
        exporter.reset()
      }
    },
  },
  {
    name: 'a logging patch over ours sees each call, and goes on after the undo',
    installs: true,
    async run(world) {
      const server = await world.serve({ echo: true })
      const own = globalThis.fetch
      const uninstall = installFetch(compose(agentOf(world), standard({ retry: false })))
      world.onEnd(uninstall)
      const lines: Line[] = []
      const takeOff = logFetch(lines)
      const response = await fetch(server.url('/x'), { method: 'PUT', body: 'whole' })
      assert.equal(((await response.json()) as { body: string }).body, 'whole')
      assert.ok(response instanceof Response)
      assert.deepEqual(lines, [{ method: 'PUT', url: server.url('/x'), status: 200 }])
      assert.equal(server.requests[0]?.protocol, world.version)

      // From now on it reaches the runtime's own fetch, which does not trust the server.
      uninstall()
      await assert.rejects(fetch(server.url('/y')), { name: 'TypeError', message: 'fetch failed' })
      assert.equal(server.count('/y'), 0)
      // It puts back ours, which is undone: a call of it puts that away.
      takeOff()
      assert.equal(await (await fetch('data:,text')).text(), 'text')
      assert.equal(globalThis.fetch, own)
    },
  },
  {
    name: 'a logging patch below ours sees nothing, and everything after the undo',
    installs: true,
    async run(world) {
      const server = await world.serve({ echo: true })
      const lines: Line[] = []
      const takeOff = logFetch(lines)
      world.onEnd(takeOff)
      const patched = globalThis.fetch
      const uninstall = installFetch(compose(agentOf(world), standard({ retry: false })))
      world.onEnd(uninstall)
      assert.equal((await fetch(server.url('/x'))).status, 200)
      assert.deepEqual(lines, [])
      uninstall()
      assert.equal(globalThis.fetch, patched)
      takeOff()
    },
  },
  {
    name: 'a patch that spreads the init, a proxy of fetch, and a bound fetch reach ours',
    async run(world) {
      const server = await world.serve({ echo: true })
      const inner = world.fetch
      const signal = new AbortController().signal
      const wrappers: readonly (typeof fetch)[] = [
        (input, init) => inner(input, { ...init, signal, headers: { ...init?.headers, 'x-more': 'too' } }),
        new Proxy(inner, {
          apply: (target, self, [input, init]) =>
            Reflect.apply(target, self, [new URL(input), { ...init, headers: [['x-more', 'too']] }]),
        }),
        (input, init) =>
          inner.bind(undefined)(input, Object.assign(Object.create({ headers: { 'x-more': 'too' } }), init)),
      ]
      for (const call of wrappers) {
        const response = await call(server.url('/x'), { method: 'PUT', body: 'whole' })
        const echo = (await response.json()) as { body: string; headers: Record<string, string> }
        assert.deepEqual([echo.body, echo.headers['x-more']], ['whole', 'too'])
      }
      assert.deepEqual(
        server.requests.map(({ protocol }) => protocol),
        wrappers.map(() => world.version),
      )
    },
  },
]
