import { Buffer } from 'node:buffer'
import type { ClientHttp2Stream } from 'node:http2'
import { errors } from 'undici'
import { BodyPump, type PumpOwner } from './body-pump.ts'
import { CallState } from './call-state.ts'
import { channels } from './diagnostics.ts'
import { sessionError } from './failures.ts'
import { nativeOf } from './held-session.ts'
import { failureOf, lengthOf } from './request-body.ts'
import { type RequestTrailers, sendTrailers, trailersOf } from './request-trailers.ts'
import type { PooledSession } from './session.ts'
import { cancelStream, type StreamOwner, tapStream } from './stream-taps.ts'

const endStream = { endStream: true }
const withBody = { endStream: false }
const withTrailers = { endStream: false, waitForTrailers: true }

/** A call on its way out: its head, its body, and what its handler is told of both. */
export abstract class OutgoingCall extends CallState implements PumpOwner {
  /** Leaves its list and its stream. `error` is what whoever gives the body is told, where that is not at its end. */
  protected abstract unlink(error: Error | null): void

  /** Nothing of it reached the server: any method may go out again, if its body still can. */
  protected abstract goneUnsent(error: Error): void

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
    // Asking for its length has made it read, and perhaps fail: the server need not hear of it then.
    const failed = failureOf(body)
    if (failed !== null) {
      this.fail(failed)
      return
    }
    if (this.head.isTooLarge) {
      this.fail(new errors.InvalidArgumentError('the headers are larger than HTTP/2 sends'))
      return
    }
    const trailers = trailersOf(this.opts)
    const bodiless = (body === null || length === 0) && trailers === undefined
    let stream: ClientHttp2Stream
    try {
      stream = session.request(this.head.list, bodiless ? endStream : trailers === undefined ? withBody : withTrailers)
    } catch (error) {
      // A session that is closing: nothing was sent.
      this.unlink(null)
      session.retire()
      this.goneUnsent(sessionError((error as Error).message, session.socket, error))
      session.settled()
      return
    }
    this.stream = stream
    this.native = nativeOf(stream)
    tapStream(stream, this as unknown as StreamOwner, !bodiless)
    if (trailers !== undefined) stream.once('wantTrailers', () => this.endWith(trailers, stream))
    this.startTimer(this.headersLane())
    if (channels.sendHeaders.hasSubscribers) this.publishSendHeaders(session)
    if (this.opts.expectContinue === true && !bodiless) this.continues = true
    else this.sendBody()
  }

  // Which length goes into the head, as undici decides it. Returns what the body has to come to, or -1.
  protected addLength(): number {
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
    if (!Buffer.isBuffer(body) && body.contentType !== null && (body.isForm || !head.hasContentType)) {
      head.replace('content-type', body.contentType)
    }
    // A source that says it is empty is still read, unless that is certain.
    this.expectedUpload = known === 0 ? 0 : this.pool.options.strictContentLength ? length : -1
    return this.expectedUpload
  }

  protected sendBody(): void {
    const { body, stream } = this
    if (stream === null) return
    if (body === null || this.expectedUpload === 0) {
      if (trailersOf(this.opts) !== undefined) stream.end()
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

  private endWith(trailers: RequestTrailers, stream: ClientHttp2Stream): void {
    try {
      sendTrailers(stream, trailers)
    } catch (error) {
      this.onPumpError(error as Error, stream)
    }
  }

  protected requestSent(): void {
    if (this.over) return
    if (channels.bodySent.hasSubscribers) channels.bodySent.publish({ request: this })
    if (this.handler.onRequestSent === undefined) return
    try {
      this.handler.onRequestSent()
    } catch (error) {
      this.fail(error as Error)
    }
  }

  protected publishSendHeaders(session: PooledSession): void {
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

  onPumpError(error: Error, stream: ClientHttp2Stream): void {
    // The answer may have ended before: then only the server is to know.
    if (this.over) setImmediate(cancelStream, stream)
    else this.fail(error)
  }
}
