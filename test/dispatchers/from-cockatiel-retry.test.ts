import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import * as cockatiel from 'cockatiel'
import {
  attemptTimeout,
  bulkhead,
  CircuitOpenError,
  circuitBreaker,
  deadline,
  fromCockatiel,
  tracing,
} from 'roundtripper'
import { type Echo, gate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { recordedBytes } from '../../src/dispatchers/replay.ts'
import { Consumer } from '../contract/consumer.ts'
import { Spans, useOpenTelemetry } from '../tracing/tracing-fixtures.ts'
import {
  Bytes,
  causeOf,
  clients,
  failures,
  Outcomes,
  ownPolicy,
  quickRetry,
  stopClock,
} from './from-cockatiel-fixtures.ts'
import { call, chainTo, errorOf, protocols, send, serve, turns } from './retry-servers.ts'

useOpenTelemetry()

/** Waits longer than any test. */
const patientRetry = () => quickRetry(Number.POSITIVE_INFINITY, 60_000)

const kilobyte = Buffer.alloc(1024, 'x')

describe.each(protocols)("cockatiel's retry over HTTP/$version", ({ protocol, version }) => {
  it.each(clients)('makes an attempt of each run, by $client', async ({ ask }) => {
    const server = await serve({ protocol, respond: [503, { reset: 'before-head' }, { body: 'third' }] })
    const spans = new Spans()
    const outcomes = new Outcomes()
    const chain = chainTo(
      server,
      tracing({ tracerProvider: spans.provider }),
      outcomes.layer,
      fromCockatiel(quickRetry(5)),
    )
    expect(await ask(chain, server.url())).toEqual({ status: 200, text: 'third' })
    expect(server.count()).toBe(3)
    expect(outcomes.kinds).toEqual(['success'])
    expect(outcomes.waitedMs).toBe(2)
    const sent = spans.attempts.map(({ attributes }) => [
      attributes['http.request.resend_count'],
      attributes['http.response.status_code'],
      attributes['network.protocol.version'],
    ])
    expect(sent).toEqual([
      [undefined, 503, version],
      [1, undefined, undefined],
      [2, 200, version],
    ])
    const traced = server.requests.map(({ headers }) => String(headers.traceparent).split('-')[2])
    expect(traced).toEqual(spans.attempts.map((span) => span.spanContext().spanId))
  })

  it.each(clients)('13: gives the last response when it gives up, its body readable, by $client', async ({ ask }) => {
    const server = await serve({
      protocol,
      respond: [
        { status: 503, body: 'one' },
        { status: 500, body: 'two' },
      ],
    })
    const chain = chainTo(server, fromCockatiel(quickRetry(1)))
    expect(await ask(chain, server.url())).toEqual({ status: 500, text: 'two' })
    expect(server.count()).toBe(2)
  })

  it.each(clients)('gives the last real error when it gives up, by $client', async ({ ask }) => {
    const server = await serve({ protocol, respond: { reset: 'before-head' } })
    const thrown: unknown[] = []
    const policy = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2, backoff: new cockatiel.ConstantBackoff(1) })
    policy.onGiveUp((event) => thrown.push((event as { error: unknown }).error))
    const outcomes = new Outcomes()
    const chain = chainTo(server, outcomes.layer, fromCockatiel(policy))
    const error = causeOf(await errorOf(ask(chain, server.url())))
    expect(thrown).toEqual([error])
    expect(outcomes.all).toEqual([expect.objectContaining({ kind: 'networkError', phase: 'before-head', error })])
    expect(server.count()).toBe(3)
  })

  it.each(clients)(
    '14, 15: answers an unsafe request at once, whatever the policy wants, by $client',
    async ({ ask }) => {
      const server = await serve({ protocol, respond: { '*': { status: 503, body: 'busy' } } })
      server.script('/reset', { reset: 'before-head' })
      const chain = chainTo(server, fromCockatiel(patientRetry()))
      const init = { method: 'POST', body: 'order' }
      expect(await ask(chain, server.url(), init)).toEqual({ status: 503, text: 'busy' })
      expect(await errorOf(ask(chain, server.url('/reset'), init))).toBeInstanceOf(Error)
      // Also where the policy does not tell beforehand, but only runs its function again.
      const again = ownPolicy((run) => run().then(run, run))
      const own = chainTo(server, fromCockatiel(again))
      expect(await ask(own, server.url(), init)).toEqual({ status: 503, text: 'busy' })
      expect(await errorOf(ask(own, server.url('/reset'), init))).toBeInstanceOf(Error)
      expect(server.count()).toBe(4)
    },
  )

  it('15: ends a retry without end behind the answer', async () => {
    const server = await serve({ protocol, respond: 503 })
    const policy = quickRetry(Number.POSITIVE_INFINITY)
    const done = new Promise((resolve) => policy.onGiveUp(resolve))
    const chain = chainTo(server, fromCockatiel(policy))
    expect(await call(chain, server.url(), { method: 'POST' })).toMatchObject({ status: 503 })
    expect(await done).toMatchObject({ value: { status: 503 } })
  })

  it('15: repeats what the caller marked, and what never reached the server', async () => {
    const server = await serve({ protocol, respond: [503, 503, 200, 503, 200] })
    const chain = chainTo(server, fromCockatiel(quickRetry(2)))
    const marked = { method: 'POST', headers: { 'idempotency-key': 'k' }, body: 'order' }
    expect(await call(chain, server.url(), marked)).toMatchObject({ status: 200 })
    const init = { method: 'POST', resilience: { idempotent: true }, body: 'order' }
    expect(await call(chain, server.url(), init)).toMatchObject({ status: 200 })
    expect(server.count()).toBe(5)
    await server.refuseConnections()
    const policy = quickRetry(2)
    let retried = 0
    policy.onRetry(() => {
      retried++
    })
    const refused = chainTo(server, fromCockatiel(policy))
    expect(await errorOf(call(refused, server.url(), { method: 'POST' }))).toMatchObject({ code: 'ECONNREFUSED' })
    expect(retried).toBe(2)
  })

  it('16: sends a streamed body whole each time', async () => {
    const bytes = Buffer.concat(Array.from({ length: 100 }, (_, at) => Buffer.alloc(1000, at)))
    const server = await serve({ protocol, respond: [503, { reset: 'before-head' }, { echo: true }] })
    const chain = chainTo(server, fromCockatiel(cockatiel.wrap(quickRetry(5), cockatiel.bulkhead(1))))
    const pieces = () => Array.from({ length: 10 }, (_, at) => bytes.subarray(at * 10_000, (at + 1) * 10_000))
    const { text } = await call(chain, server.url(), { method: 'PUT', body: Readable.from(pieces()) })
    expect((JSON.parse(text) as Echo).bodySha256).toBe(createHash('sha256').update(bytes).digest('hex'))
    expect(server.requests.map(({ bodyLength }) => bodyLength)).toEqual([100_000, 100_000, 100_000])
    expect(recordedBytes()).toBe(0)
  })

  it('16: does not repeat a body that it could not record, and sends it whole the one time', async () => {
    const server = await serve({ protocol, respond: 503 })
    const chain = chainTo(server, fromCockatiel(patientRetry()))
    const body = Readable.from(Array.from({ length: 1200 }, () => kilobyte))
    expect(await call(chain, server.url(), { method: 'PUT', body })).toMatchObject({ status: 503 })
    expect(server.requests.map(({ bodyLength }) => bodyLength)).toEqual([1200 * 1024])
    expect(recordedBytes()).toBe(0)
  })

  it("16: a body that itself fails is nobody's failure", async () => {
    const server = await serve({ protocol })
    const outcomes = new Outcomes()
    const chain = chainTo(server, outcomes.layer, fromCockatiel(patientRetry()))
    const failure = new Error('the disk is gone')
    const failing = async function* () {
      yield kilobyte
      throw failure
    }
    expect(await errorOf(call(chain, server.url(), { method: 'PUT', body: failing() }))).toBe(failure)
    expect(outcomes.kinds).toEqual(['invalid'])
  })

  it('18: what an unwanted response holds is free during the wait, and its connection is used again', async () => {
    const server = await serve({ protocol, respond: [{ status: 503, body: kilobyte }, { body: 'good' }] })
    const slots = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, fromCockatiel(quickRetry(1, 1_000)), slots)
    const clock = stopClock()
    const answer = call(chain, server.url())
    await server.nextRequest()
    while (slots.state()[server.origin]?.inUse !== 0) await turns(1)
    // undici takes a connection into use again a turn later.
    await turns(3)
    clock.pass(1_000)
    expect(await answer).toEqual({ status: 200, text: 'good' })
    expect(server.connections.opened).toBe(1)
  })

  it('18: an unwanted response without end is cut, and its slot is free for the next attempt', async () => {
    const filling = [Buffer.alloc(200 * 1024, 'x'), new Promise(() => {})]
    const server = await serve({ protocol, respond: [{ status: 503, body: filling }, { body: 'good' }] })
    server.script('/still', [{ status: 503, body: [kilobyte, new Promise(() => {})] }, { body: 'good' }])
    for (const policy of [quickRetry(1), ownPolicy((run) => run().then(run))]) {
      const chain = chainTo(server, fromCockatiel(policy), bulkhead({ limit: 1, queue: 0 }))
      for (const path of ['/', '/still']) {
        expect(await call(chain, server.url(path))).toEqual({ status: 200, text: 'good' })
        server.script(path, [{ status: 503, body: [kilobyte, new Promise(() => {})] }, { body: 'good' }])
      }
    }
    const unwanted = server.requests.filter((_, at) => at % 2 === 0)
    expect(await Promise.all(unwanted.map(({ closed }) => closed))).toMatchObject(
      unwanted.map(() => ({ how: 'aborted' })),
    )
  })

  it('19: begins no attempt at or past the deadline, and does not wait for it', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'busy' } })
    const chain = chainTo(server, deadline(5_000), fromCockatiel(patientRetry()), attemptTimeout(1_000))
    expect(await call(chain, server.url())).toEqual({ status: 503, text: 'busy' })
    expect(server.count()).toBe(1)
  })

  it('21: does not repeat what no other attempt mends', async () => {
    const server = await serve({ protocol, respond: { status: 501, body: 'what?' } })
    const chain = chainTo(server, fromCockatiel(patientRetry()))
    expect(await call(chain, server.url())).toEqual({ status: 501, text: 'what?' })
    const bad = { headers: { 'bad name': 'x' } }
    expect(await errorOf(call(chain, server.url(), bad))).toMatchObject({ code: 'ERR_INVALID_REQUEST' })
    expect(server.count()).toBe(1)
  })

  it("7: does not repeat what the kit's own breaker refused", async () => {
    const server = await serve({ protocol, respond: 500 })
    const breaker = circuitBreaker({ minimumCalls: 1, failureShare: 0.1 })
    const chain = chainTo(server, fromCockatiel(quickRetry(9)), breaker, attemptTimeout())
    expect(await errorOf(call(chain, server.url()))).toBeInstanceOf(CircuitOpenError)
    expect(server.count()).toBe(1)
  })

  it('20: nothing of a response passes before the policy has decided, then all of it does', async () => {
    const large = Buffer.alloc(3_000_000, 'y')
    const server = await serve({ protocol, respond: { body: large } })
    const decision = gate()
    const policy = ownPolicy(async (run) => {
      const outcome = await run()
      await decision.promise
      return outcome
    })
    const [above, below] = [new Bytes(), new Bytes()]
    const chain = chainTo(server, above.layer, fromCockatiel(policy), below.layer)
    const answer = send(chain, server.url())
    await server.nextRequest()
    await turns(50)
    expect([above.count, below.count]).toEqual([0, 0])
    // Whatever the consumer says meanwhile.
    const raw = new Consumer()
    const arrived = server.nextRequest()
    chain.dispatch({ origin: server.origin, path: '/', method: 'GET' }, raw)
    await arrived
    await turns(20)
    raw.pause()
    raw.resume()
    await turns(20)
    expect([above.count, below.count]).toEqual([0, 0])
    decision.open()
    const { body } = await answer
    await raw.over
    expect(raw.bytes).toBe(large.length)
    above.count -= large.length
    below.count -= large.length
    // The consumer holds it back from here on.
    await turns(50)
    expect(below.count).toBeLessThan(1_000_000)
    expect(above.count).toBe(below.count)
    expect((await body.arrayBuffer()).byteLength).toBe(large.length)
  })

  it('13: a response that breaks while the policy decides arrives as far as it came', async () => {
    const server = await serve({ protocol, respond: { body: 'half of it', cut: true } })
    const broken = gate()
    const policy = ownPolicy(async (run) => {
      const outcome = await run()
      await broken.promise
      return outcome
    })
    const chain = chainTo(server, fromCockatiel(policy))
    const answer = send(chain, server.url())
    const request = await server.nextRequest()
    await request.closed
    await turns(5)
    broken.open()
    const { statusCode, body } = await answer
    expect(statusCode).toBe(200)
    expect(await errorOf(body.text())).toBeInstanceOf(Error)
  })
})

