import type { OutgoingHttpHeaders } from 'node:http'
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Connection } from './connection.ts'
import type { Recording } from './recorded-request.ts'
import type { Reply } from './reply.ts'
import type { GoAway, HeaderValues } from './step.ts'

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM } = constants

// What goes out in one DATA frame counts as sent; more may wait for the caller's flow control.
const oneFrame = 16_384

/** Reads an HTTP/2 request into its recording. */
export function recordH2(stream: ServerHttp2Stream, recording: Recording): void {
  stream.on('data', (chunk: Buffer) => recording.take(chunk))
  stream.on('trailers', (trailers) => {
    recording.trailers = trailers
  })
  stream.on('end', () => recording.finish(!stream.aborted))
}

/** Answers over HTTP/2. */
export class H2Reply implements Reply {
  readonly #stream: ServerHttp2Stream
  readonly #streamId: number
  readonly #connection: Connection
  readonly tunnels: boolean
  // Not writableFinished: it may still be false when a stream closes that was answered, or true for one that was reset.
  #sent = false

  constructor(stream: ServerHttp2Stream, connection: Connection, recording: Recording) {
    this.#stream = stream
    this.#streamId = recording.streamId
    this.#connection = connection
    this.tunnels = recording.method === 'CONNECT'
    stream.on('error', () => {})
    connection.streamOpened(recording.streamId)
    stream.on('close', () => {
      connection.streamClosed(recording.streamId)
      recording.settle(this.#sent, stream.rstCode)
    })
  }

  get closed(): boolean {
    return this.#stream.closed || this.#stream.destroyed
  }

  early(status: number, headers: HeaderValues): void {
    this.#stream.additionalHeaders({ ...(headers as OutgoingHttpHeaders), ':status': status })
  }

  head(status: number, headers: OutgoingHttpHeaders, trailers: HeaderValues | undefined): void {
    this.#stream.respond({ ...headers, ':status': status }, { waitForTrailers: trailers !== undefined })
    if (trailers !== undefined) {
      this.#stream.once('wantTrailers', () => this.#stream.sendTrailers(trailers as OutgoingHttpHeaders))
    }
  }

  write(chunk: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.write(chunk, () => resolve())
    })
  }

  end(): void {
    this.#sent = true
    this.#stream.end()
  }

  answer(status: number, headers: OutgoingHttpHeaders, body: Uint8Array | undefined): void {
    headers[':status'] = status
    const empty = body === undefined || body.length === 0
    this.#stream.respond(headers, { endStream: empty })
    if (empty) {
      this.#sent = true
    } else if (body.length <= oneFrame) {
      this.#sent = true
      this.#stream.end(body)
    } else {
      // Not by the callback's error: Node 26 gives none where the caller reset the stream.
      this.#stream.write(body, () => {
        if (!this.closed) this.end()
      })
    }
  }

  reset(code: number): void {
    // close() first ends the stream, so that END_STREAM goes out before RST_STREAM, or in its place.
    this.#stream.end = () => this.#stream
    this.#stream.close(code)
  }

  cut(): void {
    this.reset(NGHTTP2_CANCEL)
  }

  refuse(): void {
    this.reset(NGHTTP2_REFUSED_STREAM)
  }

  goaway({ code = 0, lastStreamId = this.#streamId }: GoAway): boolean {
    this.#connection.goaway(code, lastStreamId)
    return this.#streamId <= lastStreamId
  }

  destroyConnection(): void {
    this.#connection.socket.destroySoon()
  }

  fail(text: string): void {
    if (this.closed) return
    if (this.#stream.headersSent) this.reset(NGHTTP2_INTERNAL_ERROR)
    else this.answer(500, { 'content-type': 'text/plain' }, Buffer.from(text))
  }

  tunnel(): void {
    this.#sent = true
    this.#stream.pipe(this.#stream)
  }
}
