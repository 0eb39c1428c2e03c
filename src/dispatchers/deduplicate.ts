import type { IncomingHttpHeaders } from 'node:http'
import { type Dispatcher, errors, interceptors } from 'undici'
import { runWithoutContext } from '../context/request-context.ts'
import { checkOptions } from '../policies/options.ts'
import { withoutTimeLeft } from './carried.ts'
import { layerOf } from './chain-part.ts'
import { effectiveOptions } from './describe.ts'
import { markOverEdge } from './edge.ts'
import { kScope, type ScopedOptions, scopeOf } from './exchange.ts'
import { guardDispatch } from './guard.ts'
import { RawParts } from './raw-parts.ts'
import type { Layer } from './relay.ts'

/** Options of {@link deduplicate}: those of undici's `interceptors.deduplicate`. */
export interface DeduplicateOptions {
  /**
   * Safe methods whose requests are shared.
   * @default ['GET']
   */
  readonly methods?: readonly ('GET' | 'HEAD' | 'OPTIONS' | 'TRACE')[]
  /**
   * Names of headers with which a request is never shared.
   * @default []
   */
  readonly skipHeaderNames?: readonly string[]
  /**
   * Names of headers in which requests that are shared may differ.
   * @default []
   */
  readonly excludeHeaderNames?: readonly string[]
  /**
   * Bytes kept for a caller that holds its body back, while the others read on; beyond it that caller's body fails.
   * @default 5_242_880
   */
  readonly maxBufferSize?: number
}

/** Defaults of {@link deduplicate}: undici's. */
export const deduplicateDefaults = {
  methods: ['GET'],
  skipHeaderNames: [],
  excludeHeaderNames: [],
  maxBufferSize: 5 * 1024 * 1024,
} as const

/** A request under way, and how many still want its answer. */
class Shared {
  controller: Dispatcher.DispatchController | null = null
  over = false
  private callers = 0
  private holding = 0
  private isHeld = false

  enter(): void {
    this.callers++
  }

  /** A caller wants nothing more of it. */
  leave(wasHolding: boolean): void {
    this.callers--
    if (wasHolding) this.holding--
    if (this.over) return
    if (this.callers === 0) this.controller?.abort(new errors.RequestAbortedError())
    else this.holdBack()
  }

  /** A caller holds its body back. What comes for the others is kept for it. */
  hold(): void {
    this.holding++
    this.holdBack()
  }

  goOn(): void {
    this.holding--
    this.release()
  }

  /** Where all held it back until now, and one does not any more, or has come, it goes on. */
  release(): void {
    if (!this.isHeld || this.over || this.holding === this.callers) return
    this.isHeld = false
    this.controller?.resume()
  }

  // Only where nobody reads: one that is slow must not make the others wait.
  private holdBack(): void {
    if (this.holding < this.callers || this.over) return
    this.isHeld = true
    this.controller?.pause()
  }
}

// undici hands the same context to all who share a request: by that they find each other.
const sharedOf = new WeakMap<object, Shared>()

/** Takes the first place of a request, which in undici's hands decides over all others: it never gives up by itself. */
class Lead implements Dispatcher.DispatchHandler {
  /** undici shares nothing with this request. */
  passed = false

  onResponseError(): void {}
}

/** Between what is shared and undici's handler for all who share it. */
class SharedHandler implements Dispatcher.DispatchHandler {
  private readonly all: Dispatcher.DispatchHandler
  private readonly shared = new Shared()

  constructor(all: Dispatcher.DispatchHandler) {
    this.all = all
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    const { shared } = this
    shared.controller = controller
    const known = context ?? {}
    sharedOf.set(known, shared)
    this.all.onRequestStart?.(controller, known)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    this.shared.controller = controller
    this.all.onResponseStart?.(controller, status, headers, message)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.all.onResponseData?.(controller, chunk)
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.shared.over = true
    this.all.onResponseEnd?.(controller, trailers)
  }

  onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    this.shared.over = true
    this.all.onResponseError?.(controller as Dispatcher.DispatchController, error)
  }
}

/** One caller among those who share a request: its controller gives up its own share only. */
class Sharer extends RawParts implements Dispatcher.DispatchHandler, Dispatcher.DispatchController {
  aborted = false
  paused = false
  reason: Error | null = null
  private readonly handler: Dispatcher.DispatchHandler
  private shared: Shared | null = null
  private inner: Dispatcher.DispatchController | null = null
  private isOver = false

