import { randomBytes } from 'node:crypto'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { area, type Case, each, type Fetch } from '../case.ts'
import type { Env } from '../env.ts'
import { bytesOf, drain, outcome, settled, textOf, untouchedHeadOf } from '../observe.ts'

const text = 'compress me, compress me, ä€ '.repeat(20)
const noise = randomBytes(120_000).toString('base64')
const flat = 'a'.repeat(1_000_000)

const encoders = {
  gzip: (data: Buffer) => gzipSync(data),
  'x-gzip': (data: Buffer) => gzipSync(data),
  deflate: (data: Buffer) => deflateSync(data),
  'deflate (raw)': (data: Buffer) => deflateRawSync(data),
  br: (data: Buffer) => brotliCompressSync(data),
  zstd: (data: Buffer) => zstdCompressSync(data),
} as const

type Coding = keyof typeof encoders

const codings = Object.fromEntries(Object.keys(encoders).map((name) => [name, name as Coding]))
const nameOf = (coding: Coding) => coding.replace(' (raw)', '')
const encoded = (coding: Coding, data = text) => encoders[coding](Buffer.from(data))

function stack(data: string, ...names: Coding[]): Buffer {
  return names.reduce((bytes, name) => Buffer.from(encoders[name](bytes)), Buffer.from(data))
}

function split(bytes: Buffer, size: number): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size))
  return parts
}

function serve(env: Env, coding: string | string[], body: Buffer | Buffer[] | string, more: object = {}): void {
  env.on('/a', { headers: { 'content-encoding': coding, 'content-type': 'text/plain' }, body, ...more })
}

/** Calls, and hands the response on when its whole body has certainly arrived. */
async function late(fetch: Fetch, env: Env, init?: object): Promise<Response> {
  const [request, response] = await Promise.all([env.arrival('/a'), fetch(env.url('/a'), init)])
  await env.delivered(request)
  return response
}

const readers: Record<string, (response: Response) => Promise<unknown>> = {
  text: async (response) => textOf(await response.text()),
  arrayBuffer: async (response) => bytesOf(new Uint8Array(await response.arrayBuffer())),
  blob: async (response) => {
    const blob = await response.blob()
    return [blob.size, blob.type]
  },
  'a stream': (response) => drain(response.body),
  clone: async (response) => {
    const clone = response.clone()
    return [textOf(await response.text()), textOf(await clone.text())]
  },
  'json, refused': (response) => settled(response.json()),
}

const labels: Record<string, [string, Coding[]]> = {
  'upper case': ['GZIP', ['gzip']],
  'mixed case with spaces': ['  GZip ', ['gzip']],
  'identity alone': ['identity', []],
  'identity and gzip': ['identity, gzip', ['gzip']],
  'an unknown coding': ['sdch', []],
  'gzip and an unknown one': ['gzip, sdch', ['gzip']],
  'an unknown one and gzip': ['sdch, gzip', ['gzip']],
  empty: ['', []],
  'a comma alone': [',', []],
  'gzip with a comma at the end': ['gzip,', ['gzip']],
  'gzip with parameters': ['gzip; q=1', ['gzip']],
  compress: ['compress', []],
  'two, stacked': ['gzip, br', ['gzip', 'br']],
  'two, without a space': ['deflate,gzip', ['deflate', 'gzip']],
  'the same twice': ['gzip, gzip', ['gzip', 'gzip']],
  'zstd over raw deflate': ['deflate, zstd', ['deflate (raw)', 'zstd']],
  'three, stacked': ['br, gzip, deflate', ['br', 'gzip', 'deflate']],
  'five, stacked': ['gzip, gzip, gzip, gzip, gzip', ['gzip', 'gzip', 'gzip', 'gzip', 'gzip']],
  'six, too many': ['gzip, gzip, gzip, gzip, gzip, gzip', ['gzip', 'gzip', 'gzip', 'gzip', 'gzip', 'gzip']],
  'six that are identity': ['a, b, c, d, e, f', []],
}

/** Ways to spoil a compressed body. */
const spoilt: Record<string, (bytes: Buffer) => Buffer> = {
  empty: () => Buffer.alloc(0),
  'one byte': (bytes) => bytes.subarray(0, 1),
  'cut in half': (bytes) => bytes.subarray(0, bytes.length >> 1),
  'without its last byte': (bytes) => bytes.subarray(0, -1),
  'without its last ten bytes': (bytes) => bytes.subarray(0, -10),
  'wrong at the beginning': (bytes) => Buffer.concat([Buffer.from('XX'), bytes.subarray(2)]),
  'wrong in the middle': (bytes) => {
    const copy = Buffer.from(bytes)
    copy.fill(0xff, copy.length >> 1, (copy.length >> 1) + 4)
    return copy
  },
  'with garbage behind': (bytes) => Buffer.concat([bytes, Buffer.from('garbage')]),
  'with zeros behind': (bytes) => Buffer.concat([bytes, Buffer.alloc(8)]),
  twice: (bytes) => Buffer.concat([bytes, bytes]),
  'not compressed at all': () => Buffer.from(text),
}

const places: Record<string, object> = {
  HEAD: { method: 'HEAD' },
  POST: { method: 'POST', body: 'text' },
  'with accept-encoding of the caller': { headers: { 'accept-encoding': 'identity' } },
  'with a range': { headers: { range: 'bytes=0-9' } },
}

