import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { gate, type StepOptions } from '../../../src/testing/index.ts'
import type { Case, Fetch, Transport } from './case.ts'
import type { Env } from './env.ts'
import { bytesOf, drain, errorOf, settled, textOf, untouchedHeadOf } from './observe.ts'

const encoders = {
  gzip: gzipSync,
  deflate: deflateSync,
  'deflate (raw)': deflateRawSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
  identity: (bytes: Buffer) => bytes,
} as const

type Coding = keyof typeof encoders

/** One call and all that happens to it, drawn by chance. */
export interface Plan {
  readonly method: string
  readonly headers: readonly (readonly [string, string])[]
  /** How the headers are given. */
  readonly shape: 'object' | 'pairs' | 'Headers' | 'Request'
  readonly body: 'none' | 'string' | 'bytes' | 'Blob' | 'URLSearchParams' | 'form' | 'stream' | 'generator'
  readonly bodyText: string
  readonly init: Readonly<Record<string, unknown>>
  readonly fragment: string
  readonly hops: readonly { readonly status: number; readonly crosses: boolean; readonly body: string }[]
  readonly status: number
  readonly responseHeaders: readonly (readonly [string, string])[]
  readonly early: boolean
  readonly codings: readonly Coding[]
  /** What becomes of the encoded bytes. */
  readonly spoil: 'no' | 'cut' | 'garbage behind' | 'flipped'
  readonly text: string
  /** The pieces it is sent in; 0: one piece with a length. */
  readonly pieces: number
  readonly fault:
    | 'no'
    | 'reset before the head'
    | 'reset in the body'
    | 'connection lost in the body'
    | 'hangs in the body'
  readonly read:
    | 'text'
    | 'json'
    | 'arrayBuffer'
    | 'bytes'
    | 'blob'
    | 'stream'
    | 'iterate'
    | 'part'
    | 'clone'
    | 'twice'
    | 'never'
  /** Whether it is read only when all has arrived. */
  readonly late: boolean
  readonly abort: 'no' | 'before the call' | 'before the head' | 'at the head' | 'in the body' | 'after the end'
}

const word = fc.stringMatching(/^[a-z]{1,6}$/)
const value = fc.oneof(
  fc.stringMatching(/^[\x21-\x7e]([\x20-\x7e]{0,12}[\x21-\x7e])?$/),
  fc.constantFrom('', 'a, b', 'é'),
)
const ownNames = word.map((text) => `x-${text}`)
const requestNames = fc.oneof(
  ownNames,
  fc.constantFrom(
    'accept',
    'Accept-Language',
    'user-agent',
    'range',
    'cookie',
    'authorization',
    'if-none-match',
    'cache-control',
    'content-type',
    'referer',
    'accept-encoding',
  ),
)

const init = fc.record(
  {
    cache: fc.constantFrom('default', 'no-store', 'reload', 'no-cache', 'force-cache'),
    credentials: fc.constantFrom('omit', 'same-origin', 'include'),
    mode: fc.constantFrom('cors', 'no-cors', 'same-origin'),
    redirect: fc.constantFrom('follow', 'follow', 'manual', 'error'),
    referrer: fc.constantFrom('', 'about:client', 'http://elsewhere.test/a?b', 'https://elsewhere.test/a'),
    referrerPolicy: fc.constantFrom('', 'no-referrer', 'origin', 'unsafe-url', 'same-origin'),
    keepalive: fc.boolean(),
    priority: fc.constantFrom('high', 'low', 'auto'),
    window: fc.constant(null),
  },
  { requiredKeys: [] },
)

const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 60 }) },
  { weight: 1, arbitrary: fc.constantFrom('{"a":[1,2]}', '[]', '\ufeff{}', 'a=b&c=d') },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 200_000 }).map((length) => 'long '.repeat(length / 5)) },
)

