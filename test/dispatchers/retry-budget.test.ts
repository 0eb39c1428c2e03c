import {
  bulkhead,
  type CallRecord,
  circuitBreaker,
  compose,
  createAgent,
  type Logger,
  logging,
  type RetryBudget,
  type RetryOptions,
  retry,
  retryBudget,
  retryThrottle,
  standard,
  standardDefaults,
} from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, send, serve } from './retry-servers.ts'

// Nothing but a share of the calls: nothing at all before there were calls.
const shareOnly = (share: number) => ({ share, minPerSecond: 0 })

// Its records go nowhere: it is there so that a call takes more than one object.
const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {} }

/** A logger that keeps what it is told of calls. */
function recorder() {
  const records: CallRecord[] = []
  const keep = (record: object) => {
    records.push(record as CallRecord)
  }
  const logger: Logger = { debug: () => {}, info: keep, warn: keep }
  return { records, layer: logging({ logger }) }
}

describe.each(protocols)('a retry budget over HTTP/$version', ({ protocol }) => {
  it('22: exhausted, the call ends with the response it has, and its body can be read', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'overloaded' } })
    const { records, layer } = recorder()
    const chain = chainTo(server, layer, retry({ ...quick, budget: shareOnly(0) }))
    expect(await call(chain, server.url())).toEqual({ status: 503, text: 'overloaded' })
    expect(server.count()).toBe(1)
    expect(records).toMatchObject([{ attempts: 1, notes: { 'retry.refusal': 'budget', 'retry.budget': 'exhausted' } }])
  })

  it('22: exhausted, the call ends with the error it has', async () => {
    const server = await serve({ protocol, respond: { reset: 'before-head' } })
    const chain = chainTo(server, retry({ ...quick, budget: shareOnly(0) }))
    const error = await errorOf(call(chain, server.url()))
    expect(error).not.toHaveProperty('code', 'ERR_RESILIENCE')
    expect(server.count()).toBe(1)
  })

  it('22: exhausted in the middle of a call, its last response is the answer', async () => {
    const server = await serve({ protocol, respond: [{ status: 503 }, { status: 502, body: 'last' }, 200] })
    const budget = retryBudget({ share: 0, minPerSecond: 0.1 })
    const chain = chainTo(server, retry({ ...quick, budget }))
    expect(await call(chain, server.url())).toEqual({ status: 502, text: 'last' })
    expect(budget.state()[server.origin]).toEqual({ left: 0, granted: 1, refused: 1, shadowRefused: 0 })
  })

  it.each(['in one object', 'in many'] as const)('22: calls of the standard chain count, %s', async (form) => {
    const server = await serve({ protocol, respond: { body: 'fine' } })
    const budget = retryBudget(shareOnly(0.2))
    const options = { tracing: false as const, retry: { ...quick, budget }, circuitBreaker: false as const }
    const chain = chainTo(
      server,
      standard({ ...options, ...(form === 'in many' ? { logging: { logger: silent } } : {}) }),
    )
    for (let at = 0; at < 14; at++) await call(chain, server.url('/good'))
    server.script('/bad', 503)
    // 15 calls with this one: three retries, which is all that maxAttempts asks for.
    await call(chain, server.url('/bad'))
    expect(server.count('/bad')).toBe(4)
    expect(budget.state()[server.origin]).toMatchObject({ left: 0, granted: 3, refused: 0 })
    await call(chain, server.url('/bad'))
    expect(server.count('/bad')).toBe(5)
    expect(budget.state()[server.origin]).toMatchObject({ granted: 3, refused: 1 })
  })

  it('22: a call counts once, however often it is sent', async () => {
    const server = await serve({ protocol, respond: 503 })
    const budget = retryBudget(shareOnly(1))
    const chain = chainTo(server, retry({ ...quick, maxAttempts: 10, budget }))
    for (let at = 0; at < 4; at++) await call(chain, server.url())
    expect(server.count()).toBe(8)
  })

  it('22: calls that an open circuit refuses allow no retries', async () => {
    const server = await serve({ protocol })
    const budget = retryBudget(shareOnly(1))
    const breaker = circuitBreaker()
    const chain = chainTo(server, retry({ ...quick, budget }), breaker)
    await call(chain, server.url())
    breaker.force('open')
    for (let at = 0; at < 10; at++) await errorOf(call(chain, server.url()))
    expect(budget.state()[server.origin]?.left).toBe(1)
    const fused = chainTo(server, standard({ tracing: false, retry: { budget }, circuitBreaker: false }), breaker)
    for (let at = 0; at < 10; at++) await errorOf(call(fused, server.url()))
    expect(budget.state()[server.origin]?.left).toBe(1)
  })

  it('22: a call that waits for a slot counts as it begins to wait, once', async () => {
    const server = await serve({ protocol })
    const held = gate()
    server.script('/', [{ hold: held.promise }, 200])
    const budget = retryBudget(shareOnly(1))
    const chain = chainTo(server, standard({ tracing: false, retry: { budget }, bulkhead: { limit: 1 } }))
    const calls = [call(chain, server.url()), call(chain, server.url())]
    await server.until(() => server.count() === 1)
    expect(budget.state()[server.origin]?.left).toBe(2)
    held.open()
    await Promise.all(calls)
    expect(budget.state()[server.origin]?.left).toBe(2)
  })

  it('22: several chains can share one', async () => {
    const server = await serve({ protocol, respond: 503 })
    const budget = retryBudget({ share: 0, minPerSecond: 0.1 })
    const [one, other] = [0, 1].map(() => chainTo(server, retry({ ...quick, budget })))
    await call(one!, server.url())
    await call(other!, server.url())
    expect(server.count()).toBe(3)
    // A layer that stands twice in one chain (agent.compose does not mind) counts a call once all the same.
    const twice = one!.compose(retry({ ...quick, budget }))
    budget.update({ share: 1 })
    await call(twice, server.url())
    // Three calls, and the one retry that is always allowed.
    expect(budget.state()[server.origin]?.granted).toBe(4)
  })

  it.each(['in one object', 'in many'] as const)('22: tokens go by outcomes, %s', async (form) => {
    const server = await serve({ protocol })
    const budget = retryThrottle({ maxTokens: 4, tokenRatio: 0.5 })
    const options = { tracing: false as const, retry: { ...quick, budget }, circuitBreaker: false as const }
    const chain = chainTo(
      server,
      standard({ ...options, ...(form === 'in many' ? { logging: { logger: silent } } : {}) }),
    )
    server.script('/bad', 503).script('/good', { body: 'fine' }).script('/unknown', 404)
    // A6: it fails (3 left), is tried again (2 left: half), and that is all.
    await call(chain, server.url('/bad'))
    expect(server.count('/bad')).toBe(2)
    await call(chain, server.url('/bad'))
    expect(server.count('/bad')).toBe(3)
    // 1 left; three good answers make 2.5; an answer the server gave in good order is one.
    await call(chain, server.url('/good'))
    await call(chain, server.url('/good'))
    await call(chain, server.url('/unknown'))
    expect(budget.state()[server.origin]).toMatchObject({ left: 1, granted: 1, refused: 2 })
    await call(chain, server.url('/bad'))
    expect(server.count('/bad')).toBe(4)
  })

  it('22: an attempt takes one token, also where its call is repeated further out', async () => {
    const server = await serve({ protocol, respond: [503, 503, 200] })
    const budget = retryThrottle()
    const inner = chainTo(server, retry({ ...quick, maxAttempts: 2, budget }))
    await call(inner.compose(retry({ ...quick, maxAttempts: 2, budget })), server.url())
    // Two failures and a success: 8.1 of 10, of which 3.1 are above the half.
    expect(budget.state()[server.origin]).toMatchObject({ left: 4, granted: 2 })
  })

  it('22: tokens are not taken by what says nothing about the server', async () => {
    const server = await serve({ protocol, respond: { hang: 'head' } })
    const budget = retryThrottle({ maxTokens: 2 })
    const chain = chainTo(server, retry({ ...quick, budget }), bulkhead({ limit: 1, queue: 0 }))
    const abort = new AbortController()
    const given = errorOf(send(chain, server.url(), { signal: abort.signal }))
    await server.until(() => server.count() === 1)
    expect(await errorOf(call(chain, server.url()))).toMatchObject({ code: 'ERR_BULKHEAD_FULL' })
    abort.abort()
    await given
    await server.refuseConnections()
    await server.resetConnections()
    // A connection that was never made: A6 calls that a transparent retry, and takes no token.
    await errorOf(call(chain, server.url()))
    expect(budget.state()[server.origin]).toMatchObject({ left: 1, refused: 0 })
  })

  it('22: in shadow everything is tried again, and told', async () => {
    const server = await serve({ protocol, respond: [503, 200] })
    const { records, layer } = recorder()
    const policy = retry({ ...quick, budget: { ...shareOnly(0), shadow: true } })
    const chain = chainTo(server, layer, policy)
    expect((await call(chain, server.url())).status).toBe(200)
    expect(records).toMatchObject([{ notes: { 'retry.budget.shadow': 'exhausted' } }])
    expect(policy.state()[server.origin]).toEqual({
      retries: 1,
      refused: 0,
      budget: { left: 0, granted: 0, refused: 0, shadowRefused: 1 },
    })
  })
})

