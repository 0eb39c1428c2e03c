import type { AsyncResource } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { Http2Call } from '../http2/call.ts'
import type { TimerEntry, TimerLane } from '../policies/clock.ts'
import type { Outcome, OutcomeKind } from '../policies/outcome.ts'
import type { Permit } from '../policies/policy.ts'
import { type Answer, isWaiting, type KeptCall, settlePermit, shorter, tellPermit } from './call-plan.ts'
import {
  type CallScope,
  type Exchange,
  newContext,
  type ScopedOptions,
  type ScopeHolder,
  withScope,
} from './exchange.ts'
import { type Parts, partsOf } from './fused-parts.ts'
import type { FusedPlan } from './fused-plan.ts'
import type { GuardedCall } from './guarded-call.ts'
import { headKind, successOf } from './judged-outcome.ts'
import { originOf } from './origin-of.ts'
import { protocolOfHead } from './protocol.ts'
import { RawParts } from './raw-parts.ts'
import { letGoOf } from './relay.ts'
import { expectUpload } from './upload-stream.ts'

type Controller = Dispatcher.DispatchController

const noPermits: readonly Permit[] = []

/**
 * The standard chain in one object: the call, its first attempt, the guards above and below retry, and the edge. What a
 * call holds while it waits for its answer is what it costs, and almost every call is one attempt that succeeds.
 *
 * It only knows that way. Whatever else happens (a refusal, a queue, an error, a status that is no success, an abort, a
 * timer, a body that is held back), it takes itself apart into the objects that every other chain is made of, as far as
 * they would have come by then, and hands on all that follows. So there is one set of rules, and one place for it.
 */
