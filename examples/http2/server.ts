// The servers of the comparison, in a process of their own, so that what is measured is the caller: 1 KB of JSON over TLS with
// both protocols, after `?wait=` milliseconds; and the same in cleartext, where the bytes of a connection are its protocol's.
import { createServer } from 'node:http'
import { createServer as createHttp2, createSecureServer } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { devCertificate } from 'roundtripper/testing'

const body = Buffer.from(JSON.stringify({ id: 7, name: 'Ada', notes: 'x'.repeat(989) }))

interface Answer {
  writeHead(status: number, headers: Record<string, string | number>): unknown
  end(body: Buffer): unknown
}

function reply(response: Answer): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
  response.end(body)
}

function answer({ url }: { url?: string | undefined }, response: Answer): void {
  const wait = Number(url?.split('?wait=')[1] ?? 0)
  if (wait === 0) reply(response)
  else setTimeout(reply, wait, response)
}

let received = 0

/** Counts what the connections of a server bring. */
function counted<T extends { on(event: 'connection', heard: (socket: Socket) => void): unknown }>(server: T): T {
  server.on('connection', (socket) => {
    socket.on('close', () => {
      received += socket.bytesRead
    })
  })
  return server
}

function listen(server: { listen(port: number, host: string, done: () => void): unknown; address(): unknown }) {
  return new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

const { key, cert, ca } = await devCertificate()
const both = await listen(createSecureServer({ key, cert, allowHTTP1: true }, answer as never))
const http1 = await listen(counted(createServer(answer)))
const table = await listen(counted(createHttp2(answer as never)))
const noTable = await listen(counted(createHttp2({ settings: { headerTableSize: 0 } }, answer as never)))

process.on('message', () => {
  process.send?.(received)
  received = 0
})
process.on('disconnect', () => process.exit(0))

/** Where they are. */
export interface Servers {
  readonly ca: string
  readonly both: string
  readonly http1: string
  readonly table: string
  readonly noTable: string
}

process.send?.({
  ca,
  both: `https://127.0.0.1:${both}`,
  http1: `http://127.0.0.1:${http1}`,
  table: `http://127.0.0.1:${table}`,
  noTable: `http://127.0.0.1:${noTable}`,
} satisfies Servers)
