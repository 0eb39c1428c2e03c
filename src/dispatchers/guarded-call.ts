import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { lane, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import type { Outcome, OutcomeKind } from '../policies/outcome.ts'
import type { Permit, Waiting } from '../policies/policy.ts'
import {
  type Answer,
  type Begun,
  type CallPlan,
  isWaiting,
  type KeptCall,
  settlePermit,
  shorter,
  tellPermit,
} from './call-plan.ts'
import { type Carried, carryOn, withCarried } from './carried.ts'
import type { CallScope, ScopedOptions } from './exchange.ts'
import { letGoOf, Relay } from './relay.ts'
import { watchBody } from './replay.ts'
import { RunningDeadline } from './running-deadline.ts'
import { warnBodyUnread } from './unread-body.ts'

const noPermits: never[] = []

/**
 * One call, or attempt, on its way through a run of adjacent policies: asks each for admission, tells each what became
 * of it. One object serves them all, whatever their number; it is also the relay that lets the call be given up while it
 * waits in a queue.
 */
export class GuardedCall extends Relay implements TimerEntry, KeptCall {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  /** What is handed on; a stage may replace it, never change it. */
  opts: ScopedOptions
  previousCall: KeptCall | null = null
  nextCall: KeptCall | null = null

  /** The final head has come. */
  protected headSeen = false
  protected readonly plan: CallPlan
  // One timer at a time is all a call needs: up to the head, between two pieces of the body, or while nobody reads it.
  private timers: TimerLane | null = null
  protected readonly ownsExchange: boolean
  private readonly permits: Permit[]
  private admitted = 0
  // Most stages hold nothing: only what is held is told of the head and the end.
  private held = 0
  private waiting: Waiting | PromiseLike<Permit | null> | null = null
  private waitingSince = 0
  private settled = false

  constructor(
    plan: CallPlan,
    opts: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(handler, scope)
    this.plan = plan
    this.opts = opts
    this.ownsExchange = owns
    this.permits = plan.stages.length === 0 ? noPermits : new Array(plan.stages.length)
    plan.keeper?.begun(this)
    if (owns && typeof scope.exchange.ownDeadline === 'number')
      this.permits = [this.startDeadline(scope.exchange.ownDeadline)]
  }

  // The whole call's, whatever layer is the first that it meets.
  private startDeadline(duration: number): Permit {
    const { exchange } = this.scope
    exchange.deadlineAt = exchange.beganAt + duration
    this.held = 1
    return new RunningDeadline(this, lane(duration), exchange.beganAt)
  }

  /** Is from now on in the place of a fused call. */
  takeOver({ admitted, permits, context, inner, paused, headSeen, settled }: Begun): void {
    this.admitted = admitted
    for (const permit of permits) this.permits[this.held++] = permit
    this.context = context
    this.inner = inner
    this.paused = paused
    this.headSeen = headSeen
    this.settled = settled
  }

  /** Goes on with the stage after those already passed; hands the request on when there is none left. */
  enter(): boolean {
    const { stages, attemptTimers, bodyTimers } = this.plan
    const { scope } = this
    // Where a foreign layer lies between two edges, the outer one's clock stops: the attempt is waiting for us now.
    if (scope.edge !== null) scope.edge.yieldTo(this)
    if (attemptTimers !== null && scope.exchange.ownAttemptTimeout === undefined) {
      scope.attemptTimers = shorter(scope.attemptTimers, attemptTimers)
    }
    if (bodyTimers !== null) scope.bodyTimers = shorter(scope.bodyTimers, bodyTimers)
    while (this.admitted < stages.length) {
      const stage = stages[this.admitted++] as (typeof stages)[number]
      let answer: Answer
      try {
        answer = stage.acquire(scope, this)
      } catch (error) {
        return this.refused(error)
      }
      // A stage may give the call up while it is asked (a deadline that has passed already).
      if (this.ended) {
        this.giveBack(answer)
        return true
      }
      // A policy in plain JavaScript may return nothing.
      if (answer === null || answer === undefined) continue
      if (isWaiting(answer)) return this.queue(answer)
      this.permits[this.held++] = answer
    }
    return this.handOn()
  }

  /** The last stage that was asked has admitted the call, when a fused one asked it. */
  passed(permit: Permit | null): boolean {
    if (permit !== null) this.permits[this.held++] = permit
    return this.enter()
  }

  /** Puts other headers into what is handed on. */
  setHeaders(headers: NonNullable<ScopedOptions['headers']>): void {
    // Whoever made the exchange copied the options for it: they are nobody else's.
    if (this.ownsExchange) this.opts.headers = headers
    else this.opts = { ...this.opts, headers }
  }

  /** Puts headers into this call, and into every attempt made of it, with a note of where they may go. */
  carry(headers: NonNullable<ScopedOptions['headers']>, carried: Carried): void {
    if (this.ownsExchange) carryOn(this.opts, headers, carried)
    else this.opts = withCarried(this.opts, headers, carried)
  }

  protected override get isOutermost(): boolean {
    return this.ownsExchange
  }

  /** All stages have admitted the call. */
  protected handOn(): boolean {
    return this.plan.dispatch(this.opts, this)
  }

  protected arm(timers: TimerLane, now = performance.now()): void {
    // An entry that waits in two lanes would tie both lists together.
    if (this.timers !== timers) this.disarm()
    this.timers = timers
    timers.add(this, now)
  }

  protected disarm(): void {
    if (this.timers === null) return
    this.timers.remove(this)
    this.timers = null
  }

  /** Starts the running timer anew, if there is one. */
  protected rearm(): void {
    this.timers?.add(this, this.scope.exchange.now())
  }

  /** Ends the call with the refusal of the last stage that was asked. */
  refused(error: unknown): boolean {
    const outcome = this.scope.refuse(error)
    this.settleAll(outcome)
    try {
      super.onResponseError(null, error as Error)
    } finally {
      this.finish()
    }
    return true
  }

  /** Waits for what the last stage that was asked will answer. */
  queue(waiting: Waiting | PromiseLike<Permit | null>): boolean {
    this.waiting = waiting
    this.waitingSince = this.scope.exchange.now()
    if (this.context === null) this.start({})
    if (this.ended) {
      // One that can be cancelled was, by the abort.
      if (!('cancel' in waiting)) this.giveBack(waiting)
      return true
    }
    watchBody(this.opts)
    waiting.then(
      (permit) => this.granted(waiting, permit),
      (error) => this.refusedLater(waiting, error),
    )
    return true
  }

  private waited(): void {
    this.waiting = null
    this.scope.noteQueued(performance.now() - this.waitingSince)
  }

  private granted(waiting: unknown, permit: Permit | null): void {
    if (this.waiting !== waiting) {
      this.giveBack(permit)
      return
    }
    this.waited()
    if (permit !== null && permit !== undefined) this.permits[this.held++] = permit
    // Whoever freed the place runs in a call of its own; what follows belongs to this one.
    this.scope.exchange.run(this.goOn, this)
  }

  private goOn(): void {
    try {
      this.enter()
    } catch (error) {
      this.onResponseError(null, error as Error)
    }
  }

  private refusedLater(waiting: unknown, error: unknown): void {
    if (this.waiting !== waiting) return
    this.waited()
    this.scope.exchange.run(this.refused, this, error)
  }

  // A permit that came for a call which is over.
  private giveBack(answer: Answer): void {
    if (answer === null || answer === undefined) return
    const { scope } = this
    const outcome = scope.outcome ?? scope.judgeError(this.reason, this.headSeen)
    if (!isWaiting(answer)) answer.settle(outcome, scope)
    else if ('cancel' in answer) answer.cancel()
    else {
      answer.then(
        (permit) => permit?.settle(outcome, scope),
        () => undefined,
      )
    }
  }

  protected settleAll(outcome: Outcome): void {
    if (this.settled) return
    this.settled = true
    for (let at = this.held - 1; at >= 0; at--) settlePermit(this.permits[at] as Permit, outcome, this.scope)
  }

  protected tellHead(outcome: Outcome): void {
    for (let at = 0; at < this.held; at++) tellPermit(this.permits[at] as Permit, outcome, this.scope)
  }

  protected finish(): void {
    this.disarm()
    this.plan.keeper?.ended(this)
    if (this.ownsExchange) this.scope.exchange.done = true
    // Of an abort the transport may have yet to be told.
    if (this.ended && !this.aborted) letGoOf(this)
  }

  /** Gives the call up for a reason that is not the caller's. */
  abortAs(kind: OutcomeKind, reason: Error): void {
    this.scope.abortedAs ??= kind
    this.stop(reason)
  }

  override stop(reason: Error): void {
    if (this.aborted || this.ended) return
    this.scope.abortedAs ??= 'cancelled'
    const waiting = this.waiting
    if (waiting !== null) {
      this.waited()
      if ('cancel' in waiting) waiting.cancel()
    }
    this.scope.abortSignal(reason)
    super.stop(reason)
  }

  override pause(): void {
    super.pause()
    const { unreadBodyTimeout } = this.plan
    if (unreadBodyTimeout > 0 && this.headSeen && !this.settled) this.arm(lane(unreadBodyTimeout))
  }

  override resume(): void {
    // Without a pause before it, it is no news: the clock of the body runs on.
    if (this.headSeen && this.paused) this.disarm()
    super.resume()
  }

  /** Nobody has read the body for too long: what was held for it is given back, the body stays readable. */
  onTimer(): void {
    this.timers = null
    const { scope } = this
    if (this.settled || scope.outcome === null) return
    scope.noteUnread()
    warnBodyUnread(scope.origin, this.plan.unreadBodyTimeout)
    scope.exchange.context.runInAsyncScope(this.settleAll, this, scope.outcome)
  }

  override onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    if (this.ended) return
    const outcome = this.scope.judgeHead(status, headers)
    this.tellHead(outcome)
    this.settleAll(outcome)
    this.finish()
    super.onRequestUpgrade(controller, status, headers, socket)
  }

  override onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    // undici's retry passes on the early hints of a further attempt although the first one's head has gone up already.
    if (status < 200 && this.headSeen) return
    if (status >= 200 && !this.ended && !this.settled) {
      this.headSeen = true
      // Held back before there was anything to hold back, and maybe by another controller.
      if (this.paused) {
        this.inner = controller
        this.pause()
      }
      const outcome = this.scope.judgeHead(status, headers)
      this.tellHead(outcome)
      // No body will follow: whatever was held is free before the consumer hears of the head.
      if (status === 204 || status === 304 || this.opts.method === 'HEAD') this.settleAll(outcome)
    }
    super.onResponseStart(controller, status, headers, message)
  }

  override onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    if (this.ended) return
    // Free before the consumer hears of the end: it may send its next request from there.
    if (!this.settled) this.settleAll(this.scope.outcome ?? this.scope.judgeHead(200, {}))
    try {
      super.onResponseEnd(controller, trailers)
    } finally {
      this.finish()
    }
  }

  /** Whether the call goes on in spite of an error. */
  protected goesOn(_error: Error): boolean {
    return false
  }

  override onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.ended || this.goesOn(error)) return
    if (!this.settled) {
      const { scope } = this
      this.settleAll(scope.discarded && scope.outcome !== null ? scope.outcome : scope.judgeError(error, this.headSeen))
    }
    try {
      super.onResponseError(controller, error)
    } finally {
      this.finish()
    }
  }
}
