import { gate } from '../../../../src/testing/index.ts'
import { area, type Case, each } from '../case.ts'
import type { Env } from '../env.ts'
import { attempt, bytesOf, drain, settled, textOf } from '../observe.ts'

type Read = (response: Response, env: Env) => unknown

const methods = ['text', 'json', 'arrayBuffer', 'bytes', 'blob', 'formData'] as const

type Method = (typeof methods)[number]

/** What a method of Response gives, as far as JSON can hold it. */
async function told(value: unknown): Promise<unknown> {
  if (typeof value === 'string') return textOf(value)
  if (value instanceof ArrayBuffer) return { kind: 'ArrayBuffer', bytes: bytesOf(new Uint8Array(value)) }
  if (value instanceof Uint8Array) return { kind: value.constructor.name, bytes: bytesOf(value) }
  if (value instanceof Blob) return { kind: value.constructor.name, type: value.type, text: textOf(await value.text()) }
  if (typeof (value as FormData | null)?.entries === 'function' && !Array.isArray(value)) {
    const entries = [...(value as FormData).entries()]
    return Promise.all(
      entries.map(async ([name, one]) => [
        name,
        typeof one === 'string' ? one : { file: one.name, type: one.type, text: await one.text() },
      ]),
    )
  }
  return value
}

function call(response: Response, method: Method): Promise<unknown> {
  return settled((async () => told(await (response[method] as () => Promise<unknown>)()))())
}

const contents: Record<string, [string | undefined, string | Uint8Array | (string | Uint8Array)[]]> = {
  'plain text': ['text/plain', 'text'],
  nothing: ['text/plain', ''],
  'no type': [undefined, 'text'],
  'a BOM': ['text/plain', '\ufefftext'],
  'two BOMs': ['text/plain', '\ufeff\ufefftext'],
  'a BOM of UTF-16': ['text/plain; charset=utf-16', new Uint8Array([0xff, 0xfe, 0x61, 0])],
  'another charset': ['text/plain; charset=iso-8859-1', new Uint8Array([0xe9])],
  'invalid UTF-8': ['text/plain', new Uint8Array([0x61, 0xff, 0xc3, 0x28, 0x62])],
  'UTF-8 cut off': ['text/plain', new Uint8Array([0x61, 0xe2, 0x82])],
  'a character in three parts': [
    'text/plain',
    [new Uint8Array([0xe2]), new Uint8Array([0x82]), new Uint8Array([0xac])],
  ],
  'a BOM in parts': ['text/plain', [new Uint8Array([0xef]), new Uint8Array([0xbb, 0xbf]), 'x']],
  'many parts': ['text/plain', Array.from({ length: 60 }, (_, at) => `part ${at};`)],
  much: ['text/plain', 'much '.repeat(50_000)],
  json: ['application/json', '{"a":[1,null,"ä"]}'],
  'json with a BOM': ['application/json', '\ufeff{"a":1}'],
  'json of another type': ['text/html', '[1]'],
  'json cut off': ['application/json', '{"a":'],
  'json with more behind': ['application/json', '{} x'],
  'json with __proto__': ['application/json', '{"__proto__":{"a":1}}'],
  urlencoded: ['application/x-www-form-urlencoded', 'a=b+c&d=%C3%A4&a=&=x&e'],
  'urlencoded with a charset': ['application/x-www-form-urlencoded; charset=utf-8', 'a=b'],
  multipart: [
    'multipart/form-data; boundary=B',
    '--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--B\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: text/x-a\r\n\r\nfile\r\n--B--\r\n',
  ],
  'multipart, empty': ['multipart/form-data; boundary=B', '--B--\r\n'],
  'multipart, broken off': [
    'multipart/form-data; boundary=B',
    '--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nb',
  ],
  'multipart, no boundary': ['multipart/form-data', '--B--\r\n'],
  'multipart, the wrong boundary': ['multipart/form-data; boundary=C', '--B\r\n\r\n--B--\r\n'],
  'multipart, nothing': ['multipart/form-data; boundary=B', ''],
  'multipart, quoted boundary': [
    'multipart/form-data; boundary="B C"',
    '--B C\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--B C--\r\n',
  ],
  'an odd type': ['nonsense', 'text'],
  'two types': ['text/plain, text/html;charset=x', 'text'],
  'an upper-case type': ['Text/HTML; Charset=X', 'text'],
}

