import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { show } from '../policies/options.ts'
import type { Outcome } from '../policies/outcome.ts'
import { type RetryRequest, refusalToRepeat } from '../policies/retry.ts'
import type { Attempt } from './attempt.ts'
import type { Begun, CallPlan } from './call-plan.ts'
import { withoutCarried } from './carried.ts'
import { type CallScope, Exchange, type ScopedOptions, withScope } from './exchange.ts'
import { type FallbackAnswer, PreparedAnswer } from './fallback-answer.ts'
import { markFallback } from './fallback-mark.ts'
import type { FusedLevel, FusedRepeater } from './fused-plan.ts'
import { Drain, HoldingAttempt } from './holding-attempt.ts'
import { type FirstAttempt, RepeatingCall } from './repeating-call.ts'
import { requestOf } from './request-of.ts'

/** Where else an answer comes from. */
export type FallbackSource =
  | { readonly kind: 'value'; readonly answer: PreparedAnswer }
  | { readonly kind: 'function'; readonly respond: FallbackFunction }
  /** `dispatch`: of another dispatcher, with an edge above it; `null`: the layers below, on another origin. */
  | { readonly kind: 'upstream'; readonly dispatch: Dispatcher['dispatch'] | null; readonly origin: string | null }

/** Makes an answer, or `undefined` to leave things as they are. */
export type FallbackFunction = (
  outcome: Outcome,
  request: RetryRequest,
) => FallbackAnswer | undefined | PromiseLike<FallbackAnswer | undefined>

/** What all calls of one fallback() share, and `update()` changes. */
export interface FallbackPlan {
  source: FallbackSource
  replayLimit: number
  on: ((outcome: Outcome) => boolean | undefined) | undefined
  readonly tally: FallbackTally
}

/** Counts, by origin, what became of it. */
export interface FallbackTally {
  served(origin: string): void
  failed(origin: string): void
}

/** `false` where nothing may take the place of an outcome: it is the caller's own doing. */
function mayFallBack({ kind, phase }: Outcome): boolean {
  return kind !== 'cancelled' && kind !== 'invalid' && kind !== 'closed' && phase !== 'body'
}

function fallsBackByDefault({ kind }: Outcome): boolean {
  return kind !== 'success' && kind !== 'clientError'
}

class FallbackAttempt extends HoldingAttempt {
  // Whether something takes its place may be open for a while.
  protected override isHeld(status: number, headers: IncomingHttpHeaders): boolean {
    return (this.call as unknown as FallbackCall).replaces(this.judgeHead(status, headers))
  }

  protected override heldTooMuch(): void {
    this.inner?.pause()
  }
}

// A function of the user's may throw whatever it likes.
function nameOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  if (typeof code === 'string') return code
  return typeof name === 'string' ? name : show(error)
}

/** One call, and what takes the place of its answer where that is none. */
export class FallbackCall extends RepeatingCall<FallbackAttempt> implements FusedRepeater {
  private readonly falling: FallbackPlan
  /** The attempt whose outcome is to be replaced; `null` before there is one. */
  private original: FallbackAttempt | null = null
  /** The call to another upstream: another exchange, whose time and attempts are its own. */
  private elsewhere: Exchange | null = null
  // The deadline of the layers above; one below is over with what it bounded.
  private deadlineAt = 0
  private judged: Outcome | null = null
  private isReplaced = false

  constructor(
    plan: CallPlan,
    falling: FallbackPlan,
    given: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(plan, given, handler, scope, owns)
    this.falling = falling
  }

  get idempotent(): boolean {
    return this.marked
  }

  override get sent(): boolean {
    return this.original?.sent ?? false
  }

  protected override handOn(): boolean {
    const { exchange } = this.scope
    this.deadlineAt = exchange.deadlineAt
    if (this.falling.source.kind === 'upstream') this.recordBody(this.falling.replayLimit)
    return this.dispatchAttempt(new FallbackAttempt(this, exchange, this.scope))
  }

