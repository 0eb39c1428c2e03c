import { Blob as NodeBlob } from 'node:buffer'
import { Readable } from 'node:stream'
import { area, type Case, each, type Fetch } from '../case.ts'
import type { Classes, Env } from '../env.ts'
import { attempt, errorOf, outcome, settled } from '../observe.ts'

const utf8 = new TextEncoder()
const numbers = Uint8Array.from({ length: 40 }, (_, at) => at * 7)
const big = 'bulk '.repeat(60_000)

/** What a caller may give as body; made anew for each run. */
type Make = (env: Env, classes: Classes) => unknown

function streamOf(...parts: unknown[]): ReadableStream {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part)
      controller.close()
    },
  })
}

function byteStreamOf(...parts: string[]): ReadableStream {
  return new ReadableStream({
    type: 'bytes',
    start(controller) {
      for (const part of parts) controller.enqueue(utf8.encode(part))
      controller.close()
    },
  })
}

async function* generate(...parts: unknown[]): AsyncGenerator<unknown> {
  yield* parts
}

function formOf(classes: Classes, fill: (form: FormData) => void): FormData {
  const form = new classes.FormData()
  fill(form)
  return form
}

const known: Record<string, Make> = {
  'a string': () => 'text',
  'an empty string': () => '',
  'a string beyond ASCII': () => 'ä€😀',
  'a string with a lone surrogate': () => 'a\ud800b\udc00c',
  'a string with NUL and line ends': () => 'a\0b\r\nc\rd\n',
  'a string with a BOM': () => '\ufeffa',
  'a long string': () => big,
  'a String object': () => new String('text'),
  URLSearchParams: () =>
    new URLSearchParams([
      ['a', 'b c'],
      ['ä', '&='],
      ['a', '\ud800'],
    ]),
  'empty URLSearchParams': () => new URLSearchParams(),
  'an ArrayBuffer': () => numbers.slice().buffer,
  'an empty ArrayBuffer': () => new ArrayBuffer(0),
  'a Uint8Array': () => numbers.slice(),
  'a view of a part': () => numbers.subarray(3, 9),
  'an empty view': () => new Uint8Array(0),
  'a Uint16Array': () => new Uint16Array([1, 2, 513]),
  'a Float64Array': () => new Float64Array([1.5]),
  'a BigInt64Array': () => new BigInt64Array([7n]),
  'a DataView': () => new DataView(numbers.slice().buffer, 2, 5),
  'a Buffer': () => Buffer.from('buffer'),
  'a Buffer of the pool, sliced': () => Buffer.from('a longer buffer').subarray(2, 8),
  'a SharedArrayBuffer': () => new SharedArrayBuffer(4),
  'a view of a SharedArrayBuffer': () => new Uint8Array(new SharedArrayBuffer(4)),
  'a resizable ArrayBuffer': () => Reflect.construct(ArrayBuffer, [4, { maxByteLength: 8 }]),
  'a Blob': () => new Blob(['blob']),
  'a Blob with a type': () => new Blob(['blob'], { type: 'text/x-own; a=b' }),
  'a Blob with an upper-case type': () => new Blob(['blob'], { type: 'Text/PLAIN' }),
  'an empty Blob': () => new Blob([]),
  'a Blob of many parts': () => new Blob(['a', numbers, new Blob(['c'])]),
  'a slice of a Blob': () => new Blob(['abcdef'], { type: 'a/b' }).slice(1, 4),
  'a big Blob': () => new Blob([big, big], { type: 'a/b' }),
  "node:buffer's Blob": () => new NodeBlob(['blob'], { type: 'a/b' }),
  'a File': () => new File(['file'], 'name.txt', { type: 'text/x-own' }),
  'a number': () => 7,
  zero: () => 0,
  true: () => true,
  false: () => false,
  'a bigint': () => 7n,
  'an object': () => ({ a: 1 }),
  'an object with toString': () => ({ toString: () => 'told' }),
  'an array': () => ['a', 'b'],
  'an empty array': () => [],
  'a Set': () => new Set(['a']),
  'a Date of no value': () => new Date(Number.NaN),
  'a function': () => 7n.toString,
  'a symbol': () => Symbol('a'),
  'an Error': () => new Error('an error'),
  null: () => null,
  undefined: () => undefined,
}

