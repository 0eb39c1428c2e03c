import { createHash, type Hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** How the exchange of a request ended. */
export interface RequestEnd {
  /**
   * - `answered`: the whole answer went out.
   * - `aborted`: the caller gave up, or its connection was lost, before that.
   * - `faulted`: this server broke it, by a step or by closing.
   */
  readonly how: 'answered' | 'aborted' | 'faulted'
  /** HTTP/2: the code the stream closed with, 0 where nobody reset it. HTTP/1.1: `undefined`. */
  readonly rstCode: number | undefined
}

/** A request as it came over the wire. */
export interface RecordedRequest {
  /** Its place in the order of arrival at this server, from 1. */
  readonly number: number
  readonly method: string
  /** With its query. Of a CONNECT, the authority. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, as they were sent. */
  readonly rawHeaders: readonly string[]
  readonly protocol: '1.1' | '2'
  /** The number of its connection, from 1. */
  readonly connection: number
  /** Its HTTP/2 stream; 0 on HTTP/1.1. */
  readonly streamId: number
  /** When its head was in, in milliseconds of `performance.now()`. */
  readonly startedAt: number
  /** What has come of the body so far, up to the server's `bodyLimit`. */
  readonly body: Buffer
  /** How many bytes of the body have come, those beyond the limit too. */
  readonly bodyLength: number
  /** Of everything that has come, in hexadecimal. */
  readonly bodySha256: string
  readonly trailers: IncomingHttpHeaders
  /** Whether the body has come to its proper end. */
  readonly complete: boolean
  /** Resolves when no more of the body will come; look at `complete` to see why. Never rejects. */
  readonly received: Promise<void>
  /** Whether the caller gave up before it was answered. */
  readonly aborted: boolean
  /** Resolves when the exchange is over. Never rejects. */
  readonly closed: Promise<RequestEnd>
  /** The body, once it is `received`. */
  bytes(): Promise<Buffer>
  /** The body as UTF-8 text, once it is `received`. */
  text(): Promise<string>
}

/** What is known of a request when its head is in. */
export interface RequestHead {
  readonly number: number
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly protocol: '1.1' | '2'
  readonly connection: number
  readonly streamId: number
  readonly bodyLimit: number
}

/** The writing side of a {@link RecordedRequest}. */
export class Recording implements RecordedRequest {
  readonly number: number
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly protocol: '1.1' | '2'
  readonly connection: number
  readonly streamId: number
  readonly startedAt = performance.now()
  readonly received: Promise<void>
  readonly closed: Promise<RequestEnd>
  bodyLength = 0
  trailers: IncomingHttpHeaders = {}
  complete = false
  end: RequestEnd | undefined = undefined
  /** Set when this server, not the caller, breaks the exchange. */
  faulted = false
  #room: number
  #chunks: Buffer[] = []
  #hash: Hash | undefined = undefined
  #receive!: () => void
  #close!: (end: RequestEnd) => void

  constructor(head: RequestHead) {
    this.number = head.number
    this.method = head.method
    this.path = head.path
    this.headers = head.headers
    this.rawHeaders = head.rawHeaders
    this.protocol = head.protocol
    this.connection = head.connection
    this.streamId = head.streamId
    this.#room = head.bodyLimit
    this.received = new Promise((resolve) => {
      this.#receive = resolve
    })
    this.closed = new Promise((resolve) => {
      this.#close = resolve
    })
  }

  get body(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0]!
  }

  get bodySha256(): string {
    return (this.#hash?.copy() ?? createHash('sha256')).digest('hex')
  }

  get aborted(): boolean {
    return this.end?.how === 'aborted'
  }

  async bytes(): Promise<Buffer> {
    await this.received
    return this.body
  }

  async text(): Promise<string> {
    return (await this.bytes()).toString()
  }

  take(chunk: Buffer): void {
    this.bodyLength += chunk.length
    this.#hash ??= createHash('sha256')
    this.#hash.update(chunk)
    if (this.#room === 0) return
    const kept = chunk.length > this.#room ? chunk.subarray(0, this.#room) : chunk
    this.#room -= kept.length
    this.#chunks.push(kept)
  }

  /** The body is over: in good order, or because no more of it will come. */
  finish(complete: boolean): void {
    this.complete ||= complete
    this.#receive()
  }

  /** The exchange is over. */
  settle(answered: boolean, rstCode: number | undefined): void {
    if (this.end !== undefined) return
    this.finish(false)
    this.end = { how: answered ? 'answered' : this.faulted ? 'faulted' : 'aborted', rstCode }
    this.#close(this.end)
  }
}
