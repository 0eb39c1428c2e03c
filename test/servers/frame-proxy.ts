// Stands between a client and a server that both speak HTTP/2 over TLS, passes on every byte, and keeps a log of the
// frames. What it has read from the server is always passed on: where the server resets a connection, the client sees
// it end, so the log holds exactly what the client was told.
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type TLSSocket } from 'node:tls'
import type { Certificate } from '../../src/testing/index.ts'

const prefaceLength = 24
const headLength = 9
const types = { data: 0, headers: 1, reset: 3, goaway: 7 } as const

type OnFrame = (type: number, stream: number, payload: Buffer) => void

class FrameReader {
  private rest: Buffer = Buffer.alloc(0)
  private skip: number
  private readonly onFrame: OnFrame

  constructor(skip: number, onFrame: OnFrame) {
    this.skip = skip
    this.onFrame = onFrame
  }

  read(chunk: Buffer): void {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk])
    if (this.rest.length < this.skip) return
    let at = this.skip
    this.skip = 0
    while (this.rest.length >= at + headLength) {
      const end = at + headLength + this.rest.readUIntBE(at, 3)
      if (this.rest.length < end) break
      const stream = this.rest.readUInt32BE(at + 5) & 0x7fffffff
      this.onFrame(this.rest[at + 3] as number, stream, this.rest.subarray(at + headLength, end))
      at = end
    }
    this.rest = this.rest.subarray(at)
  }
}

/** What went over one connection. */
export class LoggedConnection {
  /** The client's. */
  readonly port: number
  /** What the client sent as the body of a stream: the id of its call. */
  readonly ids = new Map<number, string>()
  /** The last stream ids of the server's GOAWAY frames, in their order. */
  readonly goaways: number[] = []
  /** Streams on which the head of an answer came. */
  readonly heads = new Set<number>()
  /** Codes of the server's RST_STREAM frames, by stream. */
  readonly resets = new Map<number, number>()
  /** The server, or the proxy in its place, has closed it. */
  ended = false

  constructor(port: number) {
    this.port = port
  }

  fromClient(type: number, stream: number, payload: Buffer): void {
    if (type === types.data && payload.length > 0) this.ids.set(stream, (this.ids.get(stream) ?? '') + payload)
  }

  fromServer(type: number, stream: number, payload: Buffer): void {
    if (type === types.goaway) this.goaways.push(payload.readUInt32BE(0) & 0x7fffffff)
    else if (type === types.headers) this.heads.add(stream)
    else if (type === types.reset) this.resets.set(stream, payload.readUInt32BE(0))
  }
}

export class FrameProxy {
  readonly log: LoggedConnection[] = []
  /** Told with each stream that is opened how many there were. */
  onStream: (streams: number) => void = () => {}
  private streams = 0
  private readonly server: Server
  private readonly open = new Set<() => void>()

  constructor(certificate: Certificate, target: number) {
    const { key, cert, ca } = certificate
    this.server = createServer({ key, cert, ALPNProtocols: ['h2'], noDelay: true, allowHalfOpen: true } as never)
    this.server.on('tlsClientError', () => {})
    this.server.on('secureConnection', (client: TLSSocket) => {
      const logged = new LoggedConnection(client.remotePort!)
      this.log.push(logged)
      const server = connect({
        host: '127.0.0.1',
        port: target,
        ca,
        ALPNProtocols: ['h2'],
        allowHalfOpen: true,
      } as never)
      server.setNoDelay(true)
      const up = new FrameReader(prefaceLength, (type, stream, payload) => {
        logged.fromClient(type, stream, payload)
        if (type === types.headers) this.onStream(++this.streams)
      })
      const down = new FrameReader(0, (...frame) => logged.fromServer(...frame))
      const endClient = () => {
        logged.ended = true
        this.open.delete(cut)
        client.end()
      }
      const cut = () => {
        server.destroy()
        endClient()
      }
      this.open.add(cut)
      client.on('data', (chunk) => {
        // Also what the client sent before it saw the end.
        up.read(chunk)
        if (!logged.ended) server.write(chunk)
      })
      client.on('end', () => server.end())
      client.on('error', () => {})
      client.on('close', () => server.destroy())
      server.on('data', (chunk) => {
        if (logged.ended) return
        down.read(chunk)
        client.write(chunk)
      })
      server.on('error', () => {})
      server.on('end', endClient)
      server.on('close', endClient)
    })
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** Ends every connection without a word. */
  cut(): void {
    for (const cut of [...this.open]) cut()
  }

  close(): void {
    this.server.close()
    this.cut()
  }
}
