import { area, type Case, each, type Fetch } from '../case.ts'
import type { Env } from '../env.ts'
import { errorOf, rejection, settled } from '../observe.ts'

const own = new RangeError('enough')
const exception = new DOMException('mine', 'DataError')

/** Ways to call `abort`, and whether the very reason comes back. */
const reasons: Record<string, unknown[]> = {
  'no reason': [],
  'undefined as reason': [undefined],
  'null as reason': [null],
  'an Error': [own],
  'a string': ['a string'],
  'a number': [0],
  false: [false],
  'an object': [{ mine: true }],
  'a DOMException': [exception],
  'a symbol': [Symbol.for('reason')],
}

type When = (fetch: Fetch, env: Env, controller: AbortController, abort: () => void) => Promise<unknown>

const part = { body: ['first part'], hang: 'body' } as const

/** The response of a call whose body has begun and does not go on. */
async function begun(fetch: Fetch, env: Env, { signal }: AbortController): Promise<Response> {
  env.on('/a', part)
  return fetch(env.url('/a'), { signal })
}

const readers = ['text', 'json', 'arrayBuffer', 'bytes', 'blob', 'formData'] as const

const moments: Record<string, When> = {
  'before the call': async (fetch, env, { signal }, abort) => {
    abort()
    return rejection(fetch(env.url('/a'), { signal }), signal)
  },
  'right after the call': async (fetch, env, { signal }, abort) => {
    const call = fetch(env.url('/never'), { signal })
    abort()
    env.forgetRequests()
    return rejection(call, signal)
  },
  'before the head': async (fetch, env, { signal }, abort) => {
    env.on('/a', { hang: 'head' })
    const call = rejection(fetch(env.url('/a'), { signal }), signal)
    await env.arrival('/a')
    abort()
    return call
  },
  'at the head, in the very turn': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    abort()
    return [response.status, response.bodyUsed, await rejection(response.text(), controller.signal)]
  },
  'with a reader waiting': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    const reader = response.body!.getReader()
    await reader.read()
    const next = rejection(reader.read(), controller.signal)
    const closed = rejection(reader.closed, controller.signal)
    abort()
    return [await next, await closed, response.bodyUsed]
  },
  'with the body touched': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    const { body } = response
    abort()
    return [body!.locked, await rejection(response.text(), controller.signal), response.bodyUsed]
  },
  'with a clone, both being read': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    const clone = response.clone()
    const ends = [rejection(response.text(), controller.signal), rejection(clone.text(), controller.signal)]
    abort()
    return Promise.all(ends)
  },
  'with a clone that nobody reads': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    const clone = response.clone()
    const end = rejection(response.text(), controller.signal)
    abort()
    return [await end, clone.bodyUsed]
  },
  'with tee': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    const [one, two] = response.body!.tee()
    const ends = [one, two].map((stream) => rejection(new Response(stream).text(), controller.signal))
    abort()
    return Promise.all(ends)
  },
  'while it is piped': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    const end = rejection(response.body!.pipeTo(new WritableStream()), controller.signal)
    abort()
    return end
  },
  'in a for await': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    const loop = async () => {
      for await (const _ of response.body as unknown as AsyncIterable<Uint8Array>) abort()
    }
    return rejection(loop(), controller.signal)
  },
  'after the body was read': async (fetch, env, { signal }, abort) => {
    const response = await fetch(env.url('/a'), { signal })
    const text = await response.text()
    abort()
    return [text, response.bodyUsed, await settled(response.text())]
  },
  'after the body has come, before it is read': async (fetch, env, { signal }, abort) => {
    const [request, response] = await Promise.all([env.arrival('/a'), fetch(env.url('/a'), { signal })])
    await env.delivered(request)
    abort()
    return [response.bodyUsed, await rejection(response.text(), signal)]
  },
  'after the body was cancelled': async (fetch, env, controller, abort) => {
    const response = await begun(fetch, env, controller)
    const cancelled = await settled(response.body!.cancel('mine'))
    abort()
    return [cancelled, response.bodyUsed, await settled(response.text())]
  },
  'after a HEAD': async (fetch, env, { signal }, abort) => {
    const response = await fetch(env.url('/a'), { method: 'HEAD', signal })
    abort()
    return [response.status, await settled(response.text())]
  },
  'after a 204': async (fetch, env, { signal }, abort) => {
    env.on('/a', 204)
    const response = await fetch(env.url('/a'), { signal })
    abort()
    return [response.status, await settled(response.text())]
  },
  'after it failed': async (fetch, env, { signal }, abort) => {
    const end = await settled(fetch('http://127.0.0.1:1/', { signal }))
    abort()
    return [end, env.transport.length > 0]
  },
  'while a body is sent': async (fetch, env, { signal }, abort) => {
    env.on('/a', { waitForBody: false, hang: 'head' })
    let why: unknown = 'not cancelled'
    const body = new ReadableStream({
      start(one) {
        one.enqueue(new TextEncoder().encode('part'))
      },
      cancel(reason) {
        why = reason
      },
    })
    const call = rejection(fetch(env.url('/a'), { method: 'POST', body, duplex: 'half', signal }), signal)
    await env.arrival('/a')
    abort()
    const end = await call
    await env.pause()
    return [end, why === 'not cancelled' ? why : errorOf(why), body.locked]
  },
  'while a generator is sent': async (fetch, env, { signal }, abort) => {
    env.on('/a', { waitForBody: false, hang: 'head' })
    async function* body() {
      yield new TextEncoder().encode('part')
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
      yield new TextEncoder().encode('late')
    }
    const call = rejection(fetch(env.url('/a'), { method: 'POST', body: body(), duplex: 'half', signal }), signal)
    await env.arrival('/a')
    abort()
    return call
  },
  'before the call, with a stream to send': async (fetch, env, { signal }, abort) => {
    let why: unknown = 'never'
    const body = new ReadableStream({
      cancel(reason) {
        why = reason
      },
    })
    abort()
    const end = await rejection(fetch(env.url('/a'), { method: 'POST', body, duplex: 'half', signal }), signal)
    return [end, why === 'never' ? why : Object.is(why, signal.reason), body.locked]
  },
}

const firstReason = Object.fromEntries(
  Object.entries(reasons).filter(([name]) => /no reason|an Error|a string/.test(name)),
)

const byHand: Case[] = [
  ...each('while read by', Object.fromEntries(readers.map((name) => [name, name])), async (name, fetch, env) => {
    const controller = new AbortController()
    env.on('/a', { ...part, headers: { 'content-type': 'application/x-www-form-urlencoded' } })
    const response = await fetch(env.url('/a'), { signal: controller.signal })
    const end = rejection((response[name] as () => Promise<unknown>)(), controller.signal)
    controller.abort(own)
    return [await end, response.bodyUsed]
  }),
]

export const aborts = area(
  'aborts',
  ...Object.entries(moments).map(([name, when]) =>
    each(
      `${name},`,
      /before the call$|before the head|very turn|reader/.test(name) ? reasons : firstReason,
      (given, fetch, env) => {
        const controller = new AbortController()
        return when(fetch, env, controller, () => controller.abort(...given))
      },
    ),
  ),
  byHand,
)
