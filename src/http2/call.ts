import type { Buffer } from 'node:buffer'
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { type Dispatcher, errors } from 'undici'
import { noteUnsent } from '../policies/errors.ts'
import { throwLater } from '../policies/throw-later.ts'
import type { Headers } from './call-state.ts'
import { channels } from './diagnostics.ts'
import { isOfTls, streamError } from './failures.ts'
import { holdUntilGone } from './held-session.ts'
import { LeftoverUpload } from './leftover-upload.ts'
import { OutgoingCall } from './outgoing-call.ts'
import { canSendAgain, giveUpBody } from './request-body.ts'
import type { PooledSession } from './session.ts'
import { cancelStream, readOn, type StreamOwner, setOwner } from './stream-taps.ts'

const noTrailers = {}

// Error codes and a frame type of RFC 9113.
const refusedStream = 7
const enhanceYourCalm = 11
const http11Required = 13
const headersFrame = 1

/** How often one request goes out again by itself. */
const most = {
  /** After the server refused its stream (RFC 9113 §8.7). */
  refused: 3,
  /** After the session was lost before a byte of the answer; only what may be repeated. Once where it never answered. */
  lost: 3,
  /** After the server never took it: its GOAWAY said so, or nothing was sent. */
  neverTaken: 16,
  /** Bytes of an answer without a length that a reset with NO_ERROR cuts off, and does not end: one frame. */
  cutByNoError: 16_384,
} as const

function isIdempotent({ method, idempotent }: Dispatcher.DispatchOptions): boolean {
  return idempotent ?? (method === 'GET' || method === 'HEAD' || method === 'QUERY' || method === 'OPTIONS')
}

function cancelAndRelease(stream: ClientHttp2Stream, session: PooledSession): void {
  cancelStream(stream)
  session.release()
}

/**
 * One request over HTTP/2, from its place in the queue to its last callback: the handler's controller, the owner of its
 * stream, and its own timer. The only object that is made for a call, so that a call costs little more than its stream.
 */
export class Http2Call extends OutgoingCall implements StreamOwner {
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

  override drain(): void {
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
    if (this.endedByReset()) this.sawEof = true
    if (this.sawEof && this.headed) this.onStreamEnd()
    else this.gone()
  }

  // Node's own servers send RST_STREAM(NO_ERROR) in the place of END_STREAM where an answer does not go out at once and its
  // request was not read. With a length it is plain whether all is there. Without one, NO_ERROR says that the server
  // meant it so, except after so little that it would have gone out with its END_STREAM: that was cut off.
  private endedByReset(): boolean {
    if (this.sawEof || !this.headed || this.stream?.rstCode !== 0 || this.session?.isLost !== false) return false
    let came = this.received
    if (this.chunks !== null) for (const chunk of this.chunks) came += chunk.length
    return this.expected >= 0 ? came === this.expected : came > most.cutByNoError
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
    this.unlink(null)
    if (this.continues) giveUpBody(this.body, new errors.InformationalError('the server did not ask for the body'))
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

  override fail(error: Error): void {
    if (this.over) return
    const { session } = this
    this.over = true
    this.stopTimer()
    this.unlink(error)
    if (this.pump === null) giveUpBody(this.body, error)
    this.chunks = null
    this.tellError(error)
    session?.settled()
    this.pool.settled()
  }

  private tellError(error: Error): void {
    if (channels.error.hasSubscribers) channels.error.publish({ request: this, error })
    try {
      this.handler.onResponseError?.(this, error)
    } catch (thrown) {
      throwLater(thrown)
    }
  }

  protected override unlink(error: Error | null): void {
    const { stream, session } = this
    this.list?.remove(this)
    this.session = null
    if (stream !== null) {
      this.stream = null
      if (!this.completed) holdUntilGone(session?.native, this.native)
      setOwner(stream, null)
      if (error !== null) this.pump?.stop(error)
      if (session !== null) {
        if (stream.destroyed || (this.completed && stream.writableFinished)) session.open--
        else if (this.completed && !this.continues) new LeftoverUpload(stream, session, this.pump, this.bodyLane())
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
      id === undefined || this.frameFailed || id > session.lastTaken || (rstCode === refusedStream && !lost)
    this.stopTimer()
    if (neverTaken && !this.answered) {
      if (id === undefined) session.retire()
      const refused = rstCode === refusedStream && id !== undefined && id <= session.lastTaken && !this.frameFailed
      this.unlink(null)
      const error = refused ? streamError(rstCode) : session.failure('the server did not take the request')
      if (session.goawayCode === enhanceYourCalm || (refused && ++this.refusals > most.refused)) {
        this.failUnsent(error)
      } else {
        this.goneUnsent(error)
      }
      session.settled()
      return
    }
    const error = lost ? session.failure('other side closed') : streamError(rstCode)
    if (rstCode === http11Required && !lost && !this.answered) {
      this.goneToHttp1(error)
      return
    }
    if (
      lost &&
      !this.answered &&
      (session.answered || (this.losses === 0 && !isOfTls(session.error))) &&
      session.goawayCode !== enhanceYourCalm &&
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

  // The server wants this request over HTTP/1.1 (RFC 9113 §7). That it did nothing with it is likely, but not said.
  private goneToHttp1(error: Error): void {
    const { owner } = this.pool
    if (!isIdempotent(this.opts) || !(this.pump === null || canSendAgain(this.body))) {
      owner.requireHttp1()
      this.fail(error)
      return
    }
    const session = this.session as PooledSession
    this.unlink(null)
    this.pump?.stop(error)
    this.pump = null
    this.pool.waiting.addInTurn(this)
    owner.requireHttp1()
    session.settled()
  }

  protected override goneUnsent(error: Error): void {
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
