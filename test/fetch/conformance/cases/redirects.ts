import { gate } from '../../../../src/testing/index.ts'
import { area, type Case, each, type Fetch } from '../case.ts'
import type { Env } from '../env.ts'
import { outcome, settled, whole } from '../observe.ts'

const statuses = [301, 302, 303, 307, 308]
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']

const bodies: Record<string, (env: Env) => object> = {
  'a string': () => ({ body: 'text' }),
  bytes: () => ({ body: new Uint8Array([1, 2, 3]) }),
  'a Blob': () => ({ body: new Blob(['blob'], { type: 'a/b' }) }),
  'a form': (env) => {
    const form = new env.classes.FormData()
    form.append('a', 'b')
    form.append('f', new File(['file'], 'n'))
    return { body: form }
  },
  URLSearchParams: () => ({ body: new URLSearchParams({ a: 'b' }) }),
  'a stream': () => ({ body: new Blob(['stream']).stream(), duplex: 'half' }),
  'an empty string': () => ({ body: '' }),
  'all headers of a body': () => ({
    body: 'text',
    headers: {
      'content-type': 'a/b',
      'content-language': 'de',
      'content-location': '/x',
      'content-encoding': 'x',
      'x-kept': '1',
    },
  }),
}

const chain: [string, number, string][] = statuses.flatMap((status) =>
  methods.map((method): [string, number, string] => [`${status} to ${method}`, status, method]),
)

/** Where to: `base` is the URL of the run, without a slash at its end. */
const locations: Record<string, (env: Env) => string> = {
  'an absolute URL': (env) => env.url('/b'),
  'an absolute path': (env) => env.path('/b'),
  'a relative name': () => 'b',
  'a relative path with dots': () => '../b/./c',
  'a query alone': () => '?q=1',
  'a fragment alone': () => '#there',
  'a fragment of its own': (env) => `${env.path('/b')}#own`,
  'an empty fragment': (env) => `${env.path('/b')}#`,
  'an empty query': (env) => `${env.path('/b')}?`,
  'protocol-relative': (env) => env.url('/b').replace(/^https?:/, ''),
  nothing: () => '',
  'spaces around': (env) => `  ${env.path('/b')}  `,
  'a space within': (env) => env.path('/b c'),
  'percent escapes': (env) => env.path('/%e4%zz%20'),
  'upper-case scheme': (env) => env.url('/b').replace('http', 'HTTP'),
  backslashes: (env) => env.path('\\b'),
  'another origin': (env) => env.other('/b'),
  'another origin, protocol-relative': (env) => env.other('/b').replace(/^https?:/, ''),
  'a bad port': () => 'http://127.0.0.1:6000/',
  'no port at all': () => 'http://127.0.0.1:99999/',
  'an invalid URL': () => 'http://',
  'an invalid host': () => 'http://a b/',
  data: () => 'data:text/plain,hello',
  ftp: () => 'ftp://127.0.0.1/',
  file: () => 'file:///etc/hostname',
  about: () => 'about:blank',
  blob: () => 'blob:nodedata:x',
  javascript: () => 'javascript:1',
  mailto: () => 'mailto:a@b',
  credentials: (env) => env.url('/b').replace('://', '://user:pass@'),
  'credentials at another origin': (env) => env.other('/b').replace('://', '://user:pass@'),
  'the other scheme': (env) => env.other('/b').replace(/^http(s?):/, (_, secure) => (secure ? 'http:' : 'https:')),
  'bytes of latin1': (env) => env.path('/\xe4'),
  'a comma': (env) => env.path('/b,c'),
  itself: (env) => env.path('/a'),
}

const modes = ['follow', 'manual', 'error']

const policies = [
  'no-referrer',
  'origin',
  'unsafe-url',
  'same-origin',
  'strict-origin',
  'bogus',
  'bogus, origin',
  '',
  'origin, unsafe-url',
]

const credentials = {
  authorization: 'Basic YTpi',
  cookie: 'a=b',
  'proxy-authorization': 'Basic YTpi',
  host: 'given.test',
  'x-kept': '1',
  origin: 'http://given.test',
  referer: 'http://given.test/',
  'x-api-key': 'secret',
}

