import { guard, type Policy, retry, route } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, errorOf, quick, serve } from '../dispatchers/retry-servers.ts'

// Above a route to an origin it was taken for a failure of the network, and sent again.
it.each([
  ['by itself', (origin: string) => retryOver(route([{ to: origin }]))],
  ['behind another', (origin: string) => retryOver(route([{ to: route([{ to: origin }]) }]))],
])('6: what a policy below a route refuses with an error of its own is a refusal, %s', async (_, layers) => {
  const server = await serve({ protocol: 'h2' })
  let asked = 0
  const policy: Policy = {
    acquire() {
      asked++
      throw new Error('not on a Sunday')
    },
  }
  const chain = chainTo(server, ...layers(server.origin), guard(policy))
  expect(await errorOf(call(chain, 'http://shop/'))).toMatchObject({ message: 'not on a Sunday' })
  expect(asked).toBe(1)
})

function retryOver(layer: ReturnType<typeof route>) {
  return [retry(quick), layer]
}
