import {
  type Context,
  context,
  createTraceState,
  INVALID_TRACEID,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { currentContext } from '../context/request-context.ts'
import type { AttemptObserver } from '../dispatchers/attempt-observer.ts'
import type { CallScope, Exchange, ScopedOptions } from '../dispatchers/exchange.ts'
import type { GuardedCall } from '../dispatchers/guarded-call.ts'
import type { Outcome } from '../policies/outcome.ts'
import type { Permit } from '../policies/policy.ts'
import { errorTypeOf, methodOf, requestAttributes, setEnd, setNotes } from './attributes.ts'
import { injectedHeaders, type RequestHeaders } from './inject.ts'

/** What `urlTemplate` is shown of a request. */
export interface TemplatedRequest {
  readonly method: string
  readonly origin: string
  readonly path: string
}

/** What the spans of a call need to know of their layer. */
export interface TraceSettings {
  readonly urlTemplate: ((request: TemplatedRequest) => string | undefined) | undefined
  readonly callSpan: boolean
  /** Told of what a tracer, a processor or a propagator threw: that is nobody's failure but theirs. */
  failed(error: unknown): void
}

// An id is either one that somebody made or the API's own constant for none; checking its digits costs a microsecond.
function hasSpan(parent: Context): boolean {
  const span = trace.getSpanContext(parent)
  return span !== undefined && span.traceId !== INVALID_TRACEID
}

/** The caller's context; where it has no span, one with the trace that the request it serves has come with. */
function withReceivedTrace(active: Context): Context {
  const served = currentContext()
  if (served?.traceparent === undefined || hasSpan(active)) return active
  const [, traceId = '', spanId = '', flags = ''] = served.traceparent.split('-')
  const received: SpanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
  if (served.tracestate !== undefined) received.traceState = createTraceState(served.tracestate)
  return trace.setSpanContext(active, received)
}

/** The span of one attempt. */
class AttemptTrace {
  readonly span: Span
  readonly parent: Context
  readonly number: number
  /** Whose outcome it shows: the call's, until whoever makes attempts adopts it. */
  scope: CallScope
  /** Milliseconds the call had waited in queues before its first attempt was forked; the span began before that. */
  queuedBefore = 0
  private ended = false

  constructor(span: Span, parent: Context, number: number, scope: CallScope) {
    this.span = span
    this.parent = parent
    this.number = number
    this.scope = scope
  }

  get over(): boolean {
    return this.ended
  }

  // Made when it is asked for, which is once: kept, it would be a map and three functions for as long as the call lasts.
  get context(): Context {
    return trace.setSpan(this.parent, this.span)
  }

  end(outcome: Outcome, bodyUnread: boolean, callNotes: CallScope['notes']): void {
    if (this.ended) return
    this.ended = true
    const { span, scope } = this
    if (span.isRecording()) {
      setNotes(span, callNotes)
      setEnd(span, scope, outcome, this.queuedBefore)
      finish(span, outcome, bodyUnread || scope.bodyUnread)
    }
    span.end()
  }
}

function finish(span: Span, outcome: Outcome, bodyUnread: boolean): void {
  if (bodyUnread) span.addEvent('body.unread')
  const errorType = errorTypeOf(outcome)
  if (errorType === undefined) return
  span.setAttribute('error.type', errorType)
  const { error, kind } = outcome
  if (error instanceof Error && kind !== 'cancelled') {
    span.recordException(error)
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
  } else {
    span.setStatus({ code: SpanStatusCode.ERROR })
  }
}

function noteIds(scope: CallScope, { traceId, spanId }: SpanContext): void {
  scope.traceId = traceId
  scope.spanId = spanId
}

/**
 * The spans of one call. The first attempt's is begun at once, so that there is one also if no layer below makes
 * attempts, or the call is refused before it gets there; whoever forks the first attempt adopts it.
 */
export class CallTrace implements Permit, AttemptObserver {
  private readonly tracer: Tracer
  private readonly settings: TraceSettings
  private readonly parent: Context
  private readonly callSpan: Span | null
  private readonly first: AttemptTrace
  private adopted = false
  private isOver = false

  private constructor(tracer: Tracer, settings: TraceSettings, scope: CallScope, call: GuardedCall) {
    const { exchange } = scope
    this.tracer = tracer
    this.settings = settings
    let parent = withReceivedTrace(context.active())
    let callSpan: Span | null = null
    const before = exchange.previousTrace
    if (before instanceof AttemptTrace && (scope.number === 0 || before.scope === scope)) {
      // A foreign layer above sends the request on once more (a redirect, undici's retry), from the async context of
      // whatever connection told it to.
      parent = before.parent
    } else if (scope.number === 0) {
      if (settings.callSpan || !hasSpan(parent)) {
        callSpan = tracer.startSpan(`${methodOf(exchange.method).name} call`, { kind: SpanKind.INTERNAL }, parent)
        parent = trace.setSpan(parent, callSpan)
      }
    } else if (before instanceof AttemptTrace && !hasSpan(parent)) {
      // Inside a retry nobody can make a span of the call: the first attempt's keeps the later ones in its trace.
      parent = hasSpan(before.parent) ? before.parent : before.context
    }
    this.callSpan = callSpan
    this.parent = parent
    const isFork = scope.number > 0 && !(before instanceof AttemptTrace && before.scope === scope)
    const number = isFork ? scope.number : before instanceof AttemptTrace ? before.number + 1 : 1
    this.first = this.start(scope, call.opts, number)
  }

  /** Begins the spans of a call, or `null` where nothing is to be traced: the caller's context suppresses it. */
  static begin(tracer: Tracer, settings: TraceSettings, scope: CallScope, call: GuardedCall): CallTrace | null {
    const traced = new CallTrace(tracer, settings, scope, call)
    const ids = traced.first.span.spanContext()
    if (ids.traceId === INVALID_TRACEID) {
      scope.exchange.previousTrace = null
      return null
    }
    // Who logs the call names its own span, or the attempt that decided it.
    noteIds(scope, traced.callSpan === null ? ids : traced.callSpan.spanContext())
    const headers = traced.inject(traced.first, call.opts)
    if (headers !== null) call.setHeaders(headers)
    scope.trace = traced
    if (scope.number === 0) scope.exchange.addObserver(traced)
    return traced
  }

  /** Whether the spans have ended; a later dispatch of the same call then begins others. */
  get over(): boolean {
    return this.isOver
  }

  begin(attempt: CallScope, opts: ScopedOptions): ScopedOptions {
    if (this.isOver) return opts
    try {
      return this.beginAttempt(attempt, opts)
    } catch (error) {
      this.settings.failed(error)
      return opts
    }
  }

  private beginAttempt(attempt: CallScope, opts: ScopedOptions): ScopedOptions {
    if (!this.adopted) {
      // Its options already carry the context, and the call its ids.
      this.adopted = true
      this.first.scope = attempt
      this.first.queuedBefore = attempt.exchange.queuedMs
      attempt.trace = this.first
      noteIds(attempt, this.first.span.spanContext())
      return opts
    }
    const traced = this.start(attempt, opts, attempt.number)
    attempt.trace = traced
    const ids = traced.span.spanContext()
    noteIds(attempt, ids)
    if (this.callSpan === null) noteIds(attempt.exchange, ids)
    const headers = this.inject(traced, opts)
    return headers === null ? opts : { ...opts, headers }
  }

  goOn(attempt: CallScope, outer: CallScope): void {
    const { trace: traced } = outer
    if (!(traced instanceof AttemptTrace)) return
    traced.scope = attempt
    attempt.trace = traced
    noteIds(attempt, traced.span.spanContext())
  }

  private inject(traced: AttemptTrace, opts: ScopedOptions): RequestHeaders | null {
    try {
      return injectedHeaders(traced.context, opts.headers)
    } catch (error) {
      this.settings.failed(error)
      return null
    }
  }

  end(attempt: CallScope): void {
    const { trace: traced, outcome } = attempt
    if (!(traced instanceof AttemptTrace) || outcome === null) return
    try {
      traced.end(outcome, false, attempt.discarded ? null : this.notesOf(attempt.exchange))
    } catch (error) {
      this.settings.failed(error)
    }
  }

  settle(outcome: Outcome, scope: CallScope): void {
    this.isOver = true
    try {
      this.settleSpans(outcome, scope)
    } catch (error) {
      this.settings.failed(error)
    }
  }

  private settleSpans(outcome: Outcome, scope: CallScope): void {
    const { exchange, bodyUnread } = scope
    if (!this.adopted) this.first.end(outcome, bodyUnread, null)
    else if (bodyUnread) {
      // The attempt itself hears of nothing until its body ends, which may be never.
      const { trace: traced } = scope.decisive
      if (traced instanceof AttemptTrace) traced.end(outcome, true, this.notesOf(exchange))
    }
    const span = this.callSpan
    if (span === null) return
    if (span.isRecording()) {
      span.setAttribute('roundtripper.attempts', exchange.attempts)
      if (exchange.backoffMs > 0) span.setAttribute('roundtripper.backoff_ms', exchange.backoffMs)
      setNotes(span, exchange.notes)
      finish(span, outcome, bodyUnread)
    }
    span.end()
  }

  // What is left about the call stands on its span; where it has none, on the attempt that decided it.
  private notesOf(exchange: Exchange): CallScope['notes'] {
    return this.callSpan === null ? exchange.notes : null
  }

  private start(scope: CallScope, opts: ScopedOptions, number: number): AttemptTrace {
    const { exchange } = scope
    const template = this.templateOf(scope, opts)
    const { name } = methodOf(opts.method)
    const previous = exchange.previousTrace
    const attributes = requestAttributes(scope, opts, template, number)
    const span = this.tracer.startSpan(
      template === undefined ? name : `${name} ${template}`,
      previous instanceof AttemptTrace
        ? { kind: SpanKind.CLIENT, attributes, links: [{ context: previous.span.spanContext() }] }
        : { kind: SpanKind.CLIENT, attributes },
      this.parent,
    )
    const started = new AttemptTrace(span, this.parent, number, scope)
    exchange.previousTrace = started
    return started
  }

  private templateOf({ origin }: CallScope, opts: ScopedOptions): string | undefined {
    let template: unknown = opts.resilience?.urlTemplate
    if (template === undefined) {
      try {
        template = this.settings.urlTemplate?.({ method: opts.method, origin, path: opts.path })
      } catch {
        // A template is decoration: without one the span is named by its method.
      }
    }
    return typeof template === 'string' && template !== '' ? template : undefined
  }
}

/** Whether spans of this scope are under way, so that another tracing layer further in has nothing to add. */
export function isTraced(scope: CallScope): boolean {
  const { trace: traced } = scope
  return (traced instanceof CallTrace || traced instanceof AttemptTrace) && !traced.over
}
