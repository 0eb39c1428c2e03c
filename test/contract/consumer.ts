// The caller's side of a dispatch: keeps every callback, and misbehaves as it is told.
import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'

/** The moments at which a consumer can do something of its own. */
export type Moment = 'start' | 'info' | 'head' | 'data' | 'end' | 'error' | 'upgrade' | 'bodySent' | 'requestSent'

/** What a consumer does in its callbacks; what it throws goes to whoever called it. */
export type Reactions = { readonly [moment in Moment]?: (consumer: Consumer) => void }

const whole =
  /^(start > )?(info \d+ > )*(head \d+ > (data > )?end( > error)?|(head \d+ > (data > )?)?error|upgrade \d+)$/

/** What is wrong with the callbacks of a call, or `null`: their order, their number, no end. */
export function breachOf(events: readonly string[]): string | null {
  const seen = events.join(' > ')
  const starts = events.filter((event) => event === 'start').length
  if (starts > 1) return `onRequestStart came ${starts} times: ${seen}`
  return whole.test(seen) ? null : `callbacks out of order: ${seen}`
}

/** Keeps the callbacks in their order: `start`, `info 103`, `head 200`, `data` (once for all that follow each other), `end`, `error`, `upgrade 101`. */
export class Consumer implements Dispatcher.DispatchHandler {
  readonly events: string[] = []
  /** Settles with the first terminal callback. */
  readonly over: Promise<void>
  isOver = false
  controller: Dispatcher.DispatchController | null = null
  headers: IncomingHttpHeaders = {}
  trailers: IncomingHttpHeaders = {}
  rawHeaders: unknown = undefined
  rawTrailers: unknown = undefined
  socket: Duplex | null = null
  error: unknown = undefined
  bytes = 0
  bodySent = 0
  requestSent = 0
  /** Bytes that came while the body was held back. */
  bytesWhilePaused = 0
  paused = false
  readonly #reactions: Reactions
  #end!: () => void

  constructor(reactions: Reactions = {}) {
    this.#reactions = reactions
    this.over = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  #did(moment: Moment, event: string): void {
    if (event !== 'data' || this.events.at(-1) !== 'data') this.events.push(event)
    this.#reactions[moment]?.(this)
  }

  #finish(): void {
    this.isOver = true
    this.#end()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    this.#did('start', 'start')
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.headers = headers
    this.rawHeaders = controller?.rawHeaders
    this.socket = socket
    socket.on('error', () => {})
    this.#finish()
    this.#did('upgrade', `upgrade ${status}`)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) {
      this.#did('info', `info ${status}`)
      return
    }
    this.headers = headers
    this.rawHeaders = controller?.rawHeaders
    this.#did('head', `head ${status}`)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.bytes += chunk.length
    if (this.paused) this.bytesWhilePaused += chunk.length
    this.#did('data', 'data')
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.trailers = trailers
    this.rawTrailers = controller?.rawTrailers
    this.#finish()
    this.#did('end', 'end')
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.error = error
    this.#finish()
    this.#did('error', 'error')
  }

  onBodySent(chunk: Buffer): void {
    this.bodySent += chunk.length
    this.#reactions.bodySent?.(this)
  }

  onRequestSent(): void {
    this.requestSent++
    this.#reactions.requestSent?.(this)
  }

  pause(): void {
    this.paused = true
    this.controller?.pause()
  }

  resume(): void {
    this.paused = false
    this.controller?.resume()
  }
}
