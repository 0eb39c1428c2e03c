/** Who waits for a piece of a body. */
export interface PieceTaker {
  take(piece: Uint8Array): void
  takeEnd(): void
  takeFailure(error: unknown): void
}

/** Gives the pieces of a body one by one. */
export interface PieceSource {
  /** What the body failed with. */
  readonly failure: { readonly error: unknown } | null
  /** Gives `taker` the next piece, or the end or failure, now or when it comes; asked again only after that. */
  pullFor(taker: PieceTaker): void
}

type Step = IteratorResult<Uint8Array, unknown>

// What asynchronous iterators of the language have in common.
const asyncIterators = Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}.prototype)) as object

/**
 * Iterates a body as `ReadableStream.prototype.values` does (Web IDL, default asynchronous iterator objects; Streams
 * §4.2.4): the stream is locked meanwhile, and cancelled when the iteration is left.
 */
export class BodyIterator implements PieceTaker {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>
  private readonly source: PieceSource
  private isDone = false
  private piece: Uint8Array | null = null
  private lost: { readonly error: unknown } | null = null
  private resolve: ((step: Step) => void) | null = null
  private reject: ((error: unknown) => void) | null = null
  private current: Promise<Step> | null = null
  // Steps that were asked for before the one under way was over; they come one after the other.
  private last: Promise<Step> | null = null

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>, source: PieceSource) {
    this.reader = reader
    this.source = source
  }

  next(): Promise<Step> {
    return this.last === null && this.resolve === null ? this.step() : this.queue(() => this.step())
  }

  return(value?: unknown): Promise<Step> {
    return this.last === null && this.resolve === null ? this.leave(value) : this.queue(() => this.leave(value))
  }

  private queue(step: () => Promise<Step>): Promise<Step> {
    const queued = ((this.last ?? this.current) as Promise<Step>).then(step, step)
    this.last = queued
    const over = () => {
      if (this.last === queued) this.last = null
    }
    queued.then(over, over)
    return queued
  }

  private step(): Promise<Step> {
    if (this.isDone) return Promise.resolve({ done: true, value: undefined })
    const { failure } = this.source
    if (failure !== null) return Promise.reject(this.failed(failure.error))
    this.source.pullFor(this)
    const { piece } = this
    if (piece !== null) {
      this.piece = null
      return Promise.resolve({ done: false, value: piece })
    }
    const lost = this.lost
    if (lost !== null) {
      this.lost = null
      return Promise.reject(lost.error)
    }
    if (this.isDone) return Promise.resolve({ done: true, value: undefined })
    this.current = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    return this.current
  }

  private async leave(value: unknown): Promise<Step> {
    if (!this.isDone) {
      this.isDone = true
      const cancelled = this.reader.cancel(value)
      this.reader.releaseLock()
      await cancelled
    }
    return { done: true, value }
  }

  private failed(error: unknown): unknown {
    this.isDone = true
    this.reader.releaseLock()
    return error
  }

  private settled(): void {
    this.resolve = null
    this.reject = null
    this.current = null
  }

  take(piece: Uint8Array): void {
    const { resolve } = this
    if (resolve === null) {
      this.piece = piece
      return
    }
    this.settled()
    resolve({ done: false, value: piece })
  }

  takeEnd(): void {
    const { resolve } = this
    this.isDone = true
    this.reader.releaseLock()
    this.settled()
    resolve?.({ done: true, value: undefined })
  }

  takeFailure(error: unknown): void {
    const { reject } = this
    this.failed(error)
    this.settled()
    if (reject === null) this.lost = { error }
    else reject(error)
  }
}

Object.setPrototypeOf(BodyIterator.prototype, asyncIterators)
