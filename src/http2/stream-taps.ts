import { EventEmitter } from 'node:events'
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { addAbortSignal, Duplex, Readable } from 'node:stream'

// What a stream of node:http2 tells is taken where it is told, at `emit` and `push`, and not by listeners:
//
// - Whether a body came to its end is seen nowhere else. A reset with code 0 or 8, and a lost connection, end the
//   readable side just as END_STREAM does; only in `push(null)` is the difference there: the stream is not closed yet.
// - A chunk that does not go through the readable side's buffer, and an event without a list of listeners, are a tenth of
//   what a call costs.

/** Who hears of a stream. */
export interface StreamOwner {
  onStreamHead(headers: IncomingHttpHeaders): void
  onStreamInterim(headers: IncomingHttpHeaders): void
  onStreamChunk(chunk: Buffer): boolean
  /** END_STREAM has come, perhaps before the head and the last bytes were told. */
  onStreamEof(): void
  onStreamTrailers(trailers: IncomingHttpHeaders): void
  /** All that came before END_STREAM has been told. */
  onStreamEnd(): void
  onStreamFrameError(type: number): void
  onStreamClose(): void
}

const owner = Symbol('owner')

export type TappedStream = ClientHttp2Stream & { [owner]: StreamOwner | null }

const emitOf = EventEmitter.prototype.emit
const pushOf = Readable.prototype.push
const endOf = Duplex.prototype.end

function emit(this: TappedStream, event: string | symbol, one?: unknown, two?: unknown, three?: unknown): boolean {
  const hears = this[owner]
  switch (event) {
    case 'response':
      hears?.onStreamHead(one as IncomingHttpHeaders)
      return true
    case 'headers':
      hears?.onStreamInterim(one as IncomingHttpHeaders)
      return true
    case 'trailers':
      hears?.onStreamTrailers(one as IncomingHttpHeaders)
      return true
    case 'frameError':
      hears?.onStreamFrameError(one as number)
      return true
    case 'end':
      emitOf.call(this, event)
      hears?.onStreamEnd()
      return true
    case 'close':
      emitOf.call(this, event)
      hears?.onStreamClose()
      return true
    case 'error':
    case 'aborted':
      // What became of the stream is asked when it closes.
      return true
    default:
      return emitOf.call(this, event, one, two, three)
  }
}

function push(this: TappedStream, chunk: unknown): boolean {
  const hears = this[owner]
  if (chunk !== null) return hears === null || hears.onStreamChunk(chunk as Buffer)
  if (hears !== null && !this.closed) hears.onStreamEof()
  pushOf.call(this, null)
  // Nobody reads from the buffer: without this the readable side would never come to its end.
  this.read(0)
  return false
}

function end(this: TappedStream, ...args: unknown[]): TappedStream {
  // close() and destroy() end the stream before they reset it: the server would take a part of a body for the whole.
  if (this.closed) return this
  return Reflect.apply(endOf, this, args)
}

/** From now on `hears` is told what comes on the stream. */
export function tapStream(stream: ClientHttp2Stream, hears: StreamOwner, sendsBody: boolean): void {
  const tapped = stream as TappedStream
  tapped[owner] = hears
  tapped.emit = emit as TappedStream['emit']
  tapped.push = push
  if (sendsBody) tapped.end = end as TappedStream['end']
  // Begins to read; also what comes while nobody wants it is held by whoever hears.
  stream.read(0)
}

/** Goes on reading after a chunk was answered with `false`. */
export function readOn(stream: ClientHttp2Stream): void {
  if (!stream.destroyed) stream._read(0)
}

/** From now on somebody else, or nobody, is told. */
export function setOwner(stream: ClientHttp2Stream, hears: StreamOwner | null): void {
  ;(stream as TappedStream)[owner] = hears
}

// node:http2 resets a stream with CANCEL on destroy() only for an error of its own class, which is not exported.
const given = new Readable()
given.on('error', () => {})
addAbortSignal(AbortSignal.abort(), given)
const cancelled = given.errored as Error

/**
 * Resets the stream with CANCEL. Not from inside a callback of its session, where node:http2 would hold the reset back and
 * then forget it: the caller waits for the next turn.
 */
export function cancelStream(stream: ClientHttp2Stream): void {
  if (!stream.destroyed) stream.destroy(cancelled)
}
