import { inspect } from 'node:util'
import type { StepOptions } from '../../../../src/testing/index.ts'
import { area, type Case, each } from '../case.ts'
import { attempt, headOf, outcome, settled, whole } from '../observe.ts'

const statuses = [200, 201, 202, 203, 204, 206, 207, 226, 299, 300, 304, 305, 306, 400, 401, 403, 404, 405, 406,
  409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 422, 423, 424, 426, 428, 431, 451, 499, 501, 505, 507, 511,
  599] // biome-ignore format: numbers

// Of 205 over HTTP/2, Node's server sends no body, and so breaks the length it has told.
const retriedStatuses = [205, 408, 425, 429, 500, 502, 503, 504]

const odd = [600, 700, 999]

const heads: Record<string, StepOptions> = {
  'a header twice': { headers: { 'x-a': ['1', '2'] } },
  'set-cookie twice': { headers: { 'set-cookie': ['a=b; Path=/', 'c=d, e'] } },
  'set-cookie once': { headers: { 'set-cookie': 'a=b' } },
  'vary twice': { headers: { vary: ['a', 'b'] } },
  'an empty value': { headers: { 'x-a': '' } },
  'names in upper case': { headers: { 'X-UPPER': 'Value' } },
  'a value of latin1': { headers: { 'x-a': 'é ÿ' } },
  'sixty headers': { headers: Object.fromEntries(Array.from({ length: 60 }, (_, at) => [`x-name-${at}`, `v${at}`])) },
  'a long value': { headers: { 'x-a': 'v'.repeat(6000) } },
  'link and location beside 200': { headers: { link: '</a>; rel=next', location: '/elsewhere' } },
  'a content type': { headers: { 'content-type': 'application/json; charset=utf-8' }, body: '{"a":1}' },
  'a forbidden name': { headers: { 'proxy-authenticate': 'Basic', 'www-authenticate': 'Basic' } },
  'content-range': { status: 206, headers: { 'content-range': 'bytes 0-1/3' }, body: 'ab' },
  'content-length and nothing else': { body: 'abc' },
  'no body': { body: '' },
  'a body in parts': { body: ['a', 'b', 'c'] },
  'a body of no parts': { body: [] },
  trailers: { body: ['a'], trailers: { 'x-check': '1' } },
  'trailers after nothing': { body: [], trailers: { 'x-check': '1' } },
  'an early hint': { early: [{ headers: { link: '</a>; rel=preload' } }], body: 'a' },
  'two early hints': { early: [{ status: 103 }, { status: 103, headers: { 'x-a': '1' } }], body: 'a' },
  'a processing response': { early: [{ status: 102 }], body: 'a' },
  'a big body': { body: 'x'.repeat(300_000) },
  'a big body in parts': { body: Array.from({ length: 40 }, (_, at) => `${at}`.padEnd(9000, '.')) },
  'cors headers': { headers: { 'access-control-allow-origin': '*', 'timing-allow-origin': '*' } },
  'cross-origin-resource-policy': { headers: { 'cross-origin-resource-policy': 'same-origin' } },
  'clear-site-data and refresh': { headers: { refresh: '0; url=/b', 'clear-site-data': '"*"' } },
  'retry-after': { status: 404, headers: { 'retry-after': '0' } },
  'names of prototypes': { headers: { constructor: '1', __proto__x: '2', 'to-string': '3' } },
}

const bodyless = [204, 205, 304]
const methods = ['GET', 'HEAD', 'POST', 'OPTIONS', 'DELETE']

const inits: Record<string, unknown> = {
  'keys of it': 'keys',
  'keys in': 'in',
  inspected: 'inspect',
  'its tag': 'tag',
  'what it is an instance of': 'instance',
  'as JSON': 'json',
  cloned: 'structured',
  'assigned to': 'assign',
}

