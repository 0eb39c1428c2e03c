import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'

/** One TCP connection to the server. */
export class Connection {
  readonly number: number
  /** The TCP socket, below TLS. */
  readonly raw: Socket
  /** The socket that carries HTTP: the TLS socket, or `raw` in cleartext. */
  socket: Socket
  session: ServerHttp2Session | undefined = undefined
  readonly #streams = new Set<number>()
  #lastStreamId = Number.POSITIVE_INFINITY

  constructor(number: number, raw: Socket) {
    this.number = number
    this.raw = raw
    this.socket = raw
  }

  /** TCP RST. */
  reset(): void {
    this.raw.resetAndDestroy()
  }

  /** Whether a new stream is taken on: not after a GOAWAY that left it out. */
  streamOpened(id: number): boolean {
    if (id > this.#lastStreamId) return false
    this.#streams.add(id)
    return true
  }

  streamClosed(id: number | undefined): void {
    if (id !== undefined) this.#streams.delete(id)
    this.#closeWhenDrained()
  }

  /** Sends GOAWAY, lets the streams up to `lastStreamId` end, then closes the connection. */
  goaway(code: number, lastStreamId: number): void {
    this.#lastStreamId = Math.min(lastStreamId, this.#lastStreamId)
    this.session?.goaway(code, this.#lastStreamId)
    for (const id of this.#streams) {
      if (id > this.#lastStreamId) this.#streams.delete(id)
    }
    this.#closeWhenDrained()
  }

  #closeWhenDrained(): void {
    // Not session.close(): it would send another GOAWAY, with a higher last stream.
    if (this.#lastStreamId !== Number.POSITIVE_INFINITY && this.#streams.size === 0) this.socket.destroySoon()
  }
}