function serve(env: Env, [type, body]: (typeof contents)[string]): void {
  env.on('/a', { headers: type === undefined ? {} : { 'content-type': type }, body })
}

async function collect(iterable: unknown): Promise<string> {
  let text = ''
  for await (const part of iterable as AsyncIterable<Uint8Array>) text += Buffer.from(part).toString('latin1')
  return text
}

/** Text in which every place can be told from every other. */
function numbered(size: number): string {
  return Array.from({ length: Math.ceil(size / 8) }, (_, at) => `${at}`.padStart(8, '.'))
    .join('')
    .slice(0, size)
}

const state = (response: Response) => ({ used: response.bodyUsed, locked: response.body?.locked ?? null })

/** Sequences on one response with the body 'abcdef', in two parts. */
const sequences: Record<string, Read> = {
  'text twice': async (r) => [await call(r, 'text'), await call(r, 'text')],
  'text twice at once': (r) => Promise.all([call(r, 'text'), call(r, 'text')]),
  'text, then json': async (r) => [await call(r, 'text'), await call(r, 'json')],
  'used while text is on its way': async (r) => {
    const text = r.text()
    return [r.bodyUsed, await text, r.bodyUsed]
  },
  'body touched, then text': async (r) => [r.body?.locked, r.bodyUsed, await call(r, 'text'), state(r)],
  'text, then body': async (r) => [await call(r, 'text'), state(r), await attempt(() => r.body?.getReader().read())],
  'body taken, text, then body': async (r) => {
    const { body } = r
    return [await call(r, 'text'), body === r.body, state(r)]
  },
  'a reader': async (r) => [await drain(r.body), state(r)],
  'a reader, then text': async (r) => [await drain(r.body), await call(r, 'text'), state(r)],
  'locked, then text': async (r) => [r.body?.getReader() !== undefined, await call(r, 'text'), state(r)],
  'locked and let go, then text': async (r) => {
    r.body?.getReader().releaseLock()
    return [await call(r, 'text'), state(r)]
  },
  'locked, then clone': (r) => [r.body?.getReader() !== undefined, attempt(() => r.clone()).then((end) => end)],
  'two readers': (r) => {
    r.body?.getReader()
    return attempt(() => r.body?.getReader())
  },
  'read a part, let go, then text': async (r) => {
    const reader = r.body!.getReader()
    await reader.read()
    reader.releaseLock()
    return [state(r), await call(r, 'text')]
  },
  'a part, then cancel': async (r) => {
    const reader = r.body!.getReader()
    const { done } = await reader.read()
    return [
      done,
      await settled(reader.cancel('why')),
      await settled(reader.closed),
      await settled(reader.read()),
      r.bodyUsed,
    ]
  },
  'cancelled unread': async (r) => [await settled(r.body!.cancel('why')), state(r), await call(r, 'text')],
  'cancelled twice': async (r) => [await settled(r.body!.cancel()), await settled(r.body!.cancel()), state(r)],
  'cancelled while locked': async (r) => [r.body!.getReader() !== undefined, await settled(r.body!.cancel())],
  'cancelled after the end': async (r) => [await call(r, 'text'), await settled(r.body!.cancel()), state(r)],
  BYOB: async (r) => {
    const reader = r.body!.getReader({ mode: 'byob' })
    let text = ''
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(4))
      if (done) return [text, value?.byteLength, state(r)]
      text += Buffer.from(value).toString()
    }
  },
  'BYOB of one byte': async (r) => {
    const reader = r.body!.getReader({ mode: 'byob' })
    const parts: string[] = []
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(1))
      if (done) return parts
      parts.push(Buffer.from(value).toString())
    }
  },
  'BYOB of a Uint16Array': async (r) => {
    const reader = r.body!.getReader({ mode: 'byob' })
    const { value } = await reader.read(new Uint16Array(2))
    return [value?.constructor.name]
  },
  'for await over body': async (r) => [await collect(r.body), state(r)],
  'for await, broken off': async (r) => {
    for await (const _ of r.body as unknown as AsyncIterable<Uint8Array>) break
    return [state(r), await call(r, 'text')]
  },
  'for await, thrown out of': async (r) => {
    const end = await settled(
      (async () => {
        for await (const _ of r.body as unknown as AsyncIterable<Uint8Array>) throw new RangeError('enough')
      })(),
    )
    return [end, state(r)]
  },
  'values with preventCancel': async (r) => {
    const body = r.body as unknown as { values(options: object): AsyncIterable<Uint8Array> }
    for await (const _ of body.values({ preventCancel: true })) break
    return [state(r), await call(r, 'text')]
  },
  tee: async (r) => {
    const [one, two] = r.body!.tee()
    return [state(r), await drain(one), await drain(two), state(r)]
  },
  'tee, one cancelled': async (r) => {
    const [one, two] = r.body!.tee()
    void one.cancel()
    return [await drain(two), state(r)]
  },
  'tee, both cancelled': async (r) => {
    const [one, two] = r.body!.tee()
    return [await Promise.all([settled(one.cancel('a')), settled(two.cancel('b'))]), state(r)]
  },
  pipeThrough: async (r) => {
    const stream = r.body!.pipeThrough(new TextDecoderStream())
    let text = ''
    for await (const part of stream as unknown as AsyncIterable<string>) text += part
    return [text, state(r)]
  },
  pipeTo: async (r) => {
    let text = ''
    const sink = new WritableStream({
      write(part) {
        text += Buffer.from(part).toString()
      },
    })
    return [await settled(r.body!.pipeTo(sink)), text, state(r)]
  },
  'pipeTo a sink that fails': async (r) => {
    const sink = new WritableStream({
      write() {
        throw new RangeError('full')
      },
    })
    return [await settled(r.body!.pipeTo(sink)), state(r)]
  },
  'clone, both read': async (r) => {
    const clone = r.clone()
    return [await call(r, 'text'), await call(clone, 'text'), state(r), state(clone)]
  },
  'clone, the clone first': async (r) => {
    const clone = r.clone()
    return [await call(clone, 'json'), await call(r, 'text')]
  },
  'clone, both at once': (r) => {
    const clone = r.clone()
    return Promise.all([call(r, 'text'), call(clone, 'arrayBuffer')])
  },
  'clone of a clone': async (r) => {
    const one = r.clone()
    const two = one.clone()
    return [await call(two, 'text'), await call(one, 'text'), await call(r, 'text')]
  },
  'clone, one cancelled': async (r) => {
    const clone = r.clone()
    const cancelled = settled(clone.body!.cancel('why'))
    return [await call(r, 'text'), await cancelled.then(() => 'cancelled'), state(clone)]
  },
  'clone, one read by parts': async (r) => {
    const clone = r.clone()
    return [await drain(clone.body), await call(r, 'text')]
  },
  'clone after use': async (r) => [await call(r, 'text'), await attempt(() => r.clone() && 'cloned')],
  'clone while text is on its way': async (r) => {
    const text = r.text()
    return [await attempt(() => r.clone() && 'cloned'), await text]
  },
  'clone after body was taken': async (r) => {
    const { body } = r
    const clone = r.clone()
    return [body === r.body, body?.locked, await call(clone, 'text'), await call(r, 'text')]
  },
  'clone is like it': async (r) => {
    const clone = r.clone()
    return [
      clone.url,
      clone.status,
      clone.statusText,
      clone.type,
      clone.redirected,
      [...clone.headers],
      clone.constructor.name,
    ]
  },
  'headers of a clone are immutable': (r) => attempt(() => r.clone().headers.set('a', 'b')),
  'new Response of its body': async (r, env) => {
    const copy = new env.classes.Response(r.body, r)
    return [[...copy.headers], copy.status, copy.statusText, copy.url, copy.type, await call(copy, 'text'), state(r)]
  },
  "the runtime's Response of its body": async (r, env) => {
    const copy = new env.runtime.Response(r.body, r)
    return [[...copy.headers], copy.status, await call(copy, 'text'), state(r)]
  },
  'new Response of itself': async (r, env) => call(new env.classes.Response(r as unknown as string), 'text'),
  'sent on as a body': async (r, env) => {
    const copy = new env.classes.Response(r.body)
    return [await call(copy, 'bytes'), state(r)]
  },
  'structuredClone of its body': (r) =>
    attempt(() => structuredClone(r.body, { transfer: [r.body as never] }) && 'cloned'),
  textStream: (r) => attempt(() => typeof (r as unknown as { textStream?: unknown }).textStream),
  'a method taken off it': (r) => attempt(() => Reflect.apply(r.text, undefined, [])),
  'a method of another object': (r) => attempt(() => r.text.call({} as never)),
  'body set to null by the way': async (r) => {
    Object.defineProperty(r, 'body', { value: null, configurable: true })
    return [r.body, await call(r, 'text')]
  },
}

