// undici's responseError() and retry() keep the head of a bad response and give an error that carries its status. To the
// layers above them that looked like a body that broke: nothing was retried, and a breaker counted nothing.
import {
  attemptTimeout,
  type CallRecord,
  circuitBreaker,
  compose,
  createAgent,
  guard,
  type Layer,
  logging,
  RateLimitedError,
  retry,
} from 'roundtripper'
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

  it('a hop that is refused has no status of the hop before', async () => {
    const { server, agent } = await serve(protocol, 200)
    server.script('/', { status: 307, headers: { location: '/there' } })
    const records: CallRecord[] = []
    const note = (record: object) => records.push(record as CallRecord)
    let admitted = 0
    const acquire = () => {
      if (admitted++ > 0) throw new RateLimitedError('enough', { retryAfter: 1 })
      return null
    }
    const log = logging({ logger: { debug: note, info: note, warn: note } })
    const api = compose(agent, log, interceptors.redirect({ maxRedirections: 2 }), guard({ acquire }))
    await expect(request(server.url(), { dispatcher: api })).rejects.toMatchObject({ code: 'ERR_RATE_LIMITED' })
    expect(records.at(-1)).toMatchObject({ outcome: 'shed', error: 'ERR_RATE_LIMITED' })
    expect(records.map(({ status }) => status).filter((status) => status !== undefined)).toEqual([])
  })
})
