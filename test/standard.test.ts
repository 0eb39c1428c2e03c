import {
  ConcurrencyLimitedError,
  compose,
  createAgent,
  DeadlineExceededError,
  RateLimitedError,
  type StandardOptions,
  standard,
  standardDefaults,
  standardHedging,
  standardHedgingDefaults,
} from 'roundtripper'
import { gate, startServer } from 'roundtripper/testing'
import { type Dispatcher, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { errorOf, stopClock } from './dispatchers/retry-servers.ts'

async function serve(respond: Parameters<typeof startServer>[0]) {
  const server = await startServer(respond)
  const agent = createAgent({ connect: { ca: server.ca as string } })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  return { server, agent }
}

describe.each(['h1', 'h2'] as const)('standard() over %s', (protocol) => {
  it('gives each attempt a third of a short deadline', async () => {
    const { server, agent } = await serve({ protocol, respond: { '/warm': 200, '*': [{ hang: 'head' }, 200] } })
    const chain = compose(agent, standard({ deadline: 3_000, retry: { backoff: 1 } }))
    await (await request(server.url('/warm'), { dispatcher: chain })).body.dump()
    const { advance } = stopClock()
    const answer = request(server.url('/x'), { dispatcher: chain })
    await server.until(() => server.count('/x') === 1)
    await advance(999)
    expect(server.count('/x')).toBe(1)
    await advance(10)
    expect((await answer).statusCode).toBe(200)
    expect(server.count('/x')).toBe(2)
  })

  it('the error of a deadline names the error of the last attempt as its cause', async () => {
    const held = gate()
    const respond = { '/warm': 200, '*': [{ reset: 'before-head' }, { hold: held.promise }] } as const
    const { server, agent } = await serve({ protocol, respond })
    const chain = compose(
      agent,
      standard({ deadline: 3_000, attemptTimeout: false, circuitBreaker: false, retry: { backoff: 1 } }),
    )
    await (await request(server.url('/warm'), { dispatcher: chain })).body.dump()
    const { advance } = stopClock()
    const failed = errorOf(request(server.url('/x'), { dispatcher: chain }))
    await server.until(() => server.count('/x') === 1)
    while (server.count('/x') < 2) await advance(1)
    await advance(3_000)
    const error = (await failed) as DeadlineExceededError
    expect(error).toBeInstanceOf(DeadlineExceededError)
    expect((error.cause as { code: string }).code).toMatch(/ERR_HTTP2_STREAM_ERROR|ECONNRESET|UND_ERR_SOCKET/)
    held.open()
  })
})

it('has the defaults that it exports, for a deadline that leaves room for them', () => {
  expect(standardDefaults.attemptTimeout * 3).toBe(standardDefaults.deadline)
  expect(() => compose(createAgent(), standard({ deadline: 1 }))).toThrow('deadline(1) is not longer')
})

it('31: standardHedging() has hedge() where standard() has retry(), and the same defaults besides', () => {
  const names = (layers: readonly { readonly name: string }[]) => layers.map(({ name }) => name)
  expect(names(standardHedging())).toEqual(names(standard()).map((name) => (name === 'retry' ? 'hedge' : name)))
  const { hedge: _hedge, ...shared } = standardHedgingDefaults
  const { retry: _retry, ...others } = standardDefaults
  expect(shared).toEqual(others)
  expect(names(standardHedging({ hedge: false, tracing: false }))).not.toContain('hedge')
  expect(() => standardHedging({ retry: {} } as never)).toThrow('standardHedging: unknown option "retry"')
  expect(() => standardHedging({ hedge: { delay: 0 } })).toThrow('delay must be a number from 1')
})

it.each([standard, standardHedging])('%o has limits where they are asked for, each at its place', (make) => {
  const names = (options: StandardOptions) => make(options).map(({ name }) => name)
  const [without, limited] = [names({}), names({ rateLimit: { limit: 1 }, adaptiveLimit: {} })]
  expect(without).not.toContain('rateLimit')
  expect(without).not.toContain('adaptiveLimit')
  expect(limited[limited.indexOf('rateLimit') - 1]).toBe('deadline')
  expect(limited[limited.indexOf('adaptiveLimit') - 1]).toBe('bulkhead')
  expect(limited.filter((name) => name !== 'rateLimit' && name !== 'adaptiveLimit')).toEqual(without)
  expect(names({ rateLimit: false, adaptiveLimit: false })).toEqual(without)
  expect(() => make({ rateLimit: {} as never })).toThrow('limit')
  expect(() => make({ adaptiveLimit: { minLimit: 0 } })).toThrow('minLimit')
})

it.each(['h1', 'h2'] as const)('refuses over %s beyond the limits that were asked for', async (protocol) => {
  const held = gate()
  const { server, agent } = await serve({ protocol, respond: { '/held': { hold: held.promise }, '*': 200 } })
  const limited = compose(agent, standard({ adaptiveLimit: { initialLimit: 1 } }))
  const rated = compose(agent, standard({ rateLimit: { limit: 1, window: 60_000, queue: 0 } }))
  const call = (dispatcher: Dispatcher, path: string) => request(server.url(path), { dispatcher })

  const first = call(limited, '/held')
  await server.until(() => server.count('/held') === 1)
  expect(await errorOf(call(limited, '/x'))).toBeInstanceOf(ConcurrencyLimitedError)
  held.open()
  await (await first).body.dump()
  await (await call(rated, '/x')).body.dump()
  expect(await errorOf(call(rated, '/x'))).toBeInstanceOf(RateLimitedError)
  expect(server.count('/x')).toBe(1)
})
