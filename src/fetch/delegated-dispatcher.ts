import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher, FormData } from 'undici'
import type { CallOptions } from '../dispatchers/exchange.ts'
import { largestWholeBlob } from './request-body.ts'

interface FetchDispatchOptions extends Dispatcher.DispatchOptions {
  /** The one-shot generator that undici's fetch would have sent. */
  readonly __mockAgentBodyForDispatch?: Dispatcher.DispatchOptions['body']
  resilience?: CallOptions
}

type MaybeMock = Dispatcher & { readonly isMockActive?: boolean }

/**
 * What undici's fetch takes for its dispatcher during one call: gives the bytes of a body, where they are known, in
 * place of the one-shot generator that undici's fetch makes even of a string.
 */
export class CallDispatcher {
  // A dispatcher that says this is given each hop's body as the caller gave it, and beside it the generator. So undici
  // itself decides on which hop of a redirect the body belongs, and a body inside a Request is known as well.
  readonly isMockActive = true
  readonly #target: MaybeMock
  readonly #form: FormData | undefined
  readonly #options: CallOptions | undefined

  constructor(target: Dispatcher, form: FormData | undefined, options: CallOptions | undefined) {
    this.#target = target
    this.#form = form
    this.#options = options
  }

  dispatch(options: FetchDispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const watched = new HeadWatcher(handler)
    // A MockAgent matches on the body as it was given, whatever it is.
    if (this.#target.isMockActive) return this.#target.dispatch(options, watched)
    const { __mockAgentBodyForDispatch: generator, ...rest } = options
    if (!this.#canBeSentAgain(rest.body)) rest.body = generator ?? null
    if (this.#options !== undefined) rest.resilience = this.#options
    return this.#target.dispatch(rest, watched)
  }

  #canBeSentAgain(body: unknown): boolean {
    if (typeof body === 'string' || body instanceof Uint8Array) return true
    if (body instanceof Blob) return body.size <= largestWholeBlob
    // Only a form that nobody else can change any more still fits the content-length that fetch reckoned.
    return body !== null && body === this.#form
  }
}

class HeadWatcher implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler
  #headSeen = false

  constructor(handler: Dispatcher.DispatchHandler) {
    this.#handler = handler
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#handler.onRequestStart?.(controller, context)
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.#handler.onRequestUpgrade?.(controller, status, headers, socket)
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.()
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    this.#headSeen = status >= 200
    this.#handler.onResponseStart?.(controller, status, headers, message)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#handler.onResponseData?.(controller, chunk)
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#handler.onResponseEnd?.(controller, trailers)
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    // undici's fetch listens to the body some promises after it has the head. An error that comes with the head is lost
    // on it, and whoever reads the body waits for ever.
    if (this.#headSeen) setImmediate(() => this.#handler.onResponseError?.(controller, error))
    else this.#handler.onResponseError?.(controller, error)
  }
}
