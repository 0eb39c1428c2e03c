import type { Dispatcher } from 'undici'
import type { Outcome } from '../policies/outcome.ts'
import type { Attempt } from './attempt.ts'
import type { CallPlan } from './call-plan.ts'
import { type CallScope, kScope, type ScopedOptions, withScope } from './exchange.ts'
import { GuardedCall } from './guarded-call.ts'
import { headerOf } from './headers.ts'
import { type RecordedBody, recordBody } from './replay.ts'

/**
 * A call that may be sent more than once, one attempt at a time: what every layer that repeats has in common. Who
 * extends it decides whether, and when.
 */
export abstract class RepeatingCall<A extends Attempt = Attempt> extends GuardedCall {
  protected current: A | null = null
  /** An attempt's answer, or failure, is the call's. */
  committed = false
  private readonly given: ScopedOptions
  private readonly copy: ScopedOptions | null
  private body: RecordedBody | null = null
  // A layer further out that repeats may have recorded it already.
  private ownsBody = false

  constructor(
    plan: CallPlan,
    given: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    const opts = owns ? withScope(given, scope) : given
    super(plan, opts, handler, scope, owns)
    this.given = given
    this.copy = owns ? opts : null
  }

  /** Whether an attempt's outcome is the call's. */
  abstract accepts(attempt: Attempt, outcome: Outcome): boolean

  get method(): string {
    return this.opts.method
  }

  /** Whether the caller marked the request as one that may be repeated. */
  protected get marked(): boolean {
    const { opts } = this
    return (
      opts.idempotent === true ||
      opts.resilience?.idempotent === true ||
      headerOf(opts.headers, 'idempotency-key') !== undefined
    )
  }

  get replayable(): boolean {
    return this.body?.replayable ?? true
  }

  get sent(): boolean {
    return this.current?.sent ?? false
  }

  get remaining(): number {
    const { exchange } = this.scope
    return exchange.deadlineAt - exchange.now()
  }

  /** Sees to it that every attempt can have the body anew. */
  protected recordBody(limit: number): void {
    this.body = recordBody(this.opts, this.scope.exchange, limit)
    this.ownsBody = this.body !== null && this.body !== (this.opts.body as unknown)
    if (this.ownsBody) this.opts = { ...this.opts, body: this.body } as unknown as ScopedOptions
  }

  /** Nothing more of the body is read for the attempt so far. */
  protected rewindBody(): void {
    this.body?.rewind()
  }

  protected dispatchAttempt(attempt: A): boolean {
    const { observer } = this.scope.exchange
    this.current = attempt
    let opts = this.optsFor(attempt)
    if (observer !== null) opts = observer.begin(attempt, opts)
    try {
      return this.plan.dispatch(opts, attempt)
    } catch (error) {
      attempt.onResponseError(null, error as Error)
      return true
    }
  }

  // A copy each time: a foreign layer may write to what it is handed. The one made for this very call serves the first.
  protected optsFor(attempt: A): ScopedOptions {
    const { opts } = this
    if (opts !== this.copy) return withScope(opts, attempt)
    this.opts = this.given
    opts[kScope] = attempt
    return opts
  }

  /** The attempt's answer, or failure, is the call's: nothing else will be sent. */
  commit(attempt: Attempt): void {
    this.scope.adopt(attempt)
    if (this.committed) return
    this.committed = true
    this.scope.queuedMs += attempt.queuedMs
    if (this.ownsBody) this.body?.release()
  }

  override stop(reason: Error): void {
    if (this.aborted || this.ended) return
    this.scope.abortedAs ??= 'cancelled'
    const attempt = this.current
    if (attempt !== null && !attempt.over && !attempt.discarded) attempt.abortedAs = this.scope.abortedAs
    super.stop(reason)
    if (attempt === null || attempt.over) return
    // Nobody below could answer yet: what still comes for the attempt finds it over.
    if (attempt.outcome === null) attempt.judgeError(reason, false)
    attempt.finish()
  }

  protected override finish(): void {
    super.finish()
    if (this.body === null || !this.ownsBody) return
    if (this.aborted || this.scope.outcome?.error !== undefined) this.body.abandon()
    else this.body.end()
  }
}