function hops(env: Env, count: number, to: (at: number) => string = (at) => env.path(`/${at}`)): void {
  for (let at = 0; at < count; at++) env.on(`/${at}`, { status: 302, headers: { location: to(at + 1) } })
}

async function brief(fetch: Fetch, input: string, init?: object): Promise<unknown> {
  return settled(
    fetch(input, init).then(async (response) => ({
      status: response.status,
      url: response.url,
      redirected: response.redirected,
      text: await response.text(),
    })),
  )
}

const byHand: Case[] = [
  ...each(
    'two locations',
    { follow: 'follow', manual: 'manual' },
    (redirect, fetch, env) => {
      env.on('/a', { status: 302, headers: { location: [env.path('/b'), env.path('/c')] } })
      return outcome(fetch, env.url('/a'), { redirect })
    },
    { only: 'h1' },
  ),
  ...each('hops', { 1: 1, 2: 2, 19: 19, 20: 20, 21: 21, 22: 22 }, (count, fetch, env) => {
    hops(env, count)
    return brief(fetch, env.url('/0'))
  }),
  {
    name: 'a loop of two',
    run: (fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.path('/b') } })
      env.on('/b', { status: 302, headers: { location: env.path('/a') } })
      return brief(fetch, env.url('/a'))
    },
  },
  {
    name: 'there and back again drops what is secret',
    run: (fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.other('/b') } })
      env.on('/b', { status: 302, headers: { location: env.url('/c') } })
      return brief(fetch, env.url('/a'), { headers: credentials })
    },
  },
  {
    name: 'the fragment is handed on over several hops',
    run: (fetch, env) => {
      env.on('/a', { status: 301, headers: { location: env.path('/b') } })
      env.on('/b', { status: 301, headers: { location: `${env.path('/c')}#new` } })
      env.on('/c', { status: 301, headers: { location: env.path('/d') } })
      return brief(fetch, env.url('/a#first'))
    },
  },
  {
    name: 'methods over several hops',
    run: (fetch, env) => {
      env.on('/a', { status: 308, headers: { location: env.path('/b') } })
      env.on('/b', { status: 307, headers: { location: env.path('/c') } })
      env.on('/c', { status: 303, headers: { location: env.path('/d') } })
      env.on('/d', { status: 307, headers: { location: env.path('/e') } })
      return brief(fetch, env.url('/a'), { method: 'PUT', body: 'text', headers: { 'content-type': 'a/b' } })
    },
  },
  {
    name: 'a body that the redirect carries is left unread',
    run: (fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.path('/b') }, body: 'moved '.repeat(20_000) })
      return brief(fetch, env.url('/a'))
    },
  },
  {
    name: 'a body of the redirect that never ends',
    run: (fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.path('/b') }, hang: 'body' })
      return brief(fetch, env.url('/a'))
    },
  },
  {
    name: 'a body of the redirect with a coding that lies',
    run: (fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.path('/b'), 'content-encoding': 'gzip' }, body: 'none' })
      return brief(fetch, env.url('/a'))
    },
  },
  {
    name: 'a redirect without a location and a body',
    run: async (fetch, env) => {
      const held = gate()
      env.on('/a', { status: 302, body: ['stay', held.promise, ' here'] })
      const response = await fetch(env.url('/a'))
      held.open()
      return whole(response)
    },
  },
  {
    name: 'manual, with a coding',
    run: (fetch, env) => {
      env.on('/a', { status: 302, headers: { location: '/b', 'content-encoding': 'gzip' }, body: 'none' })
      return outcome(fetch, env.url('/a'), { redirect: 'manual' })
    },
  },
  {
    name: 'cookies of a redirect are not kept',
    run: (fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.path('/b'), 'set-cookie': 'a=b' } })
      return outcome(fetch, env.url('/a'))
    },
  },
  {
    name: 'aborted between two hops',
    run: async (fetch, env) => {
      const controller = new AbortController()
      env.on('/a', { status: 302, headers: { location: env.path('/b') } })
      env.on('/b', { hang: 'head' })
      const call = settled(fetch(env.url('/a'), { signal: controller.signal }))
      await env.arrival('/b')
      controller.abort('enough')
      return call
    },
  },
  {
    name: 'range and conditions are kept',
    run: (fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.path('/b') } })
      return brief(fetch, env.url('/a'), { headers: { range: 'bytes=0-1', 'if-none-match': '"a"' } })
    },
  },
  {
    name: 'a Request is sent on',
    run: (fetch, env) => {
      env.on('/a', { status: 307, headers: { location: env.path('/b') } })
      const init = { method: 'POST', body: 'text', headers: { 'x-a': '1' } }
      return outcome(fetch, new env.classes.Request(env.url('/a'), init))
    },
  },
  {
    name: 'an error at the second hop',
    retried: true,
    run: async (fetch, env) => {
      const url = await env.raw((socket) => socket.destroy())
      env.on('/a', { status: 302, headers: { location: url.replace('/raw', '/gone') } })
      return settled(fetch(env.url('/a')).then(({ status }) => status))
    },
    only: 'h1',
  },
]

