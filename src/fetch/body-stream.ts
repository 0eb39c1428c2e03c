import type { IncomingBody, StreamSink } from './incoming-body.ts'

// A stream that nobody holds any more, neither itself nor through a reader or a clone, will never be read to its end.
const dropped = new FinalizationRegistry<IncomingBody>((body) => {
  if (body.isHeld) body.discard()
})

/** What feeds the stream of a body: a byte stream that asks for a piece only when a reader does. */
class BodySource implements StreamSink, UnderlyingByteSource {
  readonly type = 'bytes'
  isHungry = false
  private readonly body: IncomingBody
  // Weak while nobody reads: the transport holds the body and so this, and must not keep a stream alive that was dropped.
  private controller: WeakRef<ReadableByteStreamController> | null = null
  private reading: ReadableByteStreamController | null = null

  constructor(body: IncomingBody) {
    this.body = body
  }

  start(controller: ReadableByteStreamController): void {
    this.controller = new WeakRef(controller)
    this.body.openStream(this)
    if (this.body.hasFailed) controller.error(this.body.failure)
  }

  pull(controller: ReadableByteStreamController): void {
    this.reading = controller
    this.isHungry = true
    this.body.pull(this)
  }

  cancel(reason: unknown): void {
    this.reading = null
    this.controller = null
    this.body.discard(reason)
  }

  give(chunk: Buffer): void {
    const { reading } = this
    this.reading = null
    this.isHungry = false
    // A copy: the stream takes the buffer over, and the transport's chunks are pieces of one that others share.
    reading?.enqueue(new Uint8Array(chunk))
  }

  end(): void {
    const { reading } = this
    this.reading = null
    this.isHungry = false
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
    const controller = this.reading ?? this.controller?.deref()
    this.reading = null
    this.controller = null
    controller?.error(error)
  }
}

/** The body as a stream; asked for once. */
export function openBody(body: IncomingBody): ReadableStream<Uint8Array> {
  const source = new BodySource(body)
  const stream = new ReadableStream(source) as ReadableStream<Uint8Array>
  if (body.isHeld) dropped.register(stream, body)
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
