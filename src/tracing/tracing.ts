import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from '@opentelemetry/api'
import { checkUnreadBodyTimeout } from '../dispatchers/bulkhead.ts'
import type { AttemptObserver, CallScope, Exchange, ScopedOptions } from '../dispatchers/exchange.ts'
import { stageLayer } from '../dispatchers/guard.ts'
import type { GuardedCall, Stage } from '../dispatchers/guarded-call.ts'
import type { Layer } from '../dispatchers/relay.ts'
import { unreadBodyTimeout } from '../dispatchers/unread-body.ts'
import { checkBoolean, checkFunction, checkOptions } from '../policies/options.ts'
import type { Outcome } from '../policies/outcome.ts'
import type { Permit } from '../policies/policy.ts'
import { endAttributes, errorTypeOf, methodOf, requestAttributes } from './attributes.ts'
import { injectContext } from './inject.ts'

/** What `urlTemplate` is shown of a request. */
export interface TemplatedRequest {
  readonly method: string
  readonly origin: string
  readonly path: string
}

/** Options of {@link tracing}. */
export interface TracingOptions {
  /**
   * Where spans come from.
   * @default the global provider, which `startTracing()` sets
   */
  readonly tracerProvider?: TracerProvider
  /**
   * The low-cardinality form of a URL's path (`/users/{id}`), for span names and `url.template`. A call's own
   * `resilience: { urlTemplate }` comes first.
   * @default none
   */
  readonly urlTemplate?: (request: TemplatedRequest) => string | undefined
  /**
   * Whether a call has a span of its own (INTERNAL) above its attempts also where the caller has one active. Without an
   * active span it always has.
   * @default false
   */
  readonly callSpan?: boolean
  /**
   * Milliseconds after which the span of a call whose body nobody reads ends; `false`: not before the body does.
   * @default 30_000
   */
  readonly unreadBodyTimeout?: number | false
}

/** Defaults of {@link tracing}. */
export const tracingDefaults = { callSpan: false, unreadBodyTimeout } as const

// The key under which every copy of the OpenTelemetry API keeps what an SDK registered. Looked at directly, because it
// is what tells "no SDK" in nanoseconds; a call then pays nothing else.
const registered = Symbol.for('opentelemetry.js.api.1')

function hasSdk(): boolean {
  return (globalThis as { [registered]?: { trace?: unknown } })[registered]?.trace !== undefined
}

/** The span of one attempt, kept on its scope. */
class AttemptTrace {
  readonly span: Span
  readonly context: Context
  ended = false

  constructor(span: Span, parent: Context) {
    this.span = span
    this.context = trace.setSpan(parent, span)
  }

  end(scope: CallScope, outcome: Outcome): void {
    if (this.ended) return
    this.ended = true
    const { span } = this
    if (span.isRecording()) {
      span.setAttributes(endAttributes(scope, outcome))
      finish(span, scope, outcome)
    }
    span.end()
  }
}

function finish(span: Span, scope: CallScope, outcome: Outcome): void {
  if (scope.bodyUnread) span.addEvent('body.unread')
  const errorType = errorTypeOf(outcome)
  if (errorType === undefined) return
  span.setAttribute('error.type', errorType)
  if (outcome.error instanceof Error) {
    span.recordException(outcome.error)
    span.setStatus({ code: SpanStatusCode.ERROR, message: outcome.error.message })
  } else {
    span.setStatus({ code: SpanStatusCode.ERROR })
  }
}

/**
 * The spans of one call. The first attempt's is begun at once, so that there is one also if no layer below makes
 * attempts, or the call is refused before it gets there; whoever forks the first attempt adopts it.
 */
class CallTrace implements Permit, AttemptObserver {
  readonly #tracer: Tracer
  readonly #options: TracingOptions
  readonly #parent: Context
  readonly #callSpan: Span | null
  readonly #first: AttemptTrace
  #adopted = false