function looked(response: Response, look: unknown, classes: { Response: unknown; Headers: unknown }): unknown {
  switch (look) {
    case 'keys':
      return [Object.keys(response), Object.getOwnPropertyNames(response).filter((name) => !name.startsWith('#'))]
    case 'in': {
      const names: string[] = []
      for (const name in response) names.push(name)
      return names.sort()
    }
    case 'inspect':
      return [inspect(response), inspect(response.headers), inspect(response, { depth: 0 })]
    case 'tag':
      return [Object.prototype.toString.call(response), String(response), response.constructor.name]
    case 'instance':
      return [
        response instanceof (classes.Response as typeof Response),
        response.headers instanceof (classes.Headers as typeof Headers),
        response.constructor === classes.Response,
        Object.getPrototypeOf(response.headers) === (classes.Headers as typeof Headers).prototype,
      ]
    case 'json':
      return JSON.stringify(response)
    case 'structured':
      return attempt(() => structuredClone(response))
    default:
      return ['status', 'url', 'ok', 'body', 'headers', 'type'].map((name) => {
        try {
          ;(response as unknown as Record<string, unknown>)[name] = 1
          return 'no error'
        } catch (error) {
          return String(error)
        }
      })
  }
}

const changes: Record<string, (headers: Headers) => unknown> = {
  append: (headers) => headers.append('x-a', '1'),
  set: (headers) => headers.set('x-a', '1'),
  delete: (headers) => headers.delete('x-here'),
  'delete of what is not there': (headers) => headers.delete('x-not'),
  'append of an invalid name': (headers) => headers.append('x a', '1'),
  get: (headers) => [headers.get('X-Here'), headers.get('x-not'), headers.get('x-twice')],
  'get of an invalid name': (headers) => headers.get('x a'),
  has: (headers) => [headers.has('X-HERE'), headers.has('x-not')],
  keys: (headers) => [...headers.keys()],
  values: (headers) => [...headers.values()],
  entries: (headers) => [...headers.entries()],
  forEach: (headers) => {
    const seen: unknown[] = []
    headers.forEach((value, name, all) => {
      seen.push([name, value, all === headers])
    })
    return seen
  },
  getSetCookie: (headers) => headers.getSetCookie(),
  'get of set-cookie': (headers) => headers.get('set-cookie'),
  'a copy, changed': (headers) => {
    const copy = new (headers.constructor as typeof Headers)(headers)
    copy.set('x-new', '1')
    return [[...copy], headers.has('x-new')]
  },
  'cookies handed out are a copy': (headers) => {
    headers.getSetCookie().push('changed')
    return headers.getSetCookie()
  },
}

