// A GET may have a body (searches do), and undici's deduplicate does not look at it: who asked for the one was given the
// answer to the other.
import { deduplicate } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { expect, it } from 'vitest'
import { call, chainTo, protocols, serve } from '../dispatchers/retry-servers.ts'

it.each(protocols)('48: requests with bodies are not shared, over $version', async ({ protocol }) => {
  const held = gate()
  const server = await serve({ protocol, respond: [{ hold: held.promise }, { hold: held.promise }] })
  const chain = chainTo(server, deduplicate())
  const answers = ['a', 'b'].map((body) => call(chain, server.url('/'), { body }))
  await server.until(() => server.requests.length === 2)
  held.open()
  await Promise.all(answers)
  expect(server.requests.map(({ body }) => body.toString()).sort()).toEqual(['a', 'b'])
})
