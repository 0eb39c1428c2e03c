import { createHash } from 'node:crypto'
import { Readable, Stream } from 'node:stream'
import { retry } from 'roundtripper'
import type { Echo, RecordedRequest, Step } from 'roundtripper/testing'
import { FormData as UndiciFormData } from 'undici'
import { describe, expect, it } from 'vitest'
import { recordedBytes } from '../../src/dispatchers/replay.ts'
import { call, callByFetch, chainTo, protocols, quick, serve } from './retry-servers.ts'

const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 31 + (at >> 8)) & 0xff))
const pieces = Array.from({ length: 10 }, (_, at) => bytes.subarray(at * 10_000, (at + 1) * 10_000))
const sha256 = createHash('sha256').update(bytes).digest('hex')

/** More around the bytes than there is to send. */
function viewWithOffset(): Uint8Array {
  const whole = Buffer.concat([Buffer.alloc(7, 'x'), bytes, Buffer.alloc(9, 'y')])
  return new Uint8Array(whole.buffer, whole.byteOffset + 7, bytes.length)
}

function arrayBuffer(): ArrayBuffer {
  return Uint8Array.from(bytes).buffer
}

function webStream(): ReadableStream {
  const left = [...pieces]
  return new ReadableStream({
    pull(controller) {
      const piece = left.shift()
      if (piece === undefined) controller.close()
      else controller.enqueue(Uint8Array.from(piece))
    },
  })
}

async function* asyncGenerator() {
  for (const piece of pieces) {
    await null
    yield piece
  }
}

function* syncGenerator() {
  yield* pieces
}

/** One buffer for all pieces, as a reader of files has it. */
async function* oneBufferGenerator() {
  const buffer = Buffer.alloc(10_000)
  for (const piece of pieces) {
    piece.copy(buffer)
    yield buffer
    // By now the transport has it.
    await new Promise((resolve) => setImmediate(resolve))
    buffer.fill(0)
  }
}

/** A stream of the oldest kind: events, nothing to iterate over. */
function oldStream(): Stream {
  const stream = new Stream() as Stream & { resume(): void; pause(): void; readable: boolean }
  stream.readable = true
  let begun = false
  stream.pause = () => {}
  stream.resume = () => {
    if (begun) return
    begun = true
    setImmediate(() => {
      for (const piece of pieces) stream.emit('data', piece)
      stream.emit('end')
    })
  }
  return stream
}

const anywhere = [
  ['a Buffer', () => bytes],
  ['a Uint8Array with an offset', viewWithOffset],
  ['an ArrayBuffer', arrayBuffer],
  ['a Blob', () => new Blob([bytes])],
  ['a web stream', webStream],
  ['an async generator', asyncGenerator],
] as const

const onlyByRequest = [
  ['a SharedArrayBuffer', sharedBuffer],
  ['a Node stream', () => Readable.from(pieces)],
  ['a Node stream of the oldest kind', oldStream],
  ['a sync generator', syncGenerator],
  ['a generator that uses one buffer', oneBufferGenerator],
  ['a list of pieces', () => pieces],
  ['a Blob of another package', () => ({ arrayBuffer: async () => arrayBuffer(), stream: webStream })],
  ['a function that makes bytes', () => () => bytes],
  ['a function that makes a Node stream', () => () => Readable.from(pieces)],
  ['a function that makes a web stream', () => webStream],
  ['an async generator function', () => asyncGenerator],
] as const

function sharedBuffer(): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(bytes.length)
  new Uint8Array(shared).set(bytes)
  return shared
}

const faults: readonly [string, readonly Step[]][] = [
  ['a 503', [503]],
  ['a 503 that comes before the body', [{ status: 503, waitForBody: false }]],
  ['a reset', [{ reset: 'before-head' }]],
  ['a reset before the body', [{ reset: 'before-head', waitForBody: false }]],
  ['a lost connection', [{ destroySession: 'before-head' }]],
  // Twice: of what undici knows as bytes, it repeats a refused stream once itself.
  ['a refusal', [{ refuse: true }, { refuse: true }]],
]

