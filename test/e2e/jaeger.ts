// A real Jaeger for the end-to-end tests, and what it knows.
import { setTimeout as pause } from 'node:timers/promises'
import { isJaegerAtHand, startJaeger } from '../../scripts/jaeger/start.ts'

/** A span as Jaeger's query API gives it. */
export interface JaegerSpan {
  readonly traceID: string
  readonly spanID: string
  readonly operationName: string
  readonly references: readonly { readonly refType: string; readonly traceID: string; readonly spanID: string }[]
  /** Microseconds since 1970. */
  readonly startTime: number
  /** Microseconds. */
  readonly duration: number
  readonly tags: readonly JaegerTag[]
  readonly logs: readonly { readonly timestamp: number; readonly fields: readonly JaegerTag[] }[]
  readonly processID: string
}

interface JaegerTag {
  readonly key: string
  readonly value: string | number | boolean
}

/** A trace as Jaeger's query API gives it. */
export interface JaegerTrace {
  readonly traceID: string
  readonly spans: readonly JaegerSpan[]
  readonly processes: Readonly<
    Record<string, { readonly serviceName: string; readonly tags: readonly JaegerTag[] } | undefined>
  >
}

export interface Jaeger {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly otlpEndpoint: string
  readonly queryEndpoint: string
  /**
   * The service's traces, as soon as they satisfy `until` (at least one, where it is left out). Throws with what was
   * there when `timeout` milliseconds (10,000) have passed.
   */
  tracesOf(
    service: string,
    options?: { until?: (traces: JaegerTrace[]) => boolean; timeout?: number },
  ): Promise<JaegerTrace[]>
  /** Stops what was started for this test; a Jaeger that the variables named stays. */
  stop(): Promise<void>
}

/**
 * The Jaeger that ROUNDTRIPPER_JAEGER_OTLP and ROUNDTRIPPER_JAEGER_QUERY name, or one of its own. `undefined`, with the
 * reason printed, where that would have to be built first; with ROUNDTRIPPER_REQUIRE_JAEGER set it is built.
 */
export async function jaeger(): Promise<Jaeger | undefined> {
  const { ROUNDTRIPPER_JAEGER_OTLP: otlp, ROUNDTRIPPER_JAEGER_QUERY: query } = process.env
  if (otlp && query) return withTraces(otlp, query, async () => {})
  if (otlp || query) {
    throw new Error('ROUNDTRIPPER_JAEGER_OTLP and ROUNDTRIPPER_JAEGER_QUERY name one Jaeger: set both, or neither')
  }
  if (!process.env.ROUNDTRIPPER_REQUIRE_JAEGER && !(await isJaegerAtHand())) {
    console.warn('Skipped: no Jaeger at hand. `npm run jaeger` gets one; after that the tests find it by themselves.')
    return undefined
  }
  const { otlpEndpoint, queryEndpoint, stop } = await startJaeger({ otlpPort: 0, queryPort: 0, log: console.log })
  return withTraces(otlpEndpoint, queryEndpoint, stop)
}

function withTraces(otlpEndpoint: string, queryEndpoint: string, stop: () => Promise<void>): Jaeger {
  return {
    otlpEndpoint,
    queryEndpoint,
    stop,
    async tracesOf(service, { until = (traces: JaegerTrace[]) => traces.length > 0, timeout = 10_000 } = {}) {
      const url = new URL('/api/traces', queryEndpoint)
      url.search = new URLSearchParams({ service, limit: '1000', lookback: '1h' }).toString()
      const deadline = Date.now() + timeout
      for (;;) {
        const { data } = (await (await fetch(url)).json()) as { data: JaegerTrace[] | null }
        const traces = data ?? []
        if (until(traces)) return traces
        if (Date.now() > deadline) {
          throw new Error(
            `Jaeger has other traces of ${service} after ${timeout} ms:\n${traces.map(drawTrace).join('\n')}`,
          )
        }
        await pause(20)
      }
    },
  }
}

/** The span's attributes. */
export function tagsOf(span: JaegerSpan): Record<string, string | number | boolean> {
  return Object.fromEntries(span.tags.map(({ key, value }) => [key, value]))
}

/** The id of the span that this one is a child of, in the same trace. */
export function parentOf(span: JaegerSpan): string | undefined {
  return span.references.find(({ refType }) => refType === 'CHILD_OF')?.spanID
}

/** The ids of the spans that this one is linked to. */
export function linksOf(span: JaegerSpan): string[] {
  return span.references.filter(({ refType }) => refType === 'FOLLOWS_FROM').map(({ spanID }) => spanID)
}

/** The trace as a tree of names and attributes, for messages. */
export function drawTrace(trace: JaegerTrace): string {
  const ids = new Set(trace.spans.map(({ spanID }) => spanID))
  const draw = (parent: string | undefined, depth: number): string[] =>
    trace.spans
      .filter((span) => {
        const above = parentOf(span)
        return (above !== undefined && ids.has(above) ? above : undefined) === parent
      })
      .toSorted((a, b) => a.startTime - b.startTime)
      .flatMap((span) => [
        `${'  '.repeat(depth)}${span.operationName} ${JSON.stringify(tagsOf(span))}`,
        ...draw(span.spanID, depth + 1),
      ])
  return draw(undefined, 0).join('\n')
}
