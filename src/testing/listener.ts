import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import type { Certificate } from './certificate.ts'
import { Connection } from './connection.ts'
import { H1Reply, recordH1, tunnelResponse } from './h1-reply.ts'
import { H2Reply, recordH2 } from './h2-reply.ts'
import { holdPort } from './port-hold.ts'
import { Recording } from './recorded-request.ts'
import type { Reply } from './reply.ts'
import { callersRead } from './turns.ts'

/** `both`, `h1`, `h2` over TLS; `h1c`, `h2c` in cleartext. */
export type Protocol = 'both' | 'h1' | 'h2' | 'h1c' | 'h2c'

/** What a listener is given, and whom it tells. */
export interface ListenerOptions {
  readonly protocol: Protocol
  /** Needed where the protocol runs over TLS. */
  readonly certificate: Certificate | undefined
  readonly bodyLimit: number
  onRequest(recording: Recording, reply: Reply): void
  /** A request ended, or a connection opened or closed. */
  onChange(): void
}

const offers: Readonly<Record<Protocol, readonly string[]>> = {
  both: ['h2', 'http/1.1'],
  h1: ['http/1.1'],
  h2: ['h2'],
  h1c: [],
  h2c: [],
}

const http2Options = {
  settings: { enableConnectProtocol: true },
  // Node's guards against hostile callers would end the session of a test that cancels many streams, or sends much at once.
  streamResetBurst: 1e9,
  streamResetRate: 1e9,
  // Node counts what a stream that was reset had still to send until the session ends.
  maxSessionMemory: 1e6,
}

// An HTTP/1.1 response whose request was parsed off a dying connection never says that it is closed.
function settleLost(connection: Connection): void {
  for (const recording of connection.requests) recording.settle(false, undefined)
}

/** One port: accepts connections, speaks both protocols, and hands over each request with the means to answer it. */
export class Listener {
  readonly connections = new Set<Connection>()
  /** How many connections were ever accepted. */
  opened = 0
  readonly #options: ListenerOptions
  readonly #server: Server
  // Never listens: it is handed its connections.
  readonly #http = createHttpServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 })
  readonly #bySocket = new WeakMap<Socket, Connection>()
  #requests = 0
  #port = 0
  #hold: Promise<() => Promise<void>> | undefined = undefined
  #closed = false

  constructor(options: ListenerOptions) {
    this.#options = options
    const { protocol, certificate } = options
    this.#server =
      certificate === undefined ? this.#listenInCleartext(protocol) : this.#listenOnTls(protocol, certificate)
    this.#http.on('request', (incoming, response) => this.#onH1(incoming, response, false))
    this.#http.on('upgrade', (incoming, _socket, first) => this.#onTunnel(incoming, first))
    this.#http.on('connect', (incoming, _socket, first) => this.#onTunnel(incoming, first))
    this.#http.on('clientError', (_error, socket) => socket.destroy())
  }

  get port(): number {
    return this.#port
  }

