import { area, type Case, each, type Fetch } from '../case.ts'
import type { Classes, Env } from '../env.ts'
import { attempt, outcome, settled, textOf } from '../observe.ts'

/** What a caller may give in place of a URL. */
type MakeInput = (env: Env) => unknown

const urls: Record<string, MakeInput> = {
  'a string': (env) => env.url('/a'),
  'a URL': (env) => new URL(env.url('/a')),
  'an object with toString': (env) => ({ toString: () => env.url('/a') }),
  'an array of one string': (env) => [env.url('/a')],
  'a String object': (env) => new String(env.url('/a')),
  'a string with spaces around': (env) => `  ${env.url('/a')} \n`,
  'a string with a tab inside': (env) => env.url('/a\tb'),
  'an upper-case scheme and host': (env) => env.url('/A').replace('http', 'HTTP'),
  'a fragment': (env) => env.url('/a#part'),
  'an empty fragment': (env) => env.url('/a#'),
  'an empty query': (env) => env.url('/a?'),
  'an empty query and a fragment': (env) => env.url('/a?#part'),
  'an empty query, an empty fragment': (env) => env.url('/a?#'),
  'a query': (env) => env.url('/a?b=c&d=%20e+f'),
  'a query with quotes': (env) => env.url(`/a?b="c'd<e>\``),
  'two question marks': (env) => env.url('/a??b'),
  'dots in the path': (env) => env.url('/a/../b/./c'),
  'escaped dots': (env) => env.url('/a/%2e%2e/b'),
  backslashes: (env) => env.url('\\a\\b'),
  'double slashes': (env) => env.url('//a//b'),
  'no path': (env) => env.url('').replace(/\/r\d+$/, (run) => run),
  'unicode in the path': (env) => env.url('/ä/日本'),
  'unicode in the query': (env) => env.url('/a?q=ä日本'),
  'unicode in the fragment': (env) => env.url('/a#ä'),
  'a lone surrogate': (env) => env.url('/a\ud800b'),
  'characters that are kept': (env) => env.url("/a;b,c:d@e!$&'()*+="),
  'a percent sign alone': (env) => env.url('/a%b'),
  'a space in the path': (env) => env.url('/a b'),
  'braces and pipes': (env) => env.url('/{a}|b^c'),
  'the host as one number': (env) => env.url('/a').replace('127.0.0.1', '2130706433'),
  'the host in hexadecimal': (env) => env.url('/a').replace('127.0.0.1', '0x7f.1'),
  'a host in fullwidth digits': (env) => env.url('/a').replace('127.0.0.1', '１２７.0.0.1'),
}

const invalid: Record<string, MakeInput> = {
  'an empty string': () => '',
  'a relative path': () => '/a',
  'a relative name': () => 'a/b',
  'protocol-relative': () => '//127.0.0.1/a',
  'no host': () => 'http://',
  'a bad port': () => 'http://127.0.0.1:99999/',
  'a bad host': () => 'http://a b/',
  'a bad IPv6 address': () => 'http://[::g]/',
  'a bad percent in the host': () => 'http://%zz/',
  undefined: () => undefined,
  null: () => null,
  'a number': () => 7,
  'a boolean': () => true,
  'a plain object': () => ({}),
  'a symbol': () => Symbol('a'),
  'a function': () => () => 'x',
  'toString that throws': () => ({
    toString() {
      throw new RangeError('not now')
    },
  }),
  'toString that gives an object': () => ({ toString: () => ({}) }),
  'an object without a prototype': () => Object.create(null),
  'a username': (env) => env.url('/a').replace('://', '://user@'),
  'a username and a password': (env) => env.url('/a').replace('://', '://user:pass@'),
  'a password alone': (env) => env.url('/a').replace('://', '://:pass@'),
  'an empty username': (env) => env.url('/a').replace('://', '://@'),
  'credentials in a URL object': (env) => new URL(env.url('/a').replace('://', '://user:pass@')),
}

const schemes: Record<string, string> = {
  ftp: 'ftp://127.0.0.1/a',
  file: 'file:///etc/hostname',
  ws: 'ws://127.0.0.1:1/a',
  wss: 'wss://127.0.0.1:1/a',
  javascript: 'javascript:1',
  mailto: 'mailto:a@b',
  unknown: 'x-unknown://a/b',
  'blob of nobody': 'blob:nodedata:00000000-0000-0000-0000-000000000000',
  'about:other': 'about:other',
  'data without a comma': 'data:text/plain',
}

