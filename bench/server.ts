// The other side of the benchmarks, in a process of its own: 1 KB of JSON over HTTP/1.1 and HTTP/2, and an OTLP receiver
// that counts the spans it is sent.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { devCertificate } from 'roundtripper/testing'

const body = Buffer.from(
  JSON.stringify({ id: 7, name: 'x'.repeat(1000) })
    .slice(0, 1022)
    .padEnd(1024, ' '),
)

function answer(request: Pick<IncomingMessage, 'url'>, response: Pick<ServerResponse, 'writeHead' | 'end'>): void {
  const wait = Number(request.url?.split('?wait=')[1] ?? 0)
  if (wait === 0) reply(response)
  else setTimeout(reply, wait, response)
}

function reply(response: Pick<ServerResponse, 'writeHead' | 'end'>): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
  response.end(body)
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
const http2 = await listen(createSecureServer({ key: certificate.key, cert: certificate.cert }, answer as never))
const otlp = await listen(createServer(receive))

process.on('disconnect', () => process.exit(0))
process.send?.({
  http1: `http://127.0.0.1:${http1}`,
  http2: `https://127.0.0.1:${http2}`,
  otlp: `http://127.0.0.1:${otlp}`,
  ca: certificate.ca ?? certificate.cert,
})
