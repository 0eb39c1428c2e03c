// An agent that undici's compose() has put a layer around, or whose factory makes chains, was taken for a bare one, and a
// call in one object went through it without its scope: the layer below took each attempt for a call of its own. To a
// breaker there, an attempt that timed out was one that its caller had given up, so that it never opened.
import { circuitBreaker, compose, guard, standard } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { Agent, type Dispatcher, Pool, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

const connect = { rejectUnauthorized: false }

const grounds: readonly { name: string; around: (layer: Dispatcher.DispatcherComposeInterceptor) => Agent }[] = [
  { name: 'agent.compose(layer)', around: (layer) => new Agent({ connect }).compose(layer) as Agent },
  {
    name: "an agent's factory",
    around: (layer) =>
      new Agent({ connect, factory: (origin, opts) => new Pool(origin, opts as object).compose(layer) }),
  },
]

async function serve(protocol: 'h1' | 'h2', ground: Agent, respond: Parameters<typeof startServer>[0]) {
  const server = await startServer({ protocol, ...respond })
  onTestFinished(async () => {
    await ground.destroy()
    await server.close()
  })
  return server
}

describe.each(grounds)('a layer in $name', ({ around }) => {
  it.each(['h1', 'h2'] as const)('48: knows the attempts of a chain above it, over %s', async (protocol) => {
    const numbers: number[] = []
    const note = guard({
      acquire: ({ number, exchange }) => {
        numbers.push(number, exchange.attempts)
        return null
      },
    })
    const ground = around(note)
    const server = await serve(protocol, ground, { respond: { body: 'ok' } })
    const { body } = await request(server.url(), { dispatcher: compose(ground, standard()) })
    await body.dump()
    expect(numbers).toEqual([1, 1])
  })

  it.each(['h1', 'h2'] as const)('48: a breaker counts the timeouts of a chain above it, over %s', async (protocol) => {
    const breaker = circuitBreaker({ minimumCalls: 100 })
    const ground = around(breaker)
    const server = await serve(protocol, ground, { respond: { hang: 'head' } })
    const chain = compose(ground, standard({ circuitBreaker: false, attemptTimeout: 30, retry: { maxAttempts: 1 } }))
    await expect(request(server.url(), { dispatcher: chain })).rejects.toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    expect(breaker.state()[server.origin]).toMatchObject({ calls: 1, failures: 1 })
  })
})