export const plans: fc.Arbitrary<Plan> = fc.record({
  method: fc.constantFrom('GET', 'GET', 'get', 'HEAD', 'POST', 'post', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'OWN'),
  headers: fc.array(fc.tuple(requestNames, value), { maxLength: 6 }),
  shape: fc.constantFrom('object', 'pairs', 'Headers', 'Request'),
  body: fc.constantFrom(
    'none',
    'none',
    'none',
    'string',
    'bytes',
    'Blob',
    'URLSearchParams',
    'form',
    'stream',
    'generator',
  ),
  bodyText: text,
  init,
  fragment: fc.constantFrom('', '', '#', '#part'),
  hops: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.array(
        fc.record({
          status: fc.constantFrom(301, 302, 303, 307, 308),
          crosses: fc.boolean(),
          body: fc.constantFrom('', 'moved', 'moved '.repeat(2000)),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    },
  ),
  status: fc.constantFrom(200, 200, 200, 201, 203, 204, 205, 206, 300, 304, 400, 401, 404, 410, 418, 421, 451, 501),
  responseHeaders: fc.array(
    fc.tuple(fc.oneof(ownNames, fc.constantFrom('content-type', 'set-cookie', 'vary', 'etag', 'link')), value),
    { maxLength: 5 },
  ),
  early: fc.boolean(),
  codings: fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.array(fc.constantFrom(...(Object.keys(encoders) as Coding[])), { minLength: 1, maxLength: 4 }),
    },
  ),
  spoil: fc.constantFrom('no', 'no', 'no', 'cut', 'garbage behind', 'flipped'),
  text,
  pieces: fc.constantFrom(0, 0, 1, 2, 7),
  fault: fc.oneof(
    { weight: 5, arbitrary: fc.constant('no' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'reset before the head',
        'reset in the body',
        'connection lost in the body',
        'hangs in the body',
      ),
    },
  ),
  read: fc.constantFrom(
    'text',
    'json',
    'arrayBuffer',
    'bytes',
    'blob',
    'stream',
    'iterate',
    'part',
    'clone',
    'twice',
    'never',
  ),
  late: fc.boolean(),
  abort: fc.oneof(
    { weight: 4, arbitrary: fc.constant('no' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('before the call', 'before the head', 'at the head', 'in the body', 'after the end'),
    },
  ),
})

const given = new RangeError('given up')

function requestBody(plan: Plan, env: Env): object {
  const bytes = Buffer.from(plan.bodyText)
  switch (plan.body) {
    case 'string':
      return { body: plan.bodyText }
    case 'bytes':
      return { body: new Uint8Array(bytes) }
    case 'Blob':
      return { body: new Blob([bytes], { type: 'a/b' }) }
    case 'URLSearchParams':
      return { body: new URLSearchParams({ text: plan.bodyText }) }
    case 'form': {
      const form = new env.classes.FormData()
      form.append('text', plan.bodyText)
      form.append('file', new File([bytes], 'name'))
      return { body: form }
    }
    case 'stream':
      return { body: new Blob([bytes]).stream(), duplex: 'half' }
    case 'generator':
      return {
        body: (async function* () {
          yield bytes
        })(),
        duplex: 'half',
      }
    default:
      return {}
  }
}

function encode(plan: Plan): Buffer {
  let bytes: Buffer = Buffer.from(plan.text)
  for (const coding of plan.codings) bytes = Buffer.from(encoders[coding](bytes))
  if (plan.codings.length === 0) return bytes
  if (plan.spoil === 'cut') return bytes.subarray(0, bytes.length >> 1)
  if (plan.spoil === 'garbage behind') return Buffer.concat([bytes, Buffer.from('garbage')])
  if (plan.spoil === 'flipped' && bytes.length > 0) {
    const copy = Buffer.from(bytes)
    copy[copy.length >> 1]! ^= 0xff
    return copy
  }
  return bytes
}

function answerOf(plan: Plan, hold: PromiseLike<unknown>, middle: PromiseLike<unknown>): StepOptions {
  const headers: Record<string, string | string[]> = {}
  for (const [name, one] of plan.responseHeaders) {
    // Only this may come twice over HTTP/2.
    if (name === 'set-cookie') headers[name] = [...((headers[name] as string[] | undefined) ?? []), one]
    else headers[name] = one
  }
  if (plan.codings.length > 0) headers['content-encoding'] = plan.codings.join(', ').replaceAll(' (raw)', '')
  const bytes = encode(plan)
  const size = Math.max(1, Math.ceil(bytes.length / Math.max(1, plan.pieces)))
  const parts: (Buffer | PromiseLike<unknown>)[] = []
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size))
  if (plan.abort === 'in the body') parts.push(middle)
  return {
    status: plan.status,
    headers,
    body: (plan.pieces === 0 && plan.abort !== 'in the body' ? bytes : parts) as Buffer,
    hold,
    ...(plan.early ? { early: [{ headers: { link: '</a>' } }] } : {}),
    ...(plan.fault === 'reset before the head' ? { reset: 'before-head' as const } : {}),
    ...(plan.fault === 'reset in the body' ? { reset: 'in-body' as const } : {}),
    ...(plan.fault === 'connection lost in the body' ? { destroySession: 'in-body' as const } : {}),
    ...(plan.fault === 'hangs in the body' ? { hang: 'body' as const } : {}),
  }
}

async function iterate(response: Response): Promise<unknown> {
  const parts: Uint8Array[] = []
  for await (const part of (response.body ?? []) as unknown as AsyncIterable<Uint8Array>) parts.push(part)
  return bytesOf(Buffer.concat(parts))
}

async function readPart(response: Response): Promise<unknown> {
  if (response.body === null) return 'no body'
  const reader = response.body.getReader()
  const first = await reader.read()
  await reader.cancel(given)
  return first.done
}