export class FusedCall
  extends RawParts
  implements Dispatcher.DispatchHandler, Dispatcher.DispatchController, TimerEntry, KeptCall, ScopeHolder
{
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  previousCall: KeptCall | null = null
  nextCall: KeptCall | null = null
  /** What its permits may ask of the attempt's scope. */
  readonly origin: string
  readonly beganAt: number
  headAt = 0
  handler: Dispatcher.DispatchHandler
  inner: Controller | null = null

  private readonly plan: FusedPlan
  private readonly given: ScopedOptions
  private readonly asyncContext: AsyncResource
  private context: object | null = null
  private timers: TimerLane | null = null
  private asked = 0
  private permit: Permit | null = null
  private secondPermit: Permit | null = null
  private thirdPermit: Permit | null = null
  private notes: Map<string, string | number | boolean> | null = null
  private outcome: Outcome | null = null
  private parts: Parts | null = null
  // The dispatch still runs synchronously: in the caller's async context, and at the time it began.
  private running = true
  private sent = false
  private held = false
  private settled = false
  private ended = false

  constructor(plan: FusedPlan, given: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler, now: number) {
    super()
    this.origin = originOf(given)
    this.beganAt = now
    this.plan = plan
    this.given = given
    this.handler = handler
    this.asyncContext = newContext()
    plan.keeper.begun(this)
  }

  /** Asks the stages, and hands the request on. */
  enter(): boolean {
    const accepted = this.admit() && this.launch()
    this.running = false
    if (this.parts !== null) this.parts.outer.scope.exchange.runningAt = 0
    return accepted
  }

  private admit(): boolean {
    const { stages } = this.plan.inner
    while (this.asked < stages.length) {
      const stage = stages[this.asked++] as (typeof stages)[number]
      let answer: Answer
      try {
        answer = stage.acquire(this as unknown as CallScope, this as unknown as GuardedCall)
      } catch (error) {
        return this.apart().edge.refused(error)
      }
      if (answer !== null && isWaiting(answer)) return this.apart().edge.queue(answer)
      // It has asked for the call, which is many objects by now.
      if (this.parts !== null) return this.parts.edge.passed(answer)
      if (answer === null) continue
      if (this.permit === null) this.permit = answer
      else if (this.secondPermit === null) this.secondPermit = answer
      else this.thirdPermit = answer
    }
    return true
  }

  private launch(): boolean {
    // It waits in a queue, or has been refused.
    if (this.parts !== null) return true
    const { plan } = this
    const { sender, headTimers } = plan
    if (sender.budget !== null) sender.budget.deposit(this, this.beganAt)
    const own = sender.begins(this, this.given)
    const timers = own === null ? headTimers : shorter(headTimers, own)
    this.context = {}
    try {
      this.handler.onRequestStart?.(this, this.context)
    } catch (error) {
      this.failed(error)
    }
    // The consumer has given the call up.
    if (this.parts !== null) return true
    this.timers = plan.startClock(this, timers)
    try {
      return plan.inner.dispatch(plan.isPlain ? this.given : withScope(this.given, this), this)
    } catch (error) {
      this.onResponseError(null, error as Error)
      return true
    }
  }

  // What a scope is asked for by the stages that may be fused.

  note(name: string, value: string | number | boolean): void {
    if (this.parts !== null) this.parts.attempt.note(name, value)
    else this.notes = (this.notes ?? new Map()).set(name, value)
  }

  now(): number {
    return this.running ? this.beganAt : performance.now()
  }

  get callIsOver(): boolean {
    return this.ended || this.parts?.outer.scope.exchange.done === true
  }

  /** A stage that asks for the call is about to make it wait, or to refuse it, or this is a rare case. */
  get exchange(): Exchange {
    return this.apart().outer.scope.exchange
  }

  /** Somebody below is a chain of its own. */
  get asScope(): CallScope {
    return this.apart().attempt
  }

  /** The objects of every other chain, in this one's place from now on. */
  private apart(): Parts {
    this.parts ??= this.takeApart()
    return this.parts
  }

  private takeApart(): Parts {
    const clockSince = this.clockSince()
    this.disarm()
    const { plan, given, handler, beganAt, asyncContext, context, inner, paused } = this
    const { asked, permits, notes, sent, outcome, headAt, settled } = this
    const call = { given, handler, beganAt, asyncContext, context, inner, paused }
    const parts = partsOf(plan, { ...call, asked, permits, notes, sent, outcome, headAt, settled, clockSince })
    plan.keeper.ended(this)
    // Whoever put an abort of its own on this controller will be given the other from now on.
    if (Object.hasOwn(this, 'abort')) parts.outer.abort = this.abort
    if (!this.running) parts.outer.scope.exchange.runningAt = 0
    return parts
  }

  private get permits(): readonly Permit[] {
    if (this.permit === null) return noPermits
    return [this.permit, this.secondPermit, this.thirdPermit].filter((one) => one !== null)
  }

  /** Since when the clock runs that the edge has to go on with: the attempt's, or the body's. */
  private clockSince(): number | null {
    if (this.outcome === null) return this.beganAt
    const { bodyTimers } = this.plan.inner
    // Taken out of its lane already, by the lane itself: it is due.
    return bodyTimers === null ? null : (this.timerAt === 0 ? performance.now() : this.timerAt) - bodyTimers.duration
  }

  private arm(timers: TimerLane, now: number): void {
    this.timers = timers
    timers.add(this, now)
  }

  private disarm(): void {
    if (this.timers === null) return
    this.timers.remove(this)
    this.timers = null
  }

  /** The entries that take this one's place are due, and next in the lane. */
  onTimer(): void {
    this.apart()
  }

  // The controller that the consumer has.
  protected get below(): Controller | null {
    return this.parts === null ? this.inner : this.parts.outer
  }

  get aborted(): boolean {
    return this.parts?.outer.aborted === true
  }

  get paused(): boolean {
    return this.parts === null ? this.held : this.parts.outer.paused
  }

  get reason(): Error | null {
    return this.parts === null ? null : this.parts.outer.reason
  }

  // Which attempt answers is open: what the consumer holds back is the answer, not this one.
  private get mayBeOneOfMany(): boolean {
    return this.outcome === null && this.plan.sender.races
  }

  pause(): void {
    if (this.parts === null && this.outcome === null) {
      this.held = true
      if (!this.mayBeOneOfMany) this.inner?.pause()
    } else if (!this.ended) {
      this.apart().outer.pause()
    }
  }

  resume(): void {
    if (this.parts !== null) {
      this.parts.outer.resume()
      return
    }
    this.held = false
    if (!this.mayBeOneOfMany) this.inner?.resume()
  }

  abort(reason: Error): void {
    if (!this.ended) this.apart().outer.stop(reason)
  }

  abortAs(kind: OutcomeKind, reason: Error): void {
    if (!this.ended) this.apart().outer.abortAs(kind, reason)
  }

  // The handler that the transport has.

  onRequestStart(controller: Controller, context: object | null): void {
    if (this.parts !== null) {
      this.parts.edge.onRequestStart(controller, context)
      return
    }
    this.inner = controller
    this.sent = true
    if (this.held && !this.mayBeOneOfMany) controller.pause()
    if (context !== null && context !== this.context) Object.assign(this.context as object, context)
    const { body, path } = this.given
    if (body !== null && body !== undefined && !(controller instanceof Http2Call)) expectUpload(path)
  }

  onRequestUpgrade(controller: Controller, status: number, headers: IncomingHttpHeaders, socket: Duplex): void {
    if (!this.ended) this.apart().edge.onRequestUpgrade(controller, status, headers, socket)
  }

  onResponseStarted(): void {
    if (this.parts !== null) this.parts.edge.onResponseStarted()
    else if (this.handler.onResponseStarted !== undefined) {
      this.asyncContext.runInAsyncScope(this.tellStarted, this)
    }
  }

  private tellStarted(): void {
    try {
      this.handler.onResponseStarted?.()
    } catch (error) {
      this.failed(error)
    }
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void {
    if (this.ended) return
    // Whatever is no plain success is for others to judge.
    if (this.parts !== null || this.paused || status < 200 || headKind(status, headers) !== 'success') {
      this.apart().edge.onResponseStart(controller, status, headers, message)
      return
    }
    this.inner = controller
    this.disarm()
    this.noteHead(controller, status, headers)
    if (this.running) this.tellHead(status, headers, message)
    else this.asyncContext.runInAsyncScope(this.tellHead, this, status, headers, message)
  }

  // What is thrown once the call has ended, from within a callback that has not returned yet, concerns nobody.
  private failed(error: unknown): void {
    if (!this.ended) this.apart().outer.failed(error)
  }

  private noteHead(controller: Controller, status: number, headers: IncomingHttpHeaders): void {
    const { inner, sender, isPlain } = this.plan
    const { bodyTimers } = inner
    this.headAt = this.now()
    this.outcome = successOf(status, headers, this.headAt - this.beganAt)
    // Made-up heads are remembered as such when they are seen.
    if (!isPlain) protocolOfHead(controller, headers)
    if (bodyTimers !== null) this.arm(bodyTimers, this.headAt)
    sender.answered(this)
    if (sender.budget !== null) sender.budget.record(this, false)
  }

  private tellHead(status: number, headers: IncomingHttpHeaders, message: string | undefined): void {
    const outcome = this.outcome as Outcome
    const scope = this as unknown as CallScope
    if (this.permit !== null) tellPermit(this.permit, outcome, scope)
    if (this.secondPermit !== null) tellPermit(this.secondPermit, outcome, scope)
    if (this.thirdPermit !== null) tellPermit(this.thirdPermit, outcome, scope)
    // A listener of the breaker's may have given the call up.
    if (this.parts?.outer.ended) return
    if (status === 204 || status === 304 || this.given.method === 'HEAD') this.settle()
    try {
      this.handler.onResponseStart?.(this, status, headers, message)
    } catch (error) {
      this.failed(error)
    }
  }

  private settle(): void {
    if (this.settled || this.parts !== null) return
    this.settled = true
    const outcome = this.outcome as Outcome
    const scope = this as unknown as CallScope
    if (this.thirdPermit !== null) settlePermit(this.thirdPermit, outcome, scope)
    if (this.secondPermit !== null) settlePermit(this.secondPermit, outcome, scope)
    if (this.permit !== null) settlePermit(this.permit, outcome, scope)
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.parts !== null) this.parts.edge.onResponseData(controller, chunk)
    else if (this.running) this.tellData(chunk)
    else {
      this.timers?.add(this, performance.now())
      this.asyncContext.runInAsyncScope(this.tellData, this, chunk)
    }
  }

  private tellData(chunk: Buffer): void {
    if (this.ended) return
    try {
      this.handler.onResponseData?.(this, chunk)
    } catch (error) {
      this.failed(error)
    }
  }

  onResponseEnd(controller: Controller, trailers: IncomingHttpHeaders): void {
    if (this.parts !== null || this.outcome === null) this.apart().edge.onResponseEnd(controller, trailers)
    else if (this.running) this.tellEnd(trailers)
    else this.asyncContext.runInAsyncScope(this.tellEnd, this, trailers)
  }

  private tellEnd(trailers: IncomingHttpHeaders): void {
    if (this.ended) return
    this.ended = true
    this.disarm()
    // Free before the consumer hears of the end: it may send its next request from there.
    this.settle()
    try {
      this.handler.onResponseEnd?.(this, trailers)
    } catch (error) {
      // A consumer may throw here on purpose (undici's own RetryHandler does) and relies on onResponseError next.
      this.handler.onResponseError?.(this, error as Error)
    } finally {
      this.plan.keeper.ended(this)
      letGoOf(this)
    }
  }

  onResponseError(controller: Controller | null, error: Error): void {
    if (!this.ended) this.apart().edge.onResponseError(controller, error)
  }
}
