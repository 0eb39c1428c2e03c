// A proxy on loopback: tunnels what comes with CONNECT, and forwards plain requests.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** What has gone through. */
export interface TestProxy extends AsyncDisposable {
  readonly uri: string
  readonly tunnels: number
  readonly forwarded: number
}

class LoopbackProxy implements TestProxy {
  tunnels = 0
  forwarded = 0
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((incoming, answer) => this.#forward(incoming, answer))

  async listen(): Promise<this> {
    this.#server.on('connect', (incoming, socket, first) => this.#tunnel(incoming, socket, first))
    this.#server.on('connection', (socket) => this.#keep(socket))
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get uri(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #tunnel(incoming: IncomingMessage, socket: Duplex, first: Buffer): void {
    this.tunnels++
    const [host, port] = incoming.url!.split(':')
    const target = connect(Number(port), host)
    this.#keep(target)
    target.on('connect', () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      target.write(first)
      socket.pipe(target).pipe(socket)
    })
    target.on('close', () => socket.destroy())
    socket.on('close', () => target.destroy())
  }

  #forward(incoming: IncomingMessage, answer: ServerResponse): void {
    this.forwarded++
    const { method, headers, url } = incoming
    const target = request(url!, { method, headers, agent: false }, (response) => {
      answer.writeHead(response.statusCode!, response.headers)
      response.pipe(answer)
      response.on('aborted', () => answer.destroy())
    })
    target.on('error', () => answer.destroy())
    answer.on('close', () => target.destroy())
    incoming.pipe(target)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

/** Starts a proxy. */
export function startProxy(): Promise<TestProxy> {
  return new LoopbackProxy().listen()
}
