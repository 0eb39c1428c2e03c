import type { IncomingHttpHeaders } from 'node:http'
import { classify, type RetryOptions, retry } from 'roundtripper'
import type { Step } from 'roundtripper/testing'
import { Agent } from 'undici'
import { describe, expect, it } from 'vitest'
import { compose } from '../../src/index.ts'
import { type CallInit, call, callByFetch, chainTo, errorOf, protocols, quick, send, serve } from './retry-servers.ts'

const clients = [
  ['request', call],
  ['fetch', callByFetch],
] as const

describe.each(protocols)('outcomes over HTTP/$version', ({ protocol }) => {
  describe.each(clients)('through %s', (_client, by) => {
    it.each([0, 10, 300_000])(
      '13: the last response reaches the caller, its body of %d bytes readable',
      async (size) => {
        const last = 'z'.repeat(size)
        const server = await serve({ protocol, respond: [503, 500, 502, { status: 504, body: last }, 200] })
        const chain = chainTo(server, retry(quick))
        const { status, text } = await by(chain, server.url())
        expect(status).toBe(504)
        expect(text === last).toBe(true)
        expect(server.count()).toBe(4)
      },
    )

    it.each([
      ['POST', 503],
      ['PATCH', 500],
      ['POST', 429],
    ])('14: to a %s a %d comes as a response, its body readable', async (method, status) => {
      const server = await serve({ protocol, respond: [{ status, body: 'no' }, 200] })
      const chain = chainTo(server, retry(quick))
      expect(await by(chain, server.url(), { method, body: 'order' })).toEqual({ status, text: 'no' })
      expect(server.count()).toBe(1)
    })

    it('15: a POST goes out once its connection is no longer refused', async () => {
      const server = await serve({ protocol, respond: { echo: true } })
      await server.refuseConnections()
      const retryOn = () => {
        void server.resume()
        return undefined
      }
      const chain = chainTo(server, retry({ ...quick, maxAttempts: 20, retryOn }))
      const { text } = await by(chain, server.url(), { method: 'POST', body: 'order' })
      expect(JSON.parse(text)).toMatchObject({ method: 'POST', body: 'order' })
      expect(server.count()).toBe(1)
    })
  })

  it('13: the last error reaches the caller', async () => {
    const server = await serve({ protocol, respond: { reset: 'before-head' } })
    const chain = chainTo(server, retry({ ...quick, maxAttempts: 3 }))
    const seen: unknown[] = []
    const watching = chainTo(
      server,
      classify(({ error }) => void seen.push(error)),
      retry({ ...quick, maxAttempts: 3 }),
    )
    expect(await errorOf(call(chain, server.url()))).toBeInstanceOf(Error)
    expect(server.count()).toBe(3)
    const error = await errorOf(call(watching, server.url()))
    expect(seen).toHaveLength(3)
    expect(error).toBe(seen[2])
  })

  it('13: the last response comes with its headers and trailers', async () => {
    const server = await serve({
      protocol,
      respond: [503, { status: 503, headers: { 'x-try': 'last' }, body: ['a', 'b'], trailers: { 'x-sum': '2' } }],
    })
    const chain = chainTo(server, retry({ ...quick, maxAttempts: 2 }))
    const { headers, body, trailers } = await send(chain, server.url())
    expect(headers).toMatchObject({ 'x-try': 'last' } satisfies IncomingHttpHeaders)
    expect(await body.text()).toBe('ab')
    expect(trailers).toMatchObject({ 'x-sum': '2' })
  })

  it.each([
    ['a reset', { reset: 'before-head' }],
    ['a lost connection', { destroySession: 'before-head' }],
    ['a reset before its body was read', { reset: 'before-head', waitForBody: false }],
  ] satisfies [string, Step][])('15: a POST is not sent again after %s', async (_, step) => {
    const server = await serve({ protocol, respond: [step, 200] })
    const chain = chainTo(server, retry(quick))
    expect(await errorOf(call(chain, server.url(), { method: 'POST', body: 'order' }))).toBeInstanceOf(Error)
    expect(server.count()).toBe(1)
  })

  it('15: a POST on a connection that the server has just closed is not sent again once it went out', async () => {
    const server = await serve({ protocol, respond: [200, { reset: 'before-head', waitForBody: false }, 200] })
    const chain = chainTo(server, retry(quick))
    await call(chain, server.url())
    await errorOf(call(chain, server.url(), { method: 'POST', body: 'order' }))
    expect(server.count()).toBe(2)
  })

  const marks: readonly (readonly [string, CallInit, RetryOptions])[] = [
    ['the option idempotent of undici', { idempotent: true }, {}],
    ['resilience: { idempotent: true }', { resilience: { idempotent: true } }, {}],
    ['an Idempotency-Key in an object', { headers: { 'Idempotency-Key': 'k1' } }, {}],
    ['an idempotency-key in lower case', { headers: { 'idempotency-key': 'k1' } }, {}],
    ['an IDEMPOTENCY-KEY in a flat array', { headers: ['x-a', '1', 'IDEMPOTENCY-KEY', 'k1'] }, {}],
    ['an Idempotency-Key in pairs', { headers: new Map([['Idempotency-key', 'k1']]) }, {}],
    ['the option of the layer', {}, { idempotent: true }],
    [
      'a function of the layer',
      { headers: { 'X-Safe': 'yes' } },
      {
        idempotent: ({ method, path, origin, headers }) =>
          method === 'POST' && path === '/' && origin.startsWith('https://127.0.0.1:') && headers['x-safe'] === 'yes',
      },
    ],
    ['a method that the layer names', {}, { methods: ['GET', 'post'] }],
  ]

  it.each(marks)('15: a POST marked by %s is sent again', async (_, init, options) => {
    const server = await serve({ protocol, respond: [503, { reset: 'before-head' }, { echo: true }] })
    const chain = chainTo(server, retry({ ...quick, ...options }))
    const { text } = await call(chain, server.url(), { method: 'POST', body: 'order', ...init })
    expect(JSON.parse(text)).toMatchObject({ method: 'POST', body: 'order' })
    expect(server.count()).toBe(3)
  })

  const unmarked: readonly (readonly [string, CallInit, RetryOptions])[] = [
    ['no mark', {}, {}],
    ['idempotent: false', { idempotent: false }, {}],
    ['resilience: { idempotent: false }', { resilience: { idempotent: false } }, {}],
    ['a header of another name', { headers: { 'x-idempotency-key': 'k1' } }, {}],
    [
      'a function that throws',
      {},
      {
        idempotent: () => {
          throw new Error('x')
        },
      },
    ],
    ['a function that gives no boolean', {}, { idempotent: (() => 'yes') as never }],
    ['retryOn alone, which cannot make it safe', {}, { retryOn: () => true }],
  ]

  it.each(unmarked)('15: a POST with %s is sent once', async (_, init, options) => {
    const server = await serve({ protocol, respond: 503 })
    const chain = chainTo(server, retry({ ...quick, ...options }))
    expect(await call(chain, server.url(), { method: 'POST', body: 'order', ...init })).toMatchObject({ status: 503 })
    expect(server.count()).toBe(1)
  })

  it.each(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])('15: a %s is sent again', async (method) => {
    const server = await serve({ protocol, respond: [503, 200] })
    const chain = chainTo(server, retry(quick))
    expect(await call(chain, server.url(), { method })).toMatchObject({ status: 200 })
    expect(server.count()).toBe(2)
  })

  it.each([408, 425, 429, 500, 502, 503, 504])('15: a GET that got %d is sent again', async (status) => {
    const server = await serve({ protocol, respond: [status, 200] })
    expect(await call(chainTo(server, retry(quick)), server.url())).toMatchObject({ status: 200 })
    expect(server.count()).toBe(2)
  })

  it.each([200, 204, 301, 304, 400, 401, 403, 404, 409, 410, 422, 501, 505])(
    '15: a GET that got %d is not sent again',
    async (status) => {
      const server = await serve({ protocol, respond: status })
      expect(await call(chainTo(server, retry(quick)), server.url())).toMatchObject({ status })
      expect(server.count()).toBe(1)
    },
  )

  it('15: a 501 is not sent again, whatever retryOn says', async () => {
    const server = await serve({ protocol, respond: 501 })
    expect(await call(chainTo(server, retry({ ...quick, retryOn: () => true })), server.url())).toMatchObject({
      status: 501,
    })
    expect(server.count()).toBe(1)
  })

  it('21: an untrusted certificate is never tried again', async () => {
    const server = await serve({ protocol })
    const attempts: number[] = []
    const layers = [classify(() => void attempts.push(1)), retry({ ...quick, retryOn: () => true })]
    const error = (await errorOf(call(chainTo({}, layers), server.url()))) as Error
    expect(error).toMatchObject({ code: expect.stringMatching(/CERT|SIGNATURE/) })
    expect(attempts).toEqual([1])
    expect(server.connections.opened).toBe(1)
  })

  it.each([
    ['a scheme that is not HTTP', { origin: 'ftp://127.0.0.1' }, 'must start with http:// or https://'],
    ['a header name that is no token', { headers: { 'x y': '1' } }, 'header name "x y" is not a token'],
    ['a header value with a line break', { headers: { 'x-a': '1\r\nx-b: 2' } }, 'header "x-a" has a value'],
    ['two lengths', { headers: ['content-length', '1', 'content-length', '2'] }, '"content-length" must be given once'],
  ])('21: %s is never sent, nor tried again, and takes no connection', async (_, init, message) => {
    const server = await serve({ protocol })
    let decisions = 0
    const retryOn = () => {
      decisions++
      return true
    }
    const chain = chainTo(server, retry({ ...quick, retryOn }))
    const opts = { origin: server.origin, path: '/', method: 'GET' as const, ...init }
    const error = await new Promise<Error>((resolve, reject) => {
      chain.dispatch(opts as never, {
        onRequestStart: () => {},
        onResponseStart: () => reject(new Error('it was sent')),
        onResponseError: (_controller, failure) => resolve(failure),
      })
    })
    expect(error).toMatchObject({ code: 'ERR_INVALID_REQUEST', message: expect.stringContaining(message) })
    expect(decisions).toBe(0)
    expect(server.connections.opened).toBe(0)
    expect(await call(chain, server.url())).toMatchObject({ status: 200 })
  })
})

