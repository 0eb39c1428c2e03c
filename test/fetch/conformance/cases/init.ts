import { area, type Case, each, type Fetch } from '../case.ts'
import type { Env } from '../env.ts'
import { headOf, outcome, settled } from '../observe.ts'

/** Members of init that are given as they are. */
type Table = Record<string, object>

const methods = [
  'GET', 'get', 'Get', 'HEAD', 'head', 'POST', 'post', 'PUT', 'put', 'DELETE', 'delete', 'OPTIONS', 'options', 'PATCH',
  'patch', 'Patch', 'QUERY', 'query', 'PROPFIND', 'propfind', 'PURGE', 'x-own', "!#$%&'*+-.^_`|~",
] // biome-ignore format: one word each

const badMethods: Table = {
  CONNECT: { method: 'CONNECT' },
  connect: { method: 'connect' },
  TRACE: { method: 'TRACE' },
  Trace: { method: 'Trace' },
  TRACK: { method: 'TRACK' },
  empty: { method: '' },
  'with a space': { method: 'GE T' },
  'with a line feed': { method: 'GET\n' },
  'not ASCII': { method: 'GÉT' },
  'a number': { method: 7 },
  null: { method: null },
  'an object': { method: {} },
  'a symbol': { method: Symbol('GET') },
  'an inherited name': { method: 'constructor' },
  __proto__name: { method: '__proto__' },
}

const plain: Table = {
  'redirect follow': { redirect: 'follow' },
  'redirect manual': { redirect: 'manual' },
  'redirect error': { redirect: 'error' },
  'mode cors': { mode: 'cors' },
  'mode same-origin': { mode: 'same-origin' },
  'mode no-cors': { mode: 'no-cors' },
  'mode no-cors with HEAD': { mode: 'no-cors', method: 'HEAD' },
  'mode no-cors with POST': { mode: 'no-cors', method: 'POST', body: 'a' },
  'mode no-cors with PUT': { mode: 'no-cors', method: 'PUT' },
  'mode no-cors with headers that are not safe': { mode: 'no-cors', headers: { 'x-a': '1', accept: 'a/b' } },
  'mode no-cors with range': { mode: 'no-cors', headers: { range: 'bytes=0-1' } },
  'mode no-cors with a content type': { mode: 'no-cors', headers: { 'content-type': 'application/json' } },
  'mode no-cors with languages': { mode: 'no-cors', headers: { 'accept-language': 'de', 'content-language': 'de' } },
  'credentials omit': { credentials: 'omit' },
  'credentials same-origin': { credentials: 'same-origin' },
  'credentials include': { credentials: 'include' },
  'cache default': { cache: 'default' },
  'cache no-store': { cache: 'no-store' },
  'cache reload': { cache: 'reload' },
  'cache no-cache': { cache: 'no-cache' },
  'cache force-cache': { cache: 'force-cache' },
  'cache only-if-cached': { cache: 'only-if-cached' },
  'cache only-if-cached, same-origin': { cache: 'only-if-cached', mode: 'same-origin' },
  'cache no-store with its headers set': {
    cache: 'no-store',
    headers: { pragma: 'x', 'cache-control': 'max-age=3' },
  },
  'cache reload with cache-control set': { cache: 'reload', headers: { 'cache-control': 'max-age=3' } },
  'cache no-cache with cache-control set': { cache: 'no-cache', headers: { 'cache-control': 'max-age=3' } },
  'referrer empty': { referrer: '' },
  'referrer about:client': { referrer: 'about:client' },
  'referrer elsewhere': { referrer: 'http://elsewhere.test/a?b#c' },
  'referrer elsewhere over TLS': { referrer: 'https://elsewhere.test/a?b#c' },
  'referrer with credentials': { referrer: 'http://a:b@elsewhere.test/' },
  'keepalive true': { keepalive: true },
  'keepalive odd': { keepalive: 'no' },
  'keepalive with a body': { keepalive: true, method: 'POST', body: 'text' },
  'window null': { window: null },
  'window undefined': { window: undefined },
  'priority high': { priority: 'high' },
  'duplex half': { duplex: 'half' },
  'duplex half with a string': { duplex: 'half', method: 'POST', body: 'text' },
  'signal null': { signal: null },
  'signal undefined': { signal: undefined },
  'integrity empty': { integrity: '' },
  'unknown members': { colour: 'red', timeout: 1 },
  'inherited members': Object.create({ method: 'PUT', headers: { a: 'b' } }),
  'members that are not enumerable': Object.defineProperty({}, 'method', { value: 'PUT', enumerable: false }),
  'a frozen init': Object.freeze({ method: 'PUT', headers: Object.freeze({ a: 'b' }) }),
  'everything undefined': {
    body: undefined,
    headers: undefined,
    method: undefined,
    mode: undefined,
    cache: undefined,
    redirect: undefined,
    integrity: undefined,
    referrer: undefined,
  },
}

const wrong: Table = {
  redirect: { redirect: 'sometimes' },
  'redirect in upper case': { redirect: 'FOLLOW' },
  'redirect null': { redirect: null },
  'redirect a number': { redirect: 1 },
  mode: { mode: 'anything' },
  'mode navigate': { mode: 'navigate' },
  'mode websocket': { mode: 'websocket' },
  'mode null': { mode: null },
  credentials: { credentials: 'some' },
  'credentials null': { credentials: null },
  cache: { cache: 'sometimes' },
  'cache null': { cache: null },
  referrer: { referrer: 'http://' },
  'referrer a relative path': { referrer: '/a' },
  'referrer null': { referrer: null },
  'referrer policy': { referrerPolicy: 'whatever' },
  'referrer policy null': { referrerPolicy: null },
  window: { window: {} },
  'window a string': { window: 'client' },
  'priority a symbol': { priority: Symbol('high') },
  'priority unknown': { priority: 'urgent' },
  'priority null': { priority: null },
  'duplex full': { duplex: 'full' },
  'duplex null': { duplex: null },
  'integrity a symbol': { integrity: Symbol('a') },
  'signal a string': { signal: 'now' },
  'signal an object': { signal: {} },
  'signal something like a signal': { signal: { aborted: false, addEventListener() {} } },
  'signal a controller': { signal: new AbortController() },
  'body null with POST': { method: 'POST', body: null },
  'body with GET': { body: 'text' },
  'body with HEAD': { method: 'HEAD', body: 'text' },
  'an empty body with GET': { body: '' },
  dispatcher: { dispatcher: {} },
}