const forms: Record<string, (form: FormData) => void> = {
  empty: () => {},
  'one field': (form) => form.append('a', 'b'),
  'fields of one name': (form) => {
    form.append('a', '1')
    form.append('a', '2')
  },
  'names and values beyond ASCII': (form) => form.append('ä€', '😀\ud800'),
  'line ends in name and value': (form) => form.append('a\r\nb\nc\rd', 'e\r\nf\ng\rh'),
  'quotes in a name': (form) => form.append('a"b\\c', 'd'),
  'an empty name and value': (form) => form.append('', ''),
  'a file': (form) => form.append('f', new File(['text'], 'a.txt', { type: 'text/plain' })),
  'a file without a type': (form) => form.append('f', new File(['text'], 'a')),
  'a file of an odd name': (form) => form.append('f', new File(['text'], 'ä"\r\n€.txt')),
  'a blob': (form) => form.append('f', new Blob(['blob'], { type: 'a/b' })),
  'a blob with a name': (form) => form.append('f', new Blob(['blob']), 'given'),
  'an empty file': (form) => form.append('f', new File([], 'none')),
  'files and fields by turns': (form) => {
    form.append('a', '1')
    form.append('f', new File(['x'], 'x'))
    form.append('b', '2')
    form.append('f', new File([numbers], 'y', { type: 'a/b' }))
  },
  'a big file': (form) => form.append('f', new File([big], 'big')),
  'many fields': (form) => {
    for (let at = 0; at < 100; at++) form.append(`field-${at}`, `value ${at}`)
  },
  'an object as value': (form) => form.append('a', { toString: () => 'told' } as unknown as string),
  'the name of a prototype': (form) => form.append('__proto__', 'x'),
}

const streams: Record<string, Make> = {
  'of bytes': () => streamOf(utf8.encode('ab'), utf8.encode('cd')),
  'of type bytes': () => byteStreamOf('ab', 'cd'),
  'of nothing': () => streamOf(),
  'of an empty chunk': () => streamOf(new Uint8Array(0)),
  'of empty chunks between': () => streamOf(utf8.encode('a'), new Uint8Array(0), utf8.encode('b')),
  'of Buffers': () => streamOf(Buffer.from('ab'), Buffer.from('cd')),
  'of a string': () => streamOf('text'),
  'of bytes, then a string': () => streamOf(utf8.encode('ab'), 'text'),
  'of a number': () => streamOf(7),
  'of null': () => streamOf(null),
  'of an ArrayBuffer': () => streamOf(new ArrayBuffer(2)),
  'of a Uint16Array': () => streamOf(new Uint16Array([1, 2])),
  'of much': () => streamOf(...Array.from({ length: 40 }, () => new Uint8Array(16_384).fill(65))),
  'that is slow': () => {
    let left = 3
    return new ReadableStream({
      async pull(controller) {
        await new Promise(setImmediate)
        if (left-- === 0) controller.close()
        else controller.enqueue(utf8.encode(`part ${left},`))
      },
    })
  },
  'of a Response': () => new Response('of a response').body,
  'of a Blob': () => new Blob(['of a blob']).stream(),
  'through a TransformStream': () => streamOf('text').pipeThrough(new TextEncoderStream()),
  'of node:stream': () => Readable.from([Buffer.from('ab'), Buffer.from('cd')]),
  'of node:stream, of strings': () => Readable.from(['ab', 'cd']),
  'of node:stream, made a web stream': () => Readable.toWeb(Readable.from([Buffer.from('ab')])),
  'an async generator of bytes': () => generate(utf8.encode('ab'), utf8.encode('cd')),
  'an async generator of strings': () => generate('ab', 'cd'),
  'an async generator of Buffers': () => generate(Buffer.from('ab')),
  'an async generator of nothing': () => generate(),
  'an async generator of numbers': () => generate(7),
  'an async iterable': () => ({ [Symbol.asyncIterator]: () => generate(utf8.encode('ab'))[Symbol.asyncIterator]() }),
  'an async iterable with toString': () => ({
    toString: () => 'told',
    [Symbol.asyncIterator]: () => generate(utf8.encode('ab'))[Symbol.asyncIterator](),
  }),
  'a generator that is not async': () =>
    (function* () {
      yield utf8.encode('ab')
    })(),
}

const reason = new RangeError('the source broke')

const failing: Record<string, () => unknown> = {
  'a stream that errors at once': () =>
    new ReadableStream({
      start(controller) {
        controller.error(reason)
      },
    }),
  'a stream that errors later': () => {
    let pulled = 0
    return new ReadableStream({
      pull(controller) {
        if (pulled++ === 0) controller.enqueue(utf8.encode('ab'))
        else controller.error(reason)
      },
    })
  },
  'a stream that errors with a string': () =>
    new ReadableStream({
      start(controller) {
        controller.error('no reason')
      },
    }),
  'a stream whose pull throws': () =>
    new ReadableStream({
      pull() {
        throw reason
      },
    }),
  'a generator that throws at once': () =>
    // biome-ignore lint/correctness/useYield: it never comes to it.
    (async function* () {
      throw reason
    })(),
  'a generator that throws later': () =>
    (async function* () {
      yield utf8.encode('ab')
      throw reason
    })(),
  'a node:stream that errors': () =>
    new Readable({
      read() {
        this.destroy(reason)
      },
    }),
  'a stream that is locked': () => {
    const stream = streamOf(utf8.encode('ab'))
    stream.getReader()
    return stream
  },
}

const post = (fetch: Fetch, env: Env, body: unknown, more: object = {}) =>
  outcome(fetch, env.url('/a'), { method: 'POST', body, ...more })