const byHand: Case[] = [
  {
    name: 'headers, body and clone are the same objects each time',
    run: async (fetch, env) => {
      const response = await fetch(env.url('/a'))
      const { headers, body } = response
      const clone = response.clone()
      return {
        headers: headers === response.headers,
        bodyAfterClone: body === response.body,
        body: clone.body === response.body,
        clones: clone === response.clone(),
      }
    },
  },
  {
    name: 'a property of its own',
    run: async (fetch, env) => {
      const response = await fetch(env.url('/a'))
      Object.assign(response, { mine: 1 })
      return [Object.keys(response), (response as unknown as { mine: number }).mine]
    },
  },
  {
    name: 'a misdirected request is sent once more',
    run: (fetch, env) => {
      env.on('/a', 421, { body: 'right' })
      return outcome(fetch, env.url('/a'))
    },
  },
  {
    name: 'a request that is misdirected twice',
    run: (fetch, env) => {
      env.on('/a', { status: 421, body: 'wrong' })
      return outcome(fetch, env.url('/a'))
    },
  },
  {
    name: 'a misdirected request with a body',
    run: (fetch, env) => {
      env.on('/a', 421, { body: 'right' })
      return outcome(fetch, env.url('/a'), { method: 'POST', body: 'text', headers: { 'x-a': '1' } })
    },
  },
  {
    name: 'a misdirected request with a stream',
    run: (fetch, env) => {
      env.on('/a', { status: 421, body: 'wrong' }, { body: 'right' })
      return outcome(fetch, env.url('/a'), { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' })
    },
  },
  {
    name: 'proxy authentication is a network error',
    run: (fetch, env) => {
      env.on('/a', { status: 407, headers: { 'proxy-authenticate': 'Basic' }, body: 'no' })
      return outcome(fetch, env.url('/a'))
    },
  },
  {
    name: 'proxy authentication with window null',
    run: (fetch, env) => {
      env.on('/a', { status: 407, body: 'no' })
      return outcome(fetch, env.url('/a'), { window: null })
    },
  },
  {
    name: 'an answer of 401 to credentials',
    run: (fetch, env) => {
      env.on('/a', { status: 401, headers: { 'www-authenticate': 'Basic realm="a"' }, body: 'who' })
      return outcome(fetch, env.url('/a'), { credentials: 'include', headers: { authorization: 'Basic YTpi' } })
    },
  },
  {
    name: 'an answer of 401 to a stream',
    run: (fetch, env) => {
      env.on('/a', { status: 401, body: 'who' })
      return outcome(fetch, env.url('/a'), { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' })
    },
  },
  {
    name: 'two calls, one after the other',
    run: async (fetch, env) => [await outcome(fetch, env.url('/a')), await outcome(fetch, env.url('/b'))],
  },
  {
    name: 'a call after an answer whose body nobody read',
    run: async (fetch, env) => {
      env.on('/a', { body: 'unread' })
      const unread = await fetch(env.url('/a'))
      return [headOf(unread), await outcome(fetch, env.url('/b'))]
    },
  },
  {
    name: 'twenty calls at once',
    run: async (fetch, env) => {
      const calls = Array.from({ length: 20 }, (_, at) => fetch(env.url(`/${at}`), { headers: { 'x-at': `${at}` } }))
      const texts = await Promise.all(calls.map(async (call) => (await call).text()))
      env.received.sort((one, two) => Number(one.headers['x-at']) - Number(two.headers['x-at']))
      return texts
    },
  },
]

export const responses = area(
  'responses',
  each('status', Object.fromEntries(statuses.map((status) => [status, status])), (status, fetch, env) => {
    env.on('/a', { status, body: 'some body' })
    return outcome(fetch, env.url('/a'))
  }),
  each(
    'status',
    Object.fromEntries(retriedStatuses.map((status) => [status, status])),
    (status, fetch, env) => {
      env.on('/a', { status, body: 'some body' })
      return outcome(fetch, env.url('/a'))
    },
    { retried: true },
  ),
  each(
    'odd status',
    Object.fromEntries(odd.map((status) => [status, status])),
    (status, fetch, env) => {
      env.on('/a', { status, body: 'some body' })
      return outcome(fetch, env.url('/a'))
    },
    { only: 'h1' },
  ),
  each('head', heads, async (step, fetch, env) => {
    env.on('/a', { headers: {}, ...step })
    const response = await fetch(env.url('/a'))
    return [headOf(response), await whole(response)]
  }),
  ...bodyless.map((status) =>
    each(`status ${status} to`, Object.fromEntries(methods.map((one) => [one, one])), async (method, fetch, env) => {
      env.on('/a', { status, headers: { etag: '"a"' } })
      const response = await fetch(env.url('/a'), { method })
      return [headOf(response), await whole(response), response.bodyUsed]
    }),
  ),
  each(
    'HEAD with',
    { length: { headers: { 'content-length': 5 } }, none: {}, 'a coding': { headers: { 'content-encoding': 'gzip' } } },
    async (step, fetch, env) => {
      env.on('/a', step)
      const response = await fetch(env.url('/a'), { method: 'HEAD' })
      return [headOf(response), await whole(response)]
    },
  ),
  each('a response,', inits, async (look, fetch, env) => {
    env.on('/a', { status: 201, headers: { 'x-a': '1' }, body: 'seen' })
    const response = await fetch(env.url('/a#f'))
    const fresh = await looked(response, look, env.classes)
    const text = await settled(response.text())
    return { fresh, text, used: await looked(response, look, env.classes) }
  }),
  each('its headers,', changes, async (change, fetch, env) => {
    env.on('/a', { headers: { 'x-here': '1', 'x-twice': ['a', 'b'], 'set-cookie': ['c=d', 'e=f'] }, body: 'seen' })
    const { headers } = await fetch(env.url('/a'))
    return { result: await attempt(() => change(headers)), after: [...headers] }
  }),
  byHand,
)
