import { bytesOf, close, ignore, isNodeStream, iterate, type Source, type SourceIterator } from './body-source.ts'
import { keepBytes, letBytesGo } from './replay.ts'

/**
 * A body that can be read once, recorded as it passes: whoever sends it gets every piece, at the pace at which it asks.
 * When the last one has passed, `done` is told the whole, or `null` where there is no whole to tell: the body was longer
 * than the limit, failed, or was not read to its end. It is told once.
 */
export class TappedBody implements AsyncIterableIterator<unknown> {
  private readonly source: Source
  private readonly limit: number
  private done: ((whole: Buffer | null) => void) | null
  private iterator: SourceIterator | null = null
  private chunks: Buffer[] = []
  private kept = 0

  constructor(source: Source, limit: number, done: (whole: Buffer | null) => void) {
    this.source = source
    this.limit = limit
    this.done = done
    // It may fail while nobody reads it yet; whoever reads next is told.
    if (isNodeStream(source)) source.on('error', ignore)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<unknown>> {
    try {
      this.iterator ??= iterate(this.source)
      const { done, value } = await this.iterator.next()
      if (done === true) {
        this.finish()
        return { done: true, value: undefined }
      }
      const piece: unknown = await value
      this.record(piece)
      return { done: false, value: piece }
    } catch (error) {
      this.giveUp()
      throw error
    }
  }

  async return(): Promise<IteratorResult<unknown>> {
    this.giveUp()
    await close(this.source, this.iterator)
    return { done: true, value: undefined }
  }

  /** Records nothing more; the body passes as before. */
  giveUp(): void {
    const { done } = this
    if (done === null) return
    this.done = null
    this.chunks = []
    letBytesGo(this.kept)
    done(null)
  }

  private record(piece: unknown): void {
    if (this.done === null) return
    let bytes: Uint8Array
    try {
      bytes = bytesOf(piece)
    } catch {
      // No bytes: whoever sends it says so.
      this.giveUp()
      return
    }
    const size = bytes.byteLength
    if (this.kept + size > this.limit || !keepBytes(size)) {
      this.giveUp()
      return
    }
    this.kept += size
    // A copy: the source may use its buffer again.
    this.chunks.push(Buffer.from(bytes))
  }

  private finish(): void {
    const { done, chunks, kept } = this
    if (done === null) return
    this.done = null
    this.chunks = []
    letBytesGo(kept)
    done(Buffer.concat(chunks, kept))
  }
}
