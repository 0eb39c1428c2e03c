// Calls that failed, and what takes the place of their answer; on real servers.
import {
  BulkheadFullError,
  bulkhead,
  type CallRecord,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  deadline,
  type FallbackOptions,
  fallback,
  isFallback,
  logging,
  protocolOf,
  retry,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, send, serve, turns } from './retry-servers.ts'

const value = {
  status: 203,
  headers: { 'content-type': 'application/json', 'X-Many': ['a', 'b'] },
  body: '{"old":true}',
}

describe.each(protocols)('fallback over $version', ({ protocol }) => {
  it('a value takes the place of a failure when everything else has failed, and is marked', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'down' } })
    const layer = fallback({ value })
    const chain = chainTo(server, layer, retry({ ...quick, maxAttempts: 3 }))
    const answer = await send(chain, server.url('/'))
    expect(server.requests).toHaveLength(3)
    expect(answer.statusCode).toBe(203)
    expect(answer.headers).toEqual({ 'content-type': 'application/json', 'x-many': ['a', 'b'], 'content-length': '12' })
    expect(await answer.body.text()).toBe(value.body)
    expect(isFallback(answer)).toBe(true)
    expect(layer.state()[server.origin]).toEqual({ served: 1, failed: 0 })

    const response = await createFetch(chain)(server.url('/'))
    expect([response.status, response.headers.get('x-many'), await response.json()]).toEqual([
      203,
      'a, b',
      { old: true },
    ])
    expect([isFallback(response), protocolOf(response)]).toEqual([true, undefined])
  })

  it('what is good passes, and is not marked', async () => {
    const server = await serve({ protocol, respond: [{ body: 'fine' }, 404] })
    const chain = chainTo(server, fallback({ value }))
    const answer = await send(chain, server.url('/'))
    expect([await answer.body.text(), isFallback(answer)]).toEqual(['fine', false])
    const missing = await createFetch(chain)(server.url('/'))
    expect([missing.status, isFallback(missing)]).toEqual([404, false])
  })

  it('a HEAD gets the headers and no body, a 204 has neither', async () => {
    const server = await serve({ protocol, respond: 503 })
    const chain = chainTo(server, fallback({ value }))
    const head = await send(chain, server.url('/'), { method: 'HEAD' })
    expect([head.statusCode, head.headers['content-length'], await head.body.text()]).toEqual([203, '12', ''])
    const empty = await send(chainTo(server, fallback({ value: { status: 204 } })), server.url('/'))
    expect([empty.statusCode, empty.headers, await empty.body.text()]).toEqual([204, {}, ''])
  })

  it('a function gets the outcome and the request, and may take its time', async () => {
    const server = await serve({ protocol, respond: { status: 502, body: 'broken' } })
    const seen: unknown[] = []
    const ready = gate()
    const respond: FallbackOptions['respond'] = async ({ kind, status }, { method, path, headers }) => {
      seen.push(kind, status, method, path, headers['x-a'])
      await ready.promise
      return { body: Buffer.from('made') }
    }
    const chain = chainTo(server, fallback({ respond }))
    const answer = call(chain, server.url('/users?n=1'), { headers: { 'X-A': 'b' } })
    await server.until(() => server.requests.length === 1)
    await turns()
    ready.open()
    expect(await answer).toEqual({ status: 200, text: 'made' })
    expect(seen).toEqual(['serverError', 502, 'GET', '/users?n=1', 'b'])
  })

  it.each([
    ['says undefined', () => undefined],
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('no')
      },
    ],
    ['makes no answer', () => ({ status: 99 })],
  ])('where the function %s, the caller gets the failure, its body readable', async (_, respond) => {
    const rest = gate()
    const server = await serve({ protocol, respond: () => ({ status: 503, body: ['as it', rest.promise, ' was'] }) })
    const layer = fallback({ respond: respond as NonNullable<FallbackOptions['respond']> })
    const answer = await send(chainTo(server, layer), server.url('/'))
    rest.open()
    expect([answer.statusCode, await answer.body.text(), isFallback(answer)]).toEqual([503, 'as it was', false])
    expect(layer.state()[server.origin]).toEqual({ served: 0, failed: 1 })
  })

  it('a refusal and a deadline fall back, too', async () => {
    const server = await serve({ protocol, respond: { hang: 'head' } })
    const full = chainTo(
      server,
      fallback({ value: { body: 'instead' } }),
      bulkhead({ limit: 1, queue: 0 }),
      deadline(40),
    )
    const late = call(full, server.url('/'))
    expect(await call(full, server.url('/'))).toEqual({ status: 200, text: 'instead' })
    expect(await late).toEqual({ status: 200, text: 'instead' })
    expect(server.requests.length).toBeLessThanOrEqual(1)
  })

  it('1: the abort of the caller, and what is invalid, never fall back', async () => {
    const server = await serve({ protocol, respond: { hang: 'head' } })
    const layer = fallback({ value, on: () => true })
    const chain = chainTo(server, layer)
    const controller = new AbortController()
    const aborted = errorOf(send(chain, server.url('/'), { signal: controller.signal }))
    await server.until(() => server.requests.length === 1)
    controller.abort()
    expect(await aborted).toMatchObject({ name: 'AbortError' })
    expect(await errorOf(send(chain, server.url('/'), { headers: { 'bad name': 'x' } }))).toBeInstanceOf(Error)
    expect(layer.state()[server.origin]).toBeUndefined()
  })

  it('17: an abort while the function is at work ends the call at once, and its answer is forgotten', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: ['x', new Promise(() => {})] } })
    const ready = gate()
    const respond = async () => {
      await ready.promise
      return { body: 'too late' }
    }
    const slots = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, fallback({ respond }), slots)
    const controller = new AbortController()
    const aborted = errorOf(send(chain, server.url('/'), { signal: controller.signal }))
    await server.until(() => server.requests.length === 1)
    await turns()
    controller.abort()
    expect(await aborted).toMatchObject({ name: 'AbortError' })
    expect(slots.state()[server.origin]?.inUse).toBe(0)
    ready.open()
    await turns()
  })

  it('on() decides, and where it throws the default holds', async () => {
    const server = await serve({ protocol, respond: 404 })
    const on: FallbackOptions['on'] = ({ status }) => (status === 404 ? true : undefined)
    expect((await call(chainTo(server, fallback({ value, on })), server.url('/'))).status).toBe(203)
    server.script('*', 503)
    const never = fallback({ value, on: () => false })
    expect((await call(chainTo(server, never), server.url('/'))).status).toBe(503)
    const throws = () => {
      throw new Error('broken')
    }
    expect((await call(chainTo(server, fallback({ value, on: throws })), server.url('/'))).status).toBe(203)
  })

  it('another origin gets the request with its body, and its answer is marked', async () => {
    const server = await serve({ protocol, respond: 503 })
    const other = await serve({
      protocol,
      respond: { body: 'from the other' },
      ...(server.certificate && { certificate: server.certificate }),
    })
    const layer = fallback({ upstream: other.origin })
    const chain = chainTo(server, layer, retry({ ...quick, maxAttempts: 2 }))
    async function* body() {
      yield 'all '
      yield 'of it'
    }
    const answer = await send(chain, server.url('/a?b'), { method: 'PUT', body: body() })
    expect([await answer.body.text(), isFallback(answer)]).toEqual(['from the other', true])
    expect(other.requests.map(({ method, path, body }) => [method, path, body.toString()])).toEqual([
      ['PUT', '/a?b', 'all of it'],
    ])
    expect(server.requests).toHaveLength(2)
    expect(layer.state()).toEqual({ [server.origin]: { served: 1, failed: 0 } })
  })

  it('another dispatcher can be a chain of its own', async () => {
    const server = await serve({ protocol, respond: 503 })
    const other = await serve({ protocol, respond: [500, { body: 'second try' }] })
    const agent = createAgent({ connect: { ca: other.ca } })
    const redirected = compose(
      agent,
      retry(quick),
      (dispatch) => (opts, handler) => dispatch({ ...opts, origin: other.origin }, handler),
    )
    onTestFinished(() => redirected.destroy())
    const chain = chainTo(server, fallback({ upstream: redirected }))
    expect(await call(chain, server.url('/'))).toEqual({ status: 200, text: 'second try' })
  })

  it('7: an open circuit is passed by going elsewhere; 15: a POST goes there only if it was never sent', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'down' } })
    const other = await serve({
      protocol,
      respond: { body: 'other' },
      ...(server.certificate && { certificate: server.certificate }),
    })
    const chain = chainTo(server, fallback({ upstream: other.origin }), circuitBreaker({ minimumCalls: 1 }))
    const post = { method: 'POST', body: 'order' } as const
    expect(await call(chain, server.url('/'), post)).toEqual({ status: 503, text: 'down' })
    expect(other.requests).toHaveLength(0)
    // By now the circuit is open: nothing of it was sent.
    expect(await call(chain, server.url('/'), post)).toEqual({ status: 200, text: 'other' })
    expect(server.requests).toHaveLength(1)
    expect(other.requests[0]?.body.toString()).toBe('order')
  })

  it('where the other upstream gives no answer, the caller gets the first failure', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'the first' } })
    const other = await serve({
      protocol,
      respond: { reset: 'before-head' },
      ...(server.certificate && { certificate: server.certificate }),
    })
    const layer = fallback({ upstream: other.origin })
    const answer = await send(chainTo(server, layer), server.url('/'))
    expect([answer.statusCode, await answer.body.text(), isFallback(answer)]).toEqual([503, 'the first', false])
    expect(layer.state()[server.origin]).toEqual({ served: 0, failed: 1 })
  })

  it('the record of the call tells what took the place of what', async () => {
    const server = await serve({ protocol, respond: 503 })
    const records: CallRecord[] = []
    const keep = (record: object) => {
      records.push(record as CallRecord)
    }
    const chain = chainTo(server, logging({ logger: { debug() {}, info: keep, warn: keep } }), fallback({ value }))
    await call(chain, server.url('/'))
    expect(records).toMatchObject([
      { status: 203, outcome: 'success', notes: { fallback: 'value', 'fallback.for': 503 } },
    ])
  })

  it('47: what is left of a failed answer holds nothing for long', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'x'.repeat(1000) } })
    const slots = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, fallback({ value }), slots)
    for (let count = 0; count < 20; count++) {
      expect((await call(chain, server.url('/'))).status).toBe(203)
      await server.until(() => server.requests.every(({ complete }) => complete))
      while ((slots.state()[server.origin]?.inUse ?? 0) > 0) await turns(1)
    }
    expect(server.requests).toHaveLength(20)
  })

  it('update() replaces one source by another, and refuses two', async () => {
    const server = await serve({ protocol, respond: 503 })
    const layer = fallback({ value })
    const chain = chainTo(server, layer)
    layer.update({ respond: () => ({ body: 'new' }) })
    expect(() => layer.update({ value, respond: () => undefined })).toThrow(/exactly one/)
    expect((await call(chain, server.url('/'))).text).toBe('new')
  })
})

