// What a caller says of one call takes the place of what the chain says, wherever the layers stand.
import { NoopPolicy } from 'cockatiel'
import {
  attemptTimeout,
  bodyTimeout,
  bulkhead,
  type CallOptions,
  circuitBreaker,
  classify,
  compose,
  createFetch,
  deadline,
  fromCockatiel,
  guard,
  type Layer,
  retry,
  standard,
  tracing,
} from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { Agent, type Dispatcher, interceptors } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  type CallInit,
  call,
  chainTo,
  errorOf,
  protocols,
  send,
  serve,
  stopClock,
  turns,
  warmChainTo,
} from './retry-servers.ts'

const saying = (resilience: CallOptions): CallInit => ({ resilience })

/** A foreign interceptor: layers on its two sides cannot be folded into one guard. */
const apart: Layer = (dispatch) =>
  function apart(opts, handler) {
    return dispatch({ ...opts }, handler)
  }

const once = () => retry({ maxAttempts: 1 })
const ownPolicy = () => guard({ acquire: () => null })
type Wrap = (ground: Dispatcher.ComposedDispatcher | Dispatcher) => Dispatcher

const composed = (...layers: Layer[]): Wrap => {
  return (ground) => compose(ground, layers)
}
const alone = (...layers: Layer[]): Wrap => {
  return (ground) => ground.compose(...layers)
}

// None of these ends a call by itself within the times of the tests below.
const chains: readonly (readonly [string, Wrap])[] = [
  [
    'the standard chain',
    composed(...standard({ deadline: 20_000, attemptTimeout: 15_000, retry: { maxAttempts: 1 } })),
  ],
  ['a chain with no layers', composed()],
  ['a chain of a bulkhead', composed(bulkhead())],
  ['a chain with foreign layers between', composed(apart, once(), apart, circuitBreaker(), apart)],
  ['a chain around a chain', (ground) => compose(compose(ground, attemptTimeout(15_000)), deadline(20_000), once())],
  [
    "a chain over undici's redirect, cache and decompress",
    composed(
      interceptors.redirect({ maxRedirections: 3 }) as Layer,
      interceptors.cache() as Layer,
      deadline(20_000),
      interceptors.decompress() as Layer,
    ),
  ],
  ["a chain over undici's retry", composed(deadline(20_000), interceptors.retry({ maxRetries: 0 }) as Layer)],
  [
    "a chain inside undici's redirect",
    (ground) => compose(ground, once()).compose(interceptors.redirect({ maxRedirections: 3 })),
  ],
  ['deadline() alone', alone(deadline(20_000))],
  ['attemptTimeout() alone', alone(attemptTimeout(15_000))],
  ['retry() alone', alone(once())],
  ['bulkhead() alone', alone(bulkhead())],
  ['circuitBreaker() alone', alone(circuitBreaker())],
  ['bodyTimeout() alone', alone(bodyTimeout(9_000))],
  ['tracing() alone', alone(tracing())],
  ['classify() alone', alone(classify(() => undefined))],
  ['guard() alone', alone(ownPolicy())],
  ['fromCockatiel() alone', alone(fromCockatiel(new NoopPolicy()))],
  ['deadline() below retry(), by agent.compose', alone(attemptTimeout(15_000), deadline(20_000), once())],
]

