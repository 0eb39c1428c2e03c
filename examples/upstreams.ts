// Names in the place of hosts: `npm run example -- upstreams`.
import { startServer } from 'roundtripper/testing'

const servers = await Promise.all([
  startServer({ respond: { body: 'Ada, by the first host of users' } }),
  startServer({ respond: 503 }),
  startServer({ respond: { body: 'an order' } }),
])
const [users1, users2, orders1] = servers.map(({ origin }) => origin) as [string, string, string]
const ca = servers.map((server) => server.ca as string)

// #region upstreams
import { attemptTimeout, balance, circuitBreaker, compose, createAgent, createFetch, retry, route } from 'roundtripper'

const users = balance({ hosts: [users1, { origin: users2, weight: 2 }] }) // or a function, or dnsHosts('https://users.internal')
const orders = balance({ hosts: [orders1] })

const shop = compose(
  createAgent({ connect: { ca } }),
  retry(), // on another host than the one that failed
  route([
    { path: '/users/*', to: users },
    { path: '/orders/*', to: orders },
  ]),
  circuitBreaker(), // of each host its own
  attemptTimeout(2_000),
)
const fetch = createFetch(shop)
const user = await fetch('http://shop/users/7')
// #endregion

console.log(`${user.status}, ${await user.text()}`)
for (const [origin, { calls, failures }] of Object.entries(users.state())) {
  console.log(`${origin}: ${calls} calls, ${failures} failed`)
}
await shop.close()
await Promise.all(servers.map((server) => server.close()))
