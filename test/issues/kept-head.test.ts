// undici's responseError() and retry() keep the head of a bad response and give an error that carries its status. To the
// layers above them that looked like a body that broke: nothing was retried, and a breaker counted nothing.
import { attemptTimeout, circuitBreaker, compose, createAgent, type Layer, retry } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { interceptors, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

const foreign: readonly { name: string; sends: number; make: () => Layer }[] = [
  { name: 'responseError', sends: 1, make: () => interceptors.responseError() },
  { name: 'retry', sends: 2, make: () => interceptors.retry({ maxRetries: 1, minTimeout: 1, timeoutFactor: 1 }) },
]

/** compose() refuses two breakers: in a function of its own the second is a foreign layer to it. */
function hidden(layer: Layer): Layer {
  return (dispatch) => layer(dispatch)
}

async function serve(protocol: 'h1' | 'h2', respond: number | number[]) {
  const server = await startServer({ protocol, respond })
  const agent = createAgent({ connect: { ca: server.ca as string } })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  return { server, agent }
}

describe.each(['h1', 'h2'] as const)('%s', (protocol) => {
  it.each(foreign)('a retry above $name of undici tries again', async ({ make }) => {
    const { server, agent } = await serve(protocol, [503, 503, 200])
    const api = compose(agent, retry({ maxAttempts: 3, backoff: 1 }), make())
    const { statusCode, body } = await request(server.url(), { dispatcher: api })
    await body.dump()
    expect(statusCode).toBe(200)
    expect(server.count()).toBe(3)
  })

  it.each(foreign)('a breaker above $name of undici counts each failure once', async ({ sends, make }) => {
    const { server, agent } = await serve(protocol, 503)
    const above = circuitBreaker({ minimumCalls: 4 })
    const below = circuitBreaker({ minimumCalls: 100 })
    const api = compose(agent, above, attemptTimeout(), make(), hidden(below))
    for (let call = 0; call < 4; call++) {
      await expect(request(server.url(), { dispatcher: api })).rejects.toMatchObject({ statusCode: 503 })
    }
    expect(above.state()[server.origin]).toMatchObject({ state: 'open', calls: 4, failures: 4 })
    expect(below.state()[server.origin]).toMatchObject({ state: 'closed', calls: 4 * sends, failures: 4 * sends })
    await expect(request(server.url(), { dispatcher: api })).rejects.toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
  })
})
