// What the pages of canary and mirror show, run.
import {
  attemptTimeout,
  balance,
  canary,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  mirror,
  retry,
} from 'roundtripper'
import { expect, it } from 'vitest'
import { destroyed, serve } from './support.ts'

it('canary: a share of the calls, and a header that asks for it', async () => {
  const { origin } = await serve({ body: 'stable' })
  const next = await serve({ body: 'canary' })
  // #region canary
  const split = canary({
    variants: {
      stable: { weight: 95 }, // on, to where the call says
      canary: { weight: 5, to: next.origin },
    },
    header: 'x-canary', // `x-canary: canary` asks for it
    by: { cookie: 'uid' }, // who has one keeps the variant
  })
  const api = compose(createAgent(), retry(), split, circuitBreaker(), attemptTimeout(2_000))
  const fetch = createFetch(api)

  const response = await fetch(`${origin}/users/7`, { headers: { 'x-canary': 'canary' } })
  const answer = await response.text()
  const seen = split.state() // { 'https://api.example.com': { stable: { weight: 95, calls: 0, ... }, canary: { ... } } }
  // #endregion canary
  destroyed(api)
  expect(answer).toBe('canary')
  expect(seen[origin]).toEqual({
    stable: { weight: 95, calls: 0, failures: 0, inUse: 0 },
    canary: { weight: 5, calls: 1, failures: 0, inUse: 0 },
  })
})

it('canary: a ramp that looks at what it does', () => {
  const split = canary({ variants: { stable: { weight: 95 }, canary: { weight: 5, to: 'https://next.example.com' } } })
  const origin = 'https://api.example.com'
  // #region canary-ramp
  function ramp(share: number): void {
    const { stable, canary } = split.state()[origin] ?? {}
    const failing = (view = { calls: 0, failures: 0 }) => view.failures / Math.max(1, view.calls)
    const isWorse = failing(canary) > 2 * failing(stable) + 0.01
    const next = isWorse ? 0 : share
    split.update({ variants: { stable: { weight: 100 - next }, canary: { weight: next } } })
  }
  // #endregion canary-ramp
  ramp(20)
  expect(split.state()).toEqual({})
})

it('mirror: copies to another origin', async () => {
  const { origin } = await serve({ body: 'Ada' })
  const next = await serve(404)
  const log: object[] = []
  // #region mirror
  const copies = mirror({
    to: next.origin,
    share: 1,
    onResult({ path, original, copy, same }) {
      if (same === false) log.push({ path, original: original.status, copy: copy.status })
    },
  })
  const api = compose(createAgent(), retry(), circuitBreaker(), attemptTimeout(2_000), copies)
  const fetch = createFetch(api)

  const user = await (await fetch(`${origin}/users/7`)).text() // the original's answer, whatever became of the copy
  const seen = copies.state() // { 'https://api.example.com': { mirrored: 1, dropped: 0, failed: 0, same: 0, ... } }
  // #endregion mirror
  expect(user).toBe('Ada')
  expect(seen[origin]).toMatchObject({ dropped: 0 })
  await next.until(() => next.count() === 1)
  await api.close()
  expect(copies.state()[origin]).toMatchObject({ mirrored: 1, different: 1 })
  expect(log).toEqual([{ path: '/users/7', original: 200, copy: 404 }])
})

it('mirror: copies by an agent of their own', async () => {
  const { origin } = await serve({ body: 'Ada' })
  const host = await serve(200)
  // #region mirror-agent
  const next = balance({ name: 'next', hosts: [host.origin] })
  const shadow = compose(createAgent({ maxConnectionsPerOrigin: 4 }), next)
  const api = compose(createAgent(), mirror({ to: shadow, timeout: 2_000 }))
  // #endregion mirror-agent
  destroyed(api)
  destroyed(shadow)
  await (await createFetch(api)(`${origin}/users/7`)).text()
  await host.until(() => host.count() === 1)
})
