import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { isUsable } from '../policies/hedge.ts'
import type { CallScope, Exchange } from './exchange.ts'
import type { HedgedCall } from './hedged-call.ts'
import { HoldingAttempt } from './holding-attempt.ts'

/** Interim responses kept of an attempt while it is open which one answers. */
const mostHints = 16

interface Hint {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly message: string | undefined
}

/** One of several attempts that may be under way at once. */
export class HedgedAttempt extends HoldingAttempt {
  /** The one sent before it. */
  readonly earlier: HedgedAttempt | null
  declare protected readonly call: HedgedCall
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

  protected override isHeld(status: number, headers: IncomingHttpHeaders): boolean {
    return !isUsable(this.judgeHead(status, headers))
  }

  protected override heldTooMuch(): void {
    this.lose(new Error('the answer is not wanted'))
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
    if (status >= 200 || this.over || this.decided || !this.call.isRace) {
      super.onResponseStart(controller, status, headers, message)
      return
    }
    this.hints ??= []
    if (this.hints.length < mostHints) this.hints.push({ status, headers, message })
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
