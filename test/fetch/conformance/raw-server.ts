import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Certificate } from '../../../src/testing/index.ts'

/** What a raw server does with the n-th request (from 0), whose head is given as text. */
export type RawHandler = (socket: Socket, head: string, number: number) => void

/** An HTTP/1.1 server that knows nothing of HTTP but where a head ends: what it answers is the case's affair. */
export class RawServer {
  readonly requests: string[] = []
  port = 0
  readonly #server: Server
  readonly #secure: boolean
  readonly #sockets = new Set<Socket>()

  static async start(certificate: Certificate | undefined, handler: RawHandler): Promise<RawServer> {
    const server = new RawServer(certificate, handler)
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    server.port = (server.#server.address() as AddressInfo).port
    return server
  }

  private constructor(certificate: Certificate | undefined, handler: RawHandler) {
    const take = (socket: Socket) => this.#take(socket, handler)
    this.#secure = certificate !== undefined
    this.#server =
      certificate === undefined
        ? createServer({ noDelay: true }, take)
        : createTlsServer({ key: certificate.key, cert: certificate.cert, noDelay: true }, take)
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  get origin(): string {
    return `${this.#secure ? 'https' : 'http'}://127.0.0.1:${this.port}`
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      for (const socket of this.#sockets) socket.destroy()
    })
  }

  #take(socket: Socket, handler: RawHandler): void {
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end)
        text = text.slice(end + 4)
        this.requests.push(head)
        handler(socket, head, this.requests.length - 1)
      }
    })
  }
}