  /** Starts to listen, the first time on a free port, later on the same one. */
  async listen(): Promise<void> {
    if (this.#server.listening) return
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#port, '127.0.0.1', () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    this.#port = (this.#server.address() as AddressInfo).port
    await this.#releasePort()
  }

  async resetConnections(): Promise<void> {
    this.#breakOpenRequests()
    for (const connection of this.connections) connection.reset()
    await callersRead()
  }

  /** Stops listening, destroys what is open, and keeps the port for `listen()`. */
  async refuse(): Promise<void> {
    if (!this.#server.listening) return
    await this.#stop()
    if (this.#closed) return
    this.#hold = holdPort(this.#port)
    await this.#hold
  }

  /** Stops listening, and destroys what is open. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#server.listening) await this.#stop()
    await this.#releasePort()
  }

  async #releasePort(): Promise<void> {
    const hold = this.#hold
    this.#hold = undefined
    const release = await hold
    await release?.()
  }

  async #stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#breakOpenRequests()
    for (const { raw } of this.connections) raw.destroy()
    await closed
    await callersRead()
  }

  #breakOpenRequests(): void {
    for (const { requests } of this.connections) {
      for (const recording of requests) recording.faulted = true
    }
  }

  #listenInCleartext(protocol: Protocol): Server {
    return createTcpServer({ noDelay: true }, (socket) => {
      const connection = this.#accept(socket)
      if (protocol === 'h2c') this.#startHttp2(connection)
      else this.#startHttp1(connection)
    })
  }

  #listenOnTls(protocol: Protocol, { key, cert }: Certificate): Server {
    // A reset needs the TCP socket, and TLSSocket does not give it away: its port tells which one it is.
    const accepted = new Map<number | undefined, Connection>()
    const server = createTlsServer({ key, cert, ALPNProtocols: [...offers[protocol]], noDelay: true })
    server.on('connection', (raw: Socket) => {
      const connection = this.#accept(raw)
      const { remotePort } = raw
      accepted.set(remotePort, connection)
      raw.on('close', () => {
        if (accepted.get(remotePort) === connection) accepted.delete(remotePort)
      })
    })
    server.on('tlsClientError', () => {})
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => {})
      const connection = accepted.get(socket.remotePort)
      if (connection === undefined) return socket.destroy()
      connection.socket = socket
      if (socket.alpnProtocol === 'h2') this.#startHttp2(connection)
      else if (protocol === 'h2') socket.destroy()
      else this.#startHttp1(connection)
    })
    return server
  }

  #accept(raw: Socket): Connection {
    const connection = new Connection(++this.opened, raw)
    this.connections.add(connection)
    raw.on('error', () => {})
    raw.on('close', () => {
      this.connections.delete(connection)
      this.#options.onChange()
      setImmediate(settleLost, connection)
    })
    this.#options.onChange()
    return connection
  }

  #startHttp1(connection: Connection): void {
    connection.ready = true
    this.#bySocket.set(connection.socket, connection)
    this.#http.emit('connection', connection.socket)
  }

  #startHttp2(connection: Connection): void {
    const session = performServerHandshake(connection.socket, http2Options)
    connection.ready = true
    connection.session = session
    session.on('error', () => {})
    session.on('stream', (stream, headers, _flags, rawHeaders) => {
      this.#onH2(connection, stream, headers, rawHeaders as unknown as readonly string[])
    })
  }

  #onTunnel(incoming: IncomingMessage, first: Buffer): void {
    const connection = this.#bySocket.get(incoming.socket)
    if (connection === undefined) return
    if (first.length > 0) connection.socket.unshift(first)
    this.#onH1(incoming, tunnelResponse(incoming, connection), true)
  }

  #onH1(incoming: IncomingMessage, response: ServerResponse, tunnels: boolean): void {
    const connection = this.#bySocket.get(incoming.socket)
    if (connection === undefined) return
    const recording = this.#record(connection, {
      method: incoming.method!,
      path: incoming.url!,
      headers: incoming.headers,
      rawHeaders: incoming.rawHeaders,
      protocol: '1.1',
      streamId: 0,
    })
    recordH1(incoming, recording)
    this.#options.onRequest(recording, new H1Reply(response, connection, recording, tunnels))
  }

  #onH2(
    connection: Connection,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
  ): void {
    const recording = this.#record(connection, {
      method: headers[':method']!,
      path: headers[':path'] ?? headers[':authority']!,
      headers,
      rawHeaders,
      protocol: '2',
      streamId: stream.id!,
    })
    recordH2(stream, recording)
    this.#options.onRequest(recording, new H2Reply(stream, connection, recording))
  }

  #record(
    connection: Connection,
    head: Omit<ConstructorParameters<typeof Recording>[0], 'number' | 'bodyLimit' | 'connection'>,
  ): Recording {
    const recording = new Recording({
      ...head,
      connection: connection.number,
      number: ++this.#requests,
      bodyLimit: this.#options.bodyLimit,
    })
    connection.requests.add(recording)
    if (connection.raw.closed) setImmediate(settleLost, connection)
    void recording.closed.then(() => {
      connection.requests.delete(recording)
      this.#options.onChange()
    })
    return recording
  }
}