it('sees each call by itself where many are retried at once', async () => {
  const server = await serve({ protocol: 'h2', respond: 503 })
  const policy = quickRetry(3, 5)
  const chain = chainTo(server, fromCockatiel(policy))
  const paths = Array.from({ length: 60 }, (_, at) => `/${at}`)
  for (const [at, path] of paths.entries()) {
    server.script(path, [...Array.from({ length: at % 4 }, () => 503), { body: path }])
  }
  const answers = await Promise.all(
    paths.map((path, at) => call(chain, server.url(path), { method: at % 2 ? 'GET' : 'POST' })),
  )
  const expected = paths.map((path, at) =>
    at % 2 === 0 && at % 4 > 0 ? { status: 503, text: '' } : { status: 200, text: path },
  )
  expect(answers).toEqual(expected)
  expect(server.count()).toBe(paths.reduce((sum, _, at) => sum + (at % 2 === 0 ? 1 : 1 + (at % 4)), 0))
})

it('hears a policy once, however many layers it is in', async () => {
  const server = await serve({ protocol: 'h1', respond: [503, 503, { body: 'good' }] })
  const policy = cockatiel.retry(failures, { maxAttempts: 5, backoff: new cockatiel.ConstantBackoff(3) })
  const spans = new Spans()
  const chain = chainTo(server, tracing({ tracerProvider: spans.provider }), fromCockatiel(policy))
  const other = chainTo(server, fromCockatiel(policy))
  for (const dispatcher of [chain, other, chain]) {
    expect(await call(dispatcher, server.url())).toMatchObject({ status: 200 })
  }
  const listeners = (policy as unknown as { onRetryEmitter: { size: number } }).onRetryEmitter.size
  expect(listeners).toBe(1)
})
