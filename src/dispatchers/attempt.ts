import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { CallScope, type Exchange } from './exchange.ts'
import type { RepeatingCall } from './repeating-call.ts'

/** Bytes of an unwanted response that are read, so that its connection can be used again. */
const drainLimit = 64 * 1024

/** One attempt: a scope of its own, and the handler of what comes back for it. */
export class Attempt extends CallScope implements Dispatcher.DispatchHandler {
  readonly exchange: Exchange
  protected readonly call: RepeatingCall
  inner: Dispatcher.DispatchController | null = null
  /** Its terminal callback came: it can do nothing more. */
  over = false
  private drained = 0

  constructor(call: RepeatingCall, exchange: Exchange, parent: CallScope) {
    // Where a layer further out has made an attempt already, the first one made of it is that very attempt.
    super(parent.number > 0 && !parent.forked ? parent.number : ++exchange.attempts, parent.origin, exchange.now())
    this.exchange = exchange
    this.call = call
    parent.forked = true
    this.attemptTimers = parent.attemptTimers
    this.bodyTimers = parent.bodyTimers
  }

  finish(): void {
    if (this.over) return
    this.over = true
    this.exchange.observer?.end(this)
  }

  /** Ends an answer that is not wanted; what its layers hold is free when this returns. */
  giveUp(reason: Error): void {
    if (this.over) return
    this.inner?.abort(reason)
    this.finish()
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    this.inner = controller
    if (this.over) controller.abort(new Error('the attempt is over'))
    else this.call.onRequestStart(controller, context)
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    if (this.over) return
    this.judgeHead(status, headers)
    this.call.commit(this)
    this.finish()
    this.call.onRequestUpgrade(controller, status, headers, socket)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.over) return
    this.inner = controller
    if (status < 200) {
      this.call.onResponseStart(controller, status, headers, message)
    } else if (this.call.accepts(this, this.judgeHead(status, headers))) {
      this.call.commit(this)
      this.call.onResponseStart(controller, status, headers, message)
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.over) return
    if (!this.discarded) {
      this.call.onResponseData(controller, chunk)
      return
    }
    this.drained += chunk.length
    if (this.drained > drainLimit) this.giveUp(new Error('the answer is not wanted'))
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    if (this.over) return
    if (this.discarded) {
      this.finish()
      return
    }
    this.exchange.observer?.end(this)
    // Over only after the consumer took the end: if it throws, undici goes on with onResponseError.
    this.call.onResponseEnd(controller, trailers)
    this.over = true
  }

  onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.over) return
    if (this.discarded) {
      this.finish()
      return
    }
    const accepted = this.call.accepts(this, this.judgeError(error, this.call.committed))
    this.finish()
    if (accepted) {
      this.call.commit(this)
      this.call.onResponseError(controller, error)
    }
  }

  onResponseStarted(): void {
    this.call.onResponseStarted()
  }

  onBodySent(chunk: Buffer): void {
    this.call.onBodySent(chunk)
  }

  onRequestSent(): void {
    this.call.onRequestSent()
  }
}
