import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { AttemptTimeoutError, BodyTimeoutError } from '../policies/errors.ts'
import { TakenHeaders } from './connection-headers.ts'
import { GuardedCall } from './guarded-call.ts'
import { peerOf } from './peers.ts'
import { protocolOfHead } from './protocol.ts'
import type { Relay } from './relay.ts'
import { sendableBody } from './replay.ts'
import { checkRequest } from './validate.ts'

/**
 * The innermost guard of every chain, next to the transport. It gives the consumer a controller at once (undici has one
 * only when connected), so that a timeout, a deadline or an abort can always act; checks the request before a connection
 * is used; runs the attempt's clock and the body's; and notes whether the request ever went out.
 */
export class Edge extends GuardedCall {
  private taken: TakenHeaders | null = null

  protected override handOn(): boolean {
    const { scope } = this
    const checked = checkRequest(this.opts, scope.origin)
    if (typeof checked !== 'boolean') {
      this.onResponseError(null, checked)
      return true
    }
    if (scope.outcome !== null) {
      // A foreign layer above (a redirect, undici's retry) sends again within the same scope: judged anew.
      scope.outcome = null
      scope.headAt = 0
    }
    scope.edge = this
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
    const opts = sendableBody(this.opts, scope.exchange)
    if (!carriesConnectionHeaders) return plan.dispatch(opts, this)
    this.taken = new TakenHeaders(scope.origin)
    return this.taken.dispatch(plan.dispatch, this.taken.takeFrom(opts), this)
  }

  override onTimer(): void {
    // Paused after the head, the timer is the one for a body that nobody reads.
    if (this.headSeen && this.paused) {
      super.onTimer()
      return
    }
    const { scope } = this
    const { origin } = scope
    scope.abortedAs ??= 'timeout'
    this.abort(
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
    super.resume()
    const { bodyTimers } = this.scope
    if (this.headSeen && bodyTimers !== null && !this.ended) this.arm(bodyTimers)
  }

  override onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    // Where a foreign layer lies between two edges, only the inner one sees the transport.
    if (this.scope.edge === this && !this.aborted) this.scope.sent = true
    this.taken?.restore()
    super.onRequestStart(controller, context)
  }

  override onRequestUpgrade(...args: Parameters<Relay['onRequestUpgrade']>): void {
    this.scope.headAt = this.scope.exchange.now()
    super.onRequestUpgrade(...args)
  }

  override onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (status >= 200 && !this.ended) {
      const { scope } = this
      this.disarm()
      this.headSeen = true
      scope.headAt = scope.exchange.now()
      scope.protocol = protocolOfHead(controller, headers)
      if (scope.exchange.observer !== null) scope.peer = peerOf(scope.origin)
      if (scope.bodyTimers !== null) this.arm(scope.bodyTimers, scope.headAt)
    }
    super.onResponseStart(controller, status, headers, message)
  }

  override onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.rearm()
    super.onResponseData(controller, chunk)
  }

  override onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    // REFUSED_STREAM is the server's word that it has not looked at the request (RFC 9113 §8.7).
    if ((error as { http2ErrorCode?: unknown } | null)?.http2ErrorCode === 7) this.scope.sent = false
    super.onResponseError(controller, error)
  }
}

const edged = new WeakSet<Dispatcher['dispatch']>()

/** Notes that everything dispatched through `dispatch` ends in an edge. */
export function markEdged(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  edged.add(dispatch)
  return dispatch
}

/** Whether everything dispatched through `dispatch` ends in an edge. */
export function isEdged(dispatch: Dispatcher['dispatch']): boolean {
  return edged.has(dispatch)
}
