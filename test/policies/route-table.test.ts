import { URLPattern } from 'urlpattern-polyfill/urlpattern'
import { describe, expect, it } from 'vitest'
import { checkTable, type RouteRule } from '../../src/policies/route-rule.ts'
import { type Call, labelOf, tableOf } from './route-fixtures.ts'

function find(routes: readonly RouteRule[], given: Partial<Call> | string): string | null {
  const call = typeof given === 'string' ? { path: given } : given
  return labelOf(tableOf(routes), { method: 'GET', origin: 'https://a.test', path: '/', headers: {}, ...call })
}

/** Routes that are called as their paths are. */
const paths = (...given: readonly string[]): RouteRule[] => given.map((path) => ({ path, name: path }))

describe('the path of a request', () => {
  it.each<readonly [path: string, routes: readonly string[], expected: string | null]>([
    ['/api/user/7', ['/api/*', '/api/user/*'], '/api/user/*'],
    ['/api/order/7', ['/api/*', '/api/user/*'], '/api/*'],
    ['/api/user', ['/api/*', '/api/user/*'], '/api/*'],
    ['/api/', ['/api/*'], '/api/*'],
    ['/api', ['/api/*'], null],
    ['/apiary', ['/api/*', '/api*'], '/api*'],
    ['/a', ['/a', '/:x', '/*', '*'], '/a'],
    ['/b', ['/a', '/:x', '/*', '*'], '/:x'],
    ['/b/c', ['/a', '/:x', '/*', '*'], '/*'],
    ['/', ['/a', '/:x', '/*', '*'], '/*'],
    ['/', ['/', '/*'], '/'],
    ['/a/b/c', ['/:x/b/c', '/a/:y/*'], '/a/:y/*'],
    ['/a/b', ['/:x/b', '/a/*', '/a/:y'], '/a/:y'],
    // Down a way that is more literal at first, and back again.
    ['/a/b/d', ['/a/b/c', '/a/:x/d', '/:x/b/d'], '/a/:x/d'],
    ['/z/b/d', ['/a/b/c', '/a/:x/d', '/:x/b/d'], '/:x/b/d'],
    ['/f/report.pdf', ['/f/:name', '/f/:name.pdf', '/f/:name.:type'], '/f/:name.pdf'],
    ['/f/report.txt', ['/f/:name', '/f/:name.pdf', '/f/:name.:type'], '/f/:name.:type'],
    ['/u/42', ['/u/:id', '/u/:id(\\d+)'], '/u/:id(\\d+)'],
    ['/u/me', ['/u/:id', '/u/:id(\\d+)'], '/u/:id'],
    ['/v2/x', ['/v:n(\\d)/*', '/:any/*'], '/v:n(\\d)/*'],
    ['/img-big-1', ['/img-*', '/img-big-*'], '/img-big-*'],
    ['/a', ['/a/:x?', '/b'], '/a/:x?'],
    ['/a/x', ['/a/:x?', '/b'], '/a/:x?'],
    ['/a/x/y', ['/a/:x+', '/a/:x?'], '/a/:x+'],
    ['/a', ['/a/:x?', '/a'], '/a'],
    ['/api', ['/api{/*}?', '/*'], '/api{/*}?'],
    ['/api/x/y', ['/api{/*}?', '/*'], '/api{/*}?'],
    ['/apix', ['/api{/*}?', '/*'], '/*'],
    ['/about', ['{/:lang}?/about', '/about'], '/about'],
    ['/en/about', ['{/:lang}?/about', '/about'], '{/:lang}?/about'],
    ['/x/a/y/b', ['/x/*/b', '/x/*'], '/x/*/b'],
    ['/a*b', ['/a\\*b', '/:x'], '/a\\*b'],
    // Neither a slash more nor one less is the same path.
    ['/a/', ['/a', '/a/'], '/a/'],
    ['/a//b', ['/a/b', '/a/:x/b'], null],
    ['/a//b', ['/a//b'], '/a//b'],
    ['//a', ['/a', '//a'], '//a'],
    ['/A', ['/a'], null],
    // As a URL parser leaves it.
    ['/a/../admin', ['/a/*', '/admin'], '/admin'],
    ['/a/%2e%2e/admin', ['/a/*', '/admin'], '/admin'],
    ['/a/%2E./admin', ['/a/*', '/admin'], '/admin'],
    ['/a/..', ['/a/*', '/'], '/'],
    ['/a/./b', ['/a/b', '/a/*'], '/a/b'],
    ['/../../admin', ['/admin'], '/admin'],
    ['/a/..;/admin', ['/a/*', '/admin'], '/a/*'],
    ['/a\\..\\admin', ['/a/*', '/admin'], '/admin'],
    ['/...', ['/:x'], '/:x'],
    ['/.well-known/x', ['/.well-known/*'], '/.well-known/*'],
    // One way of writing each character: RFC 3986 §6.2.2.
    ['/%61dmin', ['/admin', '/:x'], '/admin'],
    ['/admin', ['/%61dmin', '/:x'], '/%61dmin'],
    ['/%2561dmin', ['/admin', '/:x'], '/:x'],
    ['/a%2fb', ['/a/b', '/:x'], '/:x'],
    ['/a%2fb', ['/a%2Fb', '/:x'], '/a%2Fb'],
    ['/caf%c3%a9', ['/café'], '/café'],
    ['/café', ['/caf%C3%A9'], '/caf%C3%A9'],
    ['/a b', ['/a%20b'], '/a%20b'],
    ['/\u0361', ['/a'], null],
    // No part of it.
    ['/a?b=/c', ['/a', '/a/*'], '/a'],
    ['/a/?b', ['/a', '/a/'], '/a/'],
    ['/a#b', ['/a'], '/a'],
    ['/a?../..', ['/a'], '/a'],
    // As a proxy is asked.
    ['http://b.test/a/../b?c', ['/a', '/b'], '/b'],
    ['HTTP://b.test', ['/'], '/'],
    // CONNECT has an authority in its place.
    ['b.test:443', ['/*', '/:x'], null],
    ['b.test:443', ['/*', '*'], '*'],
  ])('of %s and %j it is %s', (path, routes, expected) => {
    expect(find(paths(...routes), path)).toBe(expected)
  })

  it('what is no path fits no pattern of paths', () => {
    expect(find(paths('/', '*'), { path: undefined as unknown as string })).toBe('*')
  })

  it('segments with the same hash are told apart', () => {
    // Aa and BB are the classic pair of this hash.
    const routes = paths('/AaAa', '/BBBB', '/AaBB')
    expect(['/AaAa', '/BBBB', '/AaBB', '/BBAa'].map((path) => find(routes, path))).toEqual([
      '/AaAa',
      '/BBBB',
      '/AaBB',
      null,
    ])
  })
})