const byHand: Case[] = [
  {
    name: 'a stream that has been read from',
    run: async (fetch, env) => {
      const stream = streamOf(utf8.encode('ab'), utf8.encode('cd'))
      const reader = stream.getReader()
      await reader.read()
      reader.releaseLock()
      return post(fetch, env, stream, { duplex: 'half' })
    },
  },
  {
    name: 'a stream is locked from the call on',
    run: async (fetch, env) => {
      const stream = streamOf(utf8.encode('ab'))
      const call = post(fetch, env, stream, { duplex: 'half' })
      await env.arrival('/a')
      const { locked } = stream
      return { locked, end: await call }
    },
  },
  {
    name: 'a stream used for two calls',
    run: async (fetch, env) => {
      const stream = streamOf(utf8.encode('ab'))
      const first = await post(fetch, env, stream, { duplex: 'half' })
      return [first, await post(fetch, env, stream, { duplex: 'half' })]
    },
  },
  {
    name: 'a stream with keepalive',
    run: (fetch, env) => post(fetch, env, streamOf(utf8.encode('ab')), { duplex: 'half', keepalive: true }),
  },
  {
    name: 'a generator with keepalive',
    run: (fetch, env) => post(fetch, env, generate(utf8.encode('ab')), { duplex: 'half', keepalive: true }),
  },
  {
    name: 'a stream with no-cors',
    run: (fetch, env) => post(fetch, env, streamOf(utf8.encode('ab')), { duplex: 'half', mode: 'no-cors' }),
  },
  {
    name: 'a stream with a content-length',
    only: 'h1',
    run: (fetch, env) =>
      post(fetch, env, streamOf(utf8.encode('abcd')), { duplex: 'half', headers: { 'content-length': '4' } }),
  },
  {
    name: 'bytes that change after the call',
    run: async (fetch, env) => {
      const bytes = utf8.encode('before')
      const call = post(fetch, env, bytes)
      bytes.fill(65)
      return call
    },
  },
  {
    name: 'URLSearchParams that change after the call',
    run: async (fetch, env) => {
      const params = new URLSearchParams({ a: '1' })
      const call = post(fetch, env, params)
      params.append('b', '2')
      return call
    },
  },
  {
    name: 'a form that changes after the call',
    run: async (fetch, env) => {
      const form = formOf(env.classes, (one) => one.append('a', '1'))
      const call = post(fetch, env, form)
      form.append('b', '2')
      return call
    },
  },
  {
    name: 'a detached ArrayBuffer',
    run: async (fetch, env) => {
      const buffer = new ArrayBuffer(4)
      structuredClone(buffer, { transfer: [buffer] })
      return post(fetch, env, buffer)
    },
  },
  {
    name: 'a cancelled stream',
    run: async (fetch, env) => {
      const stream = streamOf(utf8.encode('ab'))
      await stream.cancel()
      return post(fetch, env, stream, { duplex: 'half' })
    },
  },
  {
    name: 'a form with a content type of its own',
    run: (fetch, env) =>
      post(
        fetch,
        env,
        formOf(env.classes, (form) => form.append('a', 'b')),
        {
          headers: { 'content-type': 'multipart/form-data; boundary=mine' },
        },
      ),
  },
  {
    name: 'a body with an answer that comes before its end',
    run: async (fetch, env) => {
      env.on('/a', { waitForBody: false, body: 'early' })
      let release = () => {}
      const wait = new Promise<void>((resolve) => {
        release = resolve
      })
      async function* body() {
        yield utf8.encode('first,')
        await wait
        yield utf8.encode('last')
      }
      const response = await fetch(env.url('/a'), { method: 'POST', body: body(), duplex: 'half' })
      const text = await settled(response.text())
      release()
      return { status: response.status, text }
    },
  },
  {
    name: 'duplex is asked for before anything is sent',
    run: async (fetch, env) => {
      const ends = [streamOf(utf8.encode('a')), generate('a')].map((body) => attempt(() => post(fetch, env, body)))
      return Promise.all(ends)
    },
  },
  {
    name: 'toString of a body that throws',
    run: (fetch, env) =>
      post(fetch, env, {
        toString() {
          throw reason
        },
      }),
  },
  {
    name: 'what reading a refused stream gives afterwards',
    run: async (fetch, env) => {
      const stream = streamOf(utf8.encode('ab'))
      const refused = await settled(fetch('http://', { method: 'POST', body: stream, duplex: 'half' }))
      const left = await new Response(stream).text().catch(errorOf)
      return { refused, left, env: env.isHttp2 }
    },
  },
]

export const bodies = area(
  'bodies',
  each('POST', known, (make, fetch, env) => post(fetch, env, make(env, env.classes))),
  each("undici's FormData", forms, (fill, fetch, env) => post(fetch, env, formOf(env.classes, fill))),
  each("the runtime's FormData", forms, (fill, fetch, env) => post(fetch, env, formOf(env.runtime, fill))),
  each('a stream', streams, (make, fetch, env) => post(fetch, env, make(env, env.classes), { duplex: 'half' })),
  each('a failing body', failing, async (make, fetch, env) => post(fetch, env, make(), { duplex: 'half' })),
  each('PUT in a Request', known, (make, fetch, env) => {
    const init = { method: 'PUT', body: make(env, env.classes) } as RequestInit
    return settled((async () => outcome(fetch, new env.classes.Request(env.url('/a'), init)))())
  }),
  byHand,
)
