import { Headers as UndiciHeaders } from 'undici'
import { area, type Case, each, type Fetch } from '../case.ts'
import type { Env } from '../env.ts'
import { outcome, settled } from '../observe.ts'

const shapes: Record<string, (env: Env) => unknown> = {
  none: () => ({}),
  'an object': () => ({ 'X-B': '1', 'x-a': '2', Accept: 'a/b' }),
  pairs: () => [
    ['x-b', '1'],
    ['X-A', '2'],
    ['x-b', '3'],
  ],
  "undici's Headers": () => new UndiciHeaders({ 'X-B': '1', 'x-a': '2' }),
  "the runtime's Headers": (env) => new env.runtime.Headers({ 'x-a': '1', 'x-b': '2' }),
  'Headers with repeated names': () => {
    const headers = new UndiciHeaders()
    headers.append('x-a', '1')
    headers.append('X-A', '2')
    return headers
  },
  'a Map': () => new Map([['x-a', '1']]),
  'a generator of pairs': () =>
    (function* () {
      yield ['x-a', '1']
      yield ['x-b', '2']
    })(),
  'pairs that are Sets': () => [new Set(['x-a', '1'])],
  'an object of another prototype': () => Object.create({ inherited: '1' }, { own: { value: '2', enumerable: true } }),
  'an object without a prototype': () => Object.assign(Object.create(null), { 'x-a': '1' }),
  'an object with a getter': () => ({
    get 'x-a'() {
      return '1'
    },
  }),
  'a name that is not enumerable': () => Object.defineProperty({}, 'x-a', { value: '1', enumerable: false }),
  'sixty names': () => Object.fromEntries(Array.from({ length: 60 }, (_, at) => [`x-name-${at}`, `value ${at}`])),
  'names in upper case': () => ({ ACCEPT: 'a/b', 'USER-AGENT': 'me', 'X-A': '1' }),
  'an empty array': () => [],
  'a long value': () => ({ 'x-a': 'v'.repeat(4000) }),
  'two names that differ in case only': () => ({ 'X-A': '1', 'x-a': '2' }),
  'a spread of a response head': () => Object.fromEntries(new UndiciHeaders({ 'x-a': '1', 'x-b': '2' })),
  cookie: () => ({ cookie: 'a=b; c=d' }),
  'two cookies': () => [
    ['cookie', 'a=b'],
    ['cookie', 'c=d'],
  ],
  'two set-cookies': () => [
    ['set-cookie', 'a=b'],
    ['set-cookie', 'c=d'],
  ],
}

const badShapes: Record<string, () => unknown> = {
  null: () => null,
  'a string': () => 'x-a: 1',
  'a number': () => 7,
  'an array of strings': () => ['x-a', '1'],
  'pairs of three': () => [['x-a', '1', '2']],
  'pairs of one': () => [['x-a']],
  'an array of null': () => [null],
  'a symbol': () => Symbol('x'),
  'a symbol as a name': () => ({ [Symbol('x')]: '1' }),
  'an iterator that throws': () => ({
    [Symbol.iterator]() {
      throw new RangeError('not now')
    },
  }),
  'an iterator that is no function': () => ({ [Symbol.iterator]: 7 }),
}

const values: Record<string, unknown> = {
  empty: '',
  'spaces around': '  a b\t',
  'only spaces': '   ',
  'a tab inside': 'a\tb',
  latin1: 'é ÿ',
  'beyond latin1': 'a€',
  'a line feed': 'a\nb',
  'a carriage return': 'a\rb',
  'a line feed at the end': 'a\n',
  'a line feed at the beginning': '\na',
  'a NUL': 'a\0b',
  'a control character': 'a\u0001b',
  'a DEL': 'a\u007fb',
  'a number': 7,
  'a boolean': false,
  null: null,
  undefined: undefined,
  'an object': {},
  'an array': ['a', 'b'],
  'an empty array': [],
  'a symbol': Symbol('a'),
  'a bigint': 7n,
  'an object with toString': { toString: () => 'told' },
  'a Date': new Date(0).toJSON(),
  'a comma': 'a, b',
  quotes: '"a\\"b"',
}

const badNames: Record<string, string> = {
  empty: '',
  'a space': 'x a',
  'a space at the end': 'x-a ',
  'a colon': 'x:a',
  'a leading colon': ':path',
  'not ASCII': 'x-é',
  'beyond latin1': 'x-€',
  'a line feed': 'x\na',
  'a NUL': 'x\0a',
  parentheses: 'x(a)',
}

const oddNames = ["!#$%&'*+-.^_`|~", '0', 'x_a', '__proto__x', 'constructor', 'toString', 'hasOwnProperty', 'length']

