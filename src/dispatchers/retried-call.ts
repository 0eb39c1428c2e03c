import type { Dispatcher } from 'undici'
import type { Backoff } from '../policies/backoff.ts'
import { isSuccess, type Outcome } from '../policies/outcome.ts'
import type { RetryContext, RetryPolicy, RetryRefusal } from '../policies/retry.ts'
import type { RetryBudget } from '../policies/retry-budget.ts'
import { Attempt } from './attempt.ts'
import type { CallPlan } from './call-plan.ts'
import type { CallScope, ScopedOptions } from './exchange.ts'
import type { FusedLevel, FusedRepeater } from './fused-plan.ts'
import { type FirstAttempt, RepeatingCall } from './repeating-call.ts'
import { requestOf } from './request-of.ts'
import { failByDeadline } from './running-deadline.ts'

/** What all calls of one retry() share, and `update()` changes. */
export interface RetryPlan {
  policy: RetryPolicy
  replayLimit: number
  asksUser: boolean
  budget: RetryBudget | null
  /** Told of every attempt after the first, and of every one that the budget forbids. */
  readonly tally: RetryTally
}

/** Counts retries, per origin. */
export interface RetryTally {
  retried(origin: string): void
  forbidden(origin: string): void
}

/**
 * One call and all its attempts, of which at most one is under way. It is the guard of the stages above it as well: they
 * are asked once a call, then the first attempt is sent.
 */
export class RetriedCall extends RepeatingCall implements RetryContext, FusedRepeater {
  attempt = 0
  backoff: Backoff | null = null
  refusal: RetryRefusal | null = null

  private readonly repeat: RetryPlan
  private timer: NodeJS.Timeout | undefined = undefined
  private dueAt = 0

  constructor(
    plan: CallPlan,
    repeat: RetryPlan,
    given: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(plan, given, handler, scope, owns)
    this.repeat = repeat
  }

  get idempotent(): boolean {
    return this.marked || this.repeat.policy.marks(() => requestOf(this.opts, this.scope.origin))
  }

  protected override handOn(): boolean {
    const { policy, replayLimit } = this.repeat
    const { exchange } = this.scope
    exchange.retries = Math.max(exchange.retries, policy.maxAttempts - 1)
    if (policy.maxAttempts > 1) this.recordBody(replayLimit)
    return this.send(0)
  }

  adoptFirst(): FirstAttempt {
    const { exchange } = this.scope
    exchange.retries = Math.max(exchange.retries, this.repeat.policy.maxAttempts - 1)
    this.attempt++
    return this.takeFirst(new Attempt(this, exchange, this.scope))
  }

  private send(backoffBefore: number): boolean {
    const attempt = new Attempt(this, this.scope.exchange, this.scope)
    attempt.backoffBefore = backoffBefore
    this.attempt++
    return this.dispatchAttempt(attempt)
  }

  // Told when an attempt is admitted or begins to wait. A call that is refused at once is no load, and allows no retries.
  override onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    const { budget } = this.repeat
    if (budget !== null) this.scope.exchange.countIn(budget, this.scope)
    super.onRequestStart(controller, context)
  }

  /** Whether an outcome is the call's; if not, the next attempt is on its way. */
  accepts(attempt: Attempt, outcome: Outcome): boolean {
    if (this.committed || this.ended || this.aborted) return true
    const { policy, asksUser, budget } = this.repeat
    if (outcome.kind === 'success' && !asksUser) {
      if (budget !== null && !attempt.forked) budget.record(attempt, false)
      return true
    }
    let delay = this.scope.exchange.context.runInAsyncScope(policy.decide, policy, outcome, this)
    if (delay >= 0 && !this.scope.exchange.mayRepeat) {
      this.refusal = 'exhausted'
      delay = -1
    }
    if (budget !== null) {
      if (!attempt.forked) recordIn(budget, attempt, outcome, this.refusal)
      if (delay >= 0 && !budget.withdraw(this.scope, this.scope.exchange.now())) {
        this.refusal = 'budget'
        this.repeat.tally.forbidden(this.scope.origin)
        delay = -1
      }
    }
    if (delay < 0) {
      if (this.refusal !== null && outcome.kind !== 'success') this.scope.note('retry.refusal', this.refusal)
      return true
    }
    this.repeat.tally.retried(this.scope.origin)
    attempt.discarded = true
    this.scope.exchange.lastError = outcome.error
    this.scope.noteQueued(attempt.queuedMs)
    this.rewindBody()
    this.backOff(delay)
    return false
  }

  private backOff(delay: number): void {
    const { exchange } = this.scope
    exchange.backoffMs += delay
    exchange.backingOff++
    this.dueAt = performance.now() + delay
    this.timer = setTimeout(wake, Math.ceil(delay), this, delay)
  }

  /** The backoff is over. */
  wake(delay: number): void {
    const early = this.dueAt - performance.now()
    if (early > 0) {
      // setTimeout may be a fraction of a millisecond early, and what a server asked for is not to be cut short.
      this.timer = setTimeout(wake, Math.ceil(early), this, delay)
      return
    }
    this.timer = undefined
    this.scope.exchange.backingOff--
    this.current?.giveUp(new Error('the answer is not wanted'))
    const { exchange } = this.scope
    if (this.remaining > 0) exchange.run(this.send, this, delay)
    // The process stood still for so long that the time is up.
    else failByDeadline(this, exchange.deadlineAt - exchange.beganAt)
  }

  override stop(reason: Error): void {
    if (this.timer !== undefined) {
      clearTimeout(this.timer)
      this.timer = undefined
      this.scope.exchange.backingOff--
    }
    super.stop(reason)
  }
}

/** One retry() in its place in a chain. */
export class RetryLevel implements FusedLevel {
  readonly plan: CallPlan
  readonly isPassive = false
  readonly races = false
  private readonly repeat: RetryPlan

  constructor(plan: CallPlan, repeat: RetryPlan) {
    this.plan = plan
    this.repeat = repeat
  }

  get budget(): RetryBudget | null {
    return this.repeat.budget
  }

  fits(): boolean {
    return !this.repeat.asksUser
  }

  begins(): null {
    return null
  }

  answered(): void {}

  callOf(given: ScopedOptions, handler: Dispatcher.DispatchHandler, scope: CallScope, owns: boolean): RetriedCall {
    return new RetriedCall(this.plan, this.repeat, given, handler, scope, owns)
  }
}

// What never reached the server says nothing about it, and neither does an outcome that no other attempt would mend.
function recordIn(budget: RetryBudget, attempt: Attempt, { kind }: Outcome, refusal: RetryRefusal | null): void {
  if (isSuccess(kind)) budget.record(attempt, false)
  else if (attempt.sent && refusal !== 'not-retryable' && refusal !== 'forbidden') budget.record(attempt, true)
}

// A function of its own, so that the timer holds no closure.
function wake(call: RetriedCall, delay: number): void {
  call.wake(delay)
}