  constructor(handler: Dispatcher.DispatchHandler) {
    super()
    this.handler = handler
  }

  // undici's controller of a share has no raw headers, without which fetch sees none at all.
  protected get below(): Dispatcher.DispatchController | null {
    return this.shared?.controller ?? this.inner
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.inner?.pause()
    if (!this.isOver) this.shared?.hold()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (!this.isOver) this.shared?.goOn()
    // What was kept for it, which it may hold back again.
    this.inner?.resume()
  }

  abort(given: Error): void {
    if (this.aborted || this.isOver) return
    this.aborted = true
    const reason = given ?? new errors.RequestAbortedError()
    this.reason = reason
    // undici tells of it at once, as of an error of this share.
    this.inner?.abort(reason)
  }

  /** What was held back until it came goes on, now that undici knows of it. */
  joined(): void {
    if (!this.isOver) this.shared?.release()
  }

  private end(): void {
    if (this.isOver) return
    this.isOver = true
    this.shared?.leave(this.paused)
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    this.inner = controller
    this.shared = (context === null ? null : sharedOf.get(context)) ?? null
    this.shared?.enter()
    this.handler.onRequestStart?.(this, context)
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    this.handler.onResponseStart?.(this, status, headers, message)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.handler.onResponseData?.(this, chunk)
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.end()
    this.handler.onResponseEnd?.(this, trailers)
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.end()
    this.handler.onResponseError?.(this, error)
  }
}

/**
 * The request of nobody in particular: a call of its own, which outlives the one that happened to be first, and what that
 * one's caller said of it.
 */
function forAll(opts: ScopedOptions): ScopedOptions {
  const { resilience, ...request } = withoutTimeLeft(opts)
  delete request[kScope]
  const urlTemplate = resilience?.urlTemplate
  return urlTemplate === undefined ? request : { ...request, resilience: { urlTemplate } }
}

interface Begun {
  readonly opts: Dispatcher.DispatchOptions
  readonly handler: Dispatcher.DispatchHandler
}

/**
 * Lets callers that ask for the same at the same time share one request: undici's `interceptors.deduplicate`, made safe for
 * those who share. There, whoever comes first holds the request for all: its abort fails the others, and their answers
 * have no raw headers, so that fetch sees none. Here each caller gives up its own share only, and the request ends when
 * nobody wants it any more.
 *
 * Place it outermost: deadlines and spans above it are of one caller, those below it of the request, which is a call of
 * its own, in the context ({@link runWithContext}) of none of them.
 *
 * @throws TypeError for options that undici refuses, or does not know.
 */
export function deduplicate(options: DeduplicateOptions = {}): Layer {
  checkOptions('deduplicate', options, ['methods', 'skipHeaderNames', 'excludeHeaderNames', 'maxBufferSize'])
  const interceptor = interceptors.deduplicate(options as Parameters<typeof interceptors.deduplicate>[0])
  return layerOf({ name: 'deduplicate', options: () => effectiveOptions(deduplicateDefaults, options) }, (dispatch) => {
    // A request that undici has just found to be the first of its kind. It is sent when its first caller shares it: an
    // answer may come before dispatch() returns.
    let begun: Begun | null = null
    const shared = interceptor((opts, handler) => {
      if (handler instanceof Sharer) return dispatch(opts, handler)
      if (handler instanceof Lead) handler.passed = true
      else begun = { opts, handler }
      return true
    })
    const share = (opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean => {
      // undici does not look at bodies.
      if (opts.body !== null && opts.body !== undefined) return dispatch(opts, handler)
      const request = forAll(opts)
      const lead = new Lead()
      begun = null
      shared(request, lead)
      const first = begun as Begun | null
      if (lead.passed) return dispatch(opts, handler)
      const sharer = new Sharer(handler)
      const accepted = shared(request, sharer)
      if (first === null) {
        sharer.joined()
        return accepted
      }
      const all = new SharedHandler(first.handler)
      try {
        return runWithoutContext(() => dispatch(first.opts, all))
      } catch (error) {
        all.onResponseError(null, error as Error)
        return true
      }
    }
    // Alone in an agent's compose() it is the outermost layer of the kit too, and what is the caller's holds above it.
    const alone = guardDispatch([], markOverEdge(share), null, 'deduplicate')
    return (opts, handler) => (scopeOf(opts) === null ? alone(opts, handler) : share(opts, handler))
  })
}