it('the polyfill of URLPattern stays out of the globals', () => {
  expect((globalThis as { URLPattern?: unknown }).URLPattern).not.toBe(URLPattern)
})

describe('the rest of a request', () => {
  const a = 'https://a.test'

  it.each<readonly [what: string, routes: readonly RouteRule[], call: Partial<Call>, expected: string | null]>([
    ['method', [{ name: 'get', methods: ['GET'] }, { name: 'all' }], { method: 'GET' }, 'get'],
    ['another method', [{ name: 'get', methods: ['GET'] }, { name: 'all' }], { method: 'POST' }, 'all'],
    ['methods are case-sensitive', [{ name: 'x', methods: ['Foo'] }], { method: 'foo' }, null],
    ['host', [{ name: 'a', host: 'a.test' }, { name: 'all' }], { origin: a }, 'a'],
    ['host in capitals', [{ name: 'a', host: 'A.Test' }], { origin: a }, 'a'],
    [
      'host and a port',
      [
        { name: 'p', host: 'a.test:8443' },
        { name: 'a', host: 'a.test' },
      ],
      { origin: `${a}:8443` },
      'p',
    ],
    [
      'host and another port',
      [
        { name: 'p', host: 'a.test:8443' },
        { name: 'a', host: 'a.test' },
      ],
      { origin: a },
      'a',
    ],
    ['the port of the scheme', [{ name: 's', host: 'a.test:443' }], { origin: a }, 's'],
    ['not that of another scheme', [{ name: 's', host: 'a.test:443' }], { origin: 'http://a.test' }, null],
    [
      'Host header first',
      [
        { name: 'b', host: 'b.test' },
        { name: 'a', host: 'a.test' },
      ],
      { headers: { host: 'B.test' } },
      'b',
    ],
    ['Host header with a port', [{ name: 'b', host: 'b.test:81' }], { headers: { host: 'b.test:81' } }, 'b'],
    ['Host header that is none', [{ name: 'b', host: '*' }, { name: 'all' }], { headers: { host: 'a b/c' } }, 'all'],
    ['the root', [{ name: 'a', host: 'a.test' }], { headers: { host: 'a.test.' } }, 'a'],
    ['subdomains', [{ name: 'w', host: '*.a.test' }], { origin: 'https://x.y.a.test' }, 'w'],
    ['no subdomain', [{ name: 'w', host: '*.a.test' }], { origin: a }, null],
    [
      'the longer suffix',
      [
        { name: 'w', host: '*.test' },
        { name: 'x', host: '*.a.test' },
      ],
      { origin: 'https://b.a.test' },
      'x',
    ],
    ['a host of URLPattern', [{ name: 'n', host: ':tenant.a.test' }], { origin: 'https://t1.a.test' }, 'n'],
    ['a host of IPv6', [{ name: 'v6', host: '[::1]:80' }], { origin: 'http://[0:0::1]' }, 'v6'],
    [
      'path before host',
      [
        { name: 'h', host: 'a.test', path: '/*' },
        { name: 'p', path: '/a' },
      ],
      { path: '/a' },
      'p',
    ],
    ['header', [{ name: 'h', headers: { 'X-A': '1' } }, { name: 'all' }], { headers: { 'x-a': '1' } }, 'h'],
    ['another value', [{ name: 'h', headers: { 'X-A': '1' } }, { name: 'all' }], { headers: { 'x-a': '2' } }, 'all'],
    ['a header there', [{ name: 'h', headers: { 'x-a': true } }], { headers: { 'x-a': '' } }, 'h'],
    ['a header not there', [{ name: 'h', headers: { 'x-a': false } }], { headers: { 'x-a': '' } }, null],
    ['a RegExp', [{ name: 'h', headers: { 'x-a': /^v\d/g } }], { headers: { 'x-a': 'v1' } }, 'h'],
    [
      'a value before presence',
      [
        { name: 't', headers: { 'x-a': true } },
        { name: 'v', headers: { 'x-a': '1' } },
      ],
      { headers: { 'x-a': '1' } },
      'v',
    ],
    [
      'media type',
      [{ name: 'j', contentType: 'application/JSON' }],
      { headers: { 'content-type': 'Application/json; charset=utf-8' } },
      'j',
    ],
    [
      'media type before range',
      [
        { name: 'r', contentType: 'image/*' },
        { name: 'p', contentType: 'image/png' },
      ],
      { headers: { 'content-type': 'image/png' } },
      'p',
    ],
    ['range', [{ name: 'r', contentType: 'image/*' }], { headers: { 'content-type': 'image/gif' } }, 'r'],
    ['any type', [{ name: 'r', contentType: '*/*' }], {}, null],
    [
      'more conditions',
      [
        { name: 'one', methods: ['GET'] },
        { name: 'two', methods: ['GET'], headers: { 'x-a': true } },
      ],
      { headers: { 'x-a': '1' } },
      'two',
    ],
    [
      'priority beats all',
      [
        { name: 'p', priority: 1 },
        { name: 'x', path: '/a', methods: ['GET'] },
      ],
      { path: '/a' },
      'p',
    ],
    ['a low priority', [{ name: 'p', path: '/a', priority: -1 }, { name: 'x' }], { path: '/a' }, 'x'],
  ])('%s', (_, routes, call, expected) => {
    expect(find(routes, call)).toBe(expected)
  })

  it('many routes that differ in a header, a method or a host', () => {
    const routes = [
      ...Array.from({ length: 50 }, (__, at) => ({ name: `t${at}`, headers: { 'x-t': `t${at}`, 'x-u': `${at % 2}` } })),
      ...Array.from({ length: 50 }, (__, at) => ({ name: `m${at}`, methods: [`M${at}`], headers: { 'x-m': true } })),
      ...Array.from({ length: 50 }, (__, at) => ({ name: `h${at}`, host: `h${at}.test` })),
      { name: 'all' },
    ]
    const table = tableOf(routes)
    const call = { method: 'GET', origin: a, path: '/', headers: {} }
    for (const at of [0, 1, 7, 49]) {
      expect(labelOf(table, { ...call, headers: { 'x-t': `t${at}`, 'x-u': `${at % 2}` } })).toBe(`t${at}`)
      expect(labelOf(table, { ...call, headers: { 'x-t': `t${at}`, 'x-u': 'no' } })).toBe('all')
      expect(labelOf(table, { ...call, method: `M${at}`, headers: { 'x-m': '' } })).toBe(`m${at}`)
      expect(labelOf(table, { ...call, origin: `https://h${at}.test` })).toBe(`h${at}`)
    }
    expect(labelOf(table, call)).toBe('all')
  })

  it('more hosts than are remembered', () => {
    const table = tableOf([{ name: 'even', host: '*.even.test' }, { name: 'all' }])
    for (let at = 0; at < 3000; at++) {
      const host = `h${at}.${at % 2 === 0 ? 'even' : 'odd'}.test`
      const expected = at % 2 === 0 ? 'even' : 'all'
      expect(labelOf(table, { method: 'GET', origin: a, path: '/', headers: { host } })).toBe(expected)
    }
  })
})

