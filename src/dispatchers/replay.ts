import type { Readable } from 'node:stream'
import { types } from 'node:util'
import type { Dispatcher } from 'undici'
import type { Exchange, ScopedOptions } from './exchange.ts'

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

type GivenBody = Dispatcher.DispatchOptions['body'] | (() => unknown) | AsyncIterable<unknown> | Iterable<unknown>

function isNodeStream(body: object): body is Readable {
  return typeof (body as { pipe?: unknown }).pipe === 'function' && typeof (body as { on?: unknown }).on === 'function'
}

/** Whether a body gives its bytes only once: a stream, a generator, any async iterable. */
function isOneShot(body: unknown): body is AsyncIterable<unknown> | Iterable<unknown> | Readable {
  if (typeof body !== 'object' || body === null) return false
  if (ArrayBuffer.isView(body) || types.isAnyArrayBuffer(body)) return false
  // Blob and FormData are known by how they are read, so that those of every realm and package count.
  if (typeof (body as Blob).arrayBuffer === 'function' || typeof (body as FormData).getAll === 'function') return false
  if (isNodeStream(body) || typeof (body as AsyncIterable<unknown>)[Symbol.asyncIterator] === 'function') return true
  const iterate = (body as Iterable<unknown>)[Symbol.iterator]
  if (typeof iterate !== 'function') return false
  // A list gives a new iterator each time, a generator itself.
  const iterator = body as Partial<Iterator<unknown>>
  return typeof iterator.next === 'function'
}

function bytesOf(chunk: unknown): Uint8Array {
  if (typeof chunk === 'string') return Buffer.from(chunk)
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  if (types.isAnyArrayBuffer(chunk)) return new Uint8Array(chunk)
  throw new TypeError(`a request body must give strings or bytes, got ${chunk === null ? 'null' : typeof chunk}`)
}

/**
 * A body that can be read once, read by one attempt after the other: what is read is recorded up to a bound, each
 * attempt starts with the record and goes on with the source. Past the bound the record is let go: the attempt under
 * way still gets every byte, and no other can be made.
 */
export class RecordedBody {
  readonly #source: AsyncIterable<unknown> | Iterable<unknown> | Readable
  readonly #exchange: Exchange
  readonly #limit: number
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | null = null
  #chunks: Uint8Array[] = []
  #bytes = 0
  #overflowed = false
  // Chunks already let go; a reader's position counts them.
  #dropped = 0
  readonly #readers = new Set<{ position: number }>()
  #pulling: Promise<void> | null = null
  #finished = false
  #failed = false
  #error: unknown = undefined
  #released = false

  constructor(source: AsyncIterable<unknown> | Iterable<unknown> | Readable, exchange: Exchange, limit: number) {
    this.#source = source
    this.#exchange = exchange
    this.#limit = limit
  }

  /** Whether an attempt that begins now would get the body from its first byte. */
  get replayable(): boolean {
    return !this.#overflowed && !this.#failed && !this.#released
  }

  /** So that a foreign layer between retry and edge sees a body it knows. */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    return this.read()
  }

  /** The whole body, for one attempt. */
  async *read(): AsyncGenerator<Uint8Array> {
    const reader = { position: 0 }
    this.#readers.add(reader)
    try {
      for (;;) {
        while (reader.position < this.#dropped + this.#chunks.length) {
          const chunk = this.#chunks[reader.position - this.#dropped] as Uint8Array
          reader.position++
          if (this.#overflowed) this.#dropRead()
          yield chunk
        }
        if (this.#failed) throw this.#error
        if (this.#finished || this.#released) return
        this.#pulling ??= this.#pull()
        await this.#pulling
      }
    } finally {
      this.#readers.delete(reader)
    }
  }

  /** The call is over: forgets the record, and closes a source that was not read to its end. */
  release(): void {
    if (this.#released) return
    this.#released = true
    this.#forgetBytes(this.#bytes)
    this.#chunks = []
    if (this.#finished || this.#failed) return
    const source = this.#source as object
    if (isNodeStream(source)) {
      source.destroy()
    } else {
      const iterator = this.#iterator ?? this.#iterate()
      Promise.resolve(iterator.return?.()).catch(() => undefined)
    }
  }

  #iterate(): AsyncIterator<unknown> | Iterator<unknown> {
    const source = this.#source as Partial<AsyncIterable<unknown>> & Partial<Iterable<unknown>>
    const iterator = source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]?.()
    if (iterator === undefined) throw new TypeError('a request body must be iterable')
    this.#iterator = iterator
    return iterator
  }

  async #pull(): Promise<void> {
    try {
      const iterator = this.#iterator ?? this.#iterate()
      const { done, value } = await iterator.next()
      if (done === true) this.#finished = true
      else this.#record(bytesOf(value))
    } catch (error) {
      this.#failed = true
      this.#error = error
      // A source closed by release() fails too, and then it is nobody's fault.
      if (!this.#released) this.#exchange.blameCaller(error)
    } finally {
      this.#pulling = null
    }
  }

  #record(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return
    this.#chunks.push(chunk)
    this.#bytes += chunk.byteLength
    recordedInProcess += chunk.byteLength
    if (this.#overflowed) return
    this.#overflowed = this.#bytes > this.#limit || recordedInProcess > replayDefaults.perProcess
    if (this.#overflowed) this.#dropRead()
  }

  // Past the bound nothing is kept for a later attempt: what every reader has had goes.
  #dropRead(): void {
    let needed = this.#dropped + this.#chunks.length
    for (const { position } of this.#readers) needed = Math.min(needed, position)
    while (this.#dropped < needed) {
      this.#dropped++
      this.#forgetBytes((this.#chunks.shift() as Uint8Array).byteLength)
    }
  }

  #forgetBytes(count: number): void {
    this.#bytes -= count
    recordedInProcess -= count
  }
}

/** The body of one attempt: a fresh one from a function, a string of URLSearchParams, or the body as it was given. */
function materialise(body: GivenBody): unknown {
  const made = typeof body === 'function' ? body() : body
  return made instanceof URLSearchParams ? made.toString() : made
}

function blameOn(exchange: Exchange): (error: unknown) => void {
  return (error) => exchange.blameCaller(error)
}

/**
 * Options whose body undici can send, made by the edge for every attempt. A body that fails while it is read is the
 * caller's fault, and is noted as such.
 */
export function sendableBody(opts: ScopedOptions, exchange: Exchange): ScopedOptions {
  const given = opts.body as GivenBody
  if (given === null || given === undefined || typeof given === 'string' || Buffer.isBuffer(given)) return opts
  let body: unknown
  try {
    body = materialise(given)
  } catch (error) {
    exchange.blameCaller(error)
    throw error
  }
  if (body instanceof RecordedBody) {
    body = body.read()
  } else if (isOneShot(body)) {
    if (isNodeStream(body)) body.on('error', blameOn(exchange))
    else body = new RecordedBody(body, exchange, 0).read()
  }
  return body === given ? opts : ({ ...opts, body } as ScopedOptions)
}

/**
 * The body in a form that every attempt can have anew, or as it is where it already can. Made once a call, by the layer
 * that may send again.
 */
export function recordBody(opts: ScopedOptions, exchange: Exchange, limit: number): RecordedBody | null {
  const { body } = opts as { body?: unknown }
  if (body instanceof RecordedBody || !isOneShot(body)) return null
  return new RecordedBody(body, exchange, limit)
}
