import { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { types } from 'node:util'
import { InvalidRequestError } from '../policies/errors.ts'

/** A body that gives its bytes as it is read. */
export type Source = AsyncIterable<unknown> | Iterable<unknown> | Readable | ReadableStream<unknown>
export type SourceIterator = Pick<AsyncIterator<unknown> | Iterator<unknown>, 'next' | 'return'>

/** Whether a body is a stream of Node's, of whatever package or age. */
export function isNodeStream(body: object): body is Readable {
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
export function isOneShot(body: unknown): body is Source {
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

/** A piece of a body as bytes. */
export function bytesOf(chunk: unknown): Uint8Array {
  if (typeof chunk === 'string') return Buffer.from(chunk)
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  if (types.isAnyArrayBuffer(chunk)) return new Uint8Array(chunk)
  throw new TypeError(`a request body must give strings or bytes, got ${chunk === null ? 'null' : typeof chunk}`)
}

/** Takes an error that nobody needs. */
export function ignore(): void {}

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
export function beginStream(source: Readable): void {
  if (Readable.isDisturbed(source)) beginOnce(source)
  else begun.add(source)
}

// undici's redirect() and retry() wrap an iterable before they send it again, but hand on the bare one at first: that it
// has been read, the wrapper does not know.
function wrappedBy(source: Source): unknown {
  const key = Object.getOwnPropertySymbols(source).find(({ description }) => description === 'abstracted request body')
  return key === undefined ? undefined : (source as unknown as Record<symbol, unknown>)[key]
}

/** Begins to read a body. */
export function iterate(source: Source): SourceIterator {
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

/** Ends a body that nobody reads on. */
export async function close(source: Source, iterator: SourceIterator | null): Promise<void> {
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
