import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { lane, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import { AttemptTimeoutError, BodyTimeoutError } from '../policies/errors.ts'
import { TakenHeaders } from './connection-headers.ts'
import { type CallScope, Exchange, type ScopedOptions, scopeOf } from './exchange.ts'
import { peerOf } from './peers.ts'
import { protocolOfHead } from './protocol.ts'
import { Relay } from './relay.ts'
import { sendableBody } from './replay.ts'
import { checkRequest } from './validate.ts'

/**
 * The innermost step of every chain. It gives the consumer a controller at once (undici has one only when connected),
 * so that a timeout, a deadline or an abort can always act; checks the request before a connection is used; runs the
 * attempt's clock and the body's; and notes whether the request ever went out.
 */
class Edge extends Relay implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  taken: TakenHeaders | null = null
  private timers: TimerLane | null = null

  run(dispatch: Dispatcher['dispatch'], given: ScopedOptions, carriesConnectionHeaders: boolean): boolean {
    const { scope } = this
    scope.edge = this
    this.start({})
    if (this.ended) return true
    scope.startedAt = scope.exchange.now()
    if (scope.attemptTimeout > 0) this.arm(scope.attemptTimeout, scope.startedAt)
    try {
      let opts = sendableBody(given, scope.exchange)
      if (!carriesConnectionHeaders) return dispatch(opts, this)
      this.taken = new TakenHeaders(scope.origin)
      opts = this.taken.takeFrom(opts)
      return this.taken.dispatch(dispatch, opts, this)
    } catch (error) {
      this.onResponseError(null, error as Error)
      return true
    }
  }

  private arm(duration: number, now: number): void {
    this.timers = lane(duration)
    this.timers.add(this, now)
  }

  private disarm(): void {
    if (this.timers === null) return
    this.timers.remove(this)
    this.timers = null
  }

  onTimer(): void {
    this.timers = null
    const { scope } = this
    const { origin } = scope
    scope.abortedAs ??= 'timeout'
    this.abort(
      scope.headAt === 0
        ? new AttemptTimeoutError(`No response head from ${origin} within ${scope.attemptTimeout} ms`, { origin })
        : new BodyTimeoutError(`No bytes of the body from ${origin} for ${scope.bodyTimeout} ms`, { origin }),
    )
  }

  override pause(): void {
    // A body that the consumer holds back is not late.
    if (this.scope.headAt !== 0) this.disarm()
    super.pause()
  }

  override resume(): void {
    super.resume()
    if (this.scope.headAt !== 0 && this.scope.bodyTimeout > 0 && !this.ended && this.timers === null) {
      this.arm(this.scope.bodyTimeout, performance.now())
    }
  }

  override onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    // Where a foreign layer lies between two edges, only the inner one sees the transport.
    if (this.scope.edge === this && !this.aborted) this.scope.sent = true
    this.taken?.restore()
    super.onRequestStart(controller, context)
  }

  override onRequestUpgrade(...args: Parameters<Relay['onRequestUpgrade']>): void {
    this.disarm()
    this.scope.headAt = performance.now()
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
      scope.headAt = scope.exchange.now()
      scope.protocol = protocolOfHead(controller, headers)
      if (scope.exchange.observer !== null) scope.peer = peerOf(scope.origin)
      if (scope.bodyTimeout > 0) this.arm(scope.bodyTimeout, scope.headAt)
    }
    super.onResponseStart(controller, status, headers, message)
  }

  override onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.timers !== null) this.timers.add(this, this.scope.exchange.now())
    super.onResponseData(controller, chunk)
  }

  override onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.disarm()
    super.onResponseEnd(controller, trailers)
  }

  override onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    this.disarm()
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

function scopeFor(opts: Dispatcher.DispatchOptions): CallScope {
  const known = scopeOf(opts)
  if (known !== null) return known
  const exchange = new Exchange(opts)
  exchange.runningAt = 0
  return exchange
}

/** `dispatch` with an edge above it; as it is where it has one already. */
export function withEdge(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  if (edged.has(dispatch)) return dispatch
  return markEdged(function edge(opts, handler) {
    const scope = scopeFor(opts)
    const checked = checkRequest(opts, scope.origin)
    if (typeof checked !== 'boolean') {
      if (typeof handler.onResponseError !== 'function') throw checked
      handler.onResponseError(null as never, checked)
      return true
    }
    return new Edge(handler, scope).run(dispatch, opts, checked)
  })
}
