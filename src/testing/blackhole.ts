import { type AddressInfo, createServer, type Socket } from 'node:net'
import { checkBoolean, checkOptions } from '../policies/options.ts'
import type { ConnectionCounts } from './server.ts'

export interface BlackholeOptions {
  /**
   * Whether `origin` begins with `https:` (the TLS handshake is never answered) or with `http:` (the request is not).
   * @default true
   */
  readonly secure?: boolean
}

/** A port that takes connections and never says a word. Made by {@link startBlackhole}. */
export interface Blackhole extends AsyncDisposable {
  readonly port: number
  readonly origin: string
  readonly connections: ConnectionCounts
  /** How many bytes have come in, of all connections together. */
  readonly bytesReceived: number
  url(path?: string): string
  close(): Promise<void>
}

/** Starts a {@link Blackhole} on a free port of 127.0.0.1: a peer that hangs before the first byte. */
export async function startBlackhole(options: BlackholeOptions = {}): Promise<Blackhole> {
  checkOptions('startBlackhole', options, ['secure'])
  const secure = checkBoolean('secure', options.secure ?? true)
  const sockets = new Set<Socket>()
  let opened = 0
  let bytesReceived = 0
  const server = createServer((socket) => {
    opened++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      bytesReceived += chunk.length
    })
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  const origin = `${secure ? 'https' : 'http'}://127.0.0.1:${port}`
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= new Promise<void>((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
    return closing
  }
  return {
    port,
    origin,
    url: (path = '/') => origin + path,
    get connections() {
      return { opened, open: sockets.size }
    },
    get bytesReceived() {
      return bytesReceived
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