// Forbidden ones by the standard, and such as undici or HTTP/2 treat in a way of their own.
const special: Record<string, Record<string, string>> = {
  'accept-charset': { 'accept-charset': 'utf-8' },
  'accept-encoding': { 'accept-encoding': 'gzip' },
  'accept-encoding empty': { 'accept-encoding': '' },
  accept: { accept: 'text/html' },
  'accept empty': { accept: '' },
  'accept-language': { 'accept-language': 'de' },
  'user-agent': { 'user-agent': 'mine/1' },
  'user-agent empty': { 'user-agent': '' },
  'sec-fetch-mode': { 'sec-fetch-mode': 'navigate' },
  'sec-fetch-site': { 'sec-fetch-site': 'none' },
  host: { host: 'elsewhere.test' },
  origin: { origin: 'http://elsewhere.test' },
  referer: { referer: 'http://elsewhere.test/a' },
  date: { date: 'today' },
  dnt: { dnt: '1' },
  via: { via: '1.1 me' },
  authorization: { authorization: 'Basic YTpi' },
  'proxy-authorization': { 'proxy-authorization': 'Basic YTpi' },
  'access-control-request-method': { 'access-control-request-method': 'PUT' },
  range: { range: 'bytes=0-3' },
  'range with accept-encoding': { range: 'bytes=0-3', 'accept-encoding': 'gzip' },
  'range bad': { range: 'lines=1' },
  'if-none-match': { 'if-none-match': '"a"' },
  'if-modified-since': { 'if-modified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
  'if-unmodified-since': { 'if-unmodified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
  'if-match': { 'if-match': '"a"' },
  'if-range': { 'if-range': '"a"' },
  'if-none-match with cache-control': { 'if-none-match': '"a"', 'cache-control': 'max-age=1' },
  'if-none-match with pragma': { 'if-none-match': '"a"', pragma: 'x' },
  pragma: { pragma: 'no-cache' },
  'content-type without a body': { 'content-type': 'text/plain' },
  'content-encoding': { 'content-encoding': 'gzip' },
  'content-language': { 'content-language': 'de' },
  'x-http-method-override': { 'x-http-method-override': 'TRACE' },
  traceparent: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
  priority: { priority: 'u=1' },
}

const framing: Record<string, Record<string, string>> = {
  'content-length': { 'content-length': '4' },
  'content-length that is wrong': { 'content-length': '7' },
  'content-length that is none': { 'content-length': 'four' },
  'content-length empty': { 'content-length': '' },
  expect: { expect: '100-continue' },
  'transfer-encoding': { 'transfer-encoding': 'chunked' },
  'connection close': { connection: 'close' },
  'connection keep-alive': { connection: 'keep-alive' },
  'connection other': { connection: 'x-a' },
  'keep-alive': { 'keep-alive': 'timeout=5' },
  upgrade: { upgrade: 'websocket' },
  te: { te: 'trailers' },
  'proxy-connection': { 'proxy-connection': 'keep-alive' },
  trailer: { trailer: 'x-a' },
}

const send = (headers: unknown, fetch: Fetch, env: Env) => outcome(fetch, env.url('/a'), { headers })

const defaults: Case[] = [
  { name: 'default headers of GET', run: (fetch, env) => outcome(fetch, env.url('/a')) },
  ...each(
    'default headers',
    { POST: 'POST', PUT: 'PUT', PATCH: 'PATCH', DELETE: 'DELETE', HEAD: 'HEAD', OPTIONS: 'OPTIONS' },
    (method, fetch, env) => outcome(fetch, env.url('/a'), { method }),
  ),
  {
    name: 'default headers to localhost by name',
    run: (fetch, env) => settled(fetch(env.url('/a').replace('127.0.0.1', 'localhost')).then((r) => r.status)),
  },
  {
    name: 'a head is read at the call',
    run: async (fetch, env) => {
      const headers = new UndiciHeaders({ 'x-a': '1' })
      const call = outcome(fetch, env.url('/a'), { headers })
      headers.set('x-a', '2')
      return call
    },
  },
  {
    name: 'one Headers for two calls',
    run: async (fetch, env) => {
      const headers = new UndiciHeaders({ 'x-a': '1' })
      const seen = [await outcome(fetch, env.url('/a'), { headers }), await outcome(fetch, env.url('/b'), { headers })]
      return { seen, headers: [...headers] }
    },
  },
]

// Over HTTP/2 the reference is undone by these as the first request on a connection: it hangs, or loses its session.
export const headers = area(
  'headers',
  defaults,
  each('shape', shapes, (make, fetch, env) => send(make(env), fetch, env)),
  each('bad shape', badShapes, (make, fetch, env) => send(make(), fetch, env)),
  each('value', values, (value, fetch, env) => send({ 'x-a': value }, fetch, env)),
  each('value in pairs', values, (value, fetch, env) => send([['x-a', value]], fetch, env)),
  each('bad name', badNames, (name, fetch, env) => send({ [name]: 'a' }, fetch, env)),
  each('name', Object.fromEntries(oddNames.map((name) => [name, name])), (name, fetch, env) =>
    send([[name, 'a']], fetch, env),
  ),
  each('special', special, send),
  each('framing without a body', framing, send, { only: 'h1' }),
  each(
    'framing with a body',
    framing,
    (given, fetch, env) => outcome(fetch, env.url('/a'), { method: 'POST', headers: given, body: 'four' }),
    { only: 'h1' },
  ),
  each('content type with a body', { own: 'application/json', empty: '', odd: 'x' }, (type, fetch, env) =>
    outcome(fetch, env.url('/a'), { method: 'POST', headers: { 'content-type': type }, body: 'text' }),
  ),
)