async function readAs(response: Response, how: Plan['read']): Promise<unknown> {
  switch (how) {
    case 'text':
      return textOf(await response.text())
    case 'json':
      return response.json()
    case 'arrayBuffer':
      return bytesOf(new Uint8Array(await response.arrayBuffer()))
    case 'bytes':
      return bytesOf(await response.bytes())
    case 'blob': {
      const blob = await response.blob()
      return [blob.type, bytesOf(new Uint8Array(await blob.arrayBuffer()))]
    }
    case 'stream':
      return drain(response.body)
    case 'iterate':
      return iterate(response)
    case 'part':
      return readPart(response)
    case 'clone': {
      const clone = response.clone()
      return Promise.all([settled(response.text().then(textOf)), settled(clone.text().then(textOf))])
    }
    case 'twice':
      return [textOf(await response.text()), await settled(response.text())]
    default:
      return 'never read'
  }
}

async function perform(plan: Plan, fetch: Fetch, env: Env): Promise<unknown> {
  const controller = new AbortController()
  const hold = gate()
  const middle = gate()
  const path = (at: number) => (at === plan.hops.length ? '/end' : `/${at}`)
  plan.hops.forEach(({ status, crosses, body }, at) => {
    const location = crosses ? env.other(path(at + 1)) : env.path(path(at + 1))
    env.on(path(at), { status, headers: { location }, body })
  })
  env.on('/end', answerOf(plan, hold.promise, middle.promise))
  if (plan.abort !== 'before the head') hold.open()
  if (plan.abort === 'before the call') controller.abort(given)

  const headers =
    plan.shape === 'object'
      ? Object.fromEntries(plan.headers)
      : plan.shape === 'pairs'
        ? plan.headers
        : new env.classes.Headers(plan.headers as [string, string][])
  const init: object = {
    ...plan.init,
    method: plan.method,
    headers,
    ...requestBody(plan, env),
    ...(plan.abort === 'no' ? {} : { signal: controller.signal }),
  }
  const url = env.url(path(0)) + plan.fragment
  const arrived = env.arrival('/end')
  const call =
    plan.shape === 'Request'
      ? (async () => fetch(new env.classes.Request(url, init as RequestInit)))()
      : fetch(url, init)
  if (plan.abort === 'before the head') {
    const first = await Promise.race([
      arrived.then(() => 'arrived'),
      call.then(
        () => 'answered',
        () => 'failed',
      ),
    ])
    if (first === 'arrived') controller.abort(given)
  }
  const response = await call
  const head = untouchedHeadOf(response)
  if (plan.abort === 'at the head') controller.abort(given)
  const waits = plan.late && plan.fault === 'no' && plan.abort !== 'in the body'
  if (waits && env.received.length > 0) await env.delivered(env.received.at(-1)!)
  const reading = settled(readAs(response, plan.read))
  if (plan.abort === 'in the body' || plan.fault === 'hangs in the body') {
    await env.pause()
    controller.abort(given)
    middle.open()
    // Nobody's signal ends this body.
    if (plan.abort === 'no') await env.finish()
  }
  const end = await reading
  if (plan.abort === 'after the end') controller.abort(given)
  return { head, end, bodyUsed: response.bodyUsed }
}

/** Whether undici itself ends such a call now one way, now another, or in a way that the known differences name. */
function isOpen(plan: Plan, transport: Transport): boolean {
  // What has come of a body when it breaks is a matter of luck, and so is what has come when the signal speaks.
  if (plan.fault !== 'no' && plan.fault !== 'reset before the head' && plan.read !== 'text') return true
  // So is where the end of compressed data meets what stands behind it.
  if (plan.spoil !== 'no' && plan.codings.length > 0 && plan.pieces > 1) return true
  // undici marks such a request itself when it sends it, and so the second sending has other headers.
  if (plan.status === 421 && plan.init.redirect === 'error') return true
  if (plan.abort === 'in the body' && plan.fault !== 'no') return true
  if (plan.abort === 'at the head' || (plan.abort !== 'no' && plan.fault !== 'no')) return plan.read !== 'never'
  // While a body is sent, the kernel tells of a reset in one word or another.
  if (plan.fault === 'reset before the head' && plan.body !== 'none') return true
  // The agent resets the stream of a request that was given up, undici ends it as if its body were whole.
  if (transport === 'h2' && plan.abort !== 'no' && (plan.body === 'stream' || plan.body === 'generator')) return true
  // A reset stream is told in the words of each HTTP/2.
  return transport === 'h2' && plan.fault !== 'no'
}

/** The case of a plan, or `undefined` where two runs of undici itself need not agree. */
export function caseOf(plan: Plan, transport: Transport): Case | undefined {
  if (isOpen(plan, transport)) return undefined
  return {
    name: 'a random call',
    // Node's HTTP/2 server sends no body with 205, and so breaks the length it has told.
    retried: plan.fault !== 'no' || plan.status === 205,
    run: (fetch, env) =>
      perform(plan, fetch, env).catch((error) => ({ rejected: errorOf(error), reason: error === given })),
  }
}
