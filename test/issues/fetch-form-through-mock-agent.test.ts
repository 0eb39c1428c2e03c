// A MockAgent is shown a form as it was given, to match on. Where it lets the call through, a form of Node's own went out
// with a boundary that the content-type did not name, or was refused.
import { MockAgent } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { compose } from '../../src/dispatchers/compose.ts'
import { retry } from '../../src/dispatchers/retry.ts'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { serve } from '../fetch/servers.ts'

it.each([
  ['alone', (mock: MockAgent) => mock],
  ['below a chain', (mock: MockAgent) => compose(mock, retry())],
])('a form that a MockAgent %s lets through can be read', async (_where, chain) => {
  const { server } = await serve({ protocol: 'h1c' })
  const mock = new MockAgent()
  onTestFinished(() => mock.close())
  mock.enableNetConnect()
  mock.get(server.origin).intercept({ path: '/mocked' }).reply(200)
  const body = new FormData()
  body.append('name', 'value')

  await createFetch(chain(mock))(server.url('/real'), { method: 'POST', body })

  const [request] = server.requests
  const sent = new Response(await request?.text(), {
    headers: { 'content-type': request?.headers['content-type'] ?? '' },
  })
  expect((await sent.formData()).get('name')).toBe('value')
})
