// deduplicate() alone in an agent's compose(): headers that can be read once were read to find those who share, and the
// request went out without any; what a consumer threw was lost, and its body went on as if nothing had been.
import { deduplicate } from 'roundtripper'
import { Agent } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { call, serve } from '../dispatchers/retry-servers.ts'

function alone() {
  const agent = new Agent().compose(deduplicate())
  onTestFinished(() => agent.destroy())
  return agent
}

it('48: headers of a generator go out', async () => {
  const server = await serve({ protocol: 'h1c' })
  await call(alone(), server.url('/'), { headers: new Map([['x-a', 'b']]).entries() })
  expect(server.requests.map(({ headers }) => headers['x-a'])).toEqual(['b'])
})

it.each(['onRequestStart', 'onResponseStart', 'onResponseData'])('45: what %s throws is the error', async (where) => {
  const server = await serve({ protocol: 'h1c', respond: { body: 'x' } })
  const failed = new Promise((resolve) => {
    const handler = {
      onRequestStart() {},
      onResponseStart() {},
      onResponseData() {},
      onResponseEnd: () => resolve('end'),
      onResponseError: (_: unknown, error: Error) => resolve(error.message),
      [where]() {
        throw new Error('mine')
      },
    }
    alone().dispatch({ origin: server.origin, path: '/', method: 'GET' }, handler)
  })
  expect(await failed).toBe('mine')
})
