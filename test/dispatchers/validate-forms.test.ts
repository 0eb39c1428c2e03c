// What is said of a request that cannot be sent: which part, what was given, what is allowed, and no secret.
import fc from 'fast-check'
import { InvalidRequestError } from 'roundtripper'
import { FormData as UndiciFormData } from 'undici'
import { describe, expect, it } from 'vitest'
import { originOf } from '../../src/dispatchers/origin-of.ts'
import { checkRequest } from '../../src/dispatchers/validate.ts'

const right = { origin: 'https://api.example.com', path: '/', method: 'GET' }

function check(given: object): InvalidRequestError | boolean {
  const opts = { ...right, ...given } as Parameters<typeof checkRequest>[0]
  return checkRequest(opts, originOf(opts))
}

function messageOf(given: object): string {
  const verdict = check(given)
  return typeof verdict === 'boolean' ? `let through (${verdict})` : verdict.message
}

describe('what is refused', () => {
  it.each<[string, object, RegExp]>([
    [
      'a scheme',
      { origin: 'ftp://example.com' },
      /must start with http:\/\/ or https:\/\/, got origin "ftp:\/\/example\.com"/,
    ],
    ['no scheme', { origin: 'example.com' }, /must start with http:\/\/ or https:\/\/, got origin "example\.com"/],
    [
      'a port',
      { origin: 'http://example.com:99999' },
      /origin must be a URL of scheme, host and port, got "http:\/\/example\.com:99999"/,
    ],
    ['a host', { origin: 'http://a b' }, /origin must be a URL/],
    ['a path in the origin', { origin: 'http://example.com/v1' }, /the rest in path, got "http:\/\/example\.com\/v1"/],
    [
      'a path in the URL',
      { origin: new URL('http://example.com/v1') },
      /the rest in path, got "http:\/\/example\.com\/v1"/,
    ],
    ['a fragment in the origin', { origin: 'http://example.com/#a' }, /the rest in path/],
    ['a number as origin', { origin: 5 }, /must start with http:\/\/ or https:\/\/, got origin "5"/],
    ['an object as origin', { origin: {} }, /must start with http:\/\/ or https:\/\//],
    ['no path', { path: undefined }, /path must be a string, got undefined/],
    ['an asterisk', { path: '*', method: 'OPTIONS' }, /path must start with a slash or be an absolute URL, got "\*"/],
    ['a path with a space', { path: '/a b' }, /percent-encode them\), got "\/a b"/],
    ['a path with a line break', { path: '/a\r\nhost: x' }, /percent-encode them/],
    ['a path beyond latin1', { path: '/字' }, /above U\+00FF/],
    ['no method', { method: undefined }, /method must be a token such as GET, got undefined/],
    ['an empty method', { method: '' }, /method must be a token such as GET, got ""/],
    ['a method with a line break', { method: 'GET\r\n' }, /method must be a token/],
    ['a header name with a colon', { headers: { 'a:b': 'c' } }, /header name "a:b" is not a token/],
    ['a header name beyond ASCII', { headers: { ü: 'c' } }, /header name "ü" is not a token/],
    ['a very long header name', { headers: { ['ü'.repeat(500)]: 'c' } }, /header name "ü{80}\.\.\." is not a token/],
    [
      'a header value with NUL',
      { headers: { a: 'b\0' } },
      /header "a" has a value with a character that is not allowed/,
    ],
    ['one of several values', { headers: { a: ['b', 'c\n'] } }, /header "a" has a value with a character/],
    ['a value in a list', { headers: ['a', 'b', 'c', '字'] }, /header "c" has a value with a character/],
    ['a value in pairs', { headers: new Map([['c', '\r']]) }, /header "c" has a value with a character/],
    [
      'an object as header value',
      { headers: { a: { b: 1 } } },
      /header "a" must be a string or an array of strings, got an instance of Object/,
    ],
    [
      'a function as header value',
      { headers: { a: () => 'secret' } },
      /header "a" must be a string or an array of strings, got a function$/,
    ],
    ['a symbol as header value', { headers: { a: Symbol('b') } }, /header "a" must be a string/],
    [
      'a list in a list',
      { headers: { a: [['b']] } },
      /header "a" must be a string or an array of strings, got an instance of Array/,
    ],
    [
      'a list of pairs',
      {
        headers: [
          ['a', 'b'],
          ['c', 'd'],
        ],
      },
      /header name an instance of Array is not a token/,
    ],
    ['pairs of three', { headers: new Set([['a', 'b', 'c']]) }, /headers must be an object, a flat array or pairs/],
    [
      'text as headers',
      { headers: 'a: b' },
      /headers must be an object, a flat array or pairs of name and value, got "a: b"/,
    ],
    ['two hosts of different spelling', { headers: ['host', 'a', 'Host', 'b'] }, /"host" must be given once/],
    ['a list of hosts', { headers: { host: ['a', 'b'] } }, /"host" must be one string, got an array/],
    ['half an IPv6 host', { headers: { host: '[::1' } }, /"host" has a bracket that is not closed, got "\[::1"/],
    ['two lengths', { headers: ['content-length', '1', 'Content-Length', '1'] }, /"content-length" must be given once/],
    ['a negative length', { headers: { 'content-length': -1 } }, /"content-length" must be a number of bytes, got -1/],
    [
      'a list of connection options',
      { headers: { connection: ['close'] } },
      /"connection" must be names of connection options/,
    ],
    ['a connection option with a space', { headers: { connection: 'keep alive' } }, /"connection" .* got "keep alive"/],
    ['no connection option', { headers: { connection: '' } }, /"connection" must be names/],
    [
      'expect',
      { headers: { Expect: '100-continue' } },
      /"Expect" cannot be sent; for HTTP\/2 set expectContinue: true/,
    ],
    ["Node's own FormData", { body: new FormData() }, /body must be .*undici's FormData.*got an instance of FormData/],
    ['a Map as body', { body: new Map([['a', 'b']]) }, /body must be .*got an instance of Map/],
    ['true as body', { body: true }, /body must be a string, bytes.*got true/],
    ['a date as body', { body: new Date() }, /body must be .*got an instance of Date/],
    ['half a stream', { body: { pipe() {} } }, /body must be/],
    ['query text', { query: 'a=1' }, /query must be an object, got "a=1"/],
    ['a second query', { path: '/?a=1', query: { b: 2 } }, /query cannot be added to a path that already has one/],
    ['a query of half characters', { query: { a: '\ud800' } }, /query must hold well-formed text/],
    ['a timeout of text', { bodyTimeout: '5' }, /bodyTimeout must be a number of milliseconds of at least 0, got "5"/],
    [
      'an endless timeout',
      { headersTimeout: Number.POSITIVE_INFINITY },
      /headersTimeout must be a number .*got Infinity/,
    ],
    ['reset', { reset: 1 }, /reset must be true or false, got 1/],
    ['expectContinue', { expectContinue: 'yes' }, /expectContinue must be true or false, got "yes"/],
    ['upgrade', { upgrade: true }, /upgrade must be the name of a protocol, got true/],
    ['an upgrade with a line break', { upgrade: 'a\r\nb' }, /upgrade must be the name of a protocol/],
    ['a type of service', { typeOfService: 256 }, /typeOfService must be a whole number from 0 to 255, got 256/],
    ['a server name', { servername: 7 }, /servername must be a host name, got 7/],
    [
      'a misspelt mark',
      { resilience: { idempotnt: true } },
      /unknown option "idempotnt"; known are idempotent, urlTemplate, deadline, attemptTimeout, priority$/,
    ],
    ['a mark that is no mark', { resilience: { idempotent: 'yes' } }, /idempotent must be true or false, got "yes"/],
    ['a template', { resilience: { urlTemplate: 7 } }, /resilience: urlTemplate must be a string, got 7/],
    ...[0, -5, 0.5, 2 ** 31, Number.POSITIVE_INFINITY, Number.NaN, '100', true, null, {}].flatMap((value) =>
      ['deadline', 'attemptTimeout'].map((name): [string, object, RegExp] => [
        `${name} ${value}`,
        { resilience: { [name]: value } },
        new RegExp(`resilience: ${name} must be a number of milliseconds from 1 to 2147483647, or false, got .+`),
      ]),
    ),
    ...['urgent', 0, null, 'Critical'].map((priority): [string, object, RegExp] => [
      `priority ${priority}`,
      { resilience: { priority } },
      /resilience: priority must be one of "critical", "normal", "sheddable", got .+/,
    ]),
    ['marks of text', { resilience: 'x' }, /resilience must be an object of options, got "x"/],
    ['redirections', { maxRedirections: 2 }, /put undici's redirect interceptor into the chain/],
  ])('21: %s', (_name, given, message) => {
    expect(check(given)).toBeInstanceOf(InvalidRequestError)
    expect(messageOf(given)).toMatch(message)
  })

  it('a secret in the wrong place is not written down', () => {
    const secret = 'hunter2'
    expect(messageOf({ origin: `ftp://me:${secret}@example.com` })).toMatch(/"REDACTED@example\.com"/)
    expect(messageOf({ origin: `me:p@${secret}@example.com` })).not.toContain(secret)
    expect(messageOf({ path: `a?token=${secret}` })).toMatch(/"a\?token=REDACTED"/)
    expect(messageOf({ path: `/?token=${secret}`, query: {} })).not.toContain(secret)
  })

  it('no header value is written down, whatever is wrong with it', () => {
    const names = fc.constantFrom('authorization', 'cookie', 'x-key', 'te', 'proxy-authorization')
    const wrongValues = fc.constantFrom<unknown>(
      'hunter2\n',
      ['a', 'hunter2\0'],
      { hunter2: 'hunter2' },
      () => 'hunter2',
    )
    const property = fc.property(names, wrongValues, fc.boolean(), (name, value, flat) => {
      const message = messageOf({ headers: flat ? [name, value] : { [name]: value } })
      expect(message).toContain(`"${name}"`)
      expect(message).not.toContain('hunter2')
    })
    fc.assert(property)
  })
})

describe('what is let through', () => {
  it.each<[string, object, boolean]>([
    ['no origin, for a dispatcher that has one', { origin: undefined }, false],
    ['an origin with a slash', { origin: 'https://example.com/' }, false],
    ['an origin in capitals', { origin: 'HTTPS://EXAMPLE.COM:443' }, false],
    ['a URL', { origin: new URL('http://[::1]:8080') }, false],
    ['an absolute path, for a proxy', { path: 'http://example.com/a' }, false],
    ['any target of a CONNECT', { path: 'example.com:443', method: 'CONNECT' }, false],
    ['latin1 in a path', { path: '/ü' }, false],
    ['a method in small letters', { method: 'get' }, false],
    ['a method of its own', { method: 'M-SEARCH' }, false],
    ['obs-text, tabs and nothing in values', { headers: { a: '\x80ÿ', b: '\t', c: '' } }, false],
    ['numbers, booleans and nulls as values', { headers: { a: 1, b: true, c: null, d: 10n, e: undefined } }, false],
    ['several values', { headers: { a: ['b', 1, null] } }, false],
    ['Headers', { headers: new Headers({ a: 'b' }) }, false],
    [
      'pairs',
      {
        headers: new Set([
          ['a', 'b'],
          ['a', 'c'],
        ]),
      },
      false,
    ],
    ['no headers', { headers: null }, false],
    ['a host that is a number', { headers: { host: 5 } }, false],
    ['connection options', { headers: { connection: 'keep-alive, x-a' } }, false],
    ['headers of one connection, which the edge takes care of', { headers: { TE: 'gzip' } }, true],
    ['the same in a list', { headers: ['a', 'b', 'Keep-Alive', 'timeout=5'] }, true],
    ['one of them without a value', { headers: { te: undefined } }, false],
    ["undici's FormData", { body: new UndiciFormData() }, false],
    ['a function that makes a body', { body: () => 'a' }, false],
    ['shared bytes', { body: new SharedArrayBuffer(1) }, false],
    ['parameters', { body: new URLSearchParams({ a: 'b' }) }, false],
    ['lists of bytes', { body: [Buffer.from('a')] }, false],
    ['an empty text', { body: '' }, false],
    ['a query', { query: { a: 1, b: ['c', 'd'] } }, false],
    ['no timeout', { headersTimeout: 0, bodyTimeout: null }, false],
    ['an upgrade', { upgrade: 'websocket' }, false],
  ])('%s', (_name, given, carriesConnectionHeaders) => {
    expect(messageOf(given)).toBe(`let through (${carriesConnectionHeaders})`)
  })
})
