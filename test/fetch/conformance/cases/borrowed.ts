import { area, type Case, each } from '../case.ts'
import type { Env } from '../env.ts'
import { attempt, drain, settled, textOf } from '../observe.ts'

// What belongs to the class must work on what fetch returns also where it is taken off the prototype: libraries do that,
// and a subclass that overrides it must not stand in the way.
const getters = ['type', 'url', 'redirected', 'status', 'ok', 'statusText', 'headers', 'body', 'bodyUsed'] as const
const methods = ['text', 'json', 'arrayBuffer', 'bytes', 'blob', 'formData'] as const

function get(env: Env, response: Response, name: (typeof getters)[number]): unknown {
  return Object.getOwnPropertyDescriptor(env.classes.Response.prototype, name)!.get!.call(response)
}

function apply(env: Env, response: Response, name: (typeof methods)[number]): Promise<unknown> {
  const method = env.classes.Response.prototype[name] as () => Promise<unknown>
  return settled(
    (async () => {
      const value = await method.call(response)
      if (typeof value === 'string') return textOf(value)
      if (value instanceof Blob) return [value.type, await value.text()]
      if (value instanceof ArrayBuffer) return Buffer.from(value).toString()
      if (value instanceof Uint8Array) return Buffer.from(value).toString()
      return typeof (value as FormData).entries === 'function' ? [...(value as FormData).entries()] : value
    })(),
  )
}

function plain(env: Env, response: Response, name: (typeof getters)[number]): unknown {
  const value = get(env, response, name)
  if (name === 'headers') return [...(value as Headers)]
  if (name === 'body') return value === null ? null : (value as ReadableStream).locked
  return value
}

const all = (env: Env, response: Response) => getters.map((name) => [name, plain(env, response, name)])

/** What was done with a response by its own methods, before the borrowed ones. */
const before: Record<string, (response: Response) => unknown> = {
  nothing: () => undefined,
  'reading its head': (response) => [response.status, response.url, [...response.headers]],
  'touching its body': (response) => response.body?.locked,
  'reading its text': (response) => response.text(),
  'reading part of its body': async (response) => {
    const reader = response.body!.getReader()
    await reader.read()
    reader.releaseLock()
  },
  'locking its body': (response) => response.body?.getReader() && 1,
  'cancelling its body': (response) => response.body?.cancel(),
  'cloning it': (response) => response.clone() && 1,
}

function serve(env: Env): void {
  env.on('/a', {
    status: 203,
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-a': '1', 'set-cookie': 'a=b' },
    body: '{"a":1}',
  })
}

const byHand: Case[] = [
  {
    name: 'the getters agree with its own',
    run: async (fetch, env) => {
      serve(env)
      const response = await fetch(env.url('/a#f'))
      return getters.map((name) => [name, get(env, response, name) === response[name]])
    },
  },
  {
    name: 'a borrowed clone',
    run: async (fetch, env) => {
      serve(env)
      const response = await fetch(env.url('/a'))
      const clone = env.classes.Response.prototype.clone.call(response)
      return [all(env, clone), await apply(env, response, 'text'), await clone.text(), clone.constructor.name]
    },
  },
  {
    name: 'a borrowed clone of what was used',
    run: async (fetch, env) => {
      serve(env)
      const response = await fetch(env.url('/a'))
      await response.text()
      return attempt(() => env.classes.Response.prototype.clone.call(response) && 'cloned')
    },
  },
  {
    name: 'own and borrowed text at once',
    run: async (fetch, env) => {
      serve(env)
      const response = await fetch(env.url('/a'))
      return Promise.all([settled(response.text()), apply(env, response, 'text')])
    },
  },
  {
    name: 'borrowed and own text at once',
    run: async (fetch, env) => {
      serve(env)
      const response = await fetch(env.url('/a'))
      return Promise.all([apply(env, response, 'text'), settled(response.text())])
    },
  },
  {
    name: 'used, as its own getter and the borrowed one see it',
    run: async (fetch, env) => {
      serve(env)
      const response = await fetch(env.url('/a'))
      const both = () => [response.bodyUsed, get(env, response, 'bodyUsed')]
      const fresh = both()
      const text = response.text()
      const pending = both()
      await text
      return [fresh, pending, both()]
    },
  },
  {
    name: 'the body of the borrowed getter',
    run: async (fetch, env) => {
      serve(env)
      const response = await fetch(env.url('/a'))
      const body = get(env, response, 'body') as ReadableStream<Uint8Array>
      return [await drain(body), response.bodyUsed, get(env, response, 'bodyUsed'), await settled(response.text())]
    },
  },
  {
    name: 'names of the prototype',
    run: async (fetch, env) => {
      serve(env)
      const response = await fetch(env.url('/a'))
      const names: string[] = []
      for (const name in response) names.push(name)
      return [names.sort(), 'text' in response, Object.hasOwn(response, 'text'), Symbol.toStringTag in response]
    },
  },
  {
    name: 'of a failed call nothing is handed out',
    run: (fetch) => settled(fetch('http://127.0.0.1:1/')),
  },
]

export const borrowed = area(
  'borrowed',
  ...Object.entries(before).map(([name, act]) =>
    each(
      `after ${name},`,
      Object.fromEntries(methods.map((method) => [method, method])),
      async (method, fetch, env) => {
        serve(env)
        const response = await fetch(env.url('/a#f'))
        await act(response)
        const head = all(env, response)
        return { head, end: await apply(env, response, method), after: all(env, response), own: response.bodyUsed }
      },
    ),
  ),
  each('no body,', Object.fromEntries(methods.map((method) => [method, method])), async (method, fetch, env) => {
    env.on('/a', 204)
    const response = await fetch(env.url('/a'))
    return [all(env, response), await apply(env, response, method), all(env, response)]
  }),
  byHand,
)