const byHand: Case[] = [
  ...each('pending', Object.fromEntries(methods.map((name) => [name, name])), async (method, fetch, env) => {
    const held = gate()
    env.on('/a', { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: ['a=', held.promise, '1'] })
    const response = await fetch(env.url('/a'))
    const end = call(response, method)
    const used = response.bodyUsed
    held.open()
    return [used, await end, response.bodyUsed]
  }),
  {
    name: 'a slow clone keeps what the other has read',
    run: async (fetch, env) => {
      env.on('/a', { body: Array.from({ length: 30 }, (_, at) => `${at}`.padStart(3000, '.')) })
      const response = await fetch(env.url('/a'))
      const clone = response.clone()
      const fast = textOf(await response.text())
      return [fast, textOf(await clone.text())]
    },
  },
  {
    name: 'parts come as they are sent',
    run: async (fetch, env) => {
      const held = gate()
      env.on('/a', { body: ['first', held.promise, 'second'] })
      const reader = (await fetch(env.url('/a'))).body!.getReader()
      const first = Buffer.from((await reader.read()).value!).toString()
      held.open()
      const second = Buffer.from((await reader.read()).value!).toString()
      return [first, second, (await reader.read()).done]
    },
  },
  {
    name: 'a buffer that was handed out is not changed later',
    run: async (fetch, env) => {
      env.on('/a', { body: Array.from({ length: 20 }, (_, at) => `${at}`.padStart(1000, '-')) })
      const reader = (await fetch(env.url('/a'))).body!.getReader()
      const parts: Uint8Array[] = []
      for (let next = await reader.read(); !next.done; next = await reader.read()) parts.push(next.value)
      return bytesOf(Buffer.concat(parts))
    },
  },
  ...each(
    'by parts,',
    { 65536: 65_536, 65537: 65_537, 70000: 70_000, 200000: 200_000, 600000: 600_000 },
    async (size, fetch, env) => {
      env.on('/a', { body: numbered(size) })
      const read = await drain((await fetch(env.url('/a'))).body)
      const response = await fetch(env.url('/a'))
      await env.pause()
      return [read, textOf(await collect(response.body))]
    },
  ),
  {
    name: 'a chunk owns its whole buffer',
    run: async (fetch, env) => {
      const reader = (await fetch(env.url('/a'))).body!.getReader()
      const { value } = await reader.read()
      return [value?.byteOffset, value?.byteLength === value?.buffer.byteLength, value?.constructor.name]
    },
  },
  {
    name: 'bytes and arrayBuffer own their buffers',
    run: async (fetch, env) => {
      const bytes = await (await fetch(env.url('/a'))).bytes()
      const buffer = await (await fetch(env.url('/a'))).arrayBuffer()
      return [bytes.byteOffset, bytes.buffer.byteLength, buffer.byteLength, bytes.constructor.name]
    },
  },
]

