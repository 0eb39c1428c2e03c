// The least of a WebSocket server: echoes short text messages, over HTTP/1.1 and over HTTP/2's extended CONNECT (RFC 8441).
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import {
  createServer as createH2c,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { devCertificate } from 'roundtripper/testing'
import { onTestFinished } from 'vitest'

export type Speaks = 'h1c' | 'h2c' | 'h1' | 'h2' | 'both'

const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Sends each short text message back, and the close. */
function echo(socket: Duplex): void {
  let rest = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 6 && rest.length >= 6 + (rest[1]! & 127)) {
      const length = rest[1]! & 127
      const mask = rest.subarray(2, 6)
      const text = Buffer.from(rest.subarray(6, 6 + length).map((byte, at) => byte ^ mask[at % 4]!))
      const opcode = rest[0]! & 15
      rest = rest.subarray(6 + length)
      socket.write(Buffer.concat([Buffer.from([0x80 | opcode, length]), text]))
      if (opcode === 8) socket.end()
    }
  })
}

export interface WebSocketServer {
  readonly origin: string
  readonly ca: string
  /** What each upgrade and CONNECT came over, and with which method. */
  readonly upgrades: string[]
  /** Protocols of the other requests. */
  readonly requests: string[]
}

/** `h2` and `h2c` have extended CONNECT; `both` has it not, as most servers, and upgrades over HTTP/1.1 only. */
export async function startWebSocketServer(speaks: Speaks): Promise<WebSocketServer> {
  const { key, cert } = await devCertificate()
  const isTls = speaks !== 'h1c' && speaks !== 'h2c'
  const settings = { enableConnectProtocol: speaks !== 'both' }
  const server =
    speaks === 'h1c'
      ? createServer()
      : speaks === 'h2c'
        ? createH2c({ settings })
        : speaks === 'h1'
          ? createHttps({ key, cert })
          : createSecureServer({ key, cert, settings, allowHTTP1: speaks === 'both' })
  const seen = { upgrades: [] as string[], requests: [] as string[] }
  const sockets = new Set<Duplex>()
  server.on('connection', (socket: Duplex) => sockets.add(socket))
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    seen.upgrades.push('1.1 GET')
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${guid}`).digest('base64')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
    )
    echo(socket)
  })
  if (speaks === 'h1c' || speaks === 'h1' || speaks === 'both') {
    server.on('connect', (...args: unknown[]) => {
      const [, socket] = args as [IncomingMessage, Duplex]
      if (typeof socket?.pipe !== 'function') return
      seen.upgrades.push('1.1 CONNECT')
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(socket)
    })
  }
  if (speaks === 'h1c' || speaks === 'h1') {
    server.on('request', (request: IncomingMessage, response: { end(text: string): void }) => {
      seen.requests.push(request.httpVersion)
      response.end('hello')
    })
  } else {
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', () => {})
      if (headers[':method'] !== 'CONNECT') {
        seen.requests.push('2.0')
        stream.respond({ ':status': 200 })
        stream.end('hello')
        return
      }
      seen.upgrades.push(`2.0 ${headers[':protocol'] ?? 'CONNECT'}`)
      stream.respond({ ':status': 200 })
      if (headers[':protocol'] === 'websocket') echo(stream)
      else stream.pipe(stream)
    })
  }
  await new Promise<void>((resolve) => (server as { listen(...args: unknown[]): void }).listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  return { ...seen, origin: `${isTls ? 'https' : 'http'}://localhost:${port}`, ca: cert }
}
