import { Readable } from 'node:stream'
import { types } from 'node:util'
import type { Dispatcher } from 'undici'
import { InvalidRequestError } from '../policies/errors.ts'
import {
  beginStream,
  bytesOf,
  close,
  ignore,
  isNodeStream,
  isOneShot,
  iterate,
  type Source,
  type SourceIterator,
} from './body-source.ts'
import type { Exchange, ScopedOptions } from './exchange.ts'
import { bodyProblem, isForeignBlob } from './validate.ts'

/** Defaults for bodies that are recorded while they stream, so that they can be sent again. */
export const replayDefaults = {
  /** Bytes recorded of one body. */
  perBody: 1024 * 1024,
  /** Bytes recorded of all bodies under way in this process. */
  perProcess: 64 * 1024 * 1024,
} as const

let recordedInProcess = 0

/** Bytes recorded of all bodies under way in this process. */
export function recordedBytes(): number {
  return recordedInProcess
}

/** Counts bytes of a body that are kept besides; `false`: the process keeps as many as it may. */
export function keepBytes(size: number): boolean {
  if (recordedInProcess + size > replayDefaults.perProcess) return false
  recordedInProcess += size
  return true
}

/** Bytes that {@link keepBytes} has counted are not kept any more. */
export function letBytesGo(size: number): void {
  recordedInProcess -= size
}

/** What one attempt sends: the record from its first byte, then whatever the source still gives. */
class BodyReader extends Readable {
  /** Chunks taken so far, counted from the first of the body. */
  position = 0
  waiting = false
  private readonly body: RecordedBody

  constructor(body: RecordedBody) {
    // Nothing is taken from the source before the transport can send it.
    super({ highWaterMark: 0 })
    this.body = body
    // undici stops listening when the request is over for it; an error after that has nobody to tell.
    this.on('error', ignore)
  }

  override _read(): void {
    this.body.serve(this)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.body.leave(this)
    done(error)
  }
}

function tooLong(): InvalidRequestError {
  return new InvalidRequestError(
    'Invalid request: the body is longer than what was recorded of it, and cannot be sent a second time',
  )
}

/**
 * A body that can be read once, read by several attempts, one after the other or at once: what is read is recorded up to a
 * bound, each attempt starts with the record and goes on with the source. Past the bound the record is let go: the
 * attempt that has come furthest still gets every byte, and no other can be made.
 *
 * Attempts get it as a stream, because undici closes a stream when it gives a request up, and leaves an iterator as it
 * stands.
 */
export class RecordedBody {
  private source: Source
  private readonly exchange: Exchange
  private limit: number
  private iterator: SourceIterator | null = null
  private readonly readers = new Set<BodyReader>()
  private chunks: Uint8Array[] = []
  private bytes = 0
  // Chunks let go; a reader's position counts them.
  private dropped = 0
  private keeps = true
  private pulling = false
  private ended = false
  private failed = false
  private error: unknown = undefined
  private released = false
  private closed = false

  constructor(source: Source, exchange: Exchange, limit: number) {
    this.source = source
    this.exchange = exchange
    this.limit = limit
    // It may fail while nobody reads it yet: in a queue, during a backoff. Whoever reads next is told.
    if (isNodeStream(source)) source.on('error', ignore)
  }

  /** Whether an attempt that begins now would get the body from its first byte. */
  get replayable(): boolean {
    return this.dropped === 0 && !this.failed
  }

  /** A layer further in wants to send it again as well: of what has not been let go yet, so much is kept. */
  keep(limit: number): void {
    this.limit = Math.max(this.limit, limit)
  }

  /** Puts something between the source and all attempts; `false`: some of it has been read already. */
  tap(put: (source: Source) => Source): boolean {
    if (this.iterator !== null || this.failed || this.closed) return false
    this.source = put(this.source)
    return true
  }

  /** The whole body, for one attempt. */
  read(): Readable {
    if (this.dropped > 0) throw tooLong()
    const reader = new BodyReader(this)
    this.readers.add(reader)
    return reader
  }