  adoptFirst(): FirstAttempt {
    const { exchange } = this.scope
    this.deadlineAt = exchange.deadlineAt
    return this.takeFirst(new FallbackAttempt(this, exchange, this.scope))
  }

  override takeOver(begun: Begun): void {
    super.takeOver(begun)
    const first = this.current as FallbackAttempt
    first.decided = begun.headSeen
  }

  /** Whether an attempt's outcome is the call's; if not, something else is, or will be. */
  accepts(asking: Attempt, outcome: Outcome): boolean {
    if (this.committed || this.ended || this.aborted) return true
    const attempt = asking as FallbackAttempt
    attempt.decided = true
    if (this.original !== null) return this.acceptsElsewhere(outcome)
    if (!this.replaces(outcome)) return true
    this.original = attempt
    attempt.discarded = true
    // Of a response there is more to come.
    if (attempt.held === null) attempt.finish()
    this.scope.exchange.deadlineAt = this.deadlineAt
    this.fallBack(outcome)
    return false
  }

  /** Whether something is to take the place of an outcome of the first attempt. */
  replaces(outcome: Outcome): boolean {
    if (this.original !== null || this.committed || this.aborted) return false
    // The user is asked once.
    if (this.judged !== outcome) {
      this.judged = outcome
      this.isReplaced = this.asksFor(outcome)
    }
    return this.isReplaced
  }

  private asksFor(outcome: Outcome): boolean {
    if (!mayFallBack(outcome) || this.opts.upgrade || this.opts.method === 'CONNECT') return false
    const byDefault = fallsBackByDefault(outcome)
    const { on } = this.falling
    if (on === undefined) return byDefault
    try {
      const verdict: unknown = this.scope.exchange.context.runInAsyncScope(on, undefined, outcome)
      return typeof verdict === 'boolean' ? verdict : byDefault
    } catch {
      return byDefault
    }
  }

  private fallBack(outcome: Outcome): void {
    const { source } = this.falling
    if (source.kind === 'value') this.answerWith(source.answer, source.kind)
    else if (source.kind === 'function') this.ask(source.respond, outcome)
    else this.goElsewhere(source.dispatch, source.origin)
  }

  private ask(respond: FallbackFunction, outcome: Outcome): void {
    try {
      const request = requestOf(this.opts, this.scope.origin)
      const made = this.scope.exchange.context.runInAsyncScope(respond, undefined, outcome, request)
      if (typeof (made as PromiseLike<unknown> | undefined)?.then === 'function') {
        Promise.resolve(made).then(
          (answer) => this.scope.exchange.run(this.made, this, answer),
          (error) => this.scope.exchange.run(this.giveOriginal, this, error),
        )
      } else {
        this.made(made as FallbackAnswer | undefined)
      }
    } catch (error) {
      this.giveOriginal(error)
    }
  }

  private made(answer: FallbackAnswer | undefined): void {
    if (answer === undefined) {
      this.giveOriginal(undefined)
      return
    }
    let prepared: PreparedAnswer
    try {
      prepared = new PreparedAnswer('fallback: the answer', answer)
    } catch (error) {
      this.giveOriginal(error)
      return
    }
    this.answerWith(prepared, 'function')
  }

  private answerWith(answer: PreparedAnswer, kind: string): void {
    if (this.committed || this.ended || this.aborted) return
    const original = this.original as FallbackAttempt
    this.note(kind)
    this.letGo(original)
    this.commit(original)
    this.scope.protocol = undefined
    if (this.context === null) this.start({})
    if (this.ended) return
    const made = answer.make(this.opts.method)
    markFallback(made.headers)
    made.giveTo(this)
  }

  // Something else is the answer.
  private letGo(original: FallbackAttempt): void {
    if (original.over) return
    if (original.isFull) {
      original.lose(new Error('the answer is not wanted'))
      return
    }
    original.held = null
    new Drain(original)
  }

