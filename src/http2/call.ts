import { AsyncResource } from 'node:async_hooks'
import { Buffer } from 'node:buffer'
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { type Dispatcher, errors } from 'undici'
import { lane, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import { AcquireTimeoutError, noteUnsent } from '../policies/errors.ts'
import { BodyPump, type PumpOwner } from './body-pump.ts'
import type { CallList } from './call-list.ts'
import { channels } from './diagnostics.ts'
import { sessionError, streamError } from './failures.ts'
import { HandedOver } from './handed-over.ts'
import type { SessionPool } from './pool.ts'
import { canSendAgain, giveUpBody, lengthOf, type RequestBody, requestBody } from './request-body.ts'
import { checkRequestOptions, RequestHead } from './request-head.ts'
import type { Peer, PooledSession } from './session.ts'
import { cancelStream, readOn, type StreamOwner, tapStream, untapStream } from './stream-taps.ts'

type Headers = Exclude<Dispatcher.DispatchController['rawHeaders'], undefined>

const endStream = { endStream: true }
const withBody = { endStream: false }
const noTrailers = {}

const { NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM } = {
  NGHTTP2_REFUSED_STREAM: 7,
  NGHTTP2_ENHANCE_YOUR_CALM: 11,
}
const headersFrame = 1

/** How often one request goes out again by itself. */
const most = {
  /** After the server refused its stream (RFC 9113 §8.7). */
  refused: 3,
  /** After the session was lost before a byte of the answer; only what may be repeated. */
  lost: 3,
  /** After the server never took it: its GOAWAY said so, or nothing was sent. */
  neverTaken: 16,
} as const

function isIdempotent({ method, idempotent }: Dispatcher.DispatchOptions): boolean {
  return idempotent ?? (method === 'GET' || method === 'HEAD' || method === 'QUERY' || method === 'OPTIONS')
}

function cancelAndRelease(stream: ClientHttp2Stream, session: PooledSession): void {
  cancelStream(stream)
  session.release()
}

function drainLater(call: Http2Call): void {
  call.drain()
}

/**
 * One request over HTTP/2, from its place in the queue to its last callback: the handler's controller, the owner of its
 * stream, and its own timer. The only object that is made for a call, so that a call costs little more than its stream.
 */
export class Http2Call implements Dispatcher.DispatchController, StreamOwner, PumpOwner, TimerEntry {
  readonly opts: Dispatcher.DispatchOptions
  readonly handler: Dispatcher.DispatchHandler
  readonly pool: SessionPool
  readonly head: RequestHead

  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  /** The list it stands in: the pool's queue, or the calls of its session. */
  list: CallList | null = null
  next: Http2Call | null = null
  prev: Http2Call | null = null

  aborted = false
  reason: Error | null = null
  paused = false
  rawHeaders: Headers = null
  rawTrailers: Headers = null
  completed = false
  /** The other end of the connection it went out on. */
  peer: Peer | undefined = undefined

  private readonly body: RequestBody
  private session: PooledSession | null = null
  private stream: ClientHttp2Stream | null = null
  private pump: BodyPump | null = null
  private lengthAdded = false
  /** `onRequestStart` was called: it is not called again when the request goes out again. */
  private started = false
  private continues = false
  private answered = false
  private headed = false
  private sawEof = false
  private endTold = false
  private frameFailed = false
  private draining = false
  private over = false
  private chunks: Buffer[] | null = null
  private trailers: IncomingHttpHeaders | null = null
  /** What the body has to come to, or -1. */
  private expected = -1
  private received = 0
  private refusals = 0
  private losses = 0
  private neverTaken = 0
  private unwritten = 0
  private expectedUpload = -1
  private lane: TimerLane | null = null
  // Where its protocol is still to be known: the context of the caller, for those who listen to the channels.
  private unannounced: AsyncResource | null = null
  /** Another dispatcher has it now. */
  private delegate: Dispatcher.DispatchController | null = null

  /** @throws what undici throws for a request that cannot be sent. */
  constructor(pool: SessionPool, opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    this.pool = pool
    this.opts = opts
    this.handler = handler
    checkRequestOptions(opts)
    const { body } = opts
    this.body = body === null || body === undefined ? null : requestBody(body)
    this.head = new RequestHead(opts, pool.authority, pool.scheme)
    if (channels.create.hasSubscribers) {
      if (pool.isProven) channels.create.publish({ request: this })
      else this.unannounced = new AsyncResource('roundtripper.Http2Call')
    }
  }

  // What listens to undici's channels finds a request here.

  get origin(): string {
    return this.pool.origin
  }

  get method(): string {
    return this.opts.method
  }

  get path(): string {
    return this.head.list[7] as string
  }

  get headers(): string[] {
    return this.head.list.slice(8)
  }

  addHeader(name: string, value: string): this {
    this.head.add(name, value)
    return this
  }

  // The controller.

  pause(): void {
    this.paused = true
    this.delegate?.pause()
    if (this.headed) this.stopTimer()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.delegate?.resume()
    if (!this.headed || this.over) return
    this.startTimer(this.bodyLane())
    if (this.chunks !== null || this.endTold) process.nextTick(drainLater, this)
    else if (this.stream !== null) readOn(this.stream)
  }

  abort(reason?: Error): void {
    const error = reason || new errors.RequestAbortedError()
    this.delegate?.abort(error)
    if (this.over) return
    this.aborted = true
    this.reason = error
    this.fail(error)
  }

  /** The origin speaks HTTP/1.1 by now: another dispatcher takes the call, and this one is only its controller. */
  handOver(dispatcher: Dispatcher, opts: Dispatcher.DispatchOptions): void {
    this.stopTimer()
    this.over = true
    const { handler } = this
    dispatcher.dispatch(opts, this.started ? new HandedOver(handler, (inner) => this.follow(inner)) : handler)
    this.pool.settled()
  }

  private follow(controller: Dispatcher.DispatchController): void {
    this.delegate = controller
    if (this.paused) controller.pause()
  }

  // Time.

  private startTimer(on: TimerLane | null): void {
    if (on === null) this.stopTimer()
    else {
      if (this.timerAt !== 0 && on !== this.lane) this.stopTimer()
      this.lane = on
      on.add(this)
    }
  }

  private stopTimer(): void {
    if (this.timerAt !== 0) this.lane?.remove(this)
  }

  private bodyLane(): TimerLane | null {
    const { bodyTimeout } = this.opts
    return bodyTimeout == null ? this.pool.bodyLane : bodyTimeout === 0 ? null : lane(bodyTimeout)
  }

  private headersLane(): TimerLane | null {
    const { headersTimeout } = this.opts
    return headersTimeout == null ? this.pool.headersLane : headersTimeout === 0 ? null : lane(headersTimeout)
  }

  /** It has to wait for a session. */
  waits(): void {
    this.startTimer(this.pool.acquireLane)
  }

  onTimer(): void {
    const { stream, pool } = this
    if (stream === null) {
      const { origin } = pool
      const message = `No connection to ${origin} was free within ${pool.acquireLane?.duration} ms`
      this.fail(new AcquireTimeoutError(message, { origin }))
    } else if (this.headed) {
      this.fail(new errors.BodyTimeoutError(`HTTP/2: "stream timeout after ${this.lane?.duration}"`))
    } else if (!stream.writableFinished && stream.bufferSize !== this.unwritten) {
      // An upload that goes on is no silence.
      this.unwritten = stream.bufferSize
      this.startTimer(this.headersLane())
    } else {
      this.fail(new errors.HeadersTimeoutError(`HTTP/2: "headers timeout after ${this.lane?.duration}"`))
    }
  }

  // The way out.

  /** Goes out on `session`, which has counted it. */
  send(session: PooledSession): void {
    this.session = session
    this.peer = session.peer
    if (!this.started) {
      this.started = true
      this.unannounced?.runInAsyncScope(channels.create.publish, channels.create, { request: this })
      try {
        this.handler.onRequestStart?.(this, null as never)
      } catch (error) {
        this.fail(error as Error)
      }
      if (this.over) return
    }
    const { body } = this
    const length = this.lengthAdded ? this.expectedUpload : this.addLength()
    if (this.over) return
    const bodiless = body === null || length === 0
    let stream: ClientHttp2Stream
    try {
      stream = session.request(this.head.list, bodiless ? endStream : withBody)
    } catch (error) {
      // A session that is closing: nothing was sent.
      this.unlink(null)
      session.retire()
      this.goneUnsent(sessionError((error as Error).message, session.socket, error))
      session.settled()
      return
    }
    this.stream = stream
    tapStream(stream, this, !bodiless)
    this.startTimer(this.headersLane())
    if (channels.sendHeaders.hasSubscribers) this.publishSendHeaders(session)
    if (this.opts.expectContinue === true && !bodiless) this.continues = true
    else this.sendBody()
  }

  // Which length goes into the head, as undici decides it. Returns what the body has to come to, or -1.
  private addLength(): number {
    const { body, head } = this
    const { method } = this.opts
    this.lengthAdded = true
    const payload =
      method === 'POST' ||
      method === 'PUT' ||
      method === 'PATCH' ||
      method === 'QUERY' ||
      method === 'PROPFIND' ||
      method === 'PROPPATCH'
    if (body === null) {
      if (payload) head.list.push('content-length', '0')
      this.expectedUpload = 0
      return 0
    }
    const known = lengthOf(body)
    const { declaredLength } = head
    if (
      known > 0 &&
      declaredLength >= 0 &&
      known !== declaredLength &&
      method !== 'GET' &&
      method !== 'HEAD' &&
      method !== 'OPTIONS' &&
      method !== 'TRACE'
    ) {
      const mismatch = new errors.RequestContentLengthMismatchError()
      if (this.pool.options.strictContentLength) {
        this.fail(mismatch)
        return -1
      }
      process.emitWarning(mismatch)
    }
    const length = known === -1 ? declaredLength : known
    if (length > 0 || (length === 0 && payload)) head.list.push('content-length', `${length}`)
    if (!Buffer.isBuffer(body) && body.contentType !== null && !head.hasContentType) {
      head.list.push('content-type', body.contentType)
    }
    // A source that says it is empty is still read, unless that is certain.
    this.expectedUpload = known === 0 ? 0 : this.pool.options.strictContentLength ? length : -1
    return this.expectedUpload
  }

  private sendBody(): void {
    const { body, stream } = this
    if (stream === null) return
    if (body === null || this.expectedUpload === 0) {
      this.requestSent()
    } else if (Buffer.isBuffer(body)) {
      stream.end(body)
      this.onPumpChunk(body)
      this.requestSent()
    } else {
      this.pump = new BodyPump(this, stream, body, this.expectedUpload)
      this.pump.start()
    }
  }

  private requestSent(): void {
    if (this.over) return
    if (channels.bodySent.hasSubscribers) channels.bodySent.publish({ request: this })
    if (this.handler.onRequestSent === undefined) return
    try {
      this.handler.onRequestSent()
    } catch (error) {
      this.fail(error as Error)
    }
  }

  private publishSendHeaders(session: PooledSession): void {
    const { list } = this.head
    let headers = ''
    for (let at = 0; at < list.length; at += 2) headers += `${list[at]}: ${list[at + 1]}\r\n`
    channels.sendHeaders.publish({ request: this, headers, socket: session.socket })
  }

  onPumpChunk(chunk: Uint8Array): void {
    if (this.over) return
    if (channels.bodyChunkSent.hasSubscribers) channels.bodyChunkSent.publish({ request: this, chunk })
    if (this.handler.onBodySent === undefined) return
    try {
      this.handler.onBodySent(chunk as never)
    } catch (error) {
      this.fail(error as Error)
    }
  }

  onPumpDone(): void {
    this.requestSent()
  }

  onPumpError(error: Error): void {
    this.fail(error)
  }

  // The way back.

  onStreamInterim(headers: IncomingHttpHeaders): void {
    this.heard()
    this.answered = true
    const status = Number(headers[':status'])
    delete headers[':status']
    this.tellHead(status, headers)
    if (status === 100 && this.continues) {
      this.continues = false
      this.sendBody()
    }
  }

  onStreamHead(headers: IncomingHttpHeaders): void {
    const session = this.session as PooledSession
    session.heard = true
    session.answered = true
    this.answered = true
    const status = Number(headers[':status'])
    delete headers[':status']
    const length = headers['content-length']
    if (length !== undefined && status !== 304 && this.opts.method !== 'HEAD') this.expected = Number(length)
    this.continues = false
    this.headed = true
    if (this.paused) this.stopTimer()
    else this.startTimer(this.bodyLane())
    this.draining = true
    try {
      this.handler.onResponseStarted?.()
    } catch (error) {
      this.fail(error as Error)
    }
    if (!this.over) this.tellHead(status, headers)
    this.draining = false
    if (this.chunks !== null) this.drain()
  }

  private tellHead(status: number, headers: IncomingHttpHeaders): void {
    if (channels.headers.hasSubscribers) {
      channels.headers.publish({ request: this, response: { statusCode: status, headers, statusText: '' } })
    }
    this.rawHeaders = headers as Headers
    try {
      this.handler.onResponseStart?.(this, status, headers as never, '')
    } catch (error) {
      this.fail(error as Error)
    }
  }

  onStreamChunk(chunk: Buffer): boolean {
    this.heard()
    if (!this.headed || this.paused || this.draining || this.chunks !== null) {
      if (this.chunks === null) this.chunks = []
      this.chunks.push(chunk)
      return !this.paused
    }
    this.tellChunk(chunk)
    return !this.paused && !this.over
  }

  private tellChunk(chunk: Buffer): void {
    const { maxResponseSize } = this.pool.options
    this.received += chunk.length
    if (this.expected >= 0 && this.received > this.expected) {
      this.fail(new errors.ResponseContentLengthMismatchError())
      return
    }
    if (maxResponseSize > -1 && this.received > maxResponseSize) {
      this.fail(new errors.ResponseExceededMaxSizeError())
      return
    }
    if (channels.bodyChunkReceived.hasSubscribers) channels.bodyChunkReceived.publish({ request: this, chunk })
    if (this.timerAt !== 0) this.lane?.add(this)
    try {
      this.handler.onResponseData?.(this, chunk)
    } catch (error) {
      this.fail(error as Error)
    }
  }

  /** Tells what was held back. */
  drain(): void {
    if (this.draining || this.over) return
    const { chunks } = this
    if (chunks !== null) {
      this.draining = true
      let told = 0
      while (told < chunks.length && !this.paused && !this.over) this.tellChunk(chunks[told++] as Buffer)
      this.draining = false
      if (this.over) return
      chunks.splice(0, told)
      if (chunks.length > 0) return
      this.chunks = null
    }
    if (this.paused) return
    if (this.endTold) this.complete()
    else if (this.stream !== null) readOn(this.stream)
  }

  onStreamTrailers(trailers: IncomingHttpHeaders): void {
    this.trailers = trailers
  }

  onStreamEof(): void {
    this.heard()
    this.sawEof = true
  }

  onStreamEnd(): void {
    if (!this.sawEof || !this.headed) return
    this.endTold = true
    if (this.chunks === null && !this.paused) this.complete()
  }

  onStreamFrameError(type: number): void {
    if (type === headersFrame) this.frameFailed = true
  }

  onStreamClose(): void {
    if (this.over) return
    if (this.sawEof && this.headed) this.onStreamEnd()
    else this.gone()
  }

  private heard(): void {
    ;(this.session as PooledSession).heard = true
  }

  // The end.

  private complete(): void {
    if (this.expected >= 0 && this.received !== this.expected) {
      this.fail(new errors.ResponseContentLengthMismatchError())
      return
    }
    const { session } = this
    this.over = true
    this.completed = true
    this.stopTimer()
    this.unlink(new errors.InformationalError('the response ended before the request'))
    const trailers = this.trailers ?? noTrailers
    this.rawTrailers = trailers as Headers
    if (channels.trailers.hasSubscribers) channels.trailers.publish({ request: this, trailers })
    try {
      this.handler.onResponseEnd?.(this, trailers as never)
    } catch (error) {
      // A consumer may throw here on purpose (undici's own RetryHandler does) and relies on onResponseError next.
      this.completed = false
      this.tellError(error as Error)
    }
    session?.settled()
    this.pool.settled()
  }

  /** Ends the call with `error`, wherever it is. */
  fail(error: Error): void {
    if (this.over) return
    const { session } = this
    this.over = true
    this.stopTimer()
    this.unlink(error)
    if (this.pump === null) giveUpBody(this.body, error)
    this.chunks = null
    try {
      this.tellError(error)
    } finally {
      session?.settled()
      this.pool.settled()
    }
  }

  private tellError(error: Error): void {
    if (channels.error.hasSubscribers) channels.error.publish({ request: this, error })
    this.aborted = true
    this.handler.onResponseError?.(this, error)
  }

  // Leaves its list and its stream. `error` is what whoever gives the body is told, where that is not at its end.
  private unlink(error: Error | null): void {
    const { stream, session } = this
    this.list?.remove(this)
    this.session = null
    if (stream !== null) {
      this.stream = null
      untapStream(stream)
      if (error !== null) this.pump?.stop(error)
      if (session !== null) {
        if (stream.destroyed || (this.completed && stream.writableFinished)) session.open--
        else setImmediate(cancelAndRelease, stream, session)
      }
    } else if (session !== null) {
      session.open--
    }
  }

  // The stream closed, and no whole answer came on it.
  private gone(): void {
    const stream = this.stream as ClientHttp2Stream
    const session = this.session as PooledSession
    const { id, rstCode } = stream
    const lost = session.isLost
    const neverTaken =
      id === undefined || this.frameFailed || id > session.lastTaken || (rstCode === NGHTTP2_REFUSED_STREAM && !lost)
    this.stopTimer()
    if (neverTaken && !this.answered) {
      if (id === undefined) session.retire()
      const refused =
        rstCode === NGHTTP2_REFUSED_STREAM && id !== undefined && id <= session.lastTaken && !this.frameFailed
      this.unlink(null)
      const error = refused ? streamError(rstCode) : session.failure('the server did not take the request')
      if (session.goawayCode === NGHTTP2_ENHANCE_YOUR_CALM || (refused && ++this.refusals > most.refused)) {
        this.failUnsent(error)
      } else {
        this.goneUnsent(error)
      }
      session.settled()
      return
    }
    const error = lost ? session.failure('other side closed') : streamError(rstCode)
    if (
      lost &&
      !this.answered &&
      session.answered &&
      session.goawayCode !== NGHTTP2_ENHANCE_YOUR_CALM &&
      this.body === null &&
      isIdempotent(this.opts) &&
      this.losses < most.lost
    ) {
      this.losses++
      this.unlink(null)
      this.pool.sendAgain(this)
      return
    }
    const cut = this.headed && this.expected >= 0 && this.received !== this.expected
    this.fail(cut ? new errors.ResponseContentLengthMismatchError() : error)
  }

  // Nothing of it reached the server: any method may go out again, if its body still can.
  private goneUnsent(error: Error): void {
    const again = this.pump === null || canSendAgain(this.body)
    if (!again || ++this.neverTaken > most.neverTaken) {
      this.failUnsent(error)
      return
    }
    this.pump?.stop(error)
    this.pump = null
    this.frameFailed = false
    this.pool.sendAgain(this)
  }

  private failUnsent(error: Error): void {
    noteUnsent(error)
    this.pump?.stop(error)
    this.fail(error)
  }
}
