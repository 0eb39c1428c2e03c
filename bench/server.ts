// The other side of the benchmarks, in a process of its own: 1 KB of JSON, 1 MB at once or in pieces, and the length of what
// is posted, over HTTP/1.1 and HTTP/2; and an OTLP receiver that counts the spans it is sent.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { devCertificate } from 'roundtripper/testing'

const body = Buffer.from(
  JSON.stringify({ id: 7, name: 'x'.repeat(1000) })
    .slice(0, 1022)
    .padEnd(1024, ' '),
)
const large = Buffer.alloc(1024 * 1024, 'x')
const piece = large.subarray(0, 64 * 1024)

type Asked = Pick<IncomingMessage, 'method' | 'url' | 'on' | 'resume'>
type Answer = Pick<ServerResponse, 'writeHead' | 'write' | 'end'>

function answer(request: Asked, response: Answer): void {
  // Where nobody reads the request, Node's HTTP/2 server ends many a long answer with a reset in place of END_STREAM.
  request.resume()
  const wait = Number(request.url?.split('?wait=')[1] ?? 0)
  if (request.method === 'POST') echoLength(request, response)
  else if (request.url === '/large') reply(response, large)
  else if (request.url === '/pieces') replyInPieces(response)
  else if (wait === 0) reply(response, body)
  else setTimeout(reply, wait, response, body)
}

function reply(response: Answer, bytes: Buffer): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': bytes.length })
  response.end(bytes)
}

// Without a content-length: chunked over HTTP/1.1.
function replyInPieces(response: Answer): void {
  response.writeHead(200, { 'content-type': 'application/octet-stream' })
  for (let sent = 0; sent < large.length; sent += piece.length) response.write(piece)
  response.end()
}

function echoLength(request: Asked, response: Answer): void {
  let length = 0
  request.on('data', (chunk: Buffer) => {
    length += chunk.length
  })
  request.on('end', () => reply(response, Buffer.from(JSON.stringify({ length }))))
}

let spans = 0

interface TraceExport {
  resourceSpans?: { scopeSpans?: { spans?: unknown[] }[] }[]
}

function receive(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'GET') {
    response.end(JSON.stringify({ spans }))
    return
  }
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const { resourceSpans = [] } = JSON.parse(Buffer.concat(chunks).toString()) as TraceExport
    for (const { scopeSpans = [] } of resourceSpans) {
      for (const { spans: sent = [] } of scopeSpans) spans += sent.length
    }
    response.setHeader('content-type', 'application/json')
    response.end('{}')
  })
}

function listen(server: {
  listen(port: number, host: string, done: () => void): unknown
  address(): unknown
}): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

const certificate = await devCertificate()
const http1 = await listen(createServer({ keepAliveTimeout: 60_000 }, answer))
// In MB, for a session: 100 answers of 1 MB at once are more than the default of 10 allows.
const maxSessionMemory = 1000
const { key, cert } = certificate
const http2 = await listen(createSecureServer({ key, cert, maxSessionMemory }, answer as never))
const otlp = await listen(createServer(receive))

process.on('disconnect', () => process.exit(0))
process.send?.({
  http1: `http://127.0.0.1:${http1}`,
  http2: `https://127.0.0.1:${http2}`,
  otlp: `http://127.0.0.1:${otlp}`,
  ca: certificate.ca ?? certificate.cert,
})
