import { createFetch, InvalidRequestError, retry } from 'roundtripper'
import { describe, expect, it } from 'vitest'
import { type CallInit, call, chainTo, errorOf, protocols, quick, serve } from './retry-servers.ts'

interface Wrong {
  readonly name: string
  readonly init: CallInit
  readonly message: RegExp
}

const secret = 'hunter2\r\nx-injected: 1'

const wrong: readonly Wrong[] = [
  {
    name: 'a header name with a space',
    init: { headers: { 'bad name': 'x' } },
    message: /header name "bad name" .*allowed: letters, digits/,
  },
  { name: 'an empty header name', init: { headers: ['', 'x'] }, message: /header name "" / },
  {
    name: 'a header value with a line break',
    init: { headers: { authorization: secret } },
    message: /"authorization" has a value with a character that is not allowed/,
  },
  {
    name: 'a header value beyond latin1',
    init: { headers: new Map([['x-name', '\u0416']]) as never },
    message: /"x-name" has a value/,
  },
  {
    name: 'an object as header value',
    init: { headers: { 'x-name': {} } as never },
    message: /"x-name" must be a string or an array of strings, got an instance of Object/,
  },
  { name: 'an odd list of headers', init: { headers: ['x-name'] }, message: /need a value for every name, got 1/ },
  {
    name: 'headers that are none',
    init: { headers: 7 as never },
    message: /headers must be an object, a flat array or pairs .*got 7/,
  },
  { name: 'two hosts', init: { headers: ['host', 'a', 'host', 'b'] }, message: /"host" must be given once/ },
  {
    name: 'a content-length of words',
    init: { method: 'PUT', headers: { 'content-length': 'ten' } },
    message: /"content-length" must be a number of bytes, got "ten"/,
  },
  { name: 'expect', init: { headers: { expect: '100-continue' } }, message: /"expect" cannot be sent/ },
  {
    name: 'a method with a space',
    init: { method: 'GET /' as never },
    message: /method must be a token such as GET, got "GET \/"/,
  },
  { name: 'a number as body', init: { method: 'PUT', body: 7 }, message: /body must be a string, bytes, .*got 7/ },
  {
    name: 'a plain object as body',
    init: { method: 'PUT', body: { a: 1 } },
    message: /body must be a string, bytes, .*got an instance of Object/,
  },
  { name: 'a query that is none', init: { query: 'a=1' as never }, message: /query must be an object, got "a=1"/ },
  { name: 'a negative timeout', init: { headersTimeout: -1 }, message: /headersTimeout .*at least 0, got -1/ },
  { name: 'throwOnError', init: { throwOnError: true } as never, message: /throwOnError is not supported/ },
]

describe.each(protocols)('a wrong request over $version', ({ protocol }) => {
  it.each(wrong)(
    '21: $name is refused before anything is sent, once, and harms no later call',
    async ({ init, message }) => {
      const server = await serve({ protocol })
      const chain = chainTo(server, retry(quick))
      // The agent is cold: undici alone would now wait for ever with every later call.
      const error = await errorOf(call(chain, server.url('/wrong'), init))
      expect(error).toBeInstanceOf(InvalidRequestError)
      expect(error).toMatchObject({ code: 'ERR_INVALID_REQUEST', origin: server.origin })
      expect((error as Error).message).toMatch(message)
      expect((error as Error).message).not.toContain('hunter2')
      expect(server.connections.opened).toBe(0)
      expect((await call(chain, server.url('/right'))).status).toBe(200)
      expect(server.requests.map(({ path }) => path)).toEqual(['/right'])
    },
  )

  it('21: a wrong path is told without its secrets', async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    const error = await new Promise<Error>((resolve) => {
      chain.dispatch(
        { origin: server.origin, path: '/a b?token=hunter2', method: 'GET' },
        { onRequestStart() {}, onResponseError: (_controller, reason) => resolve(reason) },
      )
    })
    expect(error.message).toMatch(/path must not hold spaces, .*percent-encode them.*"\/a b\?token=REDACTED"/)
    expect((await call(chain, server.url('/'))).status).toBe(200)
  })

  it.each(['ftp://127.0.0.1', 'file:///etc/passwd', 'localhost'])('21: %s is no URL to call', async (origin) => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    const error = await new Promise<Error>((resolve) => {
      chain.dispatch(
        { origin, path: '/', method: 'GET' },
        { onRequestStart() {}, onResponseError: (_controller, reason) => resolve(reason) },
      )
    })
    expect(error).toBeInstanceOf(InvalidRequestError)
    expect(error.message).toMatch(/URL must start with http:\/\/ or https:\/\//)
  })

  it('21: through fetch it is the cause of "fetch failed"', async () => {
    const server = await serve({ protocol })
    const fetch = createFetch(chainTo(server, retry(quick)))
    const error = await errorOf(fetch(server.url('/'), { method: 'GET ' as never, headers: { a: 'b' } }))
    expect(error).toBeInstanceOf(TypeError)
    expect(server.connections.opened).toBe(0)
  })

  it('lets through what is unusual and right', async () => {
    const server = await serve({ protocol, respond: { echo: true } })
    const chain = chainTo(server)
    const unusual: CallInit[] = [
      {
        headers: {
          'x-latin1': '\u00e9',
          'x-empty': '',
          'x-number': 7 as never,
          'x-list': ['a', 'b'],
          'x-null': null as never,
        },
      },
      { headers: new Map([['x-map', 'yes']]) as never },
      { headers: new Headers({ 'x-headers': 'yes' }) as never },
      { method: 'PURGE' as never },
      { method: 'PUT', body: [Buffer.from('a'), Buffer.from('b')] },
      { query: { a: 1, b: ['x', 'y'] } },
      { headers: { 'content-length': '3' }, method: 'PUT', body: 'abc' },
    ]
    for (const init of unusual) expect((await call(chain, server.url('/'), init)).status).toBe(200)
    expect(server.requests[0]?.headers).toMatchObject({ 'x-empty': '', 'x-number': '7', 'x-list': 'a, b' })
    expect(server.requests[4]?.body.toString()).toBe('ab')
    expect(server.requests[5]?.path).toBe('/?a=1&b=x&b=y')
  })
})
