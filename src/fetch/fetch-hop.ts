import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher, Response } from 'undici'
import { isFallback, markFallback } from '../dispatchers/fallback-mark.ts'
import { protocolOfHead } from '../dispatchers/protocol.ts'
import { lane, type TimerEntry } from '../policies/clock.ts'
import { link } from './abort-links.ts'
import { readCodings } from './content-decoder.ts'
import { asError, IncomingBody, terminated, textOf, unreadLimit } from './incoming-body.ts'
import { followRedirect, isRedirect } from './redirect.ts'
import type { FetchRequest } from './request.ts'
import { cancelBody } from './request-body.ts'
import { writeHead } from './request-head.ts'
import { makeResponse } from './response.ts'
import { LazyHeadersList } from './response-headers.ts'

type Controller = Dispatcher.DispatchController
type Method = Dispatcher.HttpMethod
type Resolve = (response: Response) => void
type Reject = (error: unknown) => void
type Payload = NonNullable<Dispatcher.DispatchOptions['body']> | null

interface DispatchOptions extends Dispatcher.DispatchOptions {
  /** Told to undici's redirect(): redirects are for fetch to follow, or not. */
  readonly maxRedirections: 0
  resilience?: object
  /** What a MockAgent sends where it lets a call through. */
  __mockAgentBodyForDispatch?: Payload
}

const questionMark = 63

// Milliseconds. A redirect's body comes with its head, or nearly so; whatever takes longer is not waited for.
const longestDrain = 100

const misdirected = 421
const proxyAuthenticationRequired = 407

/** The error of a call that came to no response head, as undici gives it. */
export function fetchFailed(cause: unknown): TypeError {
  return new TypeError('fetch failed', { cause: cause instanceof Error ? cause : new Error(textOf(cause)) })
}

/**
 * One hop of a call: what is dispatched once, and after that the body of its response. A redirect makes another; the
 * object holds no Response.
 */
export class FetchHop extends IncomingBody implements Dispatcher.DispatchHandler {
  private request: FetchRequest | null
  private resolve: Resolve | null
  private reject: Reject | null
  private readonly dispatcher: Dispatcher
  private readonly isSecondTry: boolean
  // The response is not wanted: a redirect's, or one that can have no body.
  private isDumped = false
  private dumped = 0
  private isLeft = false
  // The hop that follows, once what is left of this response has run out.
  private next: FetchHop | null = null

  constructor(request: FetchRequest, dispatcher: Dispatcher, resolve: Resolve, reject: Reject, isSecondTry = false) {
    super()
    this.request = request
    this.dispatcher = dispatcher
    this.resolve = resolve
    this.reject = reject
    this.isSecondTry = isSecondTry
  }

  /** Begins to listen to the call's signal. */
  listen(): void {
    const { signal, signalOwner } = this.request as FetchRequest
    if (signal === null) return
    this.signal = signal
    this.signalOwner = signalOwner
    link(signal, this)
  }

  /** Sends the request. */
  send(): void {
    const { request } = this
    // It was given up while the hop before ran out.
    if (request === null) return
    try {
      this.dispatcher.dispatch(this.optionsOf(request), this)
    } catch (error) {
      this.onResponseError(null, error as Error)
    }
  }

  // Callbacks of a connection come in the async context of whoever opened it, and those of a timer in none; layers of the
  // caller's own look for the call in its context.
  private sendForCaller(): void {
    this.request?.context.runInAsyncScope(this.send, this)
  }

  private optionsOf(request: FetchRequest): Dispatcher.DispatchOptions {
    const { url, method, body, resilience } = request
    const { origin, search } = url
    // A question mark with nothing after it is part of the URL, though no part of its search.
    const isBareQuery = search === '' && url.href.charCodeAt(url.href.length - url.hash.length - 1) === questionMark
    const path = isBareQuery ? `${url.pathname}?` : url.pathname + search
    const headers = writeHead(request, origin)
    const payload = (body?.payload ?? null) as Payload
    const opts: DispatchOptions = { origin, path, method: method as Method, headers, body: payload, maxRedirections: 0 }
    if (body !== null && body.given !== payload && this.isMock) {
      opts.body = body.given as Payload
      opts.__mockAgentBodyForDispatch = payload
    }
    if (resilience !== undefined) opts.resilience = resilience
    return opts
  }

  private get isMock(): boolean {
    return (this.dispatcher as { isMockActive?: boolean }).isMockActive === true
  }