describe('a table that is wrong', () => {
  const thrown = (routes: unknown) => {
    try {
      tableOf(routes as readonly RouteRule[])
    } catch (error) {
      return error as Error
    }
    throw new Error('nothing was thrown')
  }

  it('tells all that is wrong with it', () => {
    const { message } = thrown([
      { path: 7, host: 'a b', methods: ['get'], headers: { 'a b': '1' }, contentType: 'json', name: '', foo: 1 },
      { path: '/a?b', methods: [], headers: { a: 1 } },
      { path: 'a', methods: ['G T'], headers: { a: '1', A: '2' }, name: 'x' },
      { path: '/..:x', methods: 'GET', headers: [], host: 7, name: 'x' },
      { host: 'a.test:99999', name: 'routes[0]' },
      { host: '' },
    ])
    expect(message.split('; ')).toEqual([
      'route: routes[0]: unknown option "foo"',
      'known are path, methods, host, headers, contentType, priority, name, to',
      'route: routes[0].name must be a name, and none such as "routes[0]", got ""',
      'route: routes[0].path must be a pattern such as "/api/*", got 7',
      'route: routes[0].methods must be methods in capitals, "GET", got "get"',
      expect.stringMatching(/^route: routes\[0\]\.host must be a host such as .*, got "a b": /),
      'route: routes[0].headers must have names of headers, got "a b"',
      'route: routes[0].contentType must be a media type without parameters such as "application/json" or "image/*", got "json"',
      expect.stringMatching(
        /^route: routes\[1\]\.path must be a pathname of URLPattern such as "\/api\/\*", got "\/a\?b": /,
      ),
      'route: routes[1].methods must be a list of at least one method, got []',
      'route: routes[1].headers["a"] must be a value, true (it is there), false (it is not) or a RegExp, got 1',
      'route: routes[2].path must be a pathname of URLPattern such as "/api/*", got "a": must begin with a slash, or be *',
      'route: routes[2].methods must be methods such as "GET", got "G T"',
      'route: routes[2].headers must name a header once, got "A" again',
      'route: routes[3].path must be a pathname of URLPattern such as "/api/*", got "/..:x": must have no segment . or ..',
      'route: routes[3].methods must be a list of at least one method, got "GET"',
      'route: routes[3].host must be a host such as "api.example.com", "*.example.com" or "*.example.com:8443", got 7',
      'route: routes[3].headers must be an object of headers, got an array',
      'route: routes[3].name must be its own, got "x", which routes[2] has',
      'route: routes[4].name must be a name, and none such as "routes[0]", got "routes[0]"',
      expect.stringMatching(/^route: routes\[4\]\.host .*, got "a\.test:99999": a port is at most 65535$/),
      expect.stringMatching(/^route: routes\[5\]\.host .*, got "": must not be empty$/),
    ])
  })

  it('is a RangeError where nothing but a number is out of range', () => {
    expect(thrown([{ priority: 1e7 }])).toBeInstanceOf(RangeError)
    expect(thrown([{ priority: 1e7 }, { priority: 'x' }])).toBeInstanceOf(TypeError)
    expect(thrown([{ priority: 1e7 }]).message).toContain(
      'routes[0].priority must be a number from -1000000 to 1000000',
    )
  })

  it('tells what is no table, no route, and no target', () => {
    const check = (routes: unknown) => () =>
      checkTable('route', routes as [], (option) => {
        throw new TypeError(`${option} is none`)
      })
    expect(check({})).toThrow('route: routes must be a list of routes, got an object')
    expect(check([7, { path: '/' }])).toThrow(/routes\[0\] must be a route .*, got 7; route: routes\[1\]\.to is none$/)
  })

  it.each<readonly [what: string, one: RouteRule, other: RouteRule, isConflict: boolean]>([
    ['the same path', { path: '/a' }, { path: '/a' }, true],
    ['nothing at all', {}, { path: '*' }, true],
    ['names of parameters', { path: '/a/:x/:y' }, { path: '/a/:id/:z' }, true],
    ['one written otherwise', { path: '/%61' }, { path: '/a' }, true],
    ['other literals', { path: '/a/:x' }, { path: '/b/:x' }, false],
    ['other literals after a name', { path: '/:x/a' }, { path: '/:x/b' }, false],
    ['other literals after a wildcard', { path: '/*/a' }, { path: '/*/b' }, false],
    ['wildcards that meet', { path: '/a*' }, { path: '/a*' }, true],
    ['parts that meet', { path: '/a-:x' }, { path: '/:x-b' }, true],
    ['parts that do not', { path: '/a-:x' }, { path: '/b-:x' }, false],
    ['the same regular expression', { path: '/:x(\\d+)' }, { path: '/:id(\\d+)' }, true],
    ['another regular expression', { path: '/:x(\\d+)' }, { path: '/:x([a-z]+)' }, false],
    ['the more literal one', { path: '/a/*' }, { path: '/a/:x' }, false],
    ['other methods', { methods: ['GET', 'PUT'] }, { methods: ['POST'] }, false],
    ['methods in common', { methods: ['GET', 'PUT'] }, { methods: ['PUT'] }, true],
    ['other hosts', { host: 'a.test' }, { host: 'b.test' }, false],
    ['the same host', { host: 'a.test' }, { host: 'A.TEST' }, true],
    ['other suffixes', { host: '*.a.test' }, { host: '*.b.test' }, false],
    ['the same suffix', { host: '*.a.test' }, { host: '*.a.test' }, true],
    ['other ports', { host: 'a.test:1' }, { host: 'a.test:2' }, false],
    ['other values', { headers: { a: '1' } }, { headers: { A: '2' } }, false],
    ['the same value', { headers: { a: '1' } }, { headers: { A: '1' } }, true],
    ['other headers', { headers: { a: '1' } }, { headers: { b: '1' } }, true],
    ['there and not there', { headers: { a: true } }, { headers: { a: false } }, false],
    ['a RegExp that could be the same', { headers: { a: /1/ } }, { headers: { a: /2/ } }, true],
    ['other media types', { contentType: 'text/plain' }, { contentType: 'text/html' }, false],
    ['other ranges', { contentType: 'text/*' }, { contentType: 'image/*' }, false],
    ['other priorities', { path: '/a' }, { path: '/a', priority: 1 }, false],
  ])('a conflict, or none: %s', (_, one, other, isConflict) => {
    for (const routes of [
      [one, other],
      [other, one],
    ]) {
      if (isConflict)
        expect(thrown(routes).message).toContain('none is more literal: routes[0] and routes[1]. Give one')
      else expect(() => tableOf(routes)).not.toThrow()
    }
  })

  it('tells all conflicts, and by which names', () => {
    const { message } = thrown([
      { path: '/a', name: 'first' },
      { path: '/b' },
      { path: '/a' },
      { path: '/:x' },
      { path: '/:y' },
    ])
    expect(message).toBe(
      'route: of these routes both fit the same calls, and none is more literal: "first" (routes[0]) and routes[2]; ' +
        'routes[3] and routes[4]. Give one of each a higher priority, or a condition that the other does not fit.',
    )
    expect(thrown(Array.from({ length: 10 }, () => ({}))).message).toContain('; and 25 more. Give')
  })
})