describe.each(protocols)("gRPC's pushback over HTTP/$version", ({ protocol }) => {
  const pushback = (value: string, more: object = {}) => ({
    status: 503,
    headers: { 'grpc-retry-pushback-ms': value },
    ...more,
  })

  it.each(['-1', '-2147483648', 'soon', '', '1.5', '007', '2147483648'])(
    '23: "%s" ends the call with the response it came with',
    async (value) => {
      const server = await serve({ protocol, respond: [pushback(value, { body: 'no more' }), 200] })
      const { records, layer } = recorder()
      const chain = chainTo(server, layer, retry(quick))
      expect(await call(chain, server.url())).toEqual({ status: 503, text: 'no more' })
      expect(server.count()).toBe(1)
      expect(records).toMatchObject([{ notes: { 'retry.refusal': 'pushback' } }])
    },
  )

  it('23: a number of milliseconds takes the place of the backoff', async () => {
    let answeredAt = 0
    const server = await serve({
      protocol,
      respond: [
        () => {
          answeredAt = performance.now()
          return pushback('30')
        },
        200,
      ],
    })
    const chain = chainTo(server, retry({ backoff: 1e6, maxDelay: 1e6 }))
    expect((await call(chain, server.url())).status).toBe(200)
    expect(server.requests[1]?.startedAt).toBeGreaterThanOrEqual(answeredAt + 30)
  })

  it('23: it counts as a failure in the tokens', async () => {
    const server = await serve({ protocol, respond: pushback('-1') })
    const budget = retryThrottle({ maxTokens: 2 })
    await call(chainTo(server, retry({ ...quick, budget })), server.url())
    budget.withdraw({ origin: server.origin, note: () => {} }, 0)
    expect(budget.state()[server.origin]).toMatchObject({ left: 0, refused: 1 })
  })
})

