import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { Http2Call } from '../http2/call.ts'
import { AttemptTimeoutError, BodyTimeoutError, isUnsent } from '../policies/errors.ts'
import { abortTransport } from './abort-transport.ts'
import type { Begun, CallPlan } from './call-plan.ts'
import { withTimeLeft } from './carried.ts'
import { TakenHeaders } from './connection-headers.ts'
import { GuardedCall } from './guarded-call.ts'
import { type PeerInfo, peerOf } from './peers.ts'
import { protocolOfHead } from './protocol.ts'
import type { Relay } from './relay.ts'
import { sendableBody } from './replay.ts'
import { expectUpload } from './upload-stream.ts'
import { checkRequest } from './validate.ts'

/**
 * The guard next to what is not the kit's: the transport, or a foreign layer. It gives the consumer a controller at once
 * (undici has one only when connected), so that a timeout, a deadline or an abort can always act; checks the request
 * before a connection is used; runs the attempt's clock and the body's; and notes whether the request ever went out.
 *
 * Where a foreign layer lies between two edges, the inner one takes over when the call reaches it.
 */
export class Edge extends GuardedCall {
  private taken: TakenHeaders | null = null
  private writing = false
  // Something of the scope had gone out before, through another edge: a foreign layer above sends it again.
  private wasSent = false

  /** The origin that the transport is asked for. */
  protected get target(): string {
    return this.scope.origin
  }

  protected override handOn(): boolean {
    const { scope } = this
    this.opts = withTimeLeft(this.opts, scope.exchange)
    const checked = this.plan.overEdge ? false : checkRequest(this.opts, this.target)
    if (typeof checked !== 'boolean') {
      this.onResponseError(null, checked)
      return true
    }
    if (scope.outcome !== null) {
      // A foreign layer above (a redirect, undici's retry) sends again within the same scope: judged anew.
      scope.outcome = null
      scope.headAt = 0
    }
    scope.reach(this)
    this.wasSent = scope.sent
    if (this.context === null) this.start({})
    if (this.ended) return true
    scope.startedAt = scope.exchange.now()
    if (scope.attemptTimers !== null) this.arm(scope.attemptTimers, scope.startedAt)
    try {
      return this.send(checked)
    } catch (error) {
      this.onResponseError(null, error as Error)
      return true
    }
  }

  private send(carriesConnectionHeaders: boolean): boolean {
    const { scope, plan } = this
    if (plan.overEdge) return plan.dispatch(this.opts, this)
    const opts = sendableBody(this.opts, scope.exchange)
    // The function that makes the body may have given the call up.
    if (this.ended) return true
    const { exchange } = scope
    if (carriesConnectionHeaders) {
      exchange.takenBy = this
      this.taken = new TakenHeaders(this.target)
      return this.taken.dispatch(plan.dispatch, this.taken.takeFrom(opts), this)
    }
    const { takenBy } = exchange
    if (takenBy === null || takenBy.ended) return plan.dispatch(opts, this)
    // What an edge further out took out is put back here, next to the transport.
    this.taken = takenBy.taken as TakenHeaders
    return this.taken.dispatch(plan.dispatch, opts, this)
  }

  /** Is in the place of a fused call that is under way; its clock has run since `clockSince`. */
  override takeOver(begun: Begun, clockSince: number | null = null): void {
    super.takeOver(begun)
    const { scope } = this
    scope.reach(this)
    const timers = begun.headSeen ? scope.bodyTimers : scope.attemptTimers
    if (clockSince !== null && timers !== null) this.arm(timers, clockSince)
  }

  /** Another guard of the kit has the attempt now, further in: its own clock begins when it has let the attempt pass. */
  yieldTo(other: GuardedCall): void {
    if (other !== this && !this.headSeen) this.disarm()
  }

  /** A foreign layer lies below, and another edge below that, which has not had the call. */
  get isOverForeign(): boolean {
    return this.plan.overEdge
  }

  /** Whether the transport answers this edge, and no other further in. */
  private get isInnermost(): boolean {
    return this.scope.edge === this
  }

  override onTimer(): void {
    // Paused after the head, the timer is the one for a body that nobody reads.
    if (this.headSeen && this.paused) {
      super.onTimer()
      return
    }
    const { scope, target: origin } = this
    scope.abortedAs ??= 'timeout'
    this.stop(
      this.headSeen
        ? new BodyTimeoutError(`No bytes of the body from ${origin} for ${scope.bodyTimers?.duration} ms`, { origin })
        : new AttemptTimeoutError(`No response head from ${origin} within ${scope.attemptTimers?.duration} ms`, {
            origin,
          }),
    )
  }

  override pause(): void {
    // A body that the consumer holds back is not late.
    if (this.headSeen) this.disarm()
    super.pause()
  }

  override resume(): void {
    const wasPaused = this.paused
    super.resume()
    // The transport may have had more to give at once, and the consumer may have held it back again.
    if (!wasPaused || this.paused || this.ended || !this.headSeen || !this.isInnermost) return
    const { bodyTimers } = this.scope
    if (bodyTimers !== null) this.arm(bodyTimers)
  }

