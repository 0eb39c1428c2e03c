// What the page of outlier ejection shows, run.
import { attemptTimeout, balance, compose, createAgent, createFetch, type HostChange, retry } from 'roundtripper'
import { expect, it } from 'vitest'
import { destroyed, serve } from './support.ts'

it('ejection: a host that fails gets no more calls', async () => {
  const [one, two, bad] = [await serve({ body: 'Ada' }), await serve({ body: 'Ada' }), await serve(500)]
  const hosts = [one.origin, two.origin, bad.origin]
  const changes: HostChange[] = []
  const log = { warn: (change: HostChange) => changes.push(change) }
  // #region ejection
  const users = balance({
    hosts,
    algorithm: 'roundRobin',
    ejection: { consecutiveFailures: 3, maxEjected: 0.3 },
    onHostChange: (change) => log.warn(change), // { host, from: 'in', to: 'ejected', reason: 'consecutiveFailures', ... }
  })
  const api = compose(createAgent(), retry(), users, attemptTimeout(2_000))
  const fetch = createFetch(api)

  for (let call = 0; call < 20; call++) await (await fetch('http://users/7')).text()
  const seen = users.state() // { 'http://10.0.0.3': { standing: 'ejected', ejectedFor: 30_000, failures: 3, ... }, ... }
  // #endregion ejection
  destroyed(api)
  expect(changes).toMatchObject([{ host: bad.origin, from: 'in', to: 'ejected', reason: 'consecutiveFailures' }])
  expect(seen[bad.origin]).toMatchObject({ standing: 'ejected', failures: 3, calls: 3 })
  expect(bad.requests).toHaveLength(3)
})

it('health: hosts are asked', async () => {
  const [one, two] = [await serve({ '*': { body: 'Ada' } }), await serve({ '*': { body: 'Ada' } })]
  const hosts = [one.origin, two.origin]
  // #region health
  const users = balance({
    hosts,
    health: {
      path: '/healthz',
      interval: 5_000,
      expect: (status, headers) => status === 200 && headers['x-draining'] === undefined,
    },
  })
  // #endregion health
  const api = destroyed(compose(createAgent(), users))
  expect((await createFetch(api)('http://users/7')).status).toBe(200)
  expect(users.state()[one.origin]).toMatchObject({ isHealthy: true, lastCheck: null })
})

it("Finagle's rules", () => {
  const hosts = ['http://10.0.0.1', 'http://10.0.0.2']
  // #region finagle
  const users = balance({
    hosts,
    ejection: {
      consecutiveFailures: 5,
      successShare: false,
      failureShare: { share: 0.2, minimumCalls: 5, minimumHosts: 1 },
      interval: 30_000,
      ejectionTime: 5_000,
      maxEjected: 1,
    },
    panicThreshold: 0,
  })
  // #endregion finagle
  expect(Object.keys(users.state())).toEqual(hosts)
})
