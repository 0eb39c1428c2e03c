// Headers may be anything that gives pairs, and the entries of a Map or a generator give them only once. The check before
// a request is sent had them, and the request went out without: no authorization, and nobody knew.

import { ConstantBackoff, handleAll, retry as retryOf } from 'cockatiel'
import { bulkhead, compose, createAgent, fromCockatiel, type Layers, retry, standard, tracing } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { type Dispatcher, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

const chains: Record<string, () => Layers> = {
  'standard()': () => standard({ retry: { backoff: 1 } }),
  'retry() over tracing()': () => [retry({ backoff: 1 }), tracing()],
  'bulkhead()': () => bulkhead(),
  'fromCockatiel()': () => fromCockatiel(retryOf(handleAll, { maxAttempts: 1, backoff: new ConstantBackoff(1) })),
}

function* generated(): Generator<[string, string]> {
  yield ['x-first', 'one']
  yield ['x-second', 'two']
}

type Headers = NonNullable<Dispatcher.DispatchOptions['headers']>

const forms: Record<string, () => Headers> = {
  'the entries of a Map': () => new Map([...generated()]).entries() as unknown as Headers,
  'a generator': () => generated() as unknown as Headers,
}

describe.each(['h1', 'h2'] as const)('%s', (protocol) => {
  describe.each(Object.keys(chains))('%s', (name) => {
    it.each(Object.keys(forms))('16, 45: sends %s with every attempt', async (form) => {
      const respond = name.includes('retry') || name === 'standard()' ? [503, 200] : 200
      const server = await startServer({ protocol, respond })
      const agent = createAgent({ connect: { ca: server.ca as string } })
      onTestFinished(async () => {
        await agent.destroy()
        await server.close()
      })
      const chain = compose(agent, chains[name]?.())
      const { body } = await request(server.url(), { dispatcher: chain, headers: forms[form]?.() as Headers })
      await body.dump()
      const seen = server.requests.map(({ headers }) => [headers['x-first'], headers['x-second']])
      expect(seen).toEqual(seen.map(() => ['one', 'two']))
      expect(seen.length).toBe(Array.isArray(respond) ? 2 : 1)
    })
  })
})

it('45: a generator of headers that throws sends nothing', async () => {
  const server = await startServer({ respond: 200 })
  const agent = createAgent({ connect: { ca: server.ca as string } })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  const headers = (function* () {
    yield ['x-first', 'one']
    throw new Error('no more')
  })() as unknown as Headers
  const called = request(server.url(), { dispatcher: compose(agent, standard()), headers })
  await expect(called).rejects.toMatchObject({ code: 'ERR_INVALID_REQUEST' })
  expect(server.count()).toBe(0)
})