export const reading = area(
  'reading',
  ...methods.map((method) =>
    each(method, contents, async (content, fetch, env) => {
      serve(env, content)
      const response = await fetch(env.url('/a'))
      return [await call(response, method), response.bodyUsed]
    }),
  ),
  ...methods.map((method) =>
    each(`${method} of no body`, { HEAD: 'HEAD', 204: 204, 304: 304 }, async (kind, fetch, env) => {
      env.on('/a', kind === 'HEAD' ? 200 : (kind as number))
      const response = await fetch(env.url('/a'), kind === 'HEAD' ? { method: 'HEAD' } : {})
      return [await call(response, method), response.bodyUsed, await call(response, method)]
    }),
  ),
  each('a body,', sequences, async (read, fetch, env) => {
    env.on('/a', { status: 201, headers: { 'x-a': '1', 'content-type': 'text/plain' }, body: ['abc', 'def'] })
    return read(await fetch(env.url('/a')), env)
  }),
  each('a body that has arrived,', sequences, async (read, fetch, env) => {
    env.on('/a', { headers: { 'content-type': 'text/plain' }, body: 'abcdef' })
    const [request, response] = await Promise.all([env.arrival('/a'), fetch(env.url('/a'))])
    await env.delivered(request)
    return read(response, env)
  }),
  byHand,
)