describe('the budget of retry()', () => {
  it('22: is one of its own by default, and standard() tells which', () => {
    const budget = { share: 0.2, window: 10_000, minPerSecond: 10, shadow: false }
    expect(standardDefaults.retry.budget).toEqual(budget)
  })

  async function stormy(options: RetryOptions): Promise<TestServer> {
    const server = await serve({ protocol: 'h1c', respond: 503 })
    const chain = chainTo(server, retry({ backoff: 0, maxAttempts: 11, ...options }))
    await Promise.all(Array.from({ length: 12 }, () => call(chain, server.url())))
    return server
  }

  it('22: lets 10 a second through where all fails, over 10 s, and a fifth of the calls', async () => {
    expect((await stormy({})).count()).toBe(12 + 100 + 2)
  })

  it('22: false is none', async () => {
    expect((await stormy({ budget: false })).count()).toBe(12 * 11)
  })

  it('can be one of your own, which need not tell how it stands', async () => {
    const asked: string[] = []
    const budget: RetryBudget = {
      deposit: ({ origin }) => asked.push(`deposit ${origin}`),
      record: (_, failed) => asked.push(`record ${failed}`),
      withdraw: () => asked.push('withdraw') < 4,
    }
    const server = await serve({ protocol: 'h1c', respond: 503 })
    const layer = retry({ ...quick, budget })
    await call(chainTo(server, layer), server.url())
    expect(asked).toEqual([`deposit ${server.origin}`, 'record true', 'withdraw', 'record true', 'withdraw'])
    expect(layer.state()).toEqual({ [server.origin]: { retries: 1, refused: 1, budget: null } })
  })

  it('22: one of your own that throws allows nothing, and disturbs no call', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    onTestFinished(() => warn.mockRestore())
    const broken = () => {
      throw new Error('mine')
    }
    const server = await serve({ protocol: 'h1c', respond: [{ body: 'fine' }, 503] })
    const budget = { deposit: broken, record: broken, withdraw: broken }
    const chain = chainTo(server, standard({ tracing: false, retry: { ...quick, budget } }))
    expect(await call(chain, server.url())).toEqual({ status: 200, text: 'fine' })
    expect((await call(chain, server.url())).status).toBe(503)
    expect(server.count()).toBe(2)
    expect(warn).toHaveBeenCalledTimes(5)
  })

  it.each<[unknown, string]>([
    [{ budget: true }, 'retry: budget must be a budget, options for one, or false, got true'],
    [{ budget: null }, 'retry: budget must be a budget, options for one, or false, got null'],
    [{ budget: { ratio: 1 } }, 'retryBudget: unknown option "ratio"'],
    [{ budget: { withdraw: () => true } }, 'budget.deposit must be a function, got undefined'],
  ])('refuses %o', (options, message) => {
    expect(() => retry(options as RetryOptions)).toThrow(message)
  })
})