  constructor(tracer: Tracer, options: TracingOptions, scope: CallScope, call: GuardedCall) {
    this.#tracer = tracer
    this.#options = options
    const active = context.active()
    const caller = trace.getSpanContext(active)
    const hasCaller = caller !== undefined && isSpanContextValid(caller)
    if (scope.number === 0 && (!hasCaller || options.callSpan === true)) {
      const name = `${methodOf(scope.exchange.method).name} call`
      this.#callSpan = tracer.startSpan(name, { kind: SpanKind.INTERNAL }, active)
      this.#parent = trace.setSpan(active, this.#callSpan)
      noteIds(scope, this.#callSpan)
    } else {
      this.#callSpan = null
      this.#parent = active
    }
    this.#first = this.#startAttempt(scope, call.opts, Math.max(scope.number, scope.exchange.attempts + 1))
    if (this.#callSpan === null) noteIds(scope, this.#first.span)
    call.opts = injectContext(this.#first.context, call.opts)
  }

  begin(attempt: CallScope, opts: ScopedOptions): ScopedOptions {
    if (!this.#adopted) {
      // Its options already carry the context.
      this.#adopted = true
      attempt.trace = this.#first
      noteIds(attempt, this.#first.span)
      return opts
    }
    const started = this.#startAttempt(attempt, opts, attempt.number)
    attempt.trace = started
    noteIds(attempt, started.span)
    return injectContext(started.context, opts)
  }

  end(attempt: CallScope): void {
    if (attempt.trace instanceof AttemptTrace && attempt.outcome !== null) attempt.trace.end(attempt, attempt.outcome)
  }

  settle(outcome: Outcome, scope: CallScope): void {
    const { exchange } = scope
    // An attempt whose body nobody reads is told by its call.
    if (scope.bodyUnread && exchange.previousTrace instanceof AttemptTrace) exchange.previousTrace.end(scope, outcome)
    if (!this.#adopted) this.#first.end(scope, outcome)
    if (this.#callSpan === null) return
    if (this.#callSpan.isRecording()) {
      this.#callSpan.setAttributes(callAttributes(exchange))
      finish(this.#callSpan, scope, outcome)
    }
    this.#callSpan.end()
  }

  #startAttempt(scope: CallScope, opts: ScopedOptions, number: number): AttemptTrace {
    const { exchange } = scope
    const template = this.#templateOf(scope, opts)
    const { name } = methodOf(exchange.method)
    const previous = exchange.previousTrace
    const span = this.#tracer.startSpan(
      template === undefined ? name : `${name} ${template}`,
      {
        kind: SpanKind.CLIENT,
        attributes: requestAttributes(scope, opts, template, number),
        ...(previous instanceof AttemptTrace ? { links: [{ context: previous.span.spanContext() }] } : null),
      },
      this.#parent,
    )
    const started = new AttemptTrace(span, this.#parent)
    exchange.previousTrace = started
    return started
  }

  #templateOf({ exchange, origin }: CallScope, opts: ScopedOptions): string | undefined {
    const own = opts.resilience?.urlTemplate
    if (own !== undefined) return own
    try {
      return this.#options.urlTemplate?.({ method: exchange.method, origin, path: exchange.path })
    } catch {
      // A template is decoration: without one the span is named by its method.
      return undefined
    }
  }
}

function noteIds(scope: CallScope, span: Span): void {
  const { traceId, spanId } = span.spanContext()
  scope.traceId = traceId
  scope.spanId = spanId
}

function callAttributes({ attempts, backoffMs, notes }: Exchange): Attributes {
  const attributes: Attributes = { 'roundtripper.attempts': attempts }
  if (backoffMs > 0) attributes['roundtripper.backoff_ms'] = backoffMs
  for (const [name, value] of notes ?? []) attributes[`roundtripper.${name}`] = value
  return attributes
}

class Tracing implements Stage {
  readonly name = 'tracing'
  readonly unreadBodyTimeout: number
  readonly #options: TracingOptions

  constructor(options: TracingOptions) {
    this.#options = options
    this.unreadBodyTimeout = checkUnreadBodyTimeout('tracing', options.unreadBodyTimeout)
  }

  acquire(scope: CallScope, call: GuardedCall): Permit | null {
    const { tracerProvider } = this.#options
    if (tracerProvider === undefined && !hasSdk()) return null
    const tracer = (tracerProvider ?? trace.getTracerProvider()).getTracer('roundtripper')
    const traced = new CallTrace(tracer, this.#options, scope, call)
    if (scope.number === 0) scope.exchange.addObserver(traced)
    return traced
  }
}

/**
 * Makes one CLIENT span per attempt, child of the span that is active where the call is made, by the stable HTTP
 * semantic conventions; the same context goes out as `traceparent`. A span ends with its body. Attempts of one call share
 * one trace and are linked to one another; where the caller has no span, the call gets one. A call that is refused
 * before it is sent leaves a span that says why.
 *
 * Place it outermost. Needs only the OpenTelemetry API: without an SDK it does nothing, at next to no cost.
 *
 * @throws TypeError, RangeError for options that are out of range.
 */
export function tracing(options: TracingOptions = {}): Layer {
  checkOptions('tracing', options, ['tracerProvider', 'urlTemplate', ...Object.keys(tracingDefaults)])
  if (options.urlTemplate !== undefined) checkFunction('tracing: urlTemplate', options.urlTemplate)
  if (options.callSpan !== undefined) checkBoolean('tracing: callSpan', options.callSpan)
  if (options.tracerProvider !== undefined) {
    checkFunction('tracing: tracerProvider.getTracer', (options.tracerProvider as Partial<TracerProvider>)?.getTracer)
  }
  return stageLayer({ name: 'tracing', stages: [new Tracing(options)] })
}
