import type { Dispatcher } from 'undici'

/**
 * The handler of a call that had begun over HTTP/2 and goes on over HTTP/1.1: it has seen its start, and the controller it
 * was given then.
 */
export class HandedOver implements Dispatcher.DispatchHandler {
  isOver = false
  private readonly handler: Dispatcher.DispatchHandler
  private readonly outer: Dispatcher.DispatchController
  private inner: Dispatcher.DispatchController | null = null

  constructor(handler: Dispatcher.DispatchHandler, outer: Dispatcher.DispatchController) {
    this.handler = handler
    this.outer = outer
  }

  pause(): void {
    this.inner?.pause()
  }

  resume(): void {
    this.inner?.resume()
  }

  /** While it waits for a connection it ends at once, and undici is told when its turn comes. */
  abort(reason: Error): void {
    if (this.inner !== null) this.inner.abort(reason)
    else this.onResponseError(this.outer, reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const { outer } = this
    if (this.isOver) {
      controller.abort(outer.reason as Error)
      return
    }
    this.inner = controller
    if (outer.paused) controller.pause()
  }

  onBodySent(chunk: Buffer): void {
    this.handler.onBodySent?.(chunk)
  }

  onRequestSent(): void {
    this.handler.onRequestSent?.()
  }

  onResponseStarted(): void {
    this.handler.onResponseStarted?.()
  }

  onResponseStart(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>): void {
    this.handler.onResponseStart?.(...args)
  }

  onResponseData(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseData']>>): void {
    this.handler.onResponseData?.(...args)
  }

  onResponseEnd(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseEnd']>>): void {
    this.isOver = true
    this.handler.onResponseEnd?.(...args)
  }

  onResponseError(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseError']>>): void {
    // An end that the consumer threw in is followed by an error.
    if (this.isOver && this.inner === null) return
    this.isOver = true
    this.handler.onResponseError?.(...args)
  }
}