describe('retry() while it runs', () => {
  it('takes over options, and keeps the others', async () => {
    const server = await serve({ protocol: 'h1c', respond: 503 })
    const layer = retry({ ...quick, maxAttempts: 2 })
    const chain = chainTo(server, standard({ tracing: false, retry: false }).slice(0, 1), layer)
    await call(chain, server.url())
    expect(server.count()).toBe(2)
    layer.update({ maxAttempts: 4 })
    await call(chain, server.url())
    expect(server.count()).toBe(6)
    layer.update({ statuses: [500] })
    await call(chain, server.url())
    expect(server.count()).toBe(7)
    expect(layer.state()[server.origin]).toMatchObject({ retries: 4, refused: 0 })
    expect(() => layer.update({ maxAttempts: 0 })).toThrow('maxAttempts must be a whole number of at least 1, got 0')
    expect(() => layer.update({ budget: { share: -1 } })).toThrow(RangeError)
    layer.update({ statuses: [503] })
    await call(chain, server.url())
    expect(server.count()).toBe(11)
  })

  it('asks a retryOn that came later, of a chain that ran in one object before', async () => {
    const server = await serve({ protocol: 'h1c', respond: { body: 'fine' } })
    const layer = retry({ ...quick, maxAttempts: 2 })
    const chain = chainTo(server, layer)
    await call(chain, server.url())
    const retryOn = vi.fn(() => true)
    layer.update({ retryOn })
    await call(chain, server.url())
    expect(server.count()).toBe(3)
    expect(retryOn).toHaveBeenCalledTimes(2)
  })

  it('22: changes its own budget, which goes on counting, or takes another one', async () => {
    const server = await serve({ protocol: 'h1c', respond: 503 })
    const layer = retry({ ...quick, budget: { share: 0, minPerSecond: 0.1 } })
    const chain = chainTo(server, layer)
    await call(chain, server.url())
    expect(server.count()).toBe(2)
    layer.update({ budget: { minPerSecond: 0.2 } })
    await call(chain, server.url())
    expect(server.count()).toBe(4)
    layer.update({ budget: false })
    await call(chain, server.url())
    expect(server.count()).toBe(8)
    expect(layer.state()[server.origin]).toEqual({ retries: 5, refused: 2, budget: null })
    layer.update({ budget: retryBudget(shareOnly(0)) })
    await call(chain, server.url())
    expect(server.count()).toBe(9)
  })

  it('lets a call under way go on by the new rules', async () => {
    const server = await serve({ protocol: 'h1c' })
    const held = gate()
    server.script('/', [{ status: 503, hold: held.promise }, 200])
    const layer = retry({ ...quick, maxAttempts: 1 })
    const chain = compose(createAgent(), layer)
    onTestFinished(() => chain.destroy())
    const answer = call(chain, server.url())
    await server.until(() => server.count() === 1)
    layer.update({ maxAttempts: 2 })
    held.open()
    expect((await answer).status).toBe(200)
  })
})
