import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { lane, type TimerEntry } from '../policies/clock.ts'
import { Attempt } from './attempt.ts'
import { HeldAnswer } from './held-answer.ts'

/** Bytes kept of an answer that is none, for the case that no other comes. */
const heldLimit = 64 * 1024

/** An attempt whose answer can be held back: it is none, but may have to serve if no other comes. */
export abstract class HoldingAttempt extends Attempt {
  /** The answer that is held back; `null` where there is none. */
  held: HeldAnswer | null = null
  /** Its head, or its failure, has come. */
  decided = false
  private lost = false

  /** As much of it is kept as will be. */
  get isFull(): boolean {
    return this.held !== null && this.held.bytes > heldLimit
  }

  /** Whether a head is one to hold back. */
  protected abstract isHeld(status: number, headers: IncomingHttpHeaders): boolean

  /** More of the body has come than is kept. */
  protected abstract heldTooMuch(): void

  /** What it came to is not wanted: what it holds is free when this returns. */
  lose(reason: Error): void {
    if (this.over) return
    this.lost = true
    this.held = null
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

  override onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.over || this.decided) return
    if (status >= 200) {
      this.inner = controller
      // Made first: if nothing else is left, it is what the caller gets.
      if (this.isHeld(status, headers)) this.held = new HeldAnswer(controller, status, headers, message)
    }
    super.onResponseStart(controller, status, headers, message)
  }

  override onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { held } = this
    if (held === null) super.onResponseData(controller, chunk)
    else if (!this.over) {
      held.data(chunk)
      if (this.discarded && this.isFull) this.heldTooMuch()
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
}

/** Milliseconds for which what is left of an answer that is none is read. */
const drainFor = 1000

/** Ends an answer that is not wanted, or only if nothing better comes, and does not come to its own end soon. */
export class Drain implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly attempt: HoldingAttempt

  constructor(attempt: HoldingAttempt) {
    this.attempt = attempt
    lane(drainFor).add(this)
  }

  onTimer(): void {
    // By now it may be the caller's after all.
    if (this.attempt.discarded) this.attempt.lose(new Error('the answer is not wanted'))
  }
}