const byHand: Case[] = [
  {
    name: 'two codings in two lines',
    only: 'h1',
    run: (fetch, env) => {
      serve(env, ['deflate', 'gzip'], stack(text, 'deflate', 'gzip'))
      return outcome(fetch, env.url('/a'))
    },
  },
  ...each(
    'a coding with status',
    { 204: 204, 304: 304, 205: 205, 404: 404, 300: 300 },
    (status, fetch, env) => {
      serve(env, 'gzip', status === 204 || status === 304 ? '' : encoded('gzip'), { status })
      return outcome(fetch, env.url('/a'))
    },
    { retried: true },
  ),
  {
    name: 'a flush in the middle can be read before the end',
    run: async (fetch, env) => {
      const { createGzip } = await import('node:zlib')
      const gzip = createGzip()
      const parts: Buffer[] = []
      gzip.on('data', (part) => parts.push(part))
      gzip.write('first')
      await new Promise<void>((resolve) => gzip.flush(() => resolve()))
      const first = Buffer.concat(parts.splice(0))
      const ended = new Promise((resolve) => gzip.on('end', resolve))
      gzip.end('last')
      await ended
      let go = () => {}
      const wait = new Promise((resolve) => {
        go = () => resolve(Buffer.concat(parts))
      })
      env.on('/a', { headers: { 'content-encoding': 'gzip' }, body: [first, wait as Promise<Uint8Array>] })
      const response = await fetch(env.url('/a'))
      const reader = response.body!.getReader()
      const read = Buffer.from((await reader.read()).value!).toString()
      go()
      reader.releaseLock()
      return [read, await drain(response.body)]
    },
  },
  {
    name: 'cancelled while it comes',
    run: async (fetch, env) => {
      serve(env, 'gzip', split(encoded('gzip', noise), 10_000))
      const response = await fetch(env.url('/a'))
      const reader = response.body!.getReader()
      await reader.read()
      return [await settled(reader.cancel('enough')), await settled(reader.closed), response.bodyUsed]
    },
  },
  {
    name: 'aborted while it comes',
    run: async (fetch, env) => {
      const controller = new AbortController()
      const bytes = encoded('gzip', noise)
      env.on('/a', { headers: { 'content-encoding': 'gzip' }, body: [bytes.subarray(0, 50_000)], hang: 'body' })
      const response = await fetch(env.url('/a'), { signal: controller.signal })
      const reader = response.body!.getReader()
      await reader.read()
      const rest = settled(
        (async () => {
          while (!(await reader.read()).done);
        })(),
      )
      controller.abort('enough')
      return rest
    },
  },
]

export const decompression = area(
  'decompression',
  each('small', codings, (coding, fetch, env) => {
    serve(env, nameOf(coding), encoded(coding))
    return outcome(fetch, env.url('/a'))
  }),
  ...Object.entries(readers).map(([name, read]) =>
    each(`read late by ${name}`, codings, async (coding, fetch, env) => {
      serve(env, nameOf(coding), encoded(coding))
      const response = await late(fetch, env)
      return [untouchedHeadOf(response), await read(response), response.bodyUsed]
    }),
  ),
  each('in parts, read late', codings, async (coding, fetch, env) => {
    serve(env, nameOf(coding), split(encoded(coding), 7))
    return textOf(await (await late(fetch, env)).text())
  }),
  each('big', codings, (coding, fetch, env) => {
    serve(env, nameOf(coding), encoded(coding, noise))
    return outcome(fetch, env.url('/a'))
  }),
  each('big, streamed', codings, async (coding, fetch, env) => {
    serve(env, nameOf(coding), split(encoded(coding, noise), 30_000))
    return drain((await fetch(env.url('/a'))).body)
  }),
  each('small that grows big', codings, async (coding, fetch, env) => {
    serve(env, nameOf(coding), encoded(coding, flat))
    return textOf(await (await fetch(env.url('/a'))).text())
  }),
  each('small that grows big, streamed', codings, async (coding, fetch, env) => {
    serve(env, nameOf(coding), encoded(coding, flat))
    return drain((await late(fetch, env)).body)
  }),
  each('byte by byte', codings, (coding, fetch, env) => {
    serve(env, nameOf(coding), split(encoded(coding, text.slice(0, 60)), 1))
    return outcome(fetch, env.url('/a'))
  }),
  each('labelled', labels, ([label, names], fetch, env) => {
    serve(env, label, stack(text, ...names))
    return outcome(fetch, env.url('/a'))
  }),
  each('labelled, read late', labels, async ([label, names], fetch, env) => {
    serve(env, label, stack(text, ...names))
    return settled(late(fetch, env).then((response) => response.text().then(textOf)))
  }),
  ...Object.entries(spoilt).map(([name, spoil]) =>
    each(
      `spoilt, ${name}`,
      codings,
      (coding, fetch, env) => {
        serve(env, nameOf(coding), spoil(encoded(coding)))
        return outcome(fetch, env.url('/a'))
      },
      { retried: true },
    ),
  ),
  ...Object.entries(spoilt).map(([name, spoil]) =>
    each(
      `spoilt, ${name}, streamed late`,
      codings,
      async (coding, fetch, env) => {
        serve(env, nameOf(coding), spoil(encoded(coding)))
        return settled(late(fetch, env).then((response) => drain(response.body)))
      },
      { retried: true },
    ),
  ),
  each(
    'truncated on the wire',
    codings,
    (coding, fetch, env) => {
      serve(env, nameOf(coding), encoded(coding), { cut: true })
      return outcome(fetch, env.url('/a'))
    },
    { retried: true },
  ),
  each('asked by', places, (init, fetch, env) => {
    serve(env, 'gzip', encoded('gzip'))
    return outcome(fetch, env.url('/a'), init)
  }),
  byHand,
)
