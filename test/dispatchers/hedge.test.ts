// Hedged calls on real servers, on a clock that stands still until the test moves it.
import {
  AttemptTimeoutError,
  attemptTimeout,
  BulkheadFullError,
  bulkhead,
  type CallRecord,
  CircuitOpenError,
  circuitBreaker,
  DeadlineExceededError,
  deadline,
  type HedgeOptions,
  hedge,
  logging,
  retry,
} from 'roundtripper'
import { type Gate, gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, callByFetch, errorOf, protocols, send, serve, stopClock, turns, warmChainTo } from './retry-servers.ts'

const fixed = { delay: 100, percentile: false, budget: false } satisfies HedgeOptions

/** A clock that stands still, and not at 0: by that the kit knows what has not happened yet. */
async function stoppedClock() {
  const clock = stopClock()
  await clock.advance(1)
  return clock
}

/** The requests that have come in, once there are so many. */
async function arrived(server: TestServer, count: number): Promise<void> {
  await server.until(() => server.requests.length === count)
  await turns()
}

/** A first attempt that stands still, and one that answers. */
function slowThenFast(slow: Gate) {
  return [{ hold: slow.promise, body: 'slow' }, { body: 'fast' }]
}

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
    expect(layer.state()[server.origin]).toMatchObject({ delay: 100, hedged: 1, won: 1, refused: 0 })
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
    const answer = send(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(100)
    await arrived(server, 2)
    first.open()
    await turns()
    second.open()
    const { statusCode, headers, body } = await answer
    expect([statusCode, headers['x-from'], await body.text()]).toEqual([503, 'first', 'unwell'])
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
    expect(slots.state()[server.origin]).toEqual({ inUse: 1, queued: 0 })
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

  it('7: an open circuit is not hedged', async () => {
    const server = await serve({ protocol })
    const layer = hedge(fixed)
    const chain = await warmChainTo(server, layer, circuitBreaker({ minimumCalls: 2 }), attemptTimeout(5000))
    server.script('*', 503)
    expect((await call(chain, server.url('/'))).status).toBe(503)
    expect(server.requests).toHaveLength(2)
    expect(await errorOf(call(chain, server.url('/')))).toBeInstanceOf(CircuitOpenError)
    expect(server.requests).toHaveLength(2)
    expect(layer.state()[server.origin]?.hedged).toBe(1)
  })

  it('22: a budget that is exhausted allows no hedge', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const layer = hedge({ ...fixed, budget: { share: 0, minPerSecond: 0.1 } })
    const chain = await warmChainTo(server, layer)
    server.script('/1', slowThenFast(slow))
    server.script('/2', slowThenFast(slow))
    const clock = await stoppedClock()
    const one = call(chain, server.url('/1'))
    await arrived(server, 1)
    await clock.advance(100)
    expect((await one).text).toBe('fast')
    const two = call(chain, server.url('/2'))
    await server.until(() => server.count('/2') === 1)
    await clock.advance(1000)
    expect(server.count('/2')).toBe(1)
    expect(layer.state()[server.origin]).toMatchObject({ hedged: 1, refused: 1 })
    slow.open()
    expect((await two).text).toBe('slow')
  })

  it('19: the deadline ends all attempts, and each has its own attempt timeout', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, deadline(450), hedge({ ...fixed, maxHedges: 9 }), attemptTimeout(250))
    server.script('*', { hang: 'head' })
    const clock = await stoppedClock()
    const failed = errorOf(call(chain, server.url('/')))
    for (const count of [1, 2, 3, 4, 5]) {
      await arrived(server, count)
      await clock.advance(100)
    }
    expect(await failed).toBeInstanceOf(DeadlineExceededError)
    expect(server.requests).toHaveLength(5)
    for (const request of server.requests) expect((await request.closed).how).toBe('aborted')
  })

  it("31: an attempt that times out is replaced at once; the last error is the call's", async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge({ ...fixed, delay: 1000 }), attemptTimeout(250))
    server.script('*', { hang: 'head' })
    const clock = await stoppedClock()
    const failed = errorOf(call(chain, server.url('/')))
    await arrived(server, 1)
    await clock.advance(250)
    await arrived(server, 2)
    await clock.advance(250)
    expect(await failed).toBeInstanceOf(AttemptTimeoutError)
    expect(server.requests).toHaveLength(2)
  })

  it("31: hedge over retry: the loser's retries end with it, and sends are capped over both", async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(
      server,
      hedge({ ...fixed, maxHedges: 2 }),
      retry({ backoff: 10, maxAttempts: 3, budget: false }),
    )
    server.script('*', 503)
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    for (let step = 0; step < 100; step++) await clock.advance(10)
    expect((await answer).status).toBe(503)
    // Three each: nine, if they multiplied.
    expect(server.requests).toHaveLength(5)
  })

  it('31: hedge over retry: a call whose first attempt is backing off is hedged, and answered by the hedge', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed), retry({ backoff: 1000, budget: false }))
    server.script('*', [503, { body: 'hedge' }])
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'), { method: 'PUT', body: 'all of it' })
    await arrived(server, 1)
    await clock.advance(100)
    expect(await answer).toEqual({ status: 200, text: 'hedge' })
    await clock.advance(5000)
    expect(server.requests.map(({ body }) => body.toString())).toEqual(['all of it', 'all of it'])
  })

  it('31: retry over hedge: what no hedge answers is retried, and sends are capped over both', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, retry({ backoff: 10, maxAttempts: 3, budget: false }), hedge(fixed))
    server.script('*', [503, 503, { body: 'third' }])
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    await arrived(server, 2)
    await clock.advance(10)
    expect(await answer).toEqual({ status: 200, text: 'third' })
    server.clear()
    server.script('*', 503)
    const failed = call(chain, server.url('/'))
    for (let step = 0; step < 50; step++) await clock.advance(10)
    expect((await failed).status).toBe(503)
    expect(server.requests).toHaveLength(4)
  })

  it('45: interim responses of the loser are held back, those of the winner come before its head', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed))
    server.script('*', [
      { early: [{ headers: { link: '<first>' } }], hold: slow.promise },
      { early: [{ headers: { link: '<second>' } }], body: 'fast' },
    ])
    const clock = await stoppedClock()
    const hints: unknown[] = []
    const onInfo = ({ headers }: { headers: Record<string, unknown> }) => hints.push(headers.link)
    const answer = call(chain, server.url('/'), { onInfo } as object)
    await arrived(server, 1)
    await clock.advance(100)
    expect((await answer).text).toBe('fast')
    expect(hints).toEqual(['<second>'])
  })

  it('46: close() waits for a hedged call, destroy() fails it at once with all its attempts', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, hedge(fixed))
    server.script('*', { hang: 'head' })
    const clock = await stoppedClock()
    const failed = errorOf(call(chain, server.url('/')))
    await arrived(server, 1)
    await clock.advance(100)
    await arrived(server, 2)
    await chain.destroy()
    expect(await failed).toMatchObject({ code: 'UND_ERR_DESTROYED' })
    for (const request of server.requests) expect((await request.closed).how).toBe('aborted')
  })

  it('update() holds from the next call on, and refuses what is out of range', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const layer = hedge(fixed)
    const chain = await warmChainTo(server, layer)
    server.script('*', slowThenFast(slow))
    layer.update({ delay: 20 })
    expect(() => layer.update({ delay: 30, maxHedges: -1 })).toThrow(/maxHedges must be a whole number of at least 0/)
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(20)
    expect((await answer).text).toBe('fast')
  })

  it('31: records tell one attempt each, and the call which of them won', async () => {
    const slow = gate()
    const server = await serve({ protocol })
    const records: CallRecord[] = []
    const keep = (record: object) => {
      records.push(record as CallRecord)
    }
    const chain = await warmChainTo(server, logging({ logger: { debug: keep, info: keep, warn: keep } }), hedge(fixed))
    server.script('*', slowThenFast(slow))
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(100)
    await answer
    expect(records.map(({ attempt, attempts, outcome }) => ({ attempt, attempts, outcome }))).toEqual([
      { attempt: 1, outcome: 'cancelled' },
      { attempt: 2, outcome: 'success' },
      { attempts: 2, outcome: 'success' },
    ])
    expect(records[2]?.notes).toEqual({ 'hedge.sent': 1, 'hedge.winner': 2 })
  })
})