const policies = [
  '',
  'no-referrer',
  'no-referrer-when-downgrade',
  'same-origin',
  'origin',
  'strict-origin',
  'origin-when-cross-origin',
  'strict-origin-when-cross-origin',
  'unsafe-url',
]

const oddInits: Record<string, unknown> = {
  null: null,
  undefined: undefined,
  'a string': 'GET',
  'a number': 7,
  'a boolean': true,
  'a symbol': Symbol('init'),
  'a function': () => {},
  'a function with members': Object.assign(() => {}, { method: 'PUT' }),
  'an array': [],
  'a Map': new Map([['method', 'PUT']]),
  'a bigint': 1n,
}

const byHand: Case[] = [
  {
    name: 'getters are read once each, in their order',
    run: async (fetch, env) => {
      const read: string[] = []
      const values: Record<string, unknown> = { method: 'PUT', body: 'text', headers: { a: 'b' }, redirect: 'follow' }
      const init = new Proxy(values, {
        get: (target, name) => {
          if (typeof name === 'string' && name !== 'dispatcher' && name !== 'resilience') read.push(name)
          return Reflect.get(target, name)
        },
      })
      const seen = await outcome(fetch, env.url('/a'), init)
      return { seen, values: [...new Set(read)].filter((name) => name in values).sort() }
    },
  },
  {
    name: 'getters of a class',
    run: (fetch, env) => {
      class Init {
        get method() {
          return 'PUT'
        }
        get headers() {
          return { a: 'b' }
        }
        get body() {
          return 'text'
        }
      }
      return outcome(fetch, env.url('/a'), new Init())
    },
  },
  {
    name: 'a getter that throws',
    run: (fetch, env) =>
      outcome(fetch, env.url('/a'), {
        get method() {
          throw new RangeError('not now')
        },
      }),
  },
  {
    name: 'a method with toString',
    run: (fetch, env) => outcome(fetch, env.url('/a'), { method: { toString: () => 'PUT' } }),
  },
  {
    name: 'the init is not changed',
    run: async (fetch, env) => {
      const headers = { b: '1', A: '2' }
      const init = { method: 'post', headers, body: 'x' }
      await outcome(fetch, env.url('/a'), init)
      return { init, keys: Object.keys(init) }
    },
  },
  {
    name: 'an init that changes after the call',
    run: (fetch, env) => {
      const init = { method: 'PUT', headers: { a: '1' } }
      const call = outcome(fetch, env.url('/a'), init)
      init.method = 'DELETE'
      init.headers.a = '2'
      return call
    },
  },
  {
    name: 'no-cors gives an answer that can be read',
    run: async (fetch, env) => {
      env.on('/a', { headers: { 'x-a': '1', 'set-cookie': 'a=b' }, body: 'seen' })
      const response = await fetch(env.url('/a'), { mode: 'no-cors' })
      return { head: headOf(response), text: await settled(response.text()) }
    },
  },
  {
    name: 'one signal in two inits',
    run: async (fetch, env) => {
      const { signal } = new AbortController()
      return [await outcome(fetch, env.url('/a'), { signal }), await outcome(fetch, env.url('/b'), { signal })]
    },
  },
]

function withReferrer(policy: string, fetch: Fetch, env: Env) {
  return Promise.all(
    [env.url('/from?q#f'), 'https://elsewhere.test/a?b', 'http://elsewhere.test/a?b'].map(async (referrer, at) => {
      const seen = await outcome(fetch, env.url(`/a${at}`), { referrer, referrerPolicy: policy })
      const request = env.received.find(({ path }) => path.endsWith(`/a${at}`))
      return [seen, request?.headers.referer]
    }),
  )
}

const referrers: Record<string, (env: Env) => unknown> = {
  'the same origin': (env) => env.url('/from?q#f'),
  'the same origin, a URL': (env) => new URL(env.url('/from')),
  'another origin': (env) => env.other('/from'),
}

export const inits = area(
  'init',
  each('method', Object.fromEntries(methods.map((method) => [method, method])), (method, fetch, env) =>
    outcome(fetch, env.url('/a'), { method }),
  ),
  each(
    'method with a body',
    { POST: 'POST', patch: 'patch', PATCH: 'PATCH', DELETE: 'DELETE', own: 'OWN' },
    (m, fetch, env) => outcome(fetch, env.url('/a'), { method: m, body: 'text' }),
  ),
  each('bad method', badMethods, (init, fetch, env) => outcome(fetch, env.url('/a'), init)),
  each('member', plain, (init, fetch, env) => outcome(fetch, env.url('/a'), init)),
  each('wrong member', wrong, (init, fetch, env) => outcome(fetch, env.url('/a'), init)),
  each('referrer', referrers, (make, fetch, env) => outcome(fetch, env.url('/a'), { referrer: make(env) })),
  each('referrer policy', Object.fromEntries(policies.map((policy) => [policy || 'empty', policy])), withReferrer),
  each('init', oddInits, (init, fetch, env) => outcome(fetch, env.url('/a'), init)),
  byHand,
)
