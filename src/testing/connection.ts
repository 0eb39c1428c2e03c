import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { Recording } from './recorded-request.ts'

// Node does not read on after GOAWAY, so the caller's own close goes unseen; and closing at once takes bytes from a
// caller that has received but not yet read them. Go's server waits as long.
const lingerMs = 1000

/** One TCP connection to the server. */
export class Connection {
  readonly number: number
  /** The TCP socket, below TLS. */
  readonly raw: Socket
  /** The socket that carries HTTP: the TLS socket, or `raw` in cleartext; before the handshake is done, `raw`. */
  socket: Socket
  /** HTTP can be spoken: there is no handshake, or it is done. */
  ready = false
  session: ServerHttp2Session | undefined = undefined
  /** The requests on it that are not over yet. */
  readonly requests = new Set<Recording>()
  readonly #streams = new Set<number>()
  #lastStreamId = Number.POSITIVE_INFINITY

  constructor(number: number, raw: Socket) {
    this.number = number
    this.raw = raw
    this.socket = raw
  }

  /** TCP RST; a plain close where the connection is not ready, or already being closed. */
  reset(): void {
    const { raw, socket } = this
    // In a connection that is shutting down, as after a failed handshake, a reset fails and leaves the socket open for ever.
    if (!this.ready || raw.destroyed || raw.writableEnded || socket.writableEnded) {
      raw.destroy()
      return
    }
    // resetAndDestroy() shuts down before it resets: the caller would see an end, not a reset.
    raw.destroySoon = () => raw.destroy()
    raw.resetAndDestroy()
  }

  streamOpened(id: number): void {
    this.#streams.add(id)
  }

  streamClosed(id: number): void {
    this.#streams.delete(id)
    this.#lingerWhenDrained()
  }

  /** Sends GOAWAY; the session takes no new streams then, and is closed some time after the last one taken on has ended. */
  goaway(code: number, lastStreamId: number): void {
    this.#lastStreamId = Math.min(lastStreamId, this.#lastStreamId)
    this.session?.goaway(code, this.#lastStreamId)
    for (const id of this.#streams) {
      if (id > this.#lastStreamId) this.#streams.delete(id)
    }
    this.#lingerWhenDrained()
  }

  #lingerWhenDrained(): void {
    if (this.#lastStreamId === Number.POSITIVE_INFINITY || this.#streams.size > 0) return
    setTimeout(() => this.socket.destroySoon(), lingerMs).unref()
  }
}