  override onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    if (this.isInnermost && !this.aborted) this.scope.noteSent()
    this.taken?.restore()
    super.onRequestStart(controller, context)
    const { body, path } = this.opts
    if (body !== null && body !== undefined && !this.aborted && !(controller instanceof Http2Call)) expectUpload(path)
  }

  // Callbacks of a connection come in the async context of whoever opened it; from here up they run in the caller's. In a
  // synchronous run of the dispatch they do already.

  override onRequestUpgrade(...args: Parameters<Relay['onRequestUpgrade']>): void {
    const { exchange } = this.scope
    this.scope.headAt = exchange.now()
    exchange.context.runInAsyncScope(super.onRequestUpgrade, this, ...args)
  }

  override onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    const { exchange } = this.scope
    if (status >= 200 && !this.ended) this.noteHead(controller, headers)
    if (exchange.runningAt !== 0) super.onResponseStart(controller, status, headers, message)
    else exchange.context.runInAsyncScope(super.onResponseStart, this, controller, status, headers, message)
  }

  private noteHead(controller: Dispatcher.DispatchController, headers: IncomingHttpHeaders): void {
    const { scope } = this
    this.disarm()
    this.headSeen = true
    if (!this.isInnermost) return
    scope.headAt = scope.exchange.now()
    scope.protocol = protocolOfHead(controller, headers)
    // createAgent's HTTP/2 tells which connection a request took; of others only what all of them have in common is known.
    if (scope.trace !== null) scope.peer = (controller as { readonly peer?: PeerInfo }).peer ?? peerOf(this.target)
    if (scope.bodyTimers !== null) this.arm(scope.bodyTimers, scope.headAt)
    scope.tellHead()
  }

  override onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { exchange } = this.scope
    this.rearm()
    if (exchange.runningAt !== 0) super.onResponseData(controller, chunk)
    else exchange.context.runInAsyncScope(super.onResponseData, this, controller, chunk)
  }

  override onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    const { exchange } = this.scope
    if (exchange.runningAt !== 0) super.onResponseEnd(controller, trailers)
    else exchange.context.runInAsyncScope(super.onResponseEnd, this, controller, trailers)
  }

  override onResponseStarted(): void {
    this.scope.exchange.context.runInAsyncScope(super.onResponseStarted, this)
  }

  // An abort from inside these two reaches undici in the midst of writing the request, and over HTTP/2 it then loses count
  // of the session's requests: the next one hangs, and an uncaught TypeError ends the process. So the transport hears of
  // it when it has written, the consumer at once.

  override onBodySent(chunk: Buffer): void {
    this.whileWriting(super.onBodySent, chunk)
  }

  override onRequestSent(): void {
    this.whileWriting(super.onRequestSent)
  }

  private whileWriting<Args extends unknown[]>(tell: (this: Relay, ...args: Args) => void, ...args: Args): void {
    const { exchange } = this.scope
    this.writing = true
    try {
      exchange.context.runInAsyncScope(tell, this, ...args)
    } finally {
      this.writing = false
    }
  }

  protected override abortInner(reason: Error): void {
    if (this.writing) setImmediate(() => this.abortTransport(reason))
    else this.abortTransport(reason)
  }

  private abortTransport(reason: Error): void {
    const { inner, plan } = this
    if (plan.overEdge) super.abortInner(reason)
    else if (inner instanceof Http2Call) inner.abort(reason)
    else if (inner !== null) abortTransport(inner, reason)
  }

  override onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    // REFUSED_STREAM is the server's word that it has not looked at the request (RFC 9113 §8.7).
    // The kit's own agent notes besides what it knows from a GOAWAY, and what never left.
    // That is said of what went out last: a foreign layer further in (a redirect) may have had an answer before.
    const isUnseen = isUnsent(error) || (error as { http2ErrorCode?: unknown } | null)?.http2ErrorCode === 7
    if (isUnseen && this.isInnermost) this.scope.takeBackSent(this.wasSent)
    // Of an abort the transport is told in its own words.
    const told = this.aborted && this.reason !== null ? this.reason : error
    this.scope.exchange.context.runInAsyncScope(super.onResponseError, this, controller, told)
  }
}

const edged = new WeakSet<Dispatcher['dispatch']>()
const edgePlans = new WeakMap<Dispatcher['dispatch'], CallPlan>()
const overEdge = new WeakSet<Dispatcher['dispatch']>()

/** Notes that `dispatch` is the kit's own, and ends in an edge. */
export function markEdged(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  edged.add(dispatch)
  return dispatch
}

/** Notes that `dispatch` is an edge, and nothing more. */
export function notePlanOfEdge(dispatch: Dispatcher['dispatch'], plan: CallPlan): void {
  edgePlans.set(dispatch, plan)
}

/** The plan of a dispatch that is an edge, and nothing more. */
export function planOfEdge(dispatch: Dispatcher['dispatch']): CallPlan | undefined {
  return edgePlans.get(dispatch)
}

/** Whether `dispatch` is the kit's own, and ends in an edge. */
export function isEdged(dispatch: Dispatcher['dispatch']): boolean {
  return edged.has(dispatch)
}

/** Notes that `dispatch` is foreign, and that what it sends ends in an edge. */
export function markOverEdge(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  overEdge.add(dispatch)
  return dispatch
}

/** Whether `dispatch` is foreign, and what it sends ends in an edge. */
export function isOverEdge(dispatch: Dispatcher['dispatch']): boolean {
  return overEdge.has(dispatch)
}
