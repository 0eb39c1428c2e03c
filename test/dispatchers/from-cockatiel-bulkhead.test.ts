import * as cockatiel from 'cockatiel'
import { fromCockatiel, type Outcome } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { Dispatcher } from 'undici'
import { describe, expect, it, vi } from 'vitest'
import { causeOf, clients, Outcomes, ownPolicy, quickRetry, touchyBreaker } from './from-cockatiel-fixtures.ts'
import { call, chainTo, errorOf, protocols, send, serve, turns } from './retry-servers.ts'

describe.each(protocols)("cockatiel's bulkhead over HTTP/$version", ({ protocol }) => {
  it.each(clients)('26: holds its slot to the end of the body, by $client', async ({ ask }) => {
    const rest = gate()
    const server = await serve({ protocol, respond: { '*': { body: ['one ', rest.promise, 'two'] } } })
    server.script('/next', { body: 'next' })
    const slots = cockatiel.bulkhead(1, 1)
    const chain = chainTo(server, fromCockatiel(slots))
    const { statusCode, body } = await send(chain, server.url())
    expect(statusCode).toBe(200)
    const queued = new Outcomes()
    const next = ask(chainTo(server, queued.layer, fromCockatiel(slots)), server.url('/next'))
    const outcomes = new Outcomes()
    const refusing = chainTo(server, outcomes.layer, fromCockatiel(slots))
    expect(causeOf(await errorOf(ask(refusing, server.url('/next'))))).toBeInstanceOf(cockatiel.BulkheadRejectedError)
    expect(outcomes.kinds).toEqual(['shed'])
    await turns(5)
    expect(server.count()).toBe(1)
    rest.open()
    expect(await body.text()).toBe('one two')
    expect(await next).toEqual({ status: 200, text: 'next' })
    expect(queued.waitedMs).toBeGreaterThan(0)
    expect([slots.executionSlots, slots.queueSlots]).toEqual([1, 1])
  })

  it('26: frees it at the head where no body follows, and when a body is cancelled or breaks', async () => {
    const server = await serve({ protocol, respond: { '*': { body: ['some', new Promise(() => {})] } } })
    server
      .script('/empty', 204)
      .script('/cut', { body: 'half of it', cut: true })
      .script('/reset', { reset: 'before-head' })
    const slots = cockatiel.bulkhead(1)
    const chain = chainTo(server, fromCockatiel(slots))
    const free: string[] = []
    const freed = async (how: string) => {
      await turns(2)
      if (slots.executionSlots === 1) free.push(how)
    }
    const empty = await send(chain, server.url('/empty'))
    await freed('204')
    await empty.body.dump()
    await send(chain, server.url(), { method: 'HEAD' }).then(({ body }) => body.dump())
    await freed('HEAD')
    const cancelled = await send(chain, server.url())
    await turns(2)
    expect(slots.executionSlots).toBe(0)
    cancelled.body.on('error', () => {}).destroy()
    await freed('cancelled')
    await errorOf(call(chain, server.url('/cut')))
    await freed('cut')
    await errorOf(call(chain, server.url('/reset')))
    await freed('reset')
    expect(free).toEqual(['204', 'HEAD', 'cancelled', 'cut', 'reset'])
  })

  it.each(clients)('is never refused the slot of the call before, by $client', async ({ ask }) => {
    const server = await serve({ protocol, respond: { body: 'hello' } })
    const chain = chainTo(server, fromCockatiel(cockatiel.bulkhead(1)))
    for (let at = 0; at < 50; at++) expect(await ask(chain, server.url())).toEqual({ status: 200, text: 'hello' })
  })

  it.each(clients)('lets the rest of a wrap decide at the head, by $client', async ({ ask }) => {
    const bodies = [{ status: 503, body: ['busy', new Promise(() => {})] }, { body: 'good' }]
    const server = await serve({ protocol, respond: { '/told': bodies, '/untold': bodies } })
    const untold = ownPolicy((run) => run().then(run))
    const policies = { '/told': quickRetry(3), '/untold': untold }
    for (const [path, policy] of Object.entries(policies)) {
      const slots = cockatiel.bulkhead(1)
      const chain = chainTo(server, fromCockatiel(cockatiel.wrap(policy, touchyBreakerThatHeals(), slots)))
      expect(await ask(chain, server.url(path))).toEqual({ status: 200, text: 'good' })
      await turns(2)
      expect(slots.executionSlots).toBe(1)
    }
  })

  it('holds one slot through all attempts where it stands outside a retry', async () => {
    const server = await serve({ protocol, respond: [503, { body: ['good', gate().promise] }] })
    const slots = cockatiel.bulkhead(1)
    const policy = quickRetry(3)
    const taken: number[] = []
    policy.onRetry(() => taken.push(1 - slots.executionSlots))
    const chain = chainTo(server, fromCockatiel(cockatiel.wrap(slots, policy)))
    const { body } = await send(chain, server.url())
    await turns(2)
    taken.push(1 - slots.executionSlots)
    body.on('error', () => {}).destroy()
    await turns(2)
    taken.push(1 - slots.executionSlots)
    expect(taken).toEqual([1, 1, 0])
  })

  it('frees it at once where the call is answered or given up while a retry still waits', async () => {
    const server = await serve({ protocol, respond: 503 })
    const slots = cockatiel.bulkhead(1)
    const policy = quickRetry(9, 60_000)
    const chain = chainTo(server, fromCockatiel(cockatiel.wrap(slots, policy)))
    expect(await call(chain, server.url(), { method: 'POST' })).toMatchObject({ status: 503 })
    const controller = new AbortController()
    policy.onRetry(() => setImmediate(() => controller.abort()))
    expect(await errorOf(send(chain, server.url(), { signal: controller.signal }))).toMatchObject({
      name: 'AbortError',
    })
    await turns(2)
    expect(slots.executionSlots).toBe(1)
  })

  it('47: never has more under way than slots, and gives every slot back', async () => {
    let underWay = 0
    let most = 0
    const respond = async () => {
      most = Math.max(most, ++underWay)
      await turns(1)
      underWay--
      return { body: ['x'.repeat(500), 'y'.repeat(500)] }
    }
    const server = await serve({ protocol, respond: { '*': respond } })
    server.script('/503', 503).script('/reset', { reset: 'before-head' })
    const slots = cockatiel.bulkhead(5, 1_000)
    const chain = chainTo(server, fromCockatiel(cockatiel.wrap(quickRetry(1), slots)))
    const paths = ['/', '/', '/', '/503', '/reset', '/']
    const all = Array.from({ length: 120 }, (_, at) => call(chain, server.url(paths[at % paths.length])))
    const settled = await Promise.allSettled(all)
    expect(settled.filter(({ status }) => status === 'rejected')).toHaveLength(20)
    expect(most).toBeLessThanOrEqual(5)
    await turns(2)
    expect([slots.executionSlots, slots.queueSlots]).toEqual([5, 1_000])
    await chain.close()
  })
})