  /** So that a foreign layer between retry and edge sees a body it knows. */
  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return this.read()[Symbol.asyncIterator]()
  }

  /** The attempt so far has failed: nothing more is read for it. */
  rewind(): void {
    for (const reader of this.readers) reader.destroy()
  }

  /** The attempt under way is the last: nothing is kept for another, and its end closes the source. */
  release(): void {
    if (this.released) return
    this.released = true
    this.keeps = false
    this.dropRead()
    if (this.readers.size === 0) this.closeSource()
  }

  /** The call is over in good order. What is being sent still is goes on; what nobody began to read never will be. */
  end(): void {
    this.release()
    for (const reader of this.readers) {
      if (reader.position === 0 && !reader.waiting) reader.destroy()
    }
  }

  /** The call failed or was given up: closes the source. */
  abandon(): void {
    this.release()
    this.rewind()
  }

  /** Called by a reader that wants its next chunk. */
  serve(reader: BodyReader): void {
    const chunk = this.chunks[reader.position - this.dropped]
    if (chunk !== undefined) {
      reader.position++
      if (!this.keeps) this.dropRead()
      reader.push(chunk)
    } else if (this.failed) {
      reader.destroy(this.error as Error)
    } else if (this.ended) {
      reader.push(null)
    } else {
      reader.waiting = true
      this.pull()
    }
  }

  /** Called by a reader that is over. */
  leave(reader: BodyReader): void {
    this.readers.delete(reader)
    if (!this.released || this.readers.size > 0) return
    this.dropRead()
    this.closeSource()
  }

  private pull(): void {
    if (this.pulling) return
    this.pulling = true
    // The source is the caller's code, and undici asks for its bytes in the context of whoever opened the connection.
    this.exchange.context.runInAsyncScope(this.takeNext, this)
  }

  private async takeNext(): Promise<void> {
    try {
      this.iterator ??= iterate(this.source)
      const { done, value } = await this.iterator.next()
      if (done === true) this.ended = true
      else this.record(bytesOf(await value))
    } catch (error) {
      this.fail(error)
    }
    this.pulling = false
    for (const reader of this.readers) {
      if (!reader.waiting) continue
      reader.waiting = false
      this.serve(reader)
    }
  }

  private fail(error: unknown): void {
    this.failed = true
    // A stream cannot fail with nothing.
    this.error = error || new Error(`the request body failed with ${String(error)}`, { cause: error })
    // A source that was closed fails too, and then it is nobody's fault.
    if (!this.closed) this.exchange.blameCaller(this.error)
    this.closeSource()
  }

  private record(chunk: Uint8Array): void {
    const size = chunk.byteLength
    if (size === 0) return
    this.keeps &&= this.bytes + size <= this.limit && recordedInProcess + size <= replayDefaults.perProcess
    // A copy: the source may use its buffer again, and a small piece would hold all of a large one.
    this.chunks.push(this.keeps ? Buffer.from(chunk) : chunk)
    this.bytes += size
    recordedInProcess += size
    if (this.keeps) return
    if (this.readers.size > 1) this.leaveBehind()
    this.dropRead()
  }

  // Two attempts at once, and no record for whoever is behind: that one has to go, or all that lies between the two would
  // be kept.
  private leaveBehind(): void {
    let front = 0
    for (const { position } of this.readers) front = Math.max(front, position)
    for (const reader of this.readers) if (reader.position < front) reader.destroy(tooLong())
  }

  // Lets go of what every reader has had. Between two attempts there is no reader, and the next one needs it all.
  private dropRead(): void {
    const end = this.dropped + this.chunks.length
    let needed = this.released || this.readers.size > 0 ? end : this.dropped
    for (const { position } of this.readers) needed = Math.min(needed, position)
    while (this.dropped < needed) {
      const { byteLength } = this.chunks.shift() as Uint8Array
      this.dropped++
      this.bytes -= byteLength
      recordedInProcess -= byteLength
    }
  }

  private closeSource(): void {
    if (this.closed || this.ended) return
    this.closed = true
    this.exchange.context.runInAsyncScope(close, undefined, this.source, this.iterator)
  }
}

/** One attempt's share of a body that several read at once: where a retry below it begins anew, the others go on. */
export class BodyBranch {
  private readonly body: RecordedBody
  private readonly readers: Readable[] = []

  constructor(body: RecordedBody) {
    this.body = body
  }

  get replayable(): boolean {
    return this.body.replayable
  }

  keep(limit: number): void {
    this.body.keep(limit)
  }

  tap(put: (source: Source) => Source): boolean {
    return this.body.tap(put)
  }

  read(): Readable {
    const reader = this.body.read()
    this.readers.push(reader)
    return reader
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return this.read()[Symbol.asyncIterator]()
  }

  rewind(): void {
    for (const reader of this.readers.splice(0)) reader.destroy()
  }
}

type GivenBody = Dispatcher.DispatchOptions['body'] | (() => unknown) | Source

/** The body of one attempt: a fresh one from a function, in a form that undici knows. */
function materialise(given: GivenBody, origin: string): unknown {
  const made = typeof given === 'function' ? given() : given
  const problem = made === given ? null : bodyProblem(made, 'what the body function makes')
  if (problem !== null) throw new InvalidRequestError(`Invalid request: ${problem}`, { origin })
  if (made instanceof URLSearchParams) return made.toString()
  if (types.isAnyArrayBuffer(made)) return new Uint8Array(made)
  return isForeignBlob(made) ? made.stream() : made
}

/** A one-shot body in the form that undici closes when it gives the request up. */
function onceSendable(body: Source, exchange: Exchange): Readable {
  if (!isNodeStream(body)) {
    const once = new RecordedBody(body, exchange, 0)
    const reader = once.read()
    once.release()
    return reader
  }
  beginStream(body)
  if (body.errored) throw body.errored
  body.on('error', (error) => exchange.blameCaller(error))
  return body
}

/**
 * Options whose body undici can send, made by the edge for every attempt. A body that fails while it is read is the
 * caller's fault, and is noted as such.
 */
export function sendableBody(opts: ScopedOptions, exchange: Exchange): ScopedOptions {
  const given = opts.body as GivenBody
  if (given === null || given === undefined || typeof given === 'string' || Buffer.isBuffer(given)) return opts
  try {
    let body = materialise(given, exchange.origin)
    if (body instanceof RecordedBody || body instanceof BodyBranch) body = body.read()
    else if (isOneShot(body)) body = onceSendable(body, exchange)
    return body === given ? opts : ({ ...opts, body } as ScopedOptions)
  } catch (error) {
    exchange.blameCaller(error)
    throw error
  }
}

/** Keeps a stream that fails while its request still waits in a queue from ending the process; whoever sends it is told. */
export function watchBody({ body }: ScopedOptions): void {
  if (typeof body === 'object' && body !== null && isNodeStream(body)) body.on('error', ignore)
}

/**
 * The body in a form that every attempt can have anew; `null` where it already is in one. Made once a call, by the layer
 * that may send again.
 */
export function recordBody(opts: ScopedOptions, exchange: Exchange, limit: number): RecordedBody | BodyBranch | null {
  const { body } = opts as { body?: unknown }
  if (body instanceof RecordedBody || body instanceof BodyBranch) {
    body.keep(limit)
    return body
  }
  return isOneShot(body) ? new RecordedBody(body, exchange, limit) : null
}
