// Hedged calls and the layers around them, on real servers, on a clock that stands still until the test moves it.
import {
  AttemptTimeoutError,
  attemptTimeout,
  type CallRecord,
  CircuitOpenError,
  circuitBreaker,
  DeadlineExceededError,
  deadline,
  hedge,
  logging,
  retry,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { arrived, fixed, slowThenFast, stoppedClock } from './hedge-fixtures.ts'
import { call, errorOf, protocols, serve, warmChainTo } from './retry-servers.ts'

describe.each(protocols)('hedge among other layers over $version', ({ protocol }) => {
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
