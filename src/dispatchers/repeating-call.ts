import type { Dispatcher } from 'undici'
import type { Outcome } from '../policies/outcome.ts'
import type { Attempt } from './attempt.ts'
import type { AttemptObserver } from './attempt-observer.ts'
import type { CallPlan } from './call-plan.ts'
import { type Carried, carryOn } from './carried.ts'
import { type CallScope, kScope, type ScopedOptions, withScope } from './exchange.ts'
import { GuardedCall } from './guarded-call.ts'
import { headerOf } from './headers.ts'
import { type BodyBranch, type RecordedBody, recordBody } from './replay.ts'

/** Whether the caller marked a request as one that may be repeated. */
export function isMarked({ idempotent, resilience, headers }: ScopedOptions): boolean {
  return idempotent === true || resilience?.idempotent === true || headerOf(headers, 'idempotency-key') !== undefined
}

/** The first attempt of a call, and what it was sent with. */
export interface FirstAttempt {
  readonly attempt: Attempt
  readonly opts: ScopedOptions
}

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
  private body: RecordedBody | BodyBranch | null = null
  // The same, unless a layer further out that repeats has recorded it already.
  private ownBody: RecordedBody | null = null

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

  protected get marked(): boolean {
    return isMarked(this.opts)
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

  override carry(headers: NonNullable<ScopedOptions['headers']>, carried: Carried): void {
    const { copy, given } = this
    if (copy === null || this.opts !== copy) super.carry(headers, carried)
    else {
      // What the first attempt is sent with, and what the others are made of: both are copies of the caller's options.
      carryOn(copy, headers, carried)
      carryOn(given, headers, carried)
    }
  }

  /** Sees to it that every attempt can have the body anew. */
  protected recordBody(limit: number): void {
    const body = recordBody(this.opts, this.scope.exchange, limit)
    this.body = body
    if (body === null || body === (this.opts.body as unknown)) return
    this.ownBody = body as RecordedBody
    this.opts = { ...this.opts, body } as unknown as ScopedOptions
  }

  /** Nothing more of the body is read for the attempt so far. */
  protected rewindBody(): void {
    this.body?.rewind()
  }

  protected dispatchAttempt(attempt: A): boolean {
    const { scope } = this
    const { observer } = scope.exchange
    this.current = attempt
    scope.branch(attempt)
    let opts = this.optsFor(attempt)
    if (observer !== null) opts = this.observe(observer, attempt, opts)
    try {
      return this.plan.dispatch(opts, attempt)
    } catch (error) {
      attempt.onResponseError(null, error as Error)
      return true
    }
  }

  /** A fused call has sent the first attempt already. */
  protected takeFirst(attempt: A): FirstAttempt {
    this.current = attempt
    this.scope.branch(attempt)
    return { attempt, opts: this.optsFor(attempt) }
  }

  private observe(observer: AttemptObserver, attempt: A, opts: ScopedOptions): ScopedOptions {
    const { scope } = this
    if (attempt.number !== scope.number) return observer.begin(attempt, opts)
    observer.goOn(attempt, scope)
    return opts
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
    this.scope.decidedBy = attempt
    if (this.committed) return
    this.committed = true
    this.scope.noteQueued(attempt.queuedMs)
    this.ownBody?.release()
  }

  override stop(reason: Error): void {
    if (this.aborted || this.ended) return
    this.scope.abortedAs ??= 'cancelled'
    const attempt = this.current
    if (attempt !== null) this.markAborted(attempt)
    super.stop(reason)
    if (attempt !== null) this.endAborted(attempt, reason)
  }

  protected markAborted(attempt: A): void {
    if (!attempt.over && !attempt.discarded) attempt.abortedAs = this.scope.abortedAs
  }

  protected endAborted(attempt: A, reason: Error): void {
    if (attempt.over) return
    // Nobody below could answer yet: what still comes for the attempt finds it over.
    if (attempt.outcome === null) attempt.judgeError(reason, false)
    attempt.finish()
  }

  protected override finish(): void {
    super.finish()
    if (this.ownBody === null) return
    if (this.aborted || this.scope.outcome?.error !== undefined) this.ownBody.abandon()
    else this.ownBody.end()
  }
}
