import type { Dispatcher } from 'undici'
import { type Abortable, unlink } from './abort-links.ts'
import { ContentDecoder, type DecodedSink, decodeSmall, type readCodings } from './content-decoder.ts'

/** Makes of a whole body what a method of Response gives. `isOwn`: the bytes are in a buffer that nobody else has. */
export type Convert = (bytes: Buffer, isOwn: boolean) => unknown

/** A body as stream: told of what comes, asks for more. */
export interface StreamSink {
  /** Asked for more and not given it yet. */
  readonly isHungry: boolean
  give(chunk: Buffer): void
  end(): void
  fail(error: unknown): void
}

/** Bytes that wait for a reader before the sender is held back. */
export const unreadLimit = 64 * 1024

const nothing = Buffer.alloc(0)

// One for all: its stack says nothing, and to make one costs as much as a layer.
const dropped = new DOMException('The response body was dropped', 'AbortError')

interface Consumer {
  readonly convert: Convert
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/** The error of a body that breaks after its head, as undici gives it. */
export function terminated(cause: unknown): TypeError {
  return new TypeError('terminated', cause instanceof Error ? { cause } : undefined)
}

/**
 * A response body between the transport and whoever reads it. Nothing but the chunks is kept until somebody asks: a
 * stream costs as much as a whole call, and most bodies are read as text or JSON.
 *
 * It does not know the Response it belongs to, so that one that is dropped can be collected.
 */
export class IncomingBody implements Abortable, DecodedSink {
  /** Has been read from, or is being read. */
  used = false
  /** All has come, decoded where it has to be. */
  ended = false
  /** Set with the first of its errors. */
  hasFailed = false
  failure: unknown = undefined
  signal: AbortSignal | null = null
  /** It may stay open when nobody reads it: a signal holds on to it, or it is too long to end by itself, or may be. */
  isWatched = false
  /** What has to live as long as the signal is to be told of an abort. */
  protected signalOwner: object | null = null
  protected controller: Dispatcher.DispatchController | null = null
  protected codings: ReturnType<typeof readCodings> = null
  private chunk: Buffer | null = null
  private more: Buffer[] | null = null
  private size = 0
  private received = 0
  private skipped = 0
  private consumer: Consumer | null = null
  private stream: StreamSink | null = null
  private decoder: ContentDecoder | null = null
  /** The transport has given all; a decoder may still be at work. */
  protected hasArrived = false
  private held = false

  /** The transport or a signal holds on to it until it is read to its end or given up. */
  get isHeld(): boolean {
    return !this.hasFailed && (!this.ended || this.signal !== null)
  }

  /** Somebody has asked for it as a stream. */
  get isStreamed(): boolean {
    return this.stream !== null
  }

  /** A piece has come from the transport. */
  protected receive(chunk: Buffer): void {
    if (this.hasFailed || this.hasArrived || chunk.byteLength === 0) return
    this.received += chunk.byteLength
    if (this.ended) this.skip(chunk)
    else if (this.decoder === null) this.accept(chunk)
    else if (!this.decoder.write(chunk)) this.hold()
  }

  // The compressed body is over, and the transport goes on.
  private skip(chunk: Buffer): void {
    this.skipped += chunk.byteLength
    if (this.skipped <= unreadLimit) return
    const { controller } = this
    this.arrive()
    controller?.abort(new DOMException('What comes behind the end of a compressed body was left', 'AbortError'))
  }

  /** The transport has given all. */
  protected arrive(): void {
    if (this.hasFailed || this.hasArrived) return
    this.hasArrived = true
    this.controller = null
    if (this.ended) return
    if (this.decoder !== null) this.decoder.end()
    // A body of no bytes is none, whatever its coding.
    else if (this.codings === null || this.received === 0) this.finish()
  }

  private accept(chunk: Buffer): void {
    if (this.stream?.isHungry) {
      this.stream.give(chunk)
      return
    }
    if (this.chunk === null) this.chunk = chunk
    else if (this.more === null) this.more = [chunk]
    else this.more.push(chunk)
    this.size += chunk.byteLength
    if (this.isFull) this.hold()
  }

  private finish(): void {
    this.codings = null
    this.decoder = null
    this.ended = true
    const { consumer, stream } = this
    if (consumer !== null) {
      this.consumer = null
      this.settle(consumer)
    } else if (stream?.isHungry) {
      stream.end()
      this.letGo()
    }
    // What comes behind the end of a compressed body must not stand in the way of its connection.
    this.release()
  }

  private settle({ convert, resolve, reject }: Consumer): void {
    try {
      resolve(this.convert(convert))
    } catch (error) {
      reject(error)
    }
    this.letGo()
  }

