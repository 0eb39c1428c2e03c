import * as cockatiel from 'cockatiel'
import { type ChainDispatcher, createFetch, fromCockatiel, guard, type Layer, type Scope } from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { Outcomes, ownPolicy, quickRetry, stopClock, touchyBreaker } from './from-cockatiel-fixtures.ts'
import { call, chainTo, errorOf, protocols, send, serve, turns } from './retry-servers.ts'

/** Where a call can be when it is given up, and how to bring it there. */
interface Phase {
  readonly phase: string
  readonly make: () => { readonly layer: Layer; readonly there: (server: TestServer) => Promise<unknown> }
  readonly path: string
  /** What the server has had of it. */
  readonly sent: number
  /** The caller has the response head by then. */
  readonly headSeen?: true
}

const backoff = 1_000
const arrival = (server: TestServer) => server.nextRequest()

const phases: readonly Phase[] = [
  {
    phase: "in a bulkhead's queue",
    path: '/get',
    sent: 0,
    make: () => {
      const slots = cockatiel.bulkhead(1, 5)
      void slots.execute(() => new Promise(() => {}))
      return { layer: fromCockatiel(cockatiel.wrap(quickRetry(3), slots)), there: () => turns(2) }
    },
  },
  {
    phase: 'behind the probe of a breaker',
    path: '/get',
    sent: 0,
    make: () => {
      const breaker = cockatiel.circuitBreaker(cockatiel.handleAll, {
        halfOpenAfter: 0,
        breaker: new cockatiel.ConsecutiveBreaker(1),
      })
      const opened = breaker.execute(() => Promise.reject(new Error('open'))).catch(() => {})
      const probe = opened.then(() => void breaker.execute(() => new Promise(() => {})))
      const layer = fromCockatiel(
        cockatiel.wrap(
          ownPolicy((run) => probe.then(run)),
          breaker,
        ),
      )
      return { layer, there: () => turns(5) }
    },
  },
  {
    phase: 'in the backoff of a retry',
    path: '/busy',
    sent: 1,
    make: () => {
      const policy = quickRetry(9, backoff)
      const waits = new Promise((resolve) => policy.onRetry(resolve))
      return { layer: fromCockatiel(cockatiel.wrap(policy, cockatiel.bulkhead(1))), there: () => waits }
    },
  },
  {
    phase: 'before the head',
    path: '/hang',
    sent: 1,
    make: () => ({ layer: fromCockatiel(cockatiel.wrap(quickRetry(9), cockatiel.bulkhead(1))), there: arrival }),
  },
  {
    phase: 'while the policy holds the head back',
    path: '/hang-body',
    sent: 1,
    make: () => {
      let arrived = () => {}
      const head = new Promise<void>((resolve) => {
        arrived = resolve
      })
      const policy = ownPolicy(async (run) => {
        const outcome = await run()
        arrived()
        await new Promise(() => {})
        return outcome
      })
      return { layer: fromCockatiel(policy), there: () => head }
    },
  },
  {
    phase: 'in the body',
    path: '/hang-body',
    sent: 1,
    headSeen: true,
    make: () => ({ layer: fromCockatiel(cockatiel.wrap(quickRetry(9), touchyBreaker())), there: () => turns(0) }),
  },
]

const responses = {
  '/get': { body: 'hello' },
  '/busy': { status: 503, body: 'busy' },
  '/hang': { hang: 'head' },
  '/hang-body': { body: 'half of it', hang: 'body' },
  '*': 404,
} as const

