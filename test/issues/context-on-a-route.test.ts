import { balance, contextHeaders, route, runWithContext } from 'roundtripper'
import { interceptors } from 'undici'
import { expect, it } from 'vitest'
import { call, chainTo, protocols, serve } from '../dispatchers/retry-servers.ts'

// A route to an origin took the context along that was put in for another one: to an origin that nobody had listed, and
// with a redirect too.
it.each(protocols)('a context goes along with a route only to what is listed, over $version', async ({ protocol }) => {
  const [api, users, away] = [await serve({ protocol }), await serve({ protocol }), await serve({ protocol })]
  api.script('/moved', { status: 302, headers: { location: away.url('/users/9') } })
  const routes = route([
    { path: '/users/*', to: users.origin },
    { path: '/*', to: [] },
  ])
  const layers = [interceptors.redirect({ maxRedirections: 1 }), routes]
  for (const origins of [[api.origin], [api.origin, users.origin]]) {
    const chain = chainTo(api, contextHeaders({ origins }), ...layers)
    for (const path of ['/users/7', '/moved']) {
      await runWithContext({ requestId: 'r-1' }, () => call(chain, api.url(path)))
    }
  }
  expect(users.requests.map(({ path, headers }) => [path, headers['x-request-id']])).toEqual([
    ['/users/7', undefined],
    ['/users/9', undefined],
    ['/users/7', 'r-1'],
    ['/users/9', undefined],
  ])
})

it('the hosts of a group get what the name of the group may have', async () => {
  const server = await serve({ protocol: 'h2' })
  const chain = chainTo(server, contextHeaders({ origins: ['http://users'] }), balance({ hosts: [server.origin] }))
  for (const name of ['http://users', 'http://others']) {
    await runWithContext({ requestId: 'r-1' }, () => call(chain, `${name}/`))
  }
  expect(server.requests.map(({ headers }) => headers['x-request-id'])).toEqual(['r-1', undefined])
})