describe('options of fallback', () => {
  it.each([
    [{}, /expects exactly one of value, respond and upstream, got none/],
    [{ value, upstream: 'http://a' }, /got value and upstream/],
    [{ value: { status: 100 } }, /fallback: value: status must be a whole number from 200 to 599, got 100/],
    [{ value: { status: 204, body: 'x' } }, /body must be empty where the status is 204/],
    [{ value: { body: 5 } }, /body must be a string or bytes, got 5/],
    [{ value: { headers: { 'a b': 'c' } } }, /Header name must be a valid HTTP token/],
    [{ value: { headers: { connection: 'close' } } }, /which is about a connection/],
    [{ value: { reason: 'x' } }, /unknown option "reason"/],
    [{ respond: 5 }, /fallback: respond must be a function, got 5/],
    [{ upstream: 'ftp://a' }, /upstream must be an http\(s\) origin or a Dispatcher/],
    [{ upstream: 'http://a/path' }, /upstream must be an origin, with no path/],
    [{ value, on: true }, /fallback: on must be a function, got true/],
  ])('refuses %o', (options, message) => {
    expect(() => fallback(options as FallbackOptions)).toThrow(message)
  })

  it('a bulkhead above it refuses with its own error', async () => {
    const server = await serve({ protocol: 'h1', respond: { hang: 'head' } })
    const chain = chainTo(server, bulkhead({ limit: 1, queue: 0 }), fallback({ value }))
    send(chain, server.url('/')).catch(() => {})
    expect(await errorOf(send(chain, server.url('/')))).toBeInstanceOf(BulkheadFullError)
  })
})
