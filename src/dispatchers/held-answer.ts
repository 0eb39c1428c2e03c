import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { RawParts } from './raw-parts.ts'

type RawHeaders = Exclude<Dispatcher.DispatchController['rawHeaders'], undefined>

/**
 * An answer that waits for somebody to want it: a response that may have to serve if nothing better comes, or one that was
 * made up. What comes of its body meanwhile is kept. Once given to a handler it is the controller of what follows.
 */
export class HeldAnswer extends RawParts implements Dispatcher.DispatchController {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly message: string | undefined
  aborted = false
  reason: Error | null = null
  paused = false
  /** Bytes of its body kept so far. */
  bytes = 0
  private inner: Dispatcher.DispatchController | null
  private readonly chunks: Buffer[] = []
  private handler: Dispatcher.DispatchHandler | null = null
  private trailers: IncomingHttpHeaders | null = null
  private error: Error | null = null
  private isOver = false
  private giving = false

  /** `inner`: who brings the rest of it; what only carries raw headers where all of it is here. */
  constructor(
    inner: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message: string | undefined,
  ) {
    super()
    this.inner = inner
    this.status = status
    this.headers = headers
    this.message = message
  }

  protected get below(): Dispatcher.DispatchController | null {
    return this.inner
  }

  /** All of it is here. */
  private get isWhole(): boolean {
    return this.trailers !== null || this.error !== null
  }

  /** Whether it broke before it was whole, so that nobody can be given it. */
  get isBroken(): boolean {
    return this.error !== null
  }

  data(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.bytes += chunk.length
    this.give()
  }

  end(trailers: IncomingHttpHeaders): void {
    this.trailers = trailers
    this.keepRaw()
    this.give()
  }

  fail(error: Error): void {
    this.error = error
    this.keepRaw()
    this.give()
  }

  // Who brought it lets go of the raw headers when this returns.
  private keepRaw(): void {
    if (this.handler === null) this.inner = rawPartsOnly(this.rawHeaders, this.rawTrailers)
  }

  /** Gives it to a handler: the head and what has come so far now, the rest as it comes. */
  giveTo(handler: Dispatcher.DispatchHandler): void {
    this.handler = handler
    this.giving = true
    handler.onResponseStart?.(this, this.status, this.headers, this.message)
    this.giving = false
    this.give()
    // Whoever kept it may have held the rest of it back.
    if (!this.paused && !this.aborted && !this.isWhole) this.inner?.resume()
  }

  private give(): void {
    const { handler, chunks } = this
    if (handler === null || this.giving) return
    this.giving = true
    while (chunks.length > 0 && !this.paused && !this.aborted) {
      handler.onResponseData?.(this, chunks.shift() as Buffer)
    }
    this.giving = false
    if (this.paused || this.aborted || this.isOver) return
    this.isOver = this.isWhole
    if (this.trailers !== null) handler.onResponseEnd?.(this, this.trailers)
    else if (this.error !== null) handler.onResponseError?.(this, this.error)
  }

  pause(): void {
    this.paused = true
    if (!this.isWhole) this.inner?.pause()
  }

  resume(): void {
    this.paused = false
    this.give()
    if (!this.paused && !this.isWhole) this.inner?.resume()
  }

  abort(reason: Error): void {
    if (this.aborted || this.isOver) return
    this.aborted = true
    this.reason = reason
    this.chunks.length = 0
    const { inner, isWhole } = this
    // The transport answers with an error, which comes back here.
    if (!isWhole) inner?.abort(reason)
  }
}

/** What an answer that is all here has for a controller below. */
export function rawPartsOnly(rawHeaders: RawHeaders, rawTrailers: RawHeaders): Dispatcher.DispatchController {
  return {
    aborted: false,
    paused: false,
    reason: null,
    rawHeaders,
    rawTrailers,
    abort() {},
    pause() {},
    resume() {},
  }
}
