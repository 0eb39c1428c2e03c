import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { isUsable } from '../policies/hedge.ts'
import { Attempt } from './attempt.ts'
import type { CallScope, Exchange } from './exchange.ts'
import type { HedgedCall } from './hedged-call.ts'
import { HeldAnswer } from './held-answer.ts'

/** Bytes kept of an answer that is none, for the case that no other comes. */
const heldLimit = 64 * 1024

/** Interim responses kept of an attempt while it is open which one answers. */
const mostHints = 16

interface Hint {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly message: string | undefined
}

/** One of several attempts that may be under way at once. */
export class HedgedAttempt extends Attempt {
  /** The one sent before it. */
  readonly earlier: HedgedAttempt | null
  /** Its head, or its failure, has come. */
  decided = false
  /** Its answer is none, but may have to serve; `null` where there is no such answer. */
  held: HeldAnswer | null = null
  declare protected readonly call: HedgedCall
  private lost = false
  private hints: Hint[] | null = null
  // What a retry below makes of it: that is what goes out.
  private branched: CallScope | null = null

  constructor(call: HedgedCall, exchange: Exchange, parent: CallScope, earlier: HedgedAttempt | null) {
    super(call, exchange, parent)
    this.earlier = earlier
  }

  /** When it, or what a layer below made of it last, was handed to the transport; 0 before. */
  get handedOnAt(): number {
    return (this.branched ?? this).startedAt
  }

  override branch(attempt: CallScope): void {
    this.branched = attempt
  }

  /** Another attempt has answered, or this one's answer is not needed: what it holds is free when this returns. */
  lose(reason: Error): void {
    if (this.over) return
    this.lost = true
    this.held = null
    this.hints = null
    if (this.decided) this.discarded = true
    else this.abortedAs ??= 'cancelled'
    this.inner?.abort(reason)
    if (this.outcome === null) this.judgeError(reason, false)
    this.discarded = true
    this.finish()
  }

  /** Its answer is the call's, although it was held back. */
  giveHeld(): void {
    const { held } = this
    this.discarded = false
    if (held !== null) held.giveTo(this.call)
  }

  /** Passes on the interim responses that were held back. */
  giveHints(): void {
    const { hints, inner } = this
    if (hints === null || inner === null) return
    this.hints = null
    for (const { status, headers, message } of hints) this.call.onResponseStart(inner, status, headers, message)
  }

  override onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.over || this.decided) return
    if (status < 200) {
      this.hint(controller, status, headers, message)
      return
    }
    this.inner = controller
    // Made first: if nothing else is left, it is what the caller gets.
    if (!isUsable(this.judgeHead(status, headers))) this.held = new HeldAnswer(controller, status, headers, message)
    super.onResponseStart(controller, status, headers, message)
  }

  private hint(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message: string | undefined,
  ): void {
    if (!this.call.isRace) this.call.onResponseStart(controller, status, headers, message)
    else {
      this.hints ??= []
      if (this.hints.length < mostHints) this.hints.push({ status, headers, message })
    }
  }

  override onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { held } = this
    if (held === null) super.onResponseData(controller, chunk)
    else if (!this.over) {
      held.data(chunk)
      if (this.discarded && held.bytes > heldLimit) this.lose(new Error('the answer is not wanted'))
    }
  }

  override onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    const { held } = this
    if (held === null || this.over) {
      super.onResponseEnd(controller, trailers)
      return
    }
    this.finish()
    held.end(trailers)
  }

  override onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.over) return
    const { held } = this
    if (this.lost) {
      if (this.outcome === null) this.judgeError(error, false)
      this.finish()
    } else if (held !== null) {
      if (!this.discarded) this.judgeError(error, true)
      this.finish()
      held.fail(error)
    } else {
      super.onResponseError(controller, error)
    }
  }

  // Which attempt it will be is open: who listens to them hears of the first one's.

  override onResponseStarted(): void {
    if (this.earlier === null || this.call.committed) super.onResponseStarted()
  }

  override onBodySent(chunk: Buffer): void {
    if (this.earlier === null) super.onBodySent(chunk)
  }

  override onRequestSent(): void {
    if (this.earlier === null) super.onRequestSent()
  }
}
