import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import { type Dispatcher, errors } from 'undici'
import { kindOfError } from '../policies/outcome.ts'
import type { CallScope } from './exchange.ts'
import { RawParts } from './raw-parts.ts'

/** A layer as undici knows it. The function it returns has exactly two parameters: undici checks. */
export type Layer = Dispatcher.DispatcherComposeInterceptor

const nobody: Dispatcher.DispatchHandler = {}

interface Sides {
  handler: Dispatcher.DispatchHandler
  inner: Dispatcher.DispatchController | null
}

/**
 * Lets a call that is over go from both its sides. Consumers keep their controller: undici's `request` in a function that
 * V8 puts among the old objects at once, where it is garbage until the next full collection. Until then all that can be
 * reached from it would be copied there too, call by call, and V8 would conclude that such objects live long, and make
 * them there in the first place.
 */
export function letGoOf(call: Sides): void {
  call.handler = nobody
  call.inner = null
}

/**
 * Stands between a consumer and the transport, in both directions: a handler for what comes up, a controller for what
 * goes down. It can be aborted from the moment it exists, also before the transport has given a controller of its own,
 * and passes on only one `onRequestStart`. Everything passes through unchanged; subclasses act on what they care for.
 *
 * One object for both roles: on the happy path it is the only thing a layer allocates.
 */
export class Relay extends RawParts implements Dispatcher.DispatchHandler, Dispatcher.DispatchController {
  handler: Dispatcher.DispatchHandler
  readonly scope: CallScope
  inner: Dispatcher.DispatchController | null = null
  context: object | null = null
  aborted = false
  reason: Error | null = null
  paused = false
  /** A terminal callback has been given to the consumer: nothing more will be. */
  ended = false

  constructor(handler: Dispatcher.DispatchHandler, scope: CallScope) {
    super()
    this.handler = handler
    this.scope = scope
  }

  protected get below(): Dispatcher.DispatchController | null {
    return this.inner
  }

  pause(): void {
    this.paused = true
    this.inner?.pause()
  }

  resume(): void {
    this.paused = false
    this.inner?.resume()
  }

  /** The consumer's way to give the call up. The kit's own is {@link stop}: undici's `dump` puts a function of its own here. */
  abort(reason: Error): void {
    this.stop(reason)
  }

  /** Gives the call up: the consumer hears of it before this returns. */
  stop(reason: Error): void {
    if (this.aborted || this.ended) return
    this.aborted = true
    // The error that undici, too, makes of an abort without a reason.
    const error = reason || new errors.RequestAbortedError()
    this.reason = error
    // undici answers with onResponseError before abort() returns; where nobody below can answer yet, we do.
    this.abortInner(error)
    if (this.ended) return
    // A layer below that reads on in spite of the abort (undici's dump) shall come to its end.
    if (this.paused) this.inner?.resume()
    this.onResponseError(this, error)
  }

  protected abortInner(reason: Error): void {
    this.inner?.abort(reason)
  }

  /** Gives the consumer its controller now, long before the transport has one. */
  start(context: object): void {
    this.context = context
    try {
      this.handler.onRequestStart?.(this, context)
    } catch (error) {
      this.failed(error)
    }
  }

  /** Whether the handler is the caller's own, and not that of a layer between two of the kit. */
  protected get isOutermost(): boolean {
    return true
  }

  /**
   * The consumer threw: the call ends with that error, as it would in undici. It is given up from here, not by a throw
   * into the layers below: undici's own retry takes such a throw for a failure of the network.
   */
  failed(error: unknown): void {
    const { scope, isOutermost } = this
    if (isOutermost) scope.exchange.blameCaller(error)
    // A foreign layer throws where an answer does not suit it; that is its judgement of the server.
    scope.abortedAs ??= isOutermost ? 'invalid' : kindOfError(error)
    this.stop(error as Error)
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    this.inner = controller
    if (this.aborted || this.ended) {
      // Given up while the connection was being made, or on a replay nobody waits for.
      controller.abort(this.reason ?? new Error('the call is over'))
      return
    }
    if (this.paused) controller.pause()
    if (this.context === null) this.start(context ?? {})
    else if (context !== null && context !== this.context) Object.assign(this.context, context)
  }

  onRequestUpgrade(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    if (this.ended) return
    this.ended = true
    this.handler.onRequestUpgrade?.(this, status, headers, socket)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.ended) return
    this.inner = controller
    try {
      this.handler.onResponseStart?.(this, status, headers, message)
    } catch (error) {
      this.failed(error)
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.ended) return
    try {
      this.handler.onResponseData?.(this, chunk)
    } catch (error) {
      this.failed(error)
    }
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    if (this.ended) return
    // Noted first: an abort from inside the consumer's end comes too late.
    this.ended = true
    try {
      this.handler.onResponseEnd?.(this, trailers)
    } catch (error) {
      // A consumer may throw here on purpose (undici's own RetryHandler does) and relies on onResponseError next.
      this.ended = false
      if (this.isOutermost) this.scope.exchange.blameCaller(error)
      this.onResponseError(this, error as Error)
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.ended) return
    this.ended = true
    this.handler.onResponseError?.(this, error)
  }

  onResponseStarted(): void {
    try {
      this.handler.onResponseStarted?.()
    } catch (error) {
      this.failed(error)
    }
  }

  onBodySent(chunk: Buffer): void {
    try {
      this.handler.onBodySent?.(chunk)
    } catch (error) {
      this.failed(error)
    }
  }

  onRequestSent(): void {
    try {
      this.handler.onRequestSent?.()
    } catch (error) {
      this.failed(error)
    }
  }
}
