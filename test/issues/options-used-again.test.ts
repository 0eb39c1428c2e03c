// A caller may keep one object of options and change it for its next request: bare undici has read it when dispatch returns.
// A retry read it again, and sent the next request a second time in place of its own.
import { ConstantBackoff, handleWhenResult, retry as retryOf } from 'cockatiel'
import {
  bulkhead,
  classify,
  compose,
  createAgent,
  fromCockatiel,
  type Layers,
  type Outcome,
  standard,
} from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'

const options = { retry: { backoff: 1 }, bulkhead: { limit: 1 } }
const failed = handleWhenResult((result) => (result as Outcome).kind === 'serverError')
const again = { maxAttempts: 1, backoff: new ConstantBackoff(1) }

const chains: Record<string, () => Layers> = {
  'standard()': () => standard(options),
  'standard() with a judgement': () => [classify(() => undefined), standard(options)],
  'fromCockatiel()': () => [fromCockatiel(retryOf(failed, again)), bulkhead({ limit: 1 })],
}

describe.each(['h1', 'h2'] as const)('%s', (protocol) => {
  it.each(Object.keys(chains))('15, 16: %s sends again what was asked for', async (name) => {
    const server = await startServer({ protocol, respond: [503, 503, 200] })
    const agent = createAgent({ connect: { ca: server.ca as string } })
    onTestFinished(async () => {
      await agent.destroy()
      await server.close()
    })
    const chain = compose(agent, chains[name]?.())
    const used = { origin: server.origin, path: '/1', method: 'PUT' as const, body: '1' }
    const first = chain.request(used)
    Object.assign(used, { path: '/2', body: '2' })
    const second = chain.request(used)
    Object.assign(used, { path: '/3', body: '3' })
    for (const { body } of await Promise.all([first, second])) await body.dump()
    const seen = server.requests.map(({ path, body }) => `${path} ${body}`)
    expect([...new Set(seen)].sort()).toEqual(['/1 1', '/2 2'])
    expect(used).toEqual({ origin: server.origin, path: '/3', method: 'PUT', body: '3' })
  })
})
