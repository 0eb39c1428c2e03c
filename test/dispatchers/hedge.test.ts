// Hedged calls on real servers, on a clock that stands still until the test moves it.
import { attemptTimeout, BulkheadFullError, bulkhead, circuitBreaker, hedge } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { fetch } from 'undici'
import { describe, expect, it } from 'vitest'
import { arrived, fixed, slowThenFast, stoppedClock } from './hedge-fixtures.ts'
import { call, callByFetch, errorOf, protocols, send, serve, turns, warmChainTo } from './retry-servers.ts'

describe.each(protocols)('hedge over $version', ({ protocol }) => {
  it('31: sends another attempt after the delay, and not before; the first answer wins, the other is cancelled', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const layer = hedge(fixed)
    const chain = await warmChainTo(server, layer)
    server.script('*', slowThenFast(slow))
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(99)
    expect(server.requests).toHaveLength(1)
    await clock.advance(1)
    expect(await answer).toEqual({ status: 200, text: 'fast' })
    expect(server.requests).toHaveLength(2)
    expect((await server.requests[0]?.closed)?.how).toBe('aborted')
    expect(layer.state()[server.origin]).toMatchObject({ delay: 100, samples: 2, hedged: 1, won: 1, refused: 0 })
  })

  it('31: where the first answers after all, its hedge is cancelled', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const layer = hedge(fixed)
    const chain = await warmChainTo(server, layer)
    server.script('*', [{ hold: slow.promise, body: 'slow' }, { hang: 'head' }])
    const clock = await stoppedClock()
    const answer = callByFetch(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(100)
    await arrived(server, 2)
    slow.open()
    expect(await answer).toEqual({ status: 200, text: 'slow' })
    expect((await server.requests[1]?.closed)?.how).toBe('aborted')
    expect(layer.state()[server.origin]).toMatchObject({ hedged: 1, won: 0 })
  })

  it('31: at most maxHedges are sent, each after a delay', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge({ ...fixed, maxHedges: 2 }))
    server.script('*', { hang: 'head' })
    const clock = await stoppedClock()
    const controller = new AbortController()
    const answer = send(chain, server.url('/'), { signal: controller.signal })
    for (const count of [1, 2, 3]) {
      await arrived(server, count)
      await clock.advance(100)
    }
    await clock.advance(10_000)
    expect(server.requests).toHaveLength(3)
    controller.abort()
    expect(await errorOf(answer)).toMatchObject({ name: 'AbortError' })
    for (const request of server.requests) expect((await request.closed).how).toBe('aborted')
  })

  it('15: what may not be repeated is sent once, a marked POST twice', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed))
    server.script('/post', slowThenFast(slow))
    server.script('/marked', slowThenFast(slow))
    const clock = await stoppedClock()
    const post = call(chain, server.url('/post'), { method: 'POST', body: 'order' })
    await arrived(server, 1)
    await clock.advance(1000)
    expect(server.count('/post')).toBe(1)
    const headers = { 'idempotency-key': 'a' }
    const marked = call(chain, server.url('/marked'), { method: 'POST', body: 'order', headers })
    await server.until(() => server.count('/marked') === 1)
    await clock.advance(100)
    expect(await marked).toEqual({ status: 200, text: 'fast' })
    slow.open()
    expect(await post).toEqual({ status: 200, text: 'slow' })
  })

  it('16: both attempts send all of a streamed body', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed))
    server.script('*', [{ hold: slow.promise, waitForBody: false, body: 'slow' }, { body: 'fast' }])
    const clock = await stoppedClock()
    const pieces = Array.from({ length: 20 }, (_, at) => Buffer.alloc(1000, at))
    const half = gate()
    async function* body() {
      yield* pieces.slice(0, 10)
      await half.promise
      yield* pieces.slice(10)
    }
    const answer = call(chain, server.url('/'), { method: 'PUT', body: body() })
    await server.until(() => server.requests.length === 1)
    await clock.advance(100)
    await arrived(server, 2)
    half.open()
    expect(await answer).toEqual({ status: 200, text: 'fast' })
    expect(server.requests[1]?.body).toEqual(Buffer.concat(pieces))
  })

  it('16: past the bound of the record the attempt that is ahead goes on, and no other is sent', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge({ ...fixed, replayLimit: 5000 }))
    const stuck = gate()
    server.script('*', [{ hold: stuck.promise }, { body: 'fast' }])
    const clock = await stoppedClock()
    const rest = gate()
    async function* body() {
      yield Buffer.alloc(4000, 'a')
      await rest.promise
      for (let piece = 0; piece < 10; piece++) yield Buffer.alloc(1000, 'b')
    }
    const answer = call(chain, server.url('/'), { method: 'PUT', body: body() })
    await server.until(() => server.requests.length === 1)
    await turns()
    rest.open()
    await server.requests[0]?.received
    await clock.advance(1000)
    expect(server.requests).toHaveLength(1)
    stuck.open()
    expect((await answer).status).toBe(200)
    expect(server.requests[0]?.bodyLength).toBe(14_000)
  })

  it('31: a failed attempt is no answer while another is under way', async () => {
    const [first, second] = [gate(), gate()]
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed))
    server.script('*', [
      { hold: first.promise, status: 503 },
      { hold: second.promise, body: 'good' },
    ])
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(100)
    await arrived(server, 2)
    first.open()
    await server.requests[0]?.closed
    await turns()
    second.open()
    expect(await answer).toEqual({ status: 200, text: 'good' })
    expect(server.requests).toHaveLength(2)
  })

  it('31: where all under way have failed, the next is sent at once', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge({ ...fixed, maxHedges: 2 }))
    server.script('*', [503, { reset: 'before-head' }, { body: 'third' }])
    await stoppedClock()
    expect(await call(chain, server.url('/'))).toEqual({ status: 200, text: 'third' })
    expect(server.requests).toHaveLength(3)
  })

  it('13: where none answers, the caller gets the last response, its body readable', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed))
    server.script('*', [
      { status: 502, body: 'first' },
      { status: 503, body: ['sec', 'ond'] },
    ])
    expect(await call(chain, server.url('/'))).toEqual({ status: 503, text: 'second' })
  })

  it('13: a response that came before an error is what the caller gets, whole', async () => {
    const [first, second] = [gate(), gate()]
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed))
    server.script('*', [
      { hold: first.promise, status: 503, body: ['un', 'well'], headers: { 'x-from': 'first' } },
      { hold: second.promise, reset: 'before-head' },
    ])
    const clock = await stoppedClock()
    // It reads the raw headers.
    const answer = fetch(server.url('/'), { dispatcher: chain })
    await arrived(server, 1)
    await clock.advance(100)
    await arrived(server, 2)
    first.open()
    await server.requests[0]?.closed
    await turns()
    second.open()
    const { status, headers, text } = await answer.then(async (response) => ({
      status: response.status,
      headers: response.headers,
      text: await response.text(),
    }))
    expect([status, headers.get('x-from'), text]).toEqual([503, 'first', 'unwell'])
  })

  it('12: a server that asks for time is sent nothing more', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed))
    const clock = await stoppedClock()
    for (const [path, step] of [
      ['/later', { status: 503, retryAfter: 1, body: 'later' }],
      ['/many', { status: 429, body: 'later' }],
      ['/pushed', { status: 503, headers: { 'grpc-retry-pushback-ms': '-1' }, body: 'later' }],
    ] as const) {
      server.script(path, step)
      expect((await call(chain, server.url(path))).text).toBe('later')
      await clock.advance(1000)
      expect(server.count(path)).toBe(1)
    }
  })

  it('31: the losers are neutral to the breaker, and their slots are free when the caller has the answer', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const slots = bulkhead({ limit: 2, queue: 0 })
    const breaker = circuitBreaker({ minimumCalls: 2 })
    const chain = await warmChainTo(server, hedge(fixed), breaker, slots, attemptTimeout(5000))
    const rest = gate()
    server.script('*', [{ hold: slow.promise }, { body: ['fa', rest.promise] }])
    const clock = await stoppedClock()
    const answer = send(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(100)
    const { body } = await answer
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 1, queued: 0 })
    rest.open()
    expect(breaker.state()[server.origin]).toMatchObject({ calls: 1, failures: 0 })
    await body.text()
    expect(slots.state()[server.origin]?.inUse).toBe(0)
  })

  it('31: a hedge that is refused by a full bulkhead is no answer, and none of a server is sent for it', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const slots = bulkhead({ limit: 1, queue: 0 })
    const chain = await warmChainTo(server, hedge(fixed), slots)
    server.script('*', { hold: slow.promise, body: 'slow' })
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(100)
    expect(await errorOf(call(chain, server.url('/')))).toBeInstanceOf(BulkheadFullError)
    slow.open()
    expect(await answer).toEqual({ status: 200, text: 'slow' })
    expect(server.requests).toHaveLength(1)
  })

  it('31: a call that waits in a queue is not hedged: its time begins with its permit', async () => {
    const [first, second] = [gate(), gate()]
    const server = await serve({ protocol })
    const layer = hedge(fixed)
    const chain = await warmChainTo(server, layer, bulkhead({ limit: 1, queue: 5 }))
    server.script('/first', [{ hold: first.promise }])
    server.script('/second', [{ hold: second.promise, body: 'second' }])
    const clock = await stoppedClock()
    const one = call(chain, server.url('/first'), { method: 'POST' })
    await arrived(server, 1)
    const two = call(chain, server.url('/second'))
    await clock.advance(150)
    expect(layer.state()[server.origin]?.hedged).toBe(0)
    first.open()
    await one
    await arrived(server, 2)
    await clock.advance(60)
    expect(layer.state()[server.origin]?.hedged).toBe(0)
    await clock.advance(150)
    expect(layer.state()[server.origin]?.hedged).toBe(1)
    second.open()
    expect(await two).toEqual({ status: 200, text: 'second' })
  })
})