  /** All bytes so far; in a buffer of their own where they came in pieces. */
  private take(): Buffer {
    const { chunk, more, size } = this
    this.drop()
    if (chunk === null) return nothing
    if (more === null) return chunk
    const whole = Buffer.allocUnsafeSlow(size)
    // Not copy(): a foreign layer may give pieces that are no Buffer.
    whole.set(chunk)
    let at = chunk.byteLength
    for (const one of more) {
      whole.set(one, at)
      at += one.byteLength
    }
    return whole
  }

  private convert(convert: Convert): unknown {
    const isOwn = this.more !== null
    return convert(this.take(), isOwn)
  }

  private drop(): void {
    this.chunk = null
    this.more = null
    this.size = 0
  }

  // Nobody needs it any more: the call no longer ends with its signal.
  protected letGo(): void {
    if (this.signal === null) return
    unlink(this.signal, this)
    this.signal = null
    this.signalOwner = null
  }

  /** Reads all and gives it converted: text, JSON and so on, without a stream. */
  consume(convert: Convert): Promise<unknown> {
    this.used = true
    if (this.hasFailed) return Promise.reject(this.failure)
    if (this.codings !== null) this.decode()
    if (!this.ended) {
      return new Promise((resolve, reject) => {
        this.consumer = { convert, resolve, reject }
        this.release()
      })
    }
    this.letGo()
    try {
      return Promise.resolve(this.convert(convert))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** From now on the body is a stream's. */
  openStream(stream: StreamSink): void {
    this.stream = stream
    if (this.codings !== null && !this.hasFailed) this.decode()
  }

  /** The stream has room for a piece, and gets one as soon as there is one, or is told of the end. */
  pull(stream: StreamSink): void {
    const { chunk } = this
    if (chunk !== null) {
      this.chunk = this.more?.shift() ?? null
      if (this.more?.length === 0) this.more = null
      this.size -= chunk.byteLength
      // Before anything else: a sender that goes on may bring the next piece at once.
      stream.give(chunk)
      if (this.size < unreadLimit) this.release()
    } else if (this.ended) {
      stream.end()
      this.letGo()
    } else {
      this.release()
    }
  }

  // Whoever reads it whole takes whatever comes.
  private get isFull(): boolean {
    return this.size > unreadLimit && this.consumer === null
  }

  private hold(): void {
    if (this.isFull) this.decoder?.pause()
    if (this.held) return
    this.held = true
    this.controller?.pause()
  }

  private release(): void {
    if (!this.held) return
    this.held = false
    this.decoder?.resume()
    this.controller?.resume()
  }

  private decode(): void {
    const codings = this.codings as NonNullable<typeof this.codings>
    if (this.hasArrived) {
      const input = this.take()
      const decoded = decodeSmall(codings, input)
      if (decoded !== null) {
        this.codings = null
        if (decoded.byteLength > 0) this.accept(decoded)
        this.finish()
        return
      }
      this.accept(input)
    }
    const { chunk, more } = this
    this.drop()
    this.codings = null
    this.decoder = new ContentDecoder(codings, this)
    if (chunk !== null) this.decoder.write(chunk)
    if (more !== null) for (const one of more) this.decoder.write(one)
    if (this.hasArrived) this.decoder.end()
  }

  decoded(chunk: Buffer): void {
    if (!this.hasFailed && chunk.byteLength > 0) this.accept(chunk)
  }

  decodedAll(): void {
    if (!this.hasFailed && !this.ended) this.finish()
  }

  decodingFailed(error: Error): void {
    const { controller } = this
    this.fail(terminated(error))
    controller?.abort(error)
  }

  decoderDrained(): void {
    if (!this.isFull) this.release()
  }

  /** It broke, or was given up: what came is lost, and whoever reads is told. */
  fail(error: unknown): void {
    if (this.hasFailed) return
    this.hasFailed = true
    this.failure = error
    this.controller = null
    this.drop()
    this.decoder?.destroy()
    this.letGo()
    this.consumer?.reject(error)
    this.consumer = null
    this.stream?.fail(error)
  }

  giveUp(reason: unknown): void {
    const { controller } = this
    this.fail(reason)
    controller?.abort(asError(reason))
  }

  /** Nobody will read it: the Response, or its stream, was collected or cancelled. */
  discard(reason: unknown = dropped): void {
    this.stream = null
    this.giveUp(reason)
  }
}

/** A transport takes an Error; a signal's reason may be anything. */
export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new DOMException(textOf(reason), 'AbortError')
}

/** What anything that was thrown says of itself; not everything has a `toString`, and not every one works. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return Object.prototype.toString.call(thrown)
  }
}
