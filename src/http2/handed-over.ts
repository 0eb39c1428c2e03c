import type { Dispatcher } from 'undici'

/** The handler of a call that had begun over HTTP/2 and goes on over HTTP/1.1: it has seen its start. */
export class HandedOver implements Dispatcher.DispatchHandler {
  private readonly handler: Dispatcher.DispatchHandler
  private readonly follow: (controller: Dispatcher.DispatchController) => void

  constructor(handler: Dispatcher.DispatchHandler, follow: (controller: Dispatcher.DispatchController) => void) {
    this.handler = handler
    this.follow = follow
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.follow(controller)
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
    this.handler.onResponseEnd?.(...args)
  }

  onResponseError(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseError']>>): void {
    this.handler.onResponseError?.(...args)
  }
}
