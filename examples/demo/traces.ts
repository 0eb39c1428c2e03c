import type { SpanProcessor } from 'roundtripper/tracing'

export type EndedSpan = Parameters<SpanProcessor['onEnd']>[0]

/** The spans of one call: its own, and one for each attempt in order. */
export interface CallSpans {
  readonly call: EndedSpan
  readonly attempts: readonly EndedSpan[]
}

const enoughAttempts = 3

/** Keeps the spans of one call that is worth showing: one that came to a good end after several attempts. */
export class TraceCollector implements SpanProcessor {
  #best: CallSpans | undefined = undefined
  // By trace, until the span of the call ends.
  readonly #attempts = new Map<string, EndedSpan[]>()

  get best(): CallSpans | undefined {
    return this.#best
  }

  onStart(): void {}

  onEnd(span: EndedSpan): void {
    if ((this.#best?.attempts.length ?? 0) >= enoughAttempts) return
    const { traceId } = span.spanContext()
    const attempts = this.#attempts.get(traceId) ?? []
    if (span.parentSpanContext !== undefined) {
      this.#attempts.set(traceId, [...attempts, span])
      return
    }
    this.#attempts.delete(traceId)
    const endedWell = attempts.at(-1)?.attributes['http.response.status_code'] === 200
    if (endedWell && attempts.length > (this.#best?.attempts.length ?? 1)) this.#best = { call: span, attempts }
  }

  async forceFlush(): Promise<void> {}
  async shutdown(): Promise<void> {}
}

/** Milliseconds since 1970. */
function at([secondsPart, nanoseconds]: EndedSpan['startTime']): number {
  return secondsPart * 1_000 + nanoseconds / 1_000_000
}

/** The tree of a call, with a bar for when each span ran, `barWidth` characters for the whole call. */
export function treeLines({ call, attempts }: CallSpans, barWidth: number): string[] {
  const from = at(call.startTime)
  const whole = at(call.endTime) - from
  // The span of an attempt may end a little after that of its call.
  const column = (time: number) => Math.min(barWidth, Math.round(((time - from) / whole) * barWidth))
  const rows = [call, ...attempts].map((span, index) => {
    const branch = index === 0 ? '' : index === attempts.length ? '└─ ' : '├─ '
    const start = Math.min(column(at(span.startTime)), barWidth - 1)
    const length = Math.max(1, column(at(span.endTime)) - start)
    const bar = `${' '.repeat(start)}${(index === 0 ? '─' : '█').repeat(length)}`.padEnd(barWidth)
    const duration = `${(at(span.endTime) - at(span.startTime)).toFixed(1)} ms`
    return [branch + span.name, bar, duration, index === 0 ? ofCall(span) : ofAttempt(span)] as const
  })
  const nameWidth = Math.max(...rows.map(([name]) => name.length))
  const durationWidth = Math.max(...rows.map(([, , duration]) => duration.length))
  return rows.map(([name, bar, duration, what]) =>
    `${name.padEnd(nameWidth)}  ${bar}  ${duration.padStart(durationWidth)}  ${what}`.trimEnd(),
  )
}

function ofCall({ attributes }: EndedSpan): string {
  const backoff = Number(attributes['roundtripper.backoff_ms'] ?? 0)
  return `${attributes['roundtripper.attempts']} attempts, ${backoff.toFixed(1)} ms of backoff`
}

function ofAttempt({ attributes }: EndedSpan): string {
  const version = attributes['network.protocol.version']
  const backoff = attributes['roundtripper.backoff_ms']
  return [
    attributes['http.response.status_code'] ?? attributes['error.type'],
    version === undefined ? '' : `HTTP/${version}`,
    backoff === undefined ? '' : `after ${Number(backoff).toFixed(1)} ms of backoff`,
  ]
    .filter((part) => part !== '')
    .join(', ')
}
