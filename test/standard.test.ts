import {
  compose,
  createAgent,
  DeadlineExceededError,
  standard,
  standardDefaults,
  standardHedging,
  standardHedgingDefaults,
} from 'roundtripper'
import { gate, startServer } from 'roundtripper/testing'
import { request } from 'undici'
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
