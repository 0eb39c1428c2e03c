import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import { Dispatcher } from 'undici'
import type { Call } from './call.ts'

/** Stands between a consumer and the chain, and checks the order of everything that comes up. */
class CheckedHandler implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler
  readonly #call: Call
  #starts = 0
  #heads = 0
  #ended = false
  #threwInEnd = false

  constructor(handler: Dispatcher.DispatchHandler, call: Call) {
    this.#handler = handler
    this.#call = call
    call.headSeen = false
    call.over = false
    call.latest = this
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) this.#call.mistake(`contract: ${what}`)
  }

  #comes(callback: string): void {
    this.#expect(!this.#ended, `${callback} after the terminal callback`)
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#comes('onRequestStart')
    this.#expect(++this.#starts === 1, 'onRequestStart came twice')
    this.#expect(this.#heads === 0, 'onRequestStart after a head')
    this.#expect(typeof controller?.abort === 'function', 'onRequestStart without a controller')
    this.#handler.onRequestStart?.(controller, context)
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.#expect(false, 'an upgrade that nobody asked for')
    this.#handler.onRequestUpgrade?.(controller, status, headers, socket)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    this.#comes('onResponseStart')
    this.#expect(this.#starts === 1, 'a head before onRequestStart')
    this.#expect(this.#heads === 0, `head ${status} after the final head`)
    if (status >= 200) {
      this.#heads++
      this.#call.headSeen = true
      this.#call.mayBeIn('in body')
    }
    this.#handler.onResponseStart?.(controller, status, headers, message)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#comes('onResponseData')
    this.#expect(this.#heads === 1, 'data before the final head')
    this.#handler.onResponseData?.(controller, chunk)
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#comes('onResponseEnd')
    this.#expect(this.#heads === 1, 'the end before the final head')
    this.#expect(!this.#threwInEnd, 'onResponseEnd again after the consumer threw in it')
    try {
      this.#handler.onResponseEnd?.(controller, trailers)
    } catch (error) {
      this.#threwInEnd = true
      throw error
    }
    this.#over()
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#comes('onResponseError')
    this.#expect(error instanceof Error, `onResponseError with ${String(error)}`)
    this.#over()
    this.#handler.onResponseError?.(controller, error)
  }

  #over(): void {
    this.#ended = true
    // fetch sends the next hop of a redirect as soon as it hears of the end of this one.
    if (this.#call.latest === this) this.#call.over = true
  }
}

/** A dispatcher for one call, whose handlers are checked. */
export class CheckedDispatcher extends Dispatcher {
  readonly #inner: Dispatcher
  readonly #call: Call

  constructor(inner: Dispatcher, call: Call) {
    super()
    this.#inner = inner
    this.#call = call
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#inner.dispatch(opts, new CheckedHandler(handler, this.#call))
  }
}