export const redirects = area(
  'redirects',
  each('status', Object.fromEntries(chain.map(([name, ...rest]) => [name, rest])), ([status, method], fetch, env) => {
    env.on('/a', { status: status as number, headers: { location: env.path('/b') }, body: 'moved' })
    const init = { method, headers: { 'x-a': '1', 'content-type': 'a/b' } }
    return outcome(fetch, env.url('/a#f'), init)
  }),
  ...[302, 303, 307, 308].map((status) =>
    each(`POST, ${status}, with`, bodies, (make, fetch, env) => {
      env.on('/a', { status, headers: { location: env.path('/b') } })
      return brief(fetch, env.url('/a'), { method: 'POST', ...make(env) })
    }),
  ),
  each('PUT, 307 to another origin, with', bodies, (make, fetch, env) => {
    env.on('/a', { status: 307, headers: { location: env.other('/b') } })
    return brief(fetch, env.url('/a'), { method: 'PUT', ...make(env) })
  }),
  each(
    'location',
    locations,
    (make, fetch, env) => {
      env.on('/a', { status: 302, headers: { location: make(env) } }, { body: 'came round' })
      return outcome(fetch, env.url('/a#f'))
    },
    { retried: true },
  ),
  each('not followed, location', locations, (make, fetch, env) => {
    env.on('/a', { status: 302, headers: { location: make(env) }, body: 'here' })
    return outcome(fetch, env.url('/a'), { redirect: 'manual' })
  }),
  ...modes.map((mode) =>
    each(`mode ${mode}`, { 300: 300, 301: 301, 303: 303, 304: 304, 308: 308 }, (status, fetch, env) => {
      env.on('/a', { status, headers: { location: env.path('/b') }, body: status === 304 ? '' : 'moved' })
      return outcome(fetch, env.url('/a'), { redirect: mode })
    }),
  ),
  ...modes.map((mode) =>
    each(
      `fetch mode ${mode}`,
      { 'same-origin': 'same-origin', 'no-cors': 'no-cors', cors: 'cors' },
      (kind, fetch, env) => {
        env.on('/a', { status: 302, headers: { location: env.other('/b') } })
        return outcome(fetch, env.url('/a'), { redirect: mode, mode: kind })
      },
    ),
  ),
  each('secrets to', { 'the same origin': false, 'another origin': true }, (crosses, fetch, env) => {
    env.on('/a', { status: 302, headers: { location: crosses ? env.other('/b') : env.path('/b') } })
    return brief(fetch, env.url('/a'), { headers: credentials })
  }),
  each(
    'referrer policy on the way',
    Object.fromEntries(policies.map((policy) => [policy || 'empty', policy])),
    (policy, fetch, env) => {
      env.on('/a', { status: 302, headers: { location: env.other('/b'), 'referrer-policy': policy } })
      return brief(fetch, env.url('/a'), { referrer: env.url('/from?q') })
    },
  ),
  byHand,
)
