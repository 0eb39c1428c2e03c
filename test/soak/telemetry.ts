import type { Attributes, AttributeValue, Span, SpanContext, SpanOptions, SpanStatus, Tracer } from '@opentelemetry/api'
import { type Context, SpanStatusCode, type TracerProvider } from '@opentelemetry/api'
import type { CallRecord, Logger } from '../../src/index.ts'

let lastSpan = 0

/** A span that counts how often it is ended. */
export class CountedSpan implements Span {
  readonly name: string
  readonly attributes: Attributes
  status: SpanStatusCode = SpanStatusCode.UNSET
  ends = 0
  readonly #spans: CountedSpans
  readonly #context: SpanContext

  constructor(spans: CountedSpans, name: string, attributes: Attributes) {
    this.#spans = spans
    this.name = name
    this.attributes = { ...attributes }
    const id = (++lastSpan).toString(16).padStart(16, '0')
    this.#context = { traceId: `${id}${id}`, spanId: id, traceFlags: 1 }
  }

  spanContext(): SpanContext {
    return this.#context
  }

  setAttribute(key: string, value: AttributeValue): this {
    this.attributes[key] = value
    return this
  }

  setAttributes(attributes: Attributes): this {
    Object.assign(this.attributes, attributes)
    return this
  }

  setStatus({ code }: SpanStatus): this {
    this.status = code
    return this
  }

  addEvent(): this {
    return this
  }

  addLink(): this {
    return this
  }

  addLinks(): this {
    return this
  }

  updateName(): this {
    return this
  }

  recordException(): void {}

  isRecording(): boolean {
    return this.ends === 0
  }

  end(): void {
    this.ends++
    this.#spans.spanEnded(this)
  }
}

/** A provider in memory: what was started has to be ended, once. */
export class CountedSpans implements TracerProvider, Tracer {
  started = 0
  ended = 0
  endedTwice = 0
  /** Spans that are over, where they are kept. */
  readonly kept: CountedSpan[] | null

  constructor(keeps = false) {
    this.kept = keeps ? [] : null
  }

  getTracer(): Tracer {
    return this
  }

  startSpan(name: string, options: SpanOptions = {}): CountedSpan {
    this.started++
    return new CountedSpan(this, name, options.attributes ?? {})
  }

  startActiveSpan<F extends (span: Span) => unknown>(
    name: string,
    ...rest: [F] | [SpanOptions, F] | [SpanOptions, Context, F]
  ): ReturnType<F> {
    return (rest.at(-1) as F)(this.startSpan(name)) as ReturnType<F>
  }

  spanEnded(span: CountedSpan): void {
    if (span.ends > 1) {
      this.endedTwice++
      return
    }
    this.ended++
    this.kept?.push(span)
  }
}

/** A logger that counts. */
export class CountedRecords implements Logger {
  /** Records of whole calls. */
  calls = 0
  attempts = 0
  readonly kept: CallRecord[] | null

  constructor(keeps = false) {
    this.kept = keeps ? [] : null
  }

  debug(record: object): void {
    this.#take(record as CallRecord)
  }

  info(record: object): void {
    this.#take(record as CallRecord)
  }

  warn(record: object): void {
    this.#take(record as CallRecord)
  }

  error(record: object): void {
    this.#take(record as CallRecord)
  }

  #take(record: CallRecord): void {
    if (record.attempt === undefined) this.calls++
    else this.attempts++
    this.kept?.push(record)
  }
}