/** Resolves with the error of a call that must end `duration` milliseconds after it was made, no sooner and no later. */
async function endAt(duration: number, server: TestServer, begin: () => Promise<unknown>): Promise<unknown> {
  const { advance } = stopClock()
  let over = false
  const error = errorOf(begin()).finally(() => {
    over = true
  })
  await server.until(() => server.count() === 1)
  await advance(duration - 1)
  expect(over).toBe(false)
  await advance(2)
  expect(over).toBe(true)
  return error
}

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  const hanging = () => serve({ protocol, respond: { '/warm': 200, '*': { hang: 'head' } } })

  async function ends(wrap: Wrap, resilience: CallOptions, duration: number, init: CallInit = {}) {
    const server = await hanging()
    const chain = wrap(await warmChainTo(server))
    return endAt(duration, server, () => send(chain, server.url(), { ...init, resilience }))
  }

  describe.each(chains)('in %s', (_, wrap) => {
    it('24: a deadline of the call bounds it', async () => {
      const error = await ends(wrap, { deadline: 307 }, 307)
      expect(error).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED', message: expect.stringContaining('within 307 ms') })
    })

    it('24: an attempt timeout of the call bounds its attempt', async () => {
      const error = await ends(wrap, { attemptTimeout: 311 }, 311)
      expect(error).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT', message: expect.stringContaining('within 311 ms') })
    })

    it('21: options that are wrong are refused, and nothing is sent', async () => {
      const server = await hanging()
      const chain = wrap(await warmChainTo(server))
      const error = await errorOf(send(chain, server.url(), { resilience: { deadline: 0, attemptTimeout: 5 } }))
      expect(error).toMatchObject({
        code: 'ERR_INVALID_REQUEST',
        message: expect.stringContaining('resilience: deadline must be a number of milliseconds from 1 to 2147483647'),
      })
      expect(server.count()).toBe(0)
    })
  })

  describe.each([
    ['in one guard', []],
    ['with a foreign layer between', [apart]],
  ])('%s', (_, between: Layer[]) => {
    it('24: takes the place of a shorter deadline', async () => {
      const error = await ends(composed(deadline(101), ...between, retry()), { deadline: 401 }, 401)
      expect(error).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED', message: expect.stringContaining('within 401 ms') })
    })

    it('24: takes the place of a shorter attempt timeout', async () => {
      const error = await ends(composed(once(), ...between, attemptTimeout(101)), { attemptTimeout: 401 }, 401)
      expect(error).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT', message: expect.stringContaining('within 401 ms') })
    })

    it('24: false is no deadline, and no attempt timeout', async () => {
      const layers = [deadline(203), ...between, once(), ...between, attemptTimeout(101)]
      expect(await ends(composed(...layers), { deadline: false }, 101)).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
      expect(await ends(composed(...layers), { attemptTimeout: false }, 203)).toMatchObject({
        code: 'ERR_DEADLINE_EXCEEDED',
      })
      const server = await hanging()
      const chain = compose(await warmChainTo(server), layers)
      const { advance } = stopClock()
      let over = false
      const none = { deadline: false, attemptTimeout: false } as const
      const abort = new AbortController()
      const given = errorOf(send(chain, server.url(), { ...saying(none), signal: abort.signal })).finally(() => {
        over = true
      })
      await server.until(() => server.count() === 1)
      await advance(1_000)
      expect(over).toBe(false)
      abort.abort(new Error('enough'))
      expect(await given).toMatchObject({ message: 'enough' })
    })
  })

  it('19: every attempt gets the attempt timeout of the call, and the deadline of the call ends the last one', async () => {
    const server = await hanging()
    const layers = [deadline(20_000), retry({ backoff: 1 }), attemptTimeout(15_000)]
    const chain = await warmChainTo(server, layers)
    const { advance } = stopClock()
    const error = errorOf(send(chain, server.url(), saying({ deadline: 100, attemptTimeout: 40 })))
    for (const attempt of [1, 2, 3]) {
      await server.until(() => server.count() === attempt)
      if (attempt === 3) break
      await advance(41)
      await advance(2)
    }
    await advance(20)
    expect(await error).toMatchObject({
      code: 'ERR_DEADLINE_EXCEEDED',
      message: expect.stringMatching(/within 100 ms, 3 attempts/),
      cause: { code: 'ERR_ATTEMPT_TIMEOUT' },
    })
  })

  it.each([
    ['one millisecond before', 98, 3],
    ['at', 99, 2],
    ['past', 100, 2],
  ])('19: a backoff that would end %s the deadline of the call: %d ms, %d attempts', async (_, backoff, attempts) => {
    for (const above of [[], deadline(20_000), deadline(50)]) {
      const server = await serve({ protocol })
      const chain = await warmChainTo(server, above, retry({ backoff: [1, backoff, 1_000] }))
      server.script('*', { status: 503, body: 'busy' })
      const { advance } = stopClock()
      const answer = call(chain, server.url(), saying({ deadline: 100 }))
      await server.until(() => server.count() === 1)
      await turns()
      await advance(1)
      await server.until(() => server.count() === 2)
      await turns()
      if (attempts === 3) await advance(98)
      expect(await answer).toEqual({ status: 503, text: 'busy' })
      expect(server.count()).toBe(attempts)
    }
  })

  it.each<[string, number, CallOptions, number]>([
    ['is waited for within a longer deadline of the call', 1_000, { deadline: 10_000 }, 2],
    ['is waited for without a deadline', 1_000, { deadline: false }, 2],
    ['ends the call that has a shorter one', 10_000, { deadline: 1_000 }, 1],
    ['ends the call within the deadline of the chain', 1_000, {}, 1],
  ])('12: a Retry-After %s', async (_, ofChain, resilience, attempts) => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, deadline(ofChain), retry({ maxDelay: 60_000 }))
    server.script('*', [{ status: 503, headers: { 'retry-after': '2' }, body: 'busy' }, { body: 'fine' }])
    const { advance } = stopClock()
    const answer = call(chain, server.url(), saying(resilience))
    await server.until(() => server.count() === 1)
    await turns()
    if (attempts === 2) await advance(2_001)
    expect((await answer).status).toBe(attempts === 2 ? 200 : 503)
    expect(server.count()).toBe(attempts)
  })

  it('19: a wait in a queue counts against the deadline of the call, not against its attempt timeout', async () => {
    const held = gate()
    const server = await serve({
      protocol,
      respond: { '/busy': { hold: held.promise }, '/warm': 200, '*': { hang: 'head' } },
    })
    const slots = bulkhead({ limit: 1 })
    const chain = await warmChainTo(server, once(), slots)
    const busy = call(chain, server.url('/busy'))
    await server.until(() => server.count('/busy') === 1)
    const { advance } = stopClock()
    const hurried = errorOf(call(chain, server.url('/hurried'), saying({ deadline: 40 })))
    const patient = errorOf(call(chain, server.url('/patient'), saying({ attemptTimeout: 30 })))
    await advance(41)
    expect(await hurried).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    expect(server.count('/hurried')).toBe(0)
    await advance(1_000)
    held.open()
    await busy
    await server.until(() => server.count('/patient') === 1)
    await advance(31)
    expect(await patient).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
  })

  it.each<[string, (chain: Dispatcher, url: string, init: CallInit) => Promise<{ text(): Promise<string> }>]>([
    ['request', async (chain, url, init) => (await send(chain, url, init)).body],
    ['fetch', (chain, url, init) => createFetch(chain)(url, init as RequestInit)],
  ])('25: both end with the head, through %s', async (_, headOf) => {
    const later = gate()
    const server = await serve({
      protocol,
      respond: { '/warm': 200, '*': { body: ['first ', later.promise, 'last'] } },
    })
    const chain = await warmChainTo(server, retry())
    const { advance } = stopClock()
    const body = await headOf(chain, server.url(), saying({ deadline: 40, attemptTimeout: 30 }))
    const text = body.text()
    for (let step = 0; step < 3; step++) await advance(1_000)
    later.open()
    expect(await text).toBe('first last')
  })

  it('16, 19: a body that streams is sent whole by each attempt within the times of the call', async () => {
    const server = await serve({ protocol })
    const chain = await warmChainTo(server, retry({ backoff: 1 }))
    server.script('*', [{ hang: 'head' }, { echo: true }])
    const { advance } = stopClock()
    async function* parts() {
      yield 'one '
      yield 'two'
    }
    const init = { method: 'PUT', body: parts(), ...saying({ attemptTimeout: 40, deadline: 1_000 }) } as const
    const answer = call(chain, server.url(), init)
    await server.until(() => server.count() === 1)
    await turns()
    await advance(41)
    await advance(2)
    expect((await answer).status).toBe(200)
    expect(server.requests.map(({ body }) => body.toString())).toEqual(['one two', 'one two'])
  })

  it('24, 29: calls at the same time each have their own times, and leave their neighbours alone', async () => {
    const server = await hanging()
    server.script('/calm', { body: 'calm', delay: 0 })
    const slots = bulkhead()
    const chain = await warmChainTo(server, deadline(61), once(), slots)
    const { advance } = stopClock()
    const ended: string[] = []
    const shared = { deadline: 97 }
    const given: readonly (CallOptions | undefined)[] = [
      undefined,
      shared,
      { attemptTimeout: 43 },
      { deadline: 131, attemptTimeout: 107 },
      { deadline: false, attemptTimeout: 139 },
      shared,
      { deadline: 151 },
      undefined,
    ]
    const calls = given.map(async (resilience, at) => {
      const { code } = (await errorOf(send(chain, server.url(`/${at}`), resilience && { resilience }))) as {
        code: string
      }
      ended.push(`${at} ${code}`)
    })
    await server.until(() => server.count() === given.length)
    const seen: Record<number, string[]> = {}
    for (let now = 0; now < 160; now++) {
      await advance(1)
      if (ended.length > 0) seen[now + 1] = ended.splice(0).sort()
    }
    await Promise.all(calls)
    expect(seen).toEqual({
      43: ['2 ERR_ATTEMPT_TIMEOUT'],
      61: ['0 ERR_DEADLINE_EXCEEDED', '7 ERR_DEADLINE_EXCEEDED'],
      97: ['1 ERR_DEADLINE_EXCEEDED', '5 ERR_DEADLINE_EXCEEDED'],
      107: ['3 ERR_ATTEMPT_TIMEOUT'],
      139: ['4 ERR_ATTEMPT_TIMEOUT'],
      151: ['6 ERR_DEADLINE_EXCEEDED'],
    })
    expect(await call(chain, server.url('/calm'), saying({ deadline: 5 }))).toMatchObject({ text: 'calm' })
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
  })

  it.each([
    ['of one object', []],
    ['of many objects', [classify(() => undefined)]],
  ])('28: waiting calls are sent by their priority, in a chain %s', async (_, more: Layer[]) => {
    const held = gate()
    const server = await serve({ protocol, respond: { '/busy': { hold: held.promise }, '*': 200 } })
    const slots = bulkhead({ limit: 1, queue: 4 })
    const breaker = circuitBreaker()
    const chain = await warmChainTo(server, more, deadline(), retry({ backoff: 1 }), breaker, slots, attemptTimeout())
    const busy = call(chain, server.url('/busy'))
    await server.until(() => server.count('/busy') === 1)
    const waiting = (['s1 sheddable', 'n1', 's2 sheddable', 'c1 critical'] as const).map((one) => {
      const [name, priority] = one.split(' ') as [string, CallOptions['priority'] | undefined]
      return call(chain, server.url(`/${name}`), priority && saying({ priority }))
    })
    const displaced = errorOf(waiting[2] as Promise<unknown>)
    const equal = await errorOf(call(chain, server.url('/s3'), saying({ priority: 'sheddable' })))
    expect(equal).toMatchObject({ code: 'ERR_BULKHEAD_FULL', message: expect.stringContaining('is full (limit') })
    const late = call(chain, server.url('/c2'), saying({ priority: 'critical' }))
    expect(await displaced).toMatchObject({
      code: 'ERR_BULKHEAD_FULL',
      origin: server.origin,
      message: expect.stringContaining('a more important call took the place'),
    })
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 1, queued: 4 })
    held.open()
    await Promise.all([busy, late, ...waiting.filter((_one, at) => at !== 2)])
    expect(server.requests.map(({ path }) => path)).toEqual(['/busy', '/c1', '/c2', '/n1', '/s1'])
    // A refusal is no outcome of the server's, and is not tried again.
    expect(breaker.state()[server.origin]).toMatchObject({ calls: 5, failures: 0 })
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
  })

  it('a policy can ask for the priority, in the call and in each attempt', async () => {
    const server = await serve({ protocol, respond: [503, 200, 200] })
    const seen: number[] = []
    const policy = guard({
      acquire: ({ exchange }) => {
        seen.push(exchange.priority)
        return null
      },
    })
    const chain = chainTo(server, policy, apart, retry({ backoff: 1 }), policy)
    await call(chain, server.url(), saying({ priority: 'critical' }))
    await call(chain, server.url(), saying({ deadline: 5_000 }))
    expect(seen).toEqual([0, 0, 0, 1, 1])
  })
})

it('48: dispatchers and a fetch of somebody else do not mind them', async () => {
  const server = await serve({ protocol: 'h1c', respond: { body: 'ok' } })
  const agent = new Agent()
  onTestFinished(() => agent.destroy())
  const resilience = { deadline: 1, priority: 'critical' } as const
  expect(await call(agent, server.url(), { resilience })).toEqual({ status: 200, text: 'ok' })
  const response = await globalThis.fetch(server.url(), { resilience } as RequestInit)
  expect(await response.text()).toBe('ok')
})