describe.each(protocols)('a call over HTTP/$version', ({ protocol }) => {
  describe.each(phases)('given up $phase', ({ make, path, sent, headSeen }) => {
    async function start(open: (chain: ChainDispatcher, url: string, signal: AbortSignal) => Promise<unknown>) {
      const server = await serve({ protocol, respond: responses })
      const outcomes = new Outcomes()
      const { layer, there } = make()
      const chain = chainTo(server, outcomes.layer, layer)
      const controller = new AbortController()
      const clock = stopClock()
      const here = headSeen ? undefined : there(server)
      const opened = open(chain, server.url(path), controller.signal)
      const result = headSeen ? opened : errorOf(opened)
      await (headSeen ? opened : here)
      return { server, clock, outcomes, chain, controller, result }
    }

    async function nothingMoreIsSent(server: TestServer, clock: ReturnType<typeof stopClock>) {
      clock.pass(backoff)
      await turns(5)
      expect(server.count()).toBe(sent)
      for (const request of server.requests.filter(({ path }) => path.startsWith('/hang'))) {
        expect(await request.closed).toMatchObject({ how: 'aborted' })
      }
    }

    it('17: settles at once, by request', async () => {
      const { server, clock, outcomes, controller, result } = await start((chain, url, signal) =>
        send(chain, url, { signal }),
      )
      const reason = new Error('enough')
      if (headSeen) {
        const { body } = (await result) as Awaited<ReturnType<typeof send>>
        controller.abort(reason)
        expect(await errorOf(body.text())).toBe(reason)
      } else {
        controller.abort(reason)
        expect(await result).toBe(reason)
      }
      expect(outcomes.all).toMatchObject([
        // Of a body that is cancelled, undici's request does not hand the reason on.
        headSeen ? { kind: 'cancelled', phase: 'body' } : { kind: 'cancelled', phase: 'before-head', error: reason },
      ])
      await nothingMoreIsSent(server, clock)
    })

    it('17: settles at once, by fetch', async () => {
      const { server, clock, outcomes, controller, result } = await start((chain, url, signal) =>
        createFetch(chain)(url, { signal }),
      )
      const failed = headSeen ? errorOf(((await result) as Response).text()) : result
      controller.abort()
      expect(await failed).toMatchObject({ name: 'AbortError' })
      expect(outcomes.kinds).toEqual(['cancelled'])
      await nothingMoreIsSent(server, clock)
    })

    it('46: fails at once when the chain is destroyed', async () => {
      const { server, clock, outcomes, chain, result } = await start((dispatcher, url) => send(dispatcher, url))
      const failed = headSeen ? errorOf(((await result) as Awaited<ReturnType<typeof send>>).body.text()) : result
      await chain.destroy()
      expect(await failed).toMatchObject({ code: 'UND_ERR_DESTROYED' })
      expect(outcomes.kinds).toEqual(['closed'])
      await nothingMoreIsSent(server, clock)
    })
  })

  it('46: close() waits for a call in the backoff', async () => {
    const server = await serve({ protocol, respond: [503, { body: 'good' }] })
    const policy = quickRetry(1, 5)
    const waits = new Promise((resolve) => policy.onRetry(resolve))
    const chain = chainTo(server, fromCockatiel(policy))
    const answer = call(chain, server.url())
    await waits
    await Promise.all([chain.close(), answer])
    expect(await answer).toEqual({ status: 200, text: 'good' })
    expect(await errorOf(send(chain, server.url()))).toMatchObject({ code: 'UND_ERR_CLOSED' })
  })

  it('17: ends a retry without end behind the call', async () => {
    const server = await serve({ protocol, respond: 503 })
    const policy = quickRetry(Number.POSITIVE_INFINITY)
    const gaveUp = new Promise((resolve) => policy.onGiveUp(resolve))
    const controller = new AbortController()
    policy.onRetry(() => controller.abort())
    const chain = chainTo(server, fromCockatiel(policy))
    expect(await errorOf(send(chain, server.url(), { signal: controller.signal }))).toMatchObject({
      name: 'AbortError',
    })
    await gaveUp
  })

  it('17: sends nothing for a policy that runs its function when the call is over', async () => {
    const server = await serve({ protocol })
    const late = gate()
    const ran: unknown[] = []
    const policy = ownPolicy(async (run) => {
      await late.promise
      ran.push(await errorOf(run()))
    })
    // A signal of its own, which knows nothing of the call.
    const deaf = { ...policy, execute: (run: never) => policy.execute(run, new AbortController().signal) }
    const scopes: Scope[] = []
    const keeping = guard({
      acquire(scope) {
        scopes.push(scope)
        return null
      },
    })
    const chain = chainTo(server, keeping, fromCockatiel(deaf as typeof policy))
    const controller = new AbortController()
    const failed = errorOf(send(chain, server.url(), { signal: controller.signal }))
    controller.abort()
    await failed
    late.open()
    await turns(5)
    expect(ran).toMatchObject([{ name: 'AbortError' }])
    expect(scopes.map(({ exchange }) => exchange.attempts)).toEqual([0])
  })

  it('29: a call that is given up leaves its neighbours alone', async () => {
    const server = await serve({ protocol, respond: { '*': 200 } })
    server.script('/slow', { hold: new Promise((resolve) => setImmediate(resolve)), body: 'slow' })
    const layer = fromCockatiel(cockatiel.wrap(quickRetry(3), cockatiel.bulkhead(3, 20)))
    const chain = chainTo(server, layer)
    const calls = Array.from({ length: 20 }, (_, at) => {
      const controller = new AbortController()
      const answer = send(chain, server.url('/slow'), { signal: controller.signal }).then(({ body }) => body.text())
      if (at % 2 === 1) setImmediate(() => controller.abort())
      return answer
    })
    const settled = await Promise.allSettled(calls)
    expect(settled.filter((_, at) => at % 2 === 0)).toEqual(Array(10).fill({ status: 'fulfilled', value: 'slow' }))
  })

  it("does not count a caller's abort before it was sent", async () => {
    const server = await serve({ protocol })
    const breaker = touchyBreaker()
    const chain = chainTo(server, fromCockatiel(breaker))
    const controller = new AbortController()
    controller.abort()
    expect(await errorOf(send(chain, server.url(), { signal: controller.signal }))).toMatchObject({
      name: 'AbortError',
    })
    expect(breaker.state).toBe(cockatiel.CircuitState.Closed)
    expect(server.count()).toBe(0)
  })
})
