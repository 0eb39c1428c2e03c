import { Buffer } from 'node:buffer'
import type { ClientHttp2Stream } from 'node:http2'
import type { Readable } from 'node:stream'
import { errors } from 'undici'
import { type BodySource, giveUpBody } from './request-body.ts'

/** Who sends a body. */
export interface PumpOwner {
  onPumpChunk(chunk: Uint8Array): void
  onPumpDone(): void
  onPumpError(error: Error, stream: ClientHttp2Stream): void
}

interface Puller {
  next(): Promise<IteratorResult<unknown>> | IteratorResult<unknown>
  cancel(error: Error): unknown
}

function ignore(): void {}

function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  if (typeof chunk === 'string') return Buffer.from(chunk)
  if (ArrayBuffer.isView(chunk)) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  if (chunk instanceof ArrayBuffer) return Buffer.from(chunk)
  throw new TypeError(`a request body must give strings or bytes, got ${chunk === null ? 'null' : typeof chunk}`)
}

function pullerOf({ body, kind }: BodySource): Puller {
  if (kind === 'web') {
    const { stream } = body as { stream?(): ReadableStream<unknown> }
    const readable = typeof stream === 'function' ? stream.call(body) : (body as ReadableStream<unknown>)
    // Not its iterator, whose return() waits for a read under way.
    const reader = readable.getReader()
    return {
      next: () => reader.read() as Promise<IteratorResult<unknown>>,
      cancel: (error) => reader.cancel(error).catch(ignore),
    }
  }
  const { [Symbol.asyncIterator]: asyncIterate, [Symbol.iterator]: iterate } = body as AsyncIterable<unknown> &
    Iterable<unknown>
  const iterator = asyncIterate?.call(body) ?? iterate.call(body)
  return {
    next: () => iterator.next(),
    async cancel() {
      await iterator.return?.()
    },
  }
}

/** Sends a body that has to be read, no faster than the stream takes it. */
export class BodyPump {
  private readonly owner: PumpOwner
  private readonly stream: ClientHttp2Stream
  private readonly source: BodySource
  /** What the body has to come to, or -1. */
  private readonly length: number
  /** Bytes that the stream was given. */
  sent = 0
  private over = false
  private puller: Puller | null = null
  private wake: (() => void) | null = null
  private unlisten: (() => void) | null = null

  constructor(owner: PumpOwner, stream: ClientHttp2Stream, source: BodySource, length: number) {
    this.owner = owner
    this.stream = stream
    this.source = source
    this.length = length
  }

  start(): void {
    if (this.source.kind === 'stream') this.pipe(this.source.body as Readable)
    else this.pull()
  }

  /** The request is over: no more is read, and whoever gives the body is told. */
  stop(error: Error): void {
    if (this.over) return
    this.finish()
    if (this.puller === null) giveUpBody(this.source, error)
    else
      Promise.resolve(this.puller)
        .then((puller) => puller.cancel(error))
        .catch(ignore)
  }

  private finish(): void {
    this.over = true
    this.unlisten?.()
    this.unlisten = null
    this.wake?.()
    this.wake = null
  }

  private fail(error: Error): void {
    if (this.over) return
    this.stop(error)
    this.owner.onPumpError(error, this.stream)
  }

  /** Whether the stream takes more at once. */
  private write(given: unknown): boolean {
    const chunk = bytesOf(given)
    if (chunk.byteLength === 0) return true
    this.sent += chunk.byteLength
    if (this.length >= 0 && this.sent > this.length) throw new errors.RequestContentLengthMismatchError()
    const more = this.stream.write(chunk)
    this.owner.onPumpChunk(chunk)
    return more
  }

  private end(): void {
    if (this.over) return
    if (this.length >= 0 && this.sent !== this.length) {
      this.fail(new errors.RequestContentLengthMismatchError())
      return
    }
    this.finish()
    this.stream.end()
    this.owner.onPumpDone()
  }

  private pipe(body: Readable): void {
    const onData = (chunk: unknown) => {
      try {
        if (!this.write(chunk) && !this.over) body.pause()
      } catch (error) {
        this.fail(error as Error)
      }
    }
    const onEnd = () => this.end()
    const onError = (error: Error) => this.fail(error)
    const onClose = () => {
      this.fail(body.errored ?? new errors.RequestAbortedError('the request body was closed before its end'))
    }
    const onDrain = () => body.resume()
    this.unlisten = () => {
      body.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose)
      this.stream.off('drain', onDrain)
    }
    this.stream.on('drain', onDrain)
    body.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose)
    if (body.readableEnded === true) onEnd()
    else body.resume()
  }

  private async pull(): Promise<void> {
    try {
      const puller = pullerOf(this.source)
      this.puller = puller
      const onDrain = () => this.wake?.()
      this.stream.on('drain', onDrain)
      this.unlisten = () => this.stream.off('drain', onDrain)
      while (!this.over) {
        const next = puller.next()
        const { done, value } =
          next instanceof Promise || typeof (next as { then?: unknown }).then === 'function'
            ? await next
            : (next as IteratorResult<unknown>)
        if (this.over) return
        if (done === true) {
          this.end()
          return
        }
        if (!this.write(value) && !this.over) {
          await new Promise<void>((resolve) => {
            this.wake = resolve
          })
        }
      }
    } catch (error) {
      this.fail(error as Error)
    }
  }
}