/** Opens at the second failure in a row. */
function touchyBreakerThatHeals(): cockatiel.CircuitBreakerPolicy {
  return cockatiel.circuitBreaker(
    cockatiel.handleWhenResult((outcome) => (outcome as Outcome).kind === 'serverError'),
    { halfOpenAfter: 60_000, breaker: new cockatiel.ConsecutiveBreaker(2) },
  )
}

it('tells the breaker outside it of a refusal, as cockatiel does', async () => {
  const server = await serve({ protocol: 'h1', respond: { hang: 'head' } })
  const breaker = touchyBreaker()
  const chain = chainTo(server, fromCockatiel(cockatiel.wrap(breaker, cockatiel.bulkhead(1))))
  const first = errorOf(send(chain, server.url()))
  expect(await errorOf(send(chain, server.url()))).toBeInstanceOf(cockatiel.BulkheadRejectedError)
  expect(breaker.state).toBe(cockatiel.CircuitState.Open)
  await chain.destroy()
  await first
})

/** Answers with a head, and then with nothing. */
class HeadOnly extends Dispatcher {
  override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const abort = (error: Error) => handler.onResponseError?.(controller, error)
    const controller = { abort, pause() {}, resume() {}, aborted: false, paused: false, reason: null }
    handler.onRequestStart?.(controller, {})
    handler.onResponseStart?.(controller, 200, {})
    return true
  }
}

it('26: a body that nobody reads does not hold its slot for ever', async () => {
  vi.useFakeTimers()
  try {
    const slots = cockatiel.bulkhead(1)
    const chain = new HeadOnly().compose(fromCockatiel(slots))
    let fail: (error: Error) => void = () => {}
    const unread: Dispatcher.DispatchHandler = {
      onRequestStart: (controller) => {
        fail = (error) => controller.abort(error)
      },
      onResponseStart: (controller) => controller.pause(),
      onResponseError: () => {},
    }
    chain.dispatch({ origin: 'http://unread.test', path: '/', method: 'GET' }, unread)
    await vi.advanceTimersByTimeAsync(29_000)
    expect(slots.executionSlots).toBe(0)
    await vi.advanceTimersByTimeAsync(2_000)
    expect(slots.executionSlots).toBe(1)
    fail(new Error('enough'))
    expect(slots.executionSlots).toBe(1)
  } finally {
    vi.useRealTimers()
  }
})
