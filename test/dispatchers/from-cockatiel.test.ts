import { AsyncLocalStorage } from 'node:async_hooks'
import * as cockatiel from 'cockatiel'
import { fromCockatiel, InvalidRequestError, type Outcome, retry } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { Dispatcher, MockAgent } from 'undici'
import { describe, expect, it } from 'vitest'
import { causeOf, clients, Outcomes, ownPolicy, quickRetry, touchyBreaker } from './from-cockatiel-fixtures.ts'
import { call, chainTo, errorOf, protocols, send, serve, turns } from './retry-servers.ts'

describe('what cannot work is refused at construction', () => {
  const { fallback, handleAll, noop, usePolicy, wrap } = cockatiel
  it.each([
    ['a fallback policy', fallback(handleAll, 'cached'), /a fallback policy cannot stand in a chain.*no HTTP response/],
    [
      'a fallback policy in a wrap',
      wrap(quickRetry(1), noop, fallback(handleAll, 1)),
      /a fallback policy \(part 3 of a wrap\) cannot/,
    ],
    [
      'a fallback policy in a wrap in a wrap',
      wrap(noop, wrap(fallback(handleAll, 1), noop)),
      /a fallback policy \(part 1/,
    ],
    ['only the conditions of a policy', handleAll, /got only its conditions .*give them to retry\(/],
    ['a decorator', usePolicy(noop), /\(origin\) => policy, got one with 3 parameters/],
    ['nothing', undefined, /must be an object with execute\(function, signal\), got undefined/],
    ['null', null, /got null/],
    ['a text', 'retry', /got string/],
    ['a list', [noop], /got an array/],
    ['an object without execute', {}, /got object/],
    ['a wrap with something else in it', { wrapped: [noop, 7] }, /a policy \(part 2 of a wrap\) must be .* got number/],
  ])('%s', (_, policy, message) => {
    const make = () => fromCockatiel(policy as never)
    expect(make).toThrow(TypeError)
    expect(make).toThrow(message)
  })
})

describe.each(protocols)('a policy over HTTP/$version', ({ protocol, version }) => {
  it.each(clients)('48: passes an answer through, by $client', async ({ ask }) => {
    const server = await serve({ protocol, respond: { status: 201, headers: { 'x-tell': 'told' }, body: 'hello' } })
    const policies = [
      cockatiel.noop,
      quickRetry(2),
      touchyBreaker(),
      cockatiel.bulkhead(1),
      cockatiel.wrap(cockatiel.noop),
    ]
    for (const policy of policies) {
      const chain = chainTo(server, fromCockatiel(policy))
      expect(await ask(chain, server.url('/users'))).toEqual({ status: 201, text: 'hello' })
    }
    expect(server.requests.map((request) => request.protocol)).toEqual(policies.map(() => version))
  })

  it('answers with the outcome at the head, and throws the error of an attempt that got none', async () => {
    const server = await serve({
      protocol,
      respond: { '*': { status: 503, headers: { 'x-tell': 'told' }, hang: 'body' } },
    })
    server.script('/reset', { reset: 'before-head' })
    const seen: unknown[] = []
    const policy = ownPolicy(async (run) => {
      const outcome = await run().catch((error) => {
        seen.push(error)
        throw error
      })
      seen.push(outcome)
      return outcome
    })
    const chain = chainTo(server, fromCockatiel(policy))
    const { statusCode, body } = await send(chain, server.url())
    expect(statusCode).toBe(503)
    expect(seen[0]).toMatchObject({ kind: 'serverError', status: 503, phase: 'head', headers: { 'x-tell': 'told' } })
    body.on('error', () => {}).destroy()
    const error = await errorOf(call(chain, server.url('/reset')))
    expect(error).toBeInstanceOf(Error)
    expect(seen[1]).toBe(error)
  })

  it.each(clients)(
    "7: gives the caller cockatiel's own refusal, which no retry repeats, by $client",
    async ({ ask }) => {
      const server = await serve({ protocol, respond: 503 })
      const outcomes = new Outcomes()
      const breaker = touchyBreaker()
      const chain = chainTo(server, retry({ maxAttempts: 5, backoff: 1 }), outcomes.layer, fromCockatiel(breaker))
      expect(causeOf(await errorOf(ask(chain, server.url())))).toBeInstanceOf(cockatiel.BrokenCircuitError)
      expect(outcomes.kinds).toEqual(['serverError', 'shed'])
      breaker.isolate()
      expect(causeOf(await errorOf(ask(chain, server.url())))).toBeInstanceOf(cockatiel.IsolatedCircuitError)
      expect(outcomes.kinds).toEqual(['serverError', 'shed', 'shed'])
      expect(server.count()).toBe(1)
    },
  )

  it('is refused by a breaker that opens between two attempts', async () => {
    const server = await serve({ protocol, respond: 503 })
    const outcomes = new Outcomes()
    const chain = chainTo(server, outcomes.layer, fromCockatiel(cockatiel.wrap(quickRetry(2), touchyBreaker())))
    expect(await errorOf(call(chain, server.url()))).toBeInstanceOf(cockatiel.BrokenCircuitError)
    expect(outcomes.kinds).toEqual(['shed'])
    expect(server.count()).toBe(1)
  })

  it('9: a function makes a policy for each origin, one policy serves all', async () => {
    const [bad, good] = [await serve({ protocol, respond: 500 }), await serve({ protocol, respond: 200 })]
    const made: string[] = []
    const own = fromCockatiel((origin) => {
      made.push(origin)
      return touchyBreaker()
    })
    const shared = fromCockatiel(touchyBreaker())
    const statuses = async (layer: typeof own) => {
      const chain = chainTo(bad, layer)
      const asked = [bad, good, bad, good].map((server) => () => call(chain, server.url()))
      const answers: unknown[] = []
      for (const ask of asked)
        answers.push(
          await ask().then(
            ({ status }) => status,
            (error) => error.constructor.name,
          ),
        )
      return answers
    }
    expect(await statuses(own)).toEqual([500, 200, 'BrokenCircuitError', 200])
    expect(made).toEqual([bad.origin, good.origin])
    expect(await statuses(shared)).toEqual([500, 'BrokenCircuitError', 'BrokenCircuitError', 'BrokenCircuitError'])
  })
})

describe('a policy that does not play by the rules', () => {
  const rules = /must resolve with the outcome that its function answered with last/
  it.each<[string, unknown, Outcome['kind'], unknown]>([
    ['never runs its function', ownPolicy(async () => undefined), 'invalid', /resolved without running its function/],
    ['answers with a value of its own', ownPolicy((run) => run().then(() => 'cached')), 'invalid', rules],
    ['answers with a copy', ownPolicy((run) => run().then((outcome) => ({ ...outcome }))), 'invalid', rules],
    ['answers with a response that it gave up', ownPolicy(firstOfTwo), 'invalid', rules],
    ['answers with a response that it is about to replace', racing(), 'invalid', rules],
    ['is no promise', ownPolicy(() => 7), 'invalid', /resolved without running its function/],
    ['throws at once', ownPolicy(throwOwn), 'shed', 'own'],
    ['throws after a good answer', ownPolicy((run) => run().then(throwOwn)), 'invalid', 'own'],
    ['drops what it runs', ownPolicy((run) => throwOwn(run())), 'timeout', 'own'],
    ['is made by a function that throws', throwOwn, 'invalid', 'own'],
    ['is made by a function that makes none', () => 7, 'invalid', /got number/],
  ])('%s', async (_, policy, kind, message) => {
    const server = await serve({ protocol: 'h1', respond: { body: 'hello' } })
    const outcomes = new Outcomes()
    const chain = chainTo(server, outcomes.layer, fromCockatiel(policy as cockatiel.IPolicy))
    const error = await errorOf(call(chain, server.url()))
    expect((error as Error).message).toMatch(message as string)
    expect(outcomes.kinds).toEqual([kind])
    // Nothing of it is left behind.
    await chain.close()
  })

  it('takes the kind of the answer that it turned into an error', async () => {
    const server = await serve({ protocol: 'h1', respond: 503 })
    const outcomes = new Outcomes()
    const chain = chainTo(server, outcomes.layer, fromCockatiel(ownPolicy((run) => run().then(throwOwn))))
    expect(await errorOf(call(chain, server.url()))).toMatchObject({ message: 'own' })
    expect(outcomes.kinds).toEqual(['serverError'])
  })

  it('15: makes one attempt after the other for one that runs its function twice at once', async () => {
    const server = await serve({ protocol: 'h1', respond: { '/safe': [{ hang: 'head' }, { body: 'second' }] } })
    const arrived = gate()
    server.script('/unsafe', { hold: arrived.promise, body: 'first' })
    const twice = ownPolicy(async (run) => {
      const here = server.nextRequest()
      const first = run()
      await here
      const second = run()
      arrived.open()
      return Promise.any([first, second])
    })
    const chain = chainTo(server, fromCockatiel(twice))
    expect(await call(chain, server.url('/safe'))).toEqual({ status: 200, text: 'second' })
    await server.requests[0]?.closed
    expect(server.requests.map(({ aborted }) => aborted)).toEqual([true, false])
    expect(await call(chain, server.url('/unsafe'), { method: 'POST' })).toEqual({ status: 200, text: 'first' })
    expect(server.count('/unsafe')).toBe(1)
  })
})

function firstOfTwo(run: () => Promise<Outcome>): Promise<Outcome> {
  return run().then((first) => run().then(() => first))
}

/** A retry, and around it one that does not wait for it. */
function racing(): cockatiel.IPolicy {
  const backoff = new cockatiel.ConstantBackoff(60_000)
  const again = cockatiel
    .retry(
      cockatiel.handleWhenResult(() => true),
      { backoff },
    )
    .dangerouslyUnref()
  const seen = new Promise((resolve) => again.onRetry((event) => resolve((event as { value: unknown }).value)))
  return cockatiel.wrap(
    ownPolicy((run) => Promise.race([run(), seen])),
    again,
  )
}

function throwOwn(_run?: unknown): never {
  throw new Error('own')
}

it('runs everything in the context of the caller, whoever freed the slot', async () => {
  const server = await serve({ protocol: 'h1', respond: { body: 'hello' } })
  const asked: unknown[] = []
  const caller = new AsyncLocalStorage<number>()
  const watching = cockatiel.retry(
    cockatiel.handleWhenResult(() => asked.push(caller.getStore()) < 0),
    {},
  )
  const chain = chainTo(server, fromCockatiel(cockatiel.wrap(cockatiel.bulkhead(1, 10), watching)))
  const told: unknown[] = []
  const ask = (number: number) =>
    new Promise<void>((resolve, reject) => {
      const note = () => told.push(caller.getStore())
      const handler: Dispatcher.DispatchHandler = {
        onRequestStart: note,
        onResponseStart: note,
        onResponseData: note,
        onResponseEnd: () => {
          note()
          resolve()
        },
        onResponseError: (_controller, error) => reject(error),
      }
      caller.run(number, () => chain.dispatch({ origin: server.origin, path: '/', method: 'GET' }, handler))
    })
  await Promise.all([1, 2, 3].map(ask))
  expect(asked).toEqual([1, 2, 3])
  expect(told).toEqual([1, 2, 3, ...[1, 2, 3].flatMap((number) => [number, number, number])])
})

it('16: refuses a body that it cannot send, without the policy hearing of a failure of the server', async () => {
  const server = await serve({ protocol: 'h1' })
  const chain = chainTo(server, fromCockatiel(quickRetry(5)))
  const error = await errorOf(call(chain, server.url(), { method: 'PUT', body: 7 as never }))
  expect(error).toBeInstanceOf(InvalidRequestError)
  expect(server.count()).toBe(0)
})

it('48: works over a MockAgent, which answers at once and cannot be held back', async () => {
  const agent = new MockAgent()
  agent.disableNetConnect()
  const pool = agent.get('http://mock.test')
  pool.intercept({ path: '/' }).reply(503, 'busy').times(2)
  pool.intercept({ path: '/' }).reply(200, 'mocked', { trailers: { 'x-sum': '6' } })
  const composed = agent.compose(fromCockatiel(cockatiel.wrap(quickRetry(5), cockatiel.bulkhead(1))))
  expect(await call(composed, 'http://mock.test/')).toEqual({ status: 200, text: 'mocked' })
  await turns()
  agent.assertNoPendingInterceptors()
  await agent.close()
})

/** Answers with a head, and then with nothing. */
class HeadOnly extends Dispatcher {
  override dispatch({ path }: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const abort = (error: Error) => handler.onResponseError?.(controller, error)
    const controller = { abort, pause() {}, resume() {}, aborted: false, paused: false, reason: null }
    handler.onRequestStart?.(controller, {})
    handler.onResponseStart?.(controller, path === '/bad' ? 500 : 200, {})
    if (path !== '/endless') handler.onResponseEnd?.(controller, {})
    return true
  }
}

it("forgets no origin's policy that is in use, or whose circuit is open", async () => {
  const made: string[] = []
  const layer = fromCockatiel((origin) => {
    made.push(origin)
    return touchyBreaker()
  })
  const chain = new HeadOnly().compose(layer)
  const ask = (host: string, path = '/') => {
    const { resolve, promise } = deferred()
    const handler = { onRequestStart() {}, onResponseStart: resolve, onResponseError: resolve }
    chain.dispatch({ origin: `http://${host}.test`, path, method: 'GET' }, handler)
    return promise
  }
  await ask('endless', '/endless')
  await ask('bad', '/bad')
  await ask('idle')
  for (let host = 0; host < 1_000; host++) await ask(`host-${host}`)
  expect(made).toHaveLength(1_003)
  for (const host of ['endless', 'bad', 'idle']) await ask(host)
  expect(made.slice(1_003)).toEqual(['http://idle.test'])
})

function deferred() {
  let resolve!: () => void
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { resolve, promise }
}
