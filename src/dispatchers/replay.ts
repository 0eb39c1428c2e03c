import { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { types } from 'node:util'
import type { Dispatcher } from 'undici'
import { InvalidRequestError } from '../policies/errors.ts'
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

type Source = AsyncIterable<unknown> | Iterable<unknown> | Readable | ReadableStream<unknown>
type SourceIterator = Pick<AsyncIterator<unknown> | Iterator<unknown>, 'next' | 'return'>

function isNodeStream(body: object): body is Readable {
  return typeof (body as { pipe?: unknown }).pipe === 'function' && typeof (body as { on?: unknown }).on === 'function'
}

function isWebStream(body: object): body is ReadableStream<unknown> {
  return typeof (body as { getReader?: unknown }).getReader === 'function'
}

/** A body that gives its bytes anew to whoever iterates it, in a form that every dispatcher knows. */
export class ReusableBody implements AsyncIterable<Uint8Array> {
  private readonly open: () => ReadableStream<Uint8Array>

  constructor(open: () => ReadableStream<Uint8Array>) {
    this.open = open
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this.open()[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  }
}

/** Whether a body gives its bytes only once: a stream, a generator, any async iterable. */
function isOneShot(body: unknown): body is Source {
  if (typeof body !== 'object' || body === null || body instanceof ReusableBody) return false
  if (ArrayBuffer.isView(body) || types.isAnyArrayBuffer(body)) return false
  if (isNodeStream(body) || isWebStream(body)) return true
  // Blob and FormData are known by how they are read, so that those of every realm and package count.
  if (typeof (body as Blob).arrayBuffer === 'function' || typeof (body as FormData).getAll === 'function') return false
  if (typeof (body as AsyncIterable<unknown>)[Symbol.asyncIterator] === 'function') return true
  const iterate = (body as Iterable<unknown>)[Symbol.iterator]
  if (typeof iterate !== 'function') return false
  // A list gives a new iterator each time, a generator itself.
  return typeof (body as Partial<Iterator<unknown>>).next === 'function'
}

function bytesOf(chunk: unknown): Uint8Array {
  if (typeof chunk === 'string') return Buffer.from(chunk)
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  if (types.isAnyArrayBuffer(chunk)) return new Uint8Array(chunk)
  throw new TypeError(`a request body must give strings or bytes, got ${chunk === null ? 'null' : typeof chunk}`)
}

function ignore(): void {}

// Bodies that were read from before and give nothing a second time. Sent again they would arrive empty, or without
// their beginning, and nobody would know.
const begun = new WeakSet<object>()

function beginOnce(source: object): void {
  if (begun.has(source)) {
    throw new InvalidRequestError(
      'Invalid request: the body has been sent before and can be read only once; give a new one, or a function that makes one',
    )
  }
  begun.add(source)
}

// A stream that was handed on once and not read from, as to a connection that was never made, is still good.
function beginStream(source: Readable): void {
  if (Readable.isDisturbed(source)) beginOnce(source)
  else begun.add(source)
}

// undici's redirect() and retry() wrap an iterable before they send it again, but hand on the bare one at first: that it
// has been read, the wrapper does not know.
function wrappedBy(source: Source): unknown {
  const key = Object.getOwnPropertySymbols(source).find(({ description }) => description === 'abstracted request body')
  return key === undefined ? undefined : (source as unknown as Record<symbol, unknown>)[key]
}

function iterate(source: Source): SourceIterator {
  if (isNodeStream(source)) {
    beginStream(source)
    if (typeof source[Symbol.asyncIterator] === 'function') return source[Symbol.asyncIterator]()
    // A stream of the oldest kind: it has events only, and begins when it is told to.
    const wrapped = new Readable({ objectMode: true }).wrap(source)
    ;(source as Partial<Readable>).resume?.()
    return wrapped[Symbol.asyncIterator]()
  }
  if (isWebStream(source)) {
    beginOnce(source)
    // Not its iterator, whose return() waits for a read under way: a source that stands still could not be cancelled.
    const reader = source.getReader()
    return { next: () => reader.read() as Promise<IteratorResult<unknown>>, return: () => reader.cancel() as never }
  }
  const { [Symbol.asyncIterator]: asyncIterate, [Symbol.iterator]: syncIterate } = source as AsyncIterable<unknown> &
    Iterable<unknown>
  const wrapped = wrappedBy(source)
  if (wrapped !== undefined && isOneShot(wrapped)) beginOnce(wrapped)
  const iterator = asyncIterate?.call(source) ?? syncIterate.call(source)
  if ((iterator as object) === source) beginOnce(source)
  return iterator
}

async function close(source: Source, iterator: SourceIterator | null): Promise<void> {
  try {
    if (isNodeStream(source)) {
      // A request that this process serves: its socket still has to carry the answer.
      if (source instanceof IncomingMessage) (source as { socket: unknown }).socket = null
      source.destroy?.()
    } else {
      await (iterator ?? iterate(source)).return?.()
    }
  } catch {
    // The call is over: what goes wrong in closing concerns nobody.
  }
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

/**
 * A body that can be read once, read by one attempt after the other: what is read is recorded up to a bound, each
 * attempt starts with the record and goes on with the source. Past the bound the record is let go: the attempt under
 * way still gets every byte, and no other can be made.
 *
 * Attempts get it as a stream, because undici closes a stream when it gives a request up, and leaves an iterator as it
 * stands.
 */
export class RecordedBody {
  private readonly source: Source
  private readonly exchange: Exchange
  private readonly limit: number
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

  /** The whole body, for one attempt. */
  read(): Readable {
    if (this.dropped > 0) {
      throw new InvalidRequestError(
        'Invalid request: the body is longer than what was recorded of it, and cannot be sent a second time',
      )
    }
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
    if (!this.keeps) this.dropRead()
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
    if (body instanceof RecordedBody) body = body.read()
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
export function recordBody(opts: ScopedOptions, exchange: Exchange, limit: number): RecordedBody | null {
  const { body } = opts as { body?: unknown }
  if (body instanceof RecordedBody) return body
  return isOneShot(body) ? new RecordedBody(body, exchange, limit) : null
}
