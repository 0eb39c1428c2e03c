import { AsyncResource } from 'node:async_hooks'
import type { Buffer } from 'node:buffer'
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { type Dispatcher, errors } from 'undici'
import { lane, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import { AcquireTimeoutError } from '../policies/errors.ts'
import { throwLater } from '../policies/throw-later.ts'
import type { BodyPump } from './body-pump.ts'
import type { Http2Call } from './call.ts'
import type { CallList } from './call-list.ts'
import { channels } from './diagnostics.ts'
import { HandedOver } from './handed-over.ts'
import type { SessionPool } from './pool.ts'
import { type RequestBody, requestBody } from './request-body.ts'
import { checkRequestOptions, RequestHead } from './request-head.ts'
import { checkTrailers, trailersOf, trailersProblem } from './request-trailers.ts'
import type { Peer, PooledSession } from './session.ts'
import { readOn } from './stream-taps.ts'

export type Headers = Exclude<Dispatcher.DispatchController['rawHeaders'], undefined>

function drainLater(call: CallState): void {
  call.drain()
}

/**
 * What a call over HTTP/2 is at any time, in all its parts: its handler's controller, its timer, its place in a list.
 * `OutgoingCall` adds the way out, `Http2Call` the way back.
 */
export abstract class CallState implements Dispatcher.DispatchController, TimerEntry {
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

  /** The how many-th call of its pool it is. */
  turn = 0

  aborted = false
  reason: Error | null = null
  paused = false
  rawHeaders: Headers = null
  rawTrailers: Headers = null
  completed = false
  /** The other end of the connection it went out on. */
  peer: Peer | undefined = undefined

  protected readonly body: RequestBody
  protected session: PooledSession | null = null
  protected stream: ClientHttp2Stream | null = null
  protected native: object | undefined = undefined
  protected pump: BodyPump | null = null
  protected lengthAdded = false
  /** `onRequestStart` was called: it is not called again when the request goes out again. */
  protected started = false
  protected continues = false
  protected answered = false
  protected headed = false
  protected sawEof = false
  protected endTold = false
  protected frameFailed = false
  protected draining = false
  protected over = false
  protected chunks: Buffer[] | null = null
  protected trailers: IncomingHttpHeaders | null = null
  /** What the body has to come to, or -1. */
  protected expected = -1
  protected received = 0
  protected refusals = 0
  protected losses = 0
  protected neverTaken = 0
  protected moved = 0
  protected expectedUpload = -1
  protected lane: TimerLane | null = null
  // Where its protocol is still to be known: the context of the caller, for those who listen to the channels.
  protected unannounced: AsyncResource | null = null
  /** Another dispatcher has it now. */
  protected delegate: HandedOver | null = null

  /** @throws what undici throws for a request that cannot be sent. */
  constructor(pool: SessionPool, opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    this.pool = pool
    this.opts = opts
    this.handler = handler
    checkRequestOptions(opts)
    const { body } = opts
    const trailers = trailersOf(opts)
    if (trailers !== undefined) checkTrailers(trailers)
    this.body = body === null || body === undefined ? null : requestBody(body)
    this.head = new RequestHead(opts, pool.authority, pool.scheme)
  }

  /** Tells those who listen to undici's channels of a request. */
  announce(): void {
    if (channels.create.hasSubscribers) {
      if (this.pool.isProven) channels.create.publish({ request: this })
      else this.unannounced = new AsyncResource('roundtripper.Http2Call')
    }
  }

  /** Tells what was held back. */
  abstract drain(): void

  /** Ends the call with `error`, wherever it is. */
  abstract fail(error: Error): void

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
    const { delegate } = this
    if (delegate === null ? this.over : delegate.isOver) return
    this.aborted = true
    this.reason = error
    if (delegate === null) this.fail(error)
    else delegate.abort(error)
  }

  /** The origin speaks HTTP/1.1 by now: another dispatcher takes the call, and this one is only its controller. */
  handOver(dispatch: Dispatcher['dispatch'], opts: Dispatcher.DispatchOptions): void {
    const problem = trailersProblem(opts, this.pool.origin)
    if (problem !== null) {
      this.fail(problem)
      return
    }
    this.stopTimer()
    this.over = true
    if (this.started) this.delegate = new HandedOver(this.handler, this)
    try {
      dispatch(opts, this.delegate ?? this.handler)
    } catch (error) {
      throwLater(error)
    }
    this.pool.settled()
  }

  // Time.

  protected startTimer(on: TimerLane | null): void {
    if (on === null) this.stopTimer()
    else {
      if (this.timerAt !== 0 && on !== this.lane) this.stopTimer()
      this.lane = on
      on.add(this)
    }
  }

  protected stopTimer(): void {
    if (this.timerAt !== 0) this.lane?.remove(this)
  }

  protected bodyLane(): TimerLane | null {
    const { bodyTimeout } = this.opts
    return bodyTimeout == null ? this.pool.bodyLane : bodyTimeout === 0 ? null : lane(bodyTimeout)
  }

  protected headersLane(): TimerLane | null {
    const { headersTimeout } = this.opts
    return headersTimeout == null ? this.pool.headersLane : headersTimeout === 0 ? null : lane(headersTimeout)
  }

  /** It has to wait for a session. */
  waits(): void {
    this.startTimer(this.pool.acquireLane)
  }

  // An upload that goes on is no silence.
  private hasMoved(stream: ClientHttp2Stream): boolean {
    const before = this.moved
    this.moved = (this.pump?.sent ?? 0) - stream.bufferSize
    return !stream.writableFinished && this.moved !== before
  }

  onTimer(): void {
    const { stream, pool } = this
    if (stream === null) {
      const { origin } = pool
      const message = `No connection to ${origin} was free within ${pool.acquireLane?.duration} ms`
      this.fail(new AcquireTimeoutError(message, { origin }))
    } else if (this.headed) {
      this.fail(new errors.BodyTimeoutError(`HTTP/2: "stream timeout after ${this.lane?.duration}"`))
    } else if (this.hasMoved(stream)) {
      this.startTimer(this.headersLane())
    } else {
      this.fail(new errors.HeadersTimeoutError(`HTTP/2: "headers timeout after ${this.lane?.duration}"`))
    }
  }
}