  onRequestStart(controller: Controller): void {
    if (this.hasFailed) controller.abort(asError(this.failure))
    else this.controller = controller
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void {
    const { request } = this
    if (status < 200 || request === null) return
    this.controller = controller
    if (isRedirect(status) && request.redirect !== 'manual') this.redirect(request, status, headers, message)
    else if (status === misdirected && !this.isSecondTry && (request.body === null || request.body.isReplayable)) {
      this.goOn(request, true)
    } else if (status === proxyAuthenticationRequired) {
      // There is nobody who could be asked for the proxy's password.
      this.refuse(new Error())
    } else {
      this.respond(request, controller, status, headers, message)
    }
  }

  private redirect(
    request: FetchRequest,
    status: number,
    headers: IncomingHttpHeaders,
    message: string | undefined,
  ): void {
    try {
      if (request.redirect === 'error') throw new Error('unexpected redirect')
      if (followRedirect(request, status, headers)) this.goOn(request, false)
      else this.respond(request, this.controller as Controller, status, headers, message)
    } catch (error) {
      this.refuse(error)
    }
  }

  /**
   * Another hop takes the call over as soon as what is left of this response has run out, so that its connection and its
   * place in every limit are free for it.
   */
  private goOn(request: FetchRequest, isSecondTry: boolean): void {
    const { resolve, reject, dispatcher } = this
    this.letGo()
    this.settled()
    this.isDumped = true
    if (request.body?.again !== undefined) request.body = request.body.again()
    this.next = new FetchHop(request, dispatcher, resolve as Resolve, reject as Reject, isSecondTry)
    this.next.listen()
    lane(longestDrain).add(new DrainTimer(this))
  }

  private ranOut(): void {
    this.controller = null
    const { next } = this
    this.next = null
    next?.sendForCaller()
  }

  /** Leaves what has not come of a response that nobody wants. */
  leave(): void {
    if (this.isLeft) return
    this.isLeft = true
    this.controller?.abort(new DOMException('The rest of a response that nobody wants was left', 'AbortError'))
    // A foreign layer may not tell of the end that it was asked for.
    this.ranOut()
  }

  /** The response is an error by the standard. */
  private refuse(error: unknown): void {
    const { controller, reject } = this
    this.settled()
    this.fail(error)
    reject?.(fetchFailed(error))
    controller?.abort(asError(error))
  }

  private settled(): void {
    this.request = null
    this.resolve = null
    this.reject = null
  }

  private respond(
    request: FetchRequest,
    controller: Controller,
    status: number,
    headers: IncomingHttpHeaders,
    message: string | undefined,
  ): void {
    const { resolve } = this
    const { method, tainting } = request
    const protocol = protocolOfHead(controller, headers)
    const hasBody = method !== 'HEAD' && status !== 204 && status !== 205 && status !== 304
    if (hasBody) {
      try {
        this.codings = readCodings(headers['content-encoding'])
      } catch (error) {
        this.refuse(error)
        return
      }
    }
    this.isWatched = this.signal !== null || !(Number(headers['content-length']) <= unreadLimit)
    const isOpaque = tainting === 'opaque'
    this.isDumped = !hasBody || isOpaque
    if (this.isDumped) this.letGo()
    const response = makeResponse({
      type: tainting,
      status: isOpaque ? 0 : status,
      statusText: isOpaque ? '' : (message ?? ''),
      urls: request.urls,
      headers: new LazyHeadersList(headers),
      body: this.isDumped ? null : this,
      protocol,
    })
    if (isFallback({ headers })) markFallback(response)
    this.settled()
    resolve?.(response)
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (!this.isDumped) {
      this.receive(chunk)
      return
    }
    this.dumped += chunk.byteLength
    if (this.dumped > unreadLimit) this.leave()
  }

  onResponseEnd(): void {
    if (this.isDumped) this.ranOut()
    else if (this.request === null) this.arrive()
    // No transport does this, but a foreign layer may, and the call would wait for ever.
    else this.refuse(new Error('the response ended before its head'))
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    const { reject } = this
    if (this.isDumped) {
      this.ranOut()
    } else if (reject !== null) {
      this.settled()
      this.fail(error)
      reject(fetchFailed(error))
    } else if (!this.hasArrived && !this.ended) {
      this.fail(terminated(error))
    }
    this.controller = null
  }

  override giveUp(reason: unknown): void {
    const { reject, request, controller } = this
    if (reject !== null) {
      this.settled()
      reject(reason)
      // Nobody has begun to read it, and nobody will.
      if (controller === null && request !== null) cancelBody(request.body, reason)
    }
    super.giveUp(reason)
  }
}

class DrainTimer implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly hop: FetchHop

  constructor(hop: FetchHop) {
    this.hop = hop
  }

  onTimer(): void {
    this.hop.leave()
  }
}