const badPorts = [
  1, 7, 19, 22, 25, 69, 110, 137, 143, 161, 465, 587, 993, 2049, 4190, 5060, 6000, 6566, 6667, 6697, 10080,
]

function requestOf(classes: Classes, input: unknown, init?: object): Request {
  return new classes.Request(input as string, init as RequestInit)
}

/** Cases of Request objects, for the classes of undici and for those of the runtime. */
function requests(kind: 'classes' | 'runtime'): Case[] {
  const prefix = kind === 'classes' ? "undici's Request" : "the runtime's Request"
  const table: Record<string, (fetch: Fetch, env: Env, classes: Classes) => Promise<unknown>> = {
    plain: (fetch, env, c) => outcome(fetch, requestOf(c, env.url('/a'))),
    'with a fragment': (fetch, env, c) => outcome(fetch, requestOf(c, env.url('/a#b'))),
    'with method and headers': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { method: 'DELETE', headers: { 'x-a': '1', 'x-b': 'zwei' } })),
    'with a method of its own': (fetch, env, c) => outcome(fetch, requestOf(c, env.url('/a'), { method: 'PURGE' })),
    'with an empty init': (fetch, env, c) => outcome(fetch, requestOf(c, env.url('/a'), { headers: { a: 'b' } }), {}),
    'with an init of undefined members': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { headers: { a: 'b' } }), { headers: undefined, method: undefined }),
    'whose method init replaces': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { method: 'PUT' }), { method: 'DELETE' }),
    'whose headers init replaces': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { headers: { a: '1', b: '2' } }), { headers: { b: '3' } }),
    'whose headers init empties': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { headers: { a: '1', b: '2' } }), { headers: {} }),
    'whose body init replaces': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { method: 'POST', body: 'first' }), { body: 'second' }),
    'whose body type stays when init replaces the body': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { method: 'POST', body: 'first' }), {
        body: new URLSearchParams({ a: 'b' }),
      }),
    'that follows, with an init that does not': (fetch, env, c) => {
      env.on('/a', { status: 302, headers: { location: '/elsewhere' } })
      return outcome(fetch, requestOf(c, env.url('/a')), { redirect: 'manual' })
    },
    'that does not follow': (fetch, env, c) => {
      env.on('/a', { status: 302, headers: { location: '/elsewhere' } })
      return outcome(fetch, requestOf(c, env.url('/a'), { redirect: 'manual' }))
    },
    'that refuses to be redirected': (fetch, env, c) => {
      env.on('/a', { status: 302, headers: { location: '/elsewhere' } })
      return outcome(fetch, requestOf(c, env.url('/a'), { redirect: 'error' }))
    },
    'with cache no-store': (fetch, env, c) => outcome(fetch, requestOf(c, env.url('/a'), { cache: 'no-store' })),
    'with a cache that init replaces': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { cache: 'no-store' }), { cache: 'no-cache' }),
    'that is aborted': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { signal: AbortSignal.abort('why') })),
    'whose aborted signal init takes away': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { signal: AbortSignal.abort('why') }), { signal: null }),
    'given an aborted signal': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a')), { signal: AbortSignal.abort('why') }),
    'whose headers were changed': (fetch, env, c) => {
      const request = requestOf(c, env.url('/a'), { headers: { a: '1' } })
      request.headers.set('b', '2')
      request.headers.delete('a')
      return outcome(fetch, request)
    },
    'used by two calls': async (fetch, env, c) => {
      const request = requestOf(c, env.url('/a'), { headers: { a: '1' } })
      return [await outcome(fetch, request), await outcome(fetch, request)]
    },
    'whose body has been read': async (fetch, env, c) => {
      const request = requestOf(c, env.url('/a'), { method: 'POST', body: 'text' })
      await request.text()
      return outcome(fetch, request)
    },
    'sent twice with its body': async (fetch, env, c) => {
      const request = requestOf(c, env.url('/a'), { method: 'POST', body: 'text' })
      const first = await outcome(fetch, request)
      return [first, request.bodyUsed, await outcome(fetch, request)]
    },
    'whose body is locked': (fetch, env, c) => {
      const request = requestOf(c, env.url('/a'), { method: 'POST', body: 'text' })
      request.body?.getReader()
      return outcome(fetch, request)
    },
    'with a used body that init replaces': async (fetch, env, c) => {
      const request = requestOf(c, env.url('/a'), { method: 'POST', body: 'text' })
      await request.text()
      return outcome(fetch, request, { body: 'other' })
    },
    'cloned, both sent': async (fetch, env, c) => {
      const request = requestOf(c, env.url('/a'), { headers: { a: '1' } })
      const clone = request.clone()
      return [await outcome(fetch, request), await outcome(fetch, clone)]
    },
    'with body, changed to GET': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { method: 'POST', body: 'text' }), { method: 'GET' }),
    'whose body is used when it is on its way': async (fetch, env, c) => {
      const request = requestOf(c, env.url('/a'), { method: 'POST', body: 'text' })
      const call = fetch(request)
      return [request.bodyUsed, await settled(call.then((response) => response.text())), request.bodyUsed]
    },
    'of a subclass': (fetch, env, c) => {
      class Sub extends c.Request {}
      return outcome(fetch, new Sub(env.url('/a'), { method: 'PUT', headers: { a: 'b' } }))
    },
    'made of another Request': (fetch, env, c) =>
      outcome(fetch, requestOf(c, requestOf(c, env.url('/a'), { headers: { a: '1' } }), { method: 'PUT' })),
    'as init of a URL': (fetch, env, c) =>
      outcome(fetch, env.url('/a'), requestOf(c, env.url('/other'), { method: 'PUT', headers: { a: 'b' } })),
    'with an aborted signal as init of a URL': (fetch, env, c) =>
      outcome(fetch, env.url('/a'), requestOf(c, env.url('/b'), { signal: AbortSignal.abort('why') })),
    'with no-cors': (fetch, env, c) => outcome(fetch, requestOf(c, env.url('/a'), { mode: 'no-cors' })),
    'with integrity': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { integrity: 'sha256-J2ibxDYZmNvMplDZMdQoTSfJQW0MURnWhZYbqg8uZrA=' })),
    'with a wrong integrity': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { integrity: 'sha256-AAAAxDYZmNvMplDZMdQoTSfJQW0MURnWhZYbqg8uZrA=' })),
    'with a referrer': (fetch, env, c) => outcome(fetch, requestOf(c, env.url('/a'), { referrer: env.url('/from') })),
    'with a referrer policy': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { referrer: env.url('/from'), referrerPolicy: 'origin' })),
    'with a referrer and a new method': (fetch, env, c) =>
      outcome(fetch, requestOf(c, env.url('/a'), { referrer: env.url('/from') }), { method: 'DELETE' }),
    'with keepalive': (fetch, env, c) => outcome(fetch, requestOf(c, env.url('/a'), { keepalive: true })),
  }
  return each(prefix, table, (run, fetch, env) => run(fetch, env, env[kind]))
}