  // Nothing took its place: the caller gets what there was.
  private giveOriginal(error: unknown): void {
    if (this.committed || this.ended || this.aborted) return
    const original = this.original as FallbackAttempt
    this.falling.tally.failed(this.scope.origin)
    if (error !== undefined) {
      this.scope.note('fallback.error', nameOf(error))
    }
    this.commit(original)
    if (original.held === null) this.onResponseError(original.inner, original.outcome?.error as Error)
    else original.giveHeld()
  }

  private note(kind: string): void {
    const { outcome } = this.original as FallbackAttempt
    this.falling.tally.served(this.scope.origin)
    this.scope.note('fallback', kind)
    this.scope.note('fallback.for', outcome?.status ?? outcome?.kind ?? 'unknown')
  }

  private goElsewhere(dispatch: Dispatcher['dispatch'] | null, origin: string | null): void {
    const refusal = refusalToRepeat(this)
    if (refusal !== null) {
      this.scope.note('fallback.refusal', refusal)
      this.giveOriginal(undefined)
      return
    }
    this.rewindBody()
    const { exchange } = this.scope
    const given = origin === null ? this.opts : withoutCarried({ ...this.opts, origin }, origin)
    const elsewhere = new Exchange(given, performance.now(), exchange.context)
    elsewhere.observer = exchange.observer
    elsewhere.previousTrace = exchange.previousTrace
    elsewhere.classify = exchange.classify
    elsewhere.priority = exchange.priority
    elsewhere.attempts = exchange.attempts
    elsewhere.attemptsBefore = exchange.attempts
    elsewhere.deadlineAt = this.deadlineAt
    this.elsewhere = elsewhere
    const attempt = new FallbackAttempt(this, elsewhere, elsewhere)
    this.current = attempt
    let opts = withScope(given, attempt)
    if (elsewhere.observer !== null) opts = elsewhere.observer.begin(attempt, opts)
    try {
      ;(dispatch ?? this.plan.dispatch)(opts, attempt)
    } catch (error) {
      attempt.onResponseError(null, error as Error)
    }
    elsewhere.runningAt = 0
  }

  private acceptsElsewhere({ error, status }: Outcome): boolean {
    this.countElsewhere()
    // A foreign layer may have made an error of a response.
    if (status === undefined || error !== undefined) {
      this.current?.finish()
      this.giveOriginal(error)
      return false
    }
    this.note('upstream')
    this.letGo(this.original as FallbackAttempt)
    return true
  }

  override commit(attempt: FallbackAttempt): void {
    super.commit(attempt)
    const { elsewhere } = this
    if (elsewhere === null || attempt.exchange !== elsewhere) return
    if (attempt.outcome?.headers !== undefined) markFallback(attempt.outcome.headers)
  }

  private countElsewhere(): void {
    if (this.elsewhere !== null) this.scope.exchange.attempts = this.elsewhere.attempts
  }

  override stop(reason: Error): void {
    const { original } = this
    this.countElsewhere()
    super.stop(reason)
    if (this.aborted && !this.committed) original?.lose(reason)
  }

  protected override finish(): void {
    super.finish()
    if (this.elsewhere !== null) this.elsewhere.done = true
  }
}

/** One fallback() in its place in a chain. */
export class FallbackLevel implements FusedLevel {
  readonly plan: CallPlan
  readonly isPassive = true
  readonly races = false
  readonly budget = null
  private readonly falling: FallbackPlan

  constructor(plan: CallPlan, falling: FallbackPlan) {
    this.plan = plan
    this.falling = falling
  }

  fits(): boolean {
    return this.falling.on === undefined
  }

  begins(): null {
    return null
  }

  answered(): void {}

  callOf(given: ScopedOptions, handler: Dispatcher.DispatchHandler, scope: CallScope, owns: boolean): FallbackCall {
    return new FallbackCall(this.plan, this.falling, given, handler, scope, owns)
  }
}
