import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Connection } from './connection.ts'
import type { Recording } from './recorded-request.ts'
import type { Reply } from './reply.ts'
import type { HeaderValues } from './step.ts'

/** Reads an HTTP/1.1 request into its recording. */
export function recordH1(incoming: IncomingMessage, recording: Recording): void {
  incoming.on('data', (chunk: Buffer) => recording.take(chunk))
  incoming.on('end', () => {
    recording.trailers = incoming.trailers
    recording.finish(true)
  })
  incoming.on('error', () => {})
  incoming.on('close', () => recording.finish(false))
}

/** Makes what the http module makes for every request but a CONNECT or an upgrade. */
export function tunnelResponse(incoming: IncomingMessage, connection: Connection): ServerResponse {
  const response = new ServerResponse(incoming)
  response.assignSocket(connection.socket)
  response.shouldKeepAlive = false
  return response
}

function headerLines(headers: HeaderValues): string {
  let lines = ''
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) lines += `${name}: ${one}\r\n`
  }
  return lines
}

/** Answers over HTTP/1.1. */
export class H1Reply implements Reply {
  readonly #response: ServerResponse
  readonly #connection: Connection
  readonly #recording: Recording
  readonly tunnels: boolean
  // Not writableFinished: it also holds for an answer whose connection was lost.
  #sent = false
  #trailers: OutgoingHttpHeaders | undefined = undefined

  constructor(response: ServerResponse, connection: Connection, recording: Recording, tunnels = false) {
    this.#response = response
    this.#connection = connection
    this.#recording = recording
    this.tunnels = tunnels
    if (tunnels) response.on('finish', () => connection.socket.destroySoon())
    response.on('error', () => {})
    // First, because Node's own listener closes the socket of an answer that is the last on its connection.
    response.prependListener('finish', () => {
      this.#sent = !connection.socket.destroyed
    })
    response.on('close', () => recording.settle(this.#sent, undefined))
  }

  get closed(): boolean {
    return this.#response.closed || this.#response.destroyed || this.#connection.raw.destroyed
  }

  early(status: number, headers: HeaderValues): void {
    // ServerResponse has a method for each of a few statuses, and drops 103 without a link.
    this.#connection.socket.write(`HTTP/1.1 ${status} Early\r\n${headerLines(headers)}\r\n`)
  }

  head(status: number, headers: OutgoingHttpHeaders, trailers: HeaderValues | undefined): void {
    if (trailers !== undefined) {
      this.#trailers = trailers as OutgoingHttpHeaders
      headers.trailer = Object.keys(trailers).join(', ')
    }
    this.#response.writeHead(status, headers)
    this.#response.flushHeaders()
  }

  write(chunk: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#response.write(chunk, () => resolve())
    })
  }

  end(): void {
    if (this.#trailers !== undefined) this.#response.addTrailers(this.#trailers)
    this.#response.end()
  }

  answer(status: number, headers: OutgoingHttpHeaders, body: Uint8Array | undefined): void {
    this.#response.writeHead(status, headers)
    this.#response.end(body)
  }

  reset(): void {
    this.#connection.reset()
  }

  cut(): void {
    this.#connection.socket.destroySoon()
  }

  refuse(): void {
    this.#connection.socket.destroySoon()
  }

  goaway(): boolean {
    this.#response.shouldKeepAlive = false
    return true
  }

  destroyConnection(): void {
    this.#connection.socket.destroySoon()
  }

  fail(text: string): void {
    if (this.#response.headersSent) this.#connection.socket.destroySoon()
    else this.answer(500, { 'content-type': 'text/plain' }, Buffer.from(text))
  }

  tunnel(): void {
    const { socket } = this.#connection
    this.#response.detachSocket(socket)
    socket.on('close', () => this.#recording.settle(true, undefined))
    socket.pipe(socket)
  }
}
