// A reason that cannot be made a string (an object without a prototype) left the connection where it was, and as the reason
// of an abort ended the process, or kept the call waiting for ever.
import { Dispatcher } from 'undici'
import { expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocols, serve } from '../fetch/servers.ts'

const reason: object = Object.create(null)

it.each(protocols)('a cancel with such a reason frees the stream over HTTP/$version', async ({ protocol }) => {
  const { server, agent } = await serve({ protocol, respond: { body: 'begun', hang: 'body' } })
  const { body } = await createFetch(agent)(server.url())

  await body?.cancel(reason)

  expect(await server.requests[0]?.closed).toMatchObject({ how: 'aborted' })
})

it.each(protocols)(
  'an abort with such a reason ends all calls of the signal over HTTP/$version',
  async ({ protocol }) => {
    const { server, agent } = await serve({ protocol, respond: { body: 'begun', hang: 'body' } })
    const fetch = createFetch(agent)
    const controller = new AbortController()
    const { signal } = controller
    const responses = await Promise.all([fetch(server.url(), { signal }), fetch(server.url(), { signal })])
    const texts = responses.map((response) => response.text())

    controller.abort(reason)

    for (const text of texts) await expect(text).rejects.toBe(reason)
    for (const request of server.requests) expect(await request.closed).toMatchObject({ how: 'aborted' })
  },
)

it('an error of a dispatcher that is such a thing rejects', async () => {
  class Thrower extends Dispatcher {
    override dispatch(): boolean {
      throw reason
    }
  }
  const failure = { message: 'fetch failed', cause: { message: '[object Object]' } }
  await expect(createFetch(new Thrower())('http://localhost/')).rejects.toMatchObject(failure)
})
