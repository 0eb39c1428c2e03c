// What the page of route() shows, run.
import {
  balance,
  bulkhead,
  compose,
  createAgent,
  createFetch,
  deadline,
  NoRouteError,
  retry,
  route,
} from 'roundtripper'
import { expect, it } from 'vitest'
import { destroyed, serve } from './support.ts'

it('route: each call goes where its route says', async () => {
  const [users, orders, pages] = await Promise.all(['users', 'orders', 'pages'].map((body) => serve({ body })))
  const group = [orders!.origin]
  // #region route
  const routes = route([
    { path: '/users/*', to: users!.origin, name: 'users' },
    { path: '/orders/*', to: [retry(), balance({ hosts: group }), bulkhead({ limit: 20 })] },
    { path: '/orders/*', methods: ['POST'], to: balance({ hosts: group }) }, // the more literal one: it asks for more
    { host: '*.example.com', to: pages!.origin },
  ])
  const api = compose(createAgent(), deadline(), routes)
  const fetch = createFetch(api)

  const user = await fetch('http://api.test/users/7') // from the users' origin
  const page = await fetch('http://www.example.com/')
  const error = await fetch('http://api.test/carts').catch(({ cause }) => cause) // a NoRouteError
  const seen = routes.state() // { routes: { users: { matched: 1 }, 'routes[1]': { matched: 0 }, ... }, unmatched: 1 }
  // #endregion route
  destroyed(api)
  expect([await user.text(), await page.text()]).toEqual(['users', 'pages'])
  expect(error).toBeInstanceOf(NoRouteError)
  expect(seen).toMatchObject({ routes: { users: { matched: 1 }, 'routes[3]': { matched: 1 } }, unmatched: 1 })
  expect(await (await fetch('http://api.test/orders/1', { method: 'POST' })).text()).toBe('orders')
  expect(routes.state().routes).toMatchObject({ 'routes[1]': { matched: 0 }, 'routes[2]': { matched: 1 } })
})

it('route: another table while it runs', async () => {
  const [old, young] = [await serve({ body: 'old' }), await serve({ body: 'young' })]
  const routes = route([{ to: old.origin }])
  const api = destroyed(compose(createAgent(), routes))
  // #region update
  routes.update({
    routes: [
      { headers: { 'x-tenant': 'acme' }, to: young.origin, name: 'acme' },
      { contentType: 'image/*', methods: ['PUT', 'POST'], to: young.origin },
      { path: '/v:version(\\d+)/*', to: old.origin, priority: 1 }, // before both, though they ask for more
    ],
    fallback: old.origin,
  })
  // #endregion update
  const fetch = createFetch(api)
  const headers = { 'x-tenant': 'acme' }
  const answers = await Promise.all([
    fetch('http://api.test/', { headers }),
    fetch('http://api.test/v2/x', { headers }),
    fetch('http://api.test/x'),
  ])
  expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(['young', 'old', 'old'])
})
