// What the page of balance shows, run.
import { attemptTimeout, balance, circuitBreaker, compose, createAgent, createFetch, retry } from 'roundtripper'
import { expect, it } from 'vitest'
import { destroyed, serve } from './support.ts'

it('balance: calls to a name', async () => {
  const [one, two] = [await serve({ body: 'Ada' }), await serve({ body: 'Ada' })]
  const hosts = [one.origin, { origin: two.origin, weight: 2 }]
  // #region balance
  const users = balance({ name: 'users', hosts }) // hosts: ['https://10.0.0.7:8443', { origin: 'https://10.0.0.8:8443', weight: 2 }]
  const api = compose(createAgent(), retry(), users, circuitBreaker(), attemptTimeout(2_000))
  const fetch = createFetch(api)

  const user = await fetch('http://users/7') // the origin is a name: it is replaced by that of a host
  const seen = users.state() // { 'https://10.0.0.7:8443': { standing: 'in', weight: 1, inFlight: 0, calls: 1, ... }, ... }
  // #endregion
  destroyed(api)
  expect(await user.text()).toBe('Ada')
  expect(one.requests.length + two.requests.length).toBe(1)
  expect(seen[two.origin]).toMatchObject({ standing: 'in', weight: 2, failures: 0 })
})

it('consistentHash: one host for each key', async () => {
  const servers = [await serve({ body: 'a' }), await serve({ body: 'a' }), await serve({ body: 'a' })]
  const hosts = servers.map(({ origin }) => origin)
  // #region key
  const carts = balance({
    name: 'carts',
    hosts,
    algorithm: 'consistentHash',
    key: ({ headers }) => headers['x-user']?.toString(), // without one: a host by chance
    loadFactor: 1.25,
  })
  // #endregion
  const api = destroyed(compose(createAgent(), carts))
  for (let call = 0; call < 6; call++) {
    const response = await createFetch(api)('http://carts/', { headers: { 'x-user': 'ada' } })
    expect(await response.text()).toBe('a')
  }
  expect(servers.map(({ requests }) => requests.length).toSorted((a, b) => a - b)).toEqual([0, 0, 6])
})

it('slow start, and weights that change', async () => {
  const { origin } = await serve({ body: 'a' })
  // #region update
  const users = balance({
    name: 'users',
    hosts: [{ origin, weight: 9 }],
    slowStart: { duration: 30_000, minWeight: 0.05, aggression: 1.5 },
  })
  users.update({
    hosts: [
      { origin, weight: 9 },
      { origin: 'https://10.0.0.9:8443', weight: 1 },
    ],
  }) // comes in slowly
  // #endregion
  expect(users.state()['https://10.0.0.9:8443']?.weight).toBeCloseTo(0.05, 2)
  expect(users.state()[origin]?.weight).toBe(9)
})
