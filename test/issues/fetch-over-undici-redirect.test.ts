// undici's redirect() below a fetch followed the redirects in its place: response.url was that of the first hop, and neither
// `redirect: 'manual'` nor `'error'` held. undici's own fetch tells it to keep out, and so does ours.
import { interceptors } from 'undici'
import { expect, it } from 'vitest'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocols, serve } from '../fetch/servers.ts'

it.each(protocols)('redirects are for fetch to follow over HTTP/$version', async ({ protocol }) => {
  const respond = { '/': { status: 302, headers: { location: '/there' } }, '*': { body: 'there' } }
  const { server, agent } = await serve({ protocol, respond })
  const fetch = createFetch(agent.compose(interceptors.redirect({ maxRedirections: 5 })))

  const response = await fetch(server.url())
  expect(await response.text()).toBe('there')
  expect(response).toMatchObject({ url: server.url('/there'), redirected: true })
  expect(await fetch(server.url(), { redirect: 'manual' })).toMatchObject({ status: 302, url: server.url() })
  await expect(fetch(server.url(), { redirect: 'error' })).rejects.toThrow('fetch failed')
})