describe('streams that HTTP/2 refuses', () => {
  it.each(clients)(
    '15: a POST is sent again after REFUSED_STREAM, by undici once and then by us, through %s',
    async (_, by) => {
      const server = await serve({
        protocol: 'h2',
        respond: [{ refuse: true }, { refuse: true }, { refuse: true }, { echo: true }],
      })
      const chain = chainTo(server, retry(quick))
      const { text } = await by(chain, server.url(), { method: 'POST', body: 'order' })
      expect(JSON.parse(text)).toMatchObject({ method: 'POST', body: 'order' })
      expect(server.requests.map(({ complete }) => complete).at(-1)).toBe(true)
      expect(server.count()).toBe(4)
    },
  )

  it('15: a POST whose body is a stream is sent again after REFUSED_STREAM, whole', async () => {
    const server = await serve({ protocol: 'h2', respond: [{ refuse: true }, { refuse: true }, { echo: true }] })
    const chain = chainTo(server, retry(quick))
    async function* body() {
      yield 'or'
      yield 'der'
    }
    const { text } = await call(chain, server.url(), { method: 'POST', body: body() })
    expect(JSON.parse(text)).toMatchObject({ method: 'POST', body: 'order' })
    expect(server.count()).toBe(3)
  })

  it('15: a POST that was refused once and then answered with a 503 is not sent a third time', async () => {
    const server = await serve({ protocol: 'h2', respond: [{ refuse: true }, 503, 200] })
    const chain = chainTo(server, retry(quick))
    expect(await call(chain, server.url(), { method: 'POST', body: 'order' })).toMatchObject({ status: 503 })
    expect(server.count()).toBe(2)
  })

  it('15: another reset of the stream is no refusal', async () => {
    const server = await serve({ protocol: 'h2', respond: [{ reset: 'before-head', resetCode: 8 }, 200] })
    const chain = compose(new Agent({ connect: { ca: server.ca ?? '' } }), retry(quick))
    await errorOf(call(chain, server.url(), { method: 'POST', body: 'order' }))
    expect(server.count()).toBe(1)
    await chain.destroy()
  })
})