const clients = [
  ['request', call],
  ['fetch', callByFetch],
] as const

function lastOf(requests: readonly RecordedRequest[]): RecordedRequest {
  return requests.at(-1) as RecordedRequest
}

describe.each(protocols)('request bodies over HTTP/$version', ({ protocol, version }) => {
  const kinds = [
    ...anywhere.flatMap(([name, make]) =>
      clients.map(([client, by]) => [`${name} through ${client}`, make, by] as const),
    ),
    ...onlyByRequest.map(([name, make]) => [`${name} through request`, make, call] as const),
  ]

  it.each(kinds)('16: %s arrives whole after every fault', async (_, make, by) => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    for (const [fault, steps] of faults) {
      server.clear()
      server.script('*', [...steps, { echo: true }])
      const { status, text } = await by(chain, server.url(), { method: 'PUT', body: make() })
      const echo = JSON.parse(text) as Echo
      expect.soft({ fault, status, length: echo.bodyLength, sha256: echo.bodySha256 }).toEqual({
        fault,
        status: 200,
        length: bytes.length,
        sha256,
      })
      expect(lastOf(server.requests).protocol).toBe(version)
      expect(server.count()).toBeGreaterThan(1)
      expect(recordedBytes()).toBe(0)
    }
  })

  it.each(clients)('16: text arrives whole after every fault, through %s', async (_, by) => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    for (const [fault, steps] of faults) {
      server.script('*', [...steps, { echo: true }])
      const { text } = await by(chain, server.url(), { method: 'PUT', body: 'grüße '.repeat(500) })
      expect.soft([fault, (JSON.parse(text) as Echo).body]).toEqual([fault, 'grüße '.repeat(500)])
    }
  })

  it.each(clients)('16: URLSearchParams arrive whole after every fault, through %s', async (_, by) => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    for (const [fault, steps] of faults) {
      server.script('*', [...steps, { echo: true }])
      const { text } = await by(chain, server.url(), { method: 'PUT', body: new URLSearchParams({ a: '1 2', b: 'ü' }) })
      expect.soft([fault, (JSON.parse(text) as Echo).body]).toEqual([fault, 'a=1+2&b=%C3%BC'])
    }
  })

  it.each(clients)('16: a FormData arrives whole after every fault, through %s', async (_, by) => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    for (const [fault, steps] of faults) {
      const form = new UndiciFormData()
      form.set('name', 'grüße')
      form.set('file', new File([bytes], 'bytes.bin'))
      server.script('*', [...steps, 200])
      await by(chain, server.url(), { method: 'PUT', body: form })
      const { headers, body } = lastOf(server.requests)
      const type = String(headers['content-type'])
      const seen = await new Response(Uint8Array.from(body), { headers: { 'content-type': type } }).formData()
      expect.soft([fault, seen.get('name')]).toEqual([fault, 'grüße'])
      expect(Buffer.from(await (seen.get('file') as File).arrayBuffer()).equals(bytes)).toBe(true)
    }
  })

  it('16: a streamed body arrives whole after refused connections', async () => {
    const server = await serve({ protocol, respond: { echo: true } })
    await server.refuseConnections()
    const chain = chainTo(
      server,
      retry({
        maxAttempts: 20,
        backoff: 1,
        retryOn: (_outcome, { attempt }) => {
          if (attempt === 2) void server.resume()
          return undefined
        },
      }),
    )
    const { text } = await call(chain, server.url(), { method: 'POST', body: asyncGenerator() })
    expect((JSON.parse(text) as Echo).bodySha256).toBe(sha256)
    expect(server.count()).toBe(1)
  })

  it('16: an empty stream is sent as such, and again', async () => {
    const server = await serve({ protocol, respond: [503, { echo: true }] })
    const chain = chainTo(server, retry(quick))
    const { text } = await call(chain, server.url(), { method: 'PUT', body: Readable.from([]) })
    expect((JSON.parse(text) as Echo).bodyLength).toBe(0)
    expect(server.count()).toBe(2)
  })
})
