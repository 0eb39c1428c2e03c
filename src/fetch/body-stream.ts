import { BodyIterator, type PieceSource, type PieceTaker } from './body-iterator.ts'
import type { IncomingBody, StreamSink } from './incoming-body.ts'

// A stream that nobody holds any more, neither itself nor through a reader or a clone, will never be read to its end.
const dropped = new FinalizationRegistry<IncomingBody>((body) => {
  if (body.isHeld) body.discard()
})

/** What feeds the stream of a body: a byte stream that asks for a piece only when a reader does. */
class BodySource implements StreamSink, UnderlyingByteSource, PieceSource {
  readonly type = 'bytes'
  isHungry = false
  /** Nobody has read through the stream itself, so that nothing of the body can be in it. */
  isUntouched = true
  /** Somebody has read past the stream. */
  isDisturbed = false
  readonly body: IncomingBody
  // Weak while nobody reads: the transport holds the body and so this, and must not keep a stream alive that was dropped.
  private controller: WeakRef<ReadableByteStreamController> | null = null
  private reading: ReadableByteStreamController | null = null
  private taker: PieceTaker | null = null

  constructor(body: IncomingBody) {
    this.body = body
  }

  start(controller: ReadableByteStreamController): void {
    this.controller = new WeakRef(controller)
    this.body.openStream(this)
    if (this.body.hasFailed) controller.error(this.body.failure)
  }

  pull(controller: ReadableByteStreamController): void {
    this.isUntouched = false
    this.reading = controller
    this.isHungry = true
    this.body.pull(this)
  }

  pullFor(taker: PieceTaker): void {
    this.isDisturbed = true
    this.taker = taker
    this.isHungry = true
    this.body.pull(this)
  }

  get failure(): { readonly error: unknown } | null {
    return this.body.hasFailed ? { error: this.body.failure } : null
  }

  cancel(reason: unknown): void {
    this.reading = null
    this.controller = null
    this.body.discard(reason)
  }

  give(chunk: Buffer): void {
    const { reading, taker } = this
    this.reading = null
    this.taker = null
    this.isHungry = false
    // A copy: the stream takes the buffer over, and the transport's chunks are pieces of one that others share.
    const piece = new Uint8Array(chunk)
    if (taker !== null) taker.take(piece)
    else reading?.enqueue(piece)
  }

  end(): void {
    const { reading, taker } = this
    this.reading = null
    this.taker = null
    this.isHungry = false
    if (taker !== null) {
      this.controller?.deref()?.close()
      taker.takeEnd()
      return
    }
    if (reading === null) return
    try {
      reading.close()
    } catch {
      // It ended within an element of a reader's own, wider array: the stream has failed with that, and the reader knows.
      return
    }
    // A reader with a buffer of its own waits for this.
    reading.byobRequest?.respond(0)
  }

  fail(error: unknown): void {
    const { taker } = this
    const controller = this.reading ?? this.controller?.deref()
    this.reading = null
    this.taker = null
    this.controller = null
    controller?.error(error)
    taker?.takeFailure(error)
  }
}

const disturbed = Symbol.for('nodejs.stream.disturbed')

/**
 * A real stream of bytes. Only `for await` goes a shorter way: past the stream's own queue and requests, which cost more
 * than all the rest of a small body.
 */
class BodyStream extends ReadableStream<Uint8Array> {
  #source: BodySource

  constructor(source: BodySource) {
    super(source as unknown as UnderlyingDefaultSource<Uint8Array>)
    this.#source = source
  }

  // What node:stream and undici ask.
  get [disturbed](): boolean {
    return this.#source.isDisturbed || (super[disturbed as never] as boolean)
  }

  override values(options?: { preventCancel?: boolean }): ReadableStreamAsyncIterator<Uint8Array> {
    if (options?.preventCancel || this.locked || !this.#source.isUntouched) return super.values(options)
    return new BodyIterator(this.getReader(), this.#source) as unknown as ReadableStreamAsyncIterator<Uint8Array>
  }

  override [Symbol.asyncIterator](options?: { preventCancel?: boolean }): ReadableStreamAsyncIterator<Uint8Array> {
    return this.values(options)
  }
}

// Nothing shows that it is a class of its own.
Object.defineProperty(BodyStream, 'name', { value: 'ReadableStream' })
Object.defineProperty(BodyStream.prototype, 'constructor', {
  value: ReadableStream,
  writable: true,
  configurable: true,
})

/** The body as a stream; asked for once. */
export function openBody(body: IncomingBody): ReadableStream<Uint8Array> {
  const stream = new BodyStream(new BodySource(body))
  if (body.isWatched && body.isHeld) dropped.register(stream, body)
  return stream
}

/** The stream of a body that was read without one: locked, and read from. */
export function usedStream(): ReadableStream<Uint8Array> {
  const stream = new ReadableStream<Uint8Array>({ type: 'bytes', start: (controller) => controller.close() })
  stream
    .getReader()
    .read()
    .catch(() => undefined)
  return stream
}
