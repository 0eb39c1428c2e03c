// A proxy of the tests' own: CONNECT tunnels and absolute-form requests, for names that no resolver knows.
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Certificate } from 'roundtripper/testing'
import { onTestFinished } from 'vitest'

export interface ProxySetup {
  /** Speaks TLS itself. */
  readonly certificate?: Certificate
  /** What `proxy-authorization` has to be. */
  readonly authorization?: string
  /** Answers every CONNECT with it. */
  readonly status?: number
  /** What is done with a CONNECT instead. */
  readonly onConnect?: (socket: Duplex) => void
}

/** Every name leads to 127.0.0.1. */
export class ProxyServer {
  /** The targets of CONNECT. */
  readonly tunnels: string[] = []
  /** The targets of other requests. */
  readonly forwarded: string[] = []
  readonly headers: IncomingMessage['headers'][] = []
  connections = 0
  host = ''
  private readonly setup: ProxySetup
  private readonly server
  private readonly sockets = new Set<Duplex>()

  constructor(setup: ProxySetup) {
    this.setup = setup
    const { certificate } = setup
    this.server = certificate === undefined ? createServer() : createTlsServer(certificate)
    this.server.on('connection', (socket: Socket) => {
      this.connections++
      this.keep(socket)
    })
    this.server.on('connect', (request: IncomingMessage, socket: Duplex, first: Buffer) =>
      this.onConnect(request, socket, first),
    )
    this.server.on('request', (request: IncomingMessage, response: ServerResponse) => this.forward(request, response))
  }

  private keep(socket: Duplex): void {
    this.sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.sockets.delete(socket))
  }

  private refusal({ headers }: IncomingMessage): number {
    const { authorization, status = 200 } = this.setup
    return authorization === undefined || headers['proxy-authorization'] === authorization ? status : 407
  }

  private onConnect(request: IncomingMessage, socket: Duplex, first: Buffer): void {
    const target = request.url as string
    this.tunnels.push(target)
    this.headers.push(request.headers)
    if (this.setup.onConnect !== undefined) {
      this.setup.onConnect(socket)
      return
    }
    const status = this.refusal(request)
    if (status !== 200) {
      socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    const there = connect(Number(target.split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      if (first.length > 0) there.write(first)
      socket.pipe(there).pipe(socket)
    })
    this.keep(there)
    there.on('error', () => socket.destroy())
    socket.on('close', () => there.destroy())
    there.on('close', () => socket.destroy())
  }

  private forward(request: IncomingMessage, response: ServerResponse): void {
    this.forwarded.push(request.url as string)
    this.headers.push(request.headers)
    const status = this.refusal(request)
    const url = URL.parse(request.url as string)
    if (status !== 200 || url === null) {
      response.writeHead(url === null ? 400 : status).end()
      return
    }
    const { 'proxy-authorization': _own, ...headers } = request.headers
    const { method } = request
    const sent = httpRequest(
      { host: '127.0.0.1', port: url.port, path: url.pathname + url.search, method, headers },
      (answer) => {
        const { connection: _hop, 'keep-alive': _too, ...kept } = answer.headers
        response.writeHead(answer.statusCode as number, kept)
        answer.pipe(response)
      },
    )
    sent.on('error', () => response.destroy())
    request.pipe(sent)
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    this.host = `127.0.0.1:${(this.server.address() as AddressInfo).port}`
    return this
  }

  get url(): string {
    return `${this.setup.certificate === undefined ? 'http' : 'https'}://${this.host}`
  }

  close(): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }
}

export async function startProxy(setup: ProxySetup = {}): Promise<ProxyServer> {
  const proxy = await new ProxyServer(setup).listen()
  onTestFinished(() => proxy.close())
  return proxy
}