const odd: Case[] = [
  { name: 'no arguments at all', run: (fetch) => attempt(() => fetch()) },
  {
    name: 'a URL that changes after the call',
    run: async (fetch, env) => {
      const url = new URL(env.url('/a'))
      const call = outcome(fetch, url)
      url.pathname = '/changed'
      return call
    },
  },
  {
    name: 'something that looks like a Request',
    run: (fetch, env) => outcome(fetch, { url: env.url('/a'), method: 'PUT', toString: () => env.url('/b') }),
  },
  {
    name: 'a very long URL',
    run: async (fetch, env) => {
      const response = await fetch(env.url(`/a?${'x'.repeat(8000)}`))
      return textOf(await response.text())
    },
  },
  {
    name: 'a promise that is rejected, never a throw',
    run: async (fetch) => {
      const calls = ['', 'http://', 'http://a:b@c/', 7].map((input) => attempt(() => fetch(input)))
      return Promise.all(calls)
    },
  },
]

export const inputs = area(
  'inputs',
  each('input', urls, (make, fetch, env) => outcome(fetch, make(env))),
  each('invalid input', invalid, (make, fetch, env) => outcome(fetch, make(env))),
  each('scheme', schemes, (url, fetch) => outcome(fetch, url), { delegates: true }),
  each('blocked port', Object.fromEntries(badPorts.map((port) => [`${port}`, port])), (port, fetch) =>
    outcome(fetch, `http://127.0.0.1:${port}/`),
  ),
  requests('classes').map((one) => (one.name.includes('integrity') ? { ...one, delegates: true } : one)),
  requests('runtime').map((one) => (one.name.includes('integrity') ? { ...one, delegates: true } : one)),
  odd,
)
