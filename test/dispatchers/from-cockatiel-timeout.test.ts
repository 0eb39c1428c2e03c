import * as cockatiel from 'cockatiel'
import { bulkhead, fromCockatiel, retry } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { Bytes, causeOf, clients, Outcomes, ownPolicy, quickRetry, stopClock } from './from-cockatiel-fixtures.ts'
import { call, chainTo, errorOf, protocols, send, serve, turns } from './retry-servers.ts'

const { TaskCancelledError, TimeoutStrategy } = cockatiel
const strategies = [
  { strategy: TimeoutStrategy.Aggressive, message: 'Operation timed out after 20ms' },
  { strategy: TimeoutStrategy.Cooperative, message: /^No response head from https:.* in time for the policy$/ },
] as const

describe.each(protocols)("cockatiel's timeout over HTTP/$version", ({ protocol }) => {
  describe.each(strategies)('$strategy', ({ strategy, message }) => {
    it.each(clients)('ends an attempt that gets no head, by $client', async ({ ask }) => {
      const server = await serve({ protocol, respond: { hang: 'head' } })
      const outcomes = new Outcomes()
      const below = bulkhead({ limit: 1, queue: 0 })
      const chain = chainTo(server, outcomes.layer, fromCockatiel(cockatiel.timeout(20, strategy)), below)
      const clock = stopClock()
      const failed = errorOf(ask(chain, server.url()))
      const arrived = await server.nextRequest()
      clock.pass(19)
      expect(below.state()[server.origin]).toMatchObject({ inUse: 1, queued: 0 })
      clock.pass(1)
      const error = causeOf(await failed)
      expect(error).toBeInstanceOf(TaskCancelledError)
      expect((error as Error).message).toMatch(message)
      expect(outcomes.all[0]).toMatchObject({ kind: 'timeout', phase: 'before-head', error })
      expect(below.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
      expect(await arrived.closed).toMatchObject({ how: 'aborted' })
    })

    it.each(clients)('25: never cuts a body, by $client', async ({ ask }) => {
      const rest = gate()
      const server = await serve({ protocol, respond: { '*': { body: ['one ', rest.promise, 'two'] } } })
      const policy = cockatiel.timeout(20, strategy)
      const timedOut: unknown[] = []
      policy.onTimeout((event) => timedOut.push(event))
      const signals: AbortSignal[] = []
      const watching = ownPolicy((run, signal) => {
        signals.push(signal)
        return run()
      })
      const bytes = new Bytes()
      const chain = chainTo(server, bytes.layer, fromCockatiel(cockatiel.wrap(quickRetry(3), policy, watching)))
      const clock = stopClock()
      const answer = ask(chain, server.url())
      while (bytes.count === 0) await turns(1)
      // As the call returns, and long before the body has come.
      expect(signals.map(({ aborted }) => aborted)).toEqual([true])
      clock.pass(100)
      rest.open()
      expect(await answer).toEqual({ status: 200, text: 'one two' })
      expect(timedOut).toEqual([])
      expect(server.count()).toBe(1)
    })

    it('begins no attempt when its time is up', async () => {
      const server = await serve({ protocol, respond: { status: 503, body: 'busy' } })
      const policy = quickRetry(5, 1_000)
      const waits = new Promise((resolve) => policy.onRetry(resolve))
      const chain = chainTo(server, fromCockatiel(cockatiel.wrap(cockatiel.timeout(20, strategy), policy)))
      const clock = stopClock()
      const failed = errorOf(call(chain, server.url()))
      await waits
      clock.pass(20)
      await turns(2)
      clock.pass(1_000)
      expect(await failed).toBeInstanceOf(TaskCancelledError)
      await turns(5)
      expect(server.count()).toBe(1)
    })

    it('bounds each attempt inside a retry', async () => {
      const server = await serve({ protocol, respond: [{ hang: 'head' }, { hang: 'head' }, { body: 'third' }] })
      const again = cockatiel.retry(cockatiel.handleType(TaskCancelledError), {
        maxAttempts: 5,
        backoff: new cockatiel.ConstantBackoff(1),
      })
      const chain = chainTo(server, fromCockatiel(cockatiel.wrap(again, cockatiel.timeout(20, strategy))))
      const clock = stopClock()
      const answer = call(chain, server.url())
      for (const attempt of [1, 2, 3]) {
        while (server.count() < attempt) {
          await turns(1)
          clock.pass(1)
        }
        if (attempt < 3) clock.pass(20)
      }
      expect(await answer).toEqual({ status: 200, text: 'third' })
    })

    it("is a timeout to the kit's own retry", async () => {
      const server = await serve({ protocol, respond: [{ hang: 'head' }, { body: 'second' }] })
      server.script('/order', { hang: 'head' })
      const timeout = fromCockatiel(cockatiel.timeout(20, strategy))
      const chain = chainTo(server, retry({ maxAttempts: 2, backoff: 1 }), timeout)
      const clock = stopClock()
      const answer = call(chain, server.url())
      await server.nextRequest()
      clock.pass(20)
      while (server.count() < 2) {
        await turns(1)
        clock.pass(1)
      }
      expect(await answer).toEqual({ status: 200, text: 'second' })
      const failed = errorOf(call(chain, server.url('/order'), { method: 'POST' }))
      await server.nextRequest()
      clock.pass(20)
      expect(await failed).toBeInstanceOf(TaskCancelledError)
      clock.pass(1_000)
      await turns(5)
      expect(server.count('/order')).toBe(1)
    })

    it('also ends one that waits for a connection', async () => {
      const server = await serve({ protocol })
      const stuck = gate()
      const silent = fromCockatiel(cockatiel.timeout(20, strategy))
      const chain = chainTo(server, silent, (dispatch) => (opts, handler) => {
        void stuck.promise.then(() => dispatch(opts, handler))
        return true
      })
      expect(await errorOf(send(chain, server.url()))).toBeInstanceOf(TaskCancelledError)
      stuck.open()
      // Let go too late: it is never sent.
      await chain.close()
      expect(server.count()).toBe(0)
    })
  })

  it('bounds all attempts outside a retry, also in the wait between them', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'busy' } })
    const all = cockatiel.timeout(20, TimeoutStrategy.Aggressive)
    const clock = stopClock()
    const policy = quickRetry(5, 1_000)
    const waits = new Promise((resolve) => policy.onRetry(resolve))
    const outcomes = new Outcomes()
    const chain = chainTo(server, outcomes.layer, fromCockatiel(cockatiel.wrap(all, policy)))
    const failed = errorOf(call(chain, server.url()))
    await waits
    clock.pass(20)
    expect(await failed).toMatchObject({ message: 'Operation timed out after 20ms' })
    expect(outcomes.kinds).toEqual(['timeout'])
    // The retry wakes to a call that is over.
    clock.pass(1_000)
    await turns(5)
    expect(server.count()).toBe(1)
    await chain.close()
  })

  it('takes any signal of a policy as a timeout, up to the head only', async () => {
    const rest = gate()
    const server = await serve({ protocol, respond: { '*': { body: ['one', rest.promise, 'two'] } } })
    server.script('/hang', { hang: 'head' })
    const execute = async (run: (context: { signal: AbortSignal }) => unknown) => {
      const controller = new AbortController()
      const arrived = server.nextRequest()
      const answer = run({ signal: controller.signal })
      if ((await arrived).path === '/hang') controller.abort()
      await Promise.allSettled([answer])
      controller.abort()
      setImmediate(rest.open)
      return answer
    }
    const outcomes = new Outcomes()
    const chain = chainTo(server, outcomes.layer, fromCockatiel({ ...ownPolicy(() => null), execute } as never))
    expect(await call(chain, server.url())).toEqual({ status: 200, text: 'onetwo' })
    expect(await errorOf(call(chain, server.url('/hang')))).toBeInstanceOf(TaskCancelledError)
    expect(outcomes.kinds).toEqual(['success', 'timeout'])
  })
})
