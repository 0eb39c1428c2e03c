// What the pages of hedge, fallback and cache show, run.
import {
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  deadline,
  deduplicate,
  fallback,
  hedge,
  isFallback,
  retry,
  retryBudget,
  standard,
  standardHedging,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { cacheStores, interceptors } from 'undici'
import { expect, it } from 'vitest'
import { destroyed, serve } from './support.ts'

it('31: hedge: the second attempt answers', async () => {
  const slow = gate()
  const { origin } = await serve([{ hold: slow.promise }, { body: 'Ada' }])
  // #region hedge
  const budget = retryBudget() // shared: hedges here, retries in another chain
  const hedging = hedge({ delay: 50, percentile: 0.95, minDelay: 20, budget })
  const api = compose(createAgent(), deadline(2_000), hedging, circuitBreaker())
  const fetch = createFetch(api)

  const user = await (await fetch(`${origin}/users/7`)).text()
  const seen = hedging.state() // { 'https://api.example.com': { delay: 50, samples: 2, hedged: 1, won: 1, refused: 0 } }
  // #endregion hedge
  destroyed(api)
  expect(user).toBe('Ada')
  expect(seen[origin]).toMatchObject({ delay: 50, hedged: 1, won: 1, refused: 0 })
})

it('31: standardHedging: a failed attempt is replaced at once', async () => {
  const { origin } = await serve([503, { body: 'Ada' }])
  // #region standardHedging
  const api = compose(createAgent(), standardHedging({ deadline: 5_000, hedge: { delay: 500 } }))
  const fetch = createFetch(api)
  // #endregion standardHedging
  destroyed(api)
  expect(await (await fetch(`${origin}/users/7`)).text()).toBe('Ada')
})

it('fallback: a value, and how it is known', async () => {
  const { origin } = await serve(503)
  // #region fallback
  const empty = { status: 200, headers: { 'content-type': 'application/json' }, body: '[]' }
  const api = compose(createAgent(), fallback({ value: empty }), standard({ retry: { backoff: 1 } }))
  const fetch = createFetch(api)

  const response = await fetch(`${origin}/recommendations`)
  const items = await response.json()
  const isMadeUp = isFallback(response)
  // #endregion fallback
  destroyed(api)
  expect([items, isMadeUp]).toEqual([[], true])
})

it('fallback: a function, and another upstream', async () => {
  const { origin } = await serve({ '/a': 503, '/b': 503 })
  const second = await serve({ body: 'from the second' })
  const archive = { find: async (path: string) => (path === '/a' ? 'archived' : undefined) }
  // #region fallback-function
  const made = fallback({
    async respond({ kind }, { path }) {
      if (kind === 'throttled') return undefined // as it was
      const body = await archive.find(path)
      return body === undefined ? undefined : { headers: { age: '86400' }, body }
    },
  })
  const elsewhere = fallback({ upstream: second.origin })
  // #endregion fallback-function
  const agent = destroyed(createAgent())
  const [one, other] = [made, elsewhere].map((layer) => createFetch(compose(agent, layer)))
  expect(await (await one!(`${origin}/a`)).text()).toBe('archived')
  expect((await one!(`${origin}/b`)).status).toBe(503)
  expect(await (await other!(`${origin}/b`)).text()).toBe('from the second')
})

it('48: cache: what is stale serves where nothing else does', async () => {
  const headers = { 'cache-control': 'max-age=60, stale-if-error=3600' }
  const server = await serve([{ headers, body: 'Ada' }, 503])
  const { origin } = server
  // #region cache
  const store = new cacheStores.MemoryCacheStore({
    maxCount: 1_000,
    maxSize: 50 * 1024 * 1024,
    maxEntrySize: 1024 * 1024,
  })
  const api = compose(
    createAgent(),
    deduplicate(), // one request for all who ask for the same at once
    interceptors.cache({ store }), // a hit goes no further
    standard(), // what is asked anew has retries, breaker and spans
  )
  const fetch = createFetch(api)
  // #endregion cache
  destroyed(api)
  const users = await Promise.all([1, 2, 3].map(async () => (await fetch(`${origin}/users/7`)).text()))
  expect(users).toEqual(['Ada', 'Ada', 'Ada'])
  expect(await (await fetch(`${origin}/users/7`)).text()).toBe('Ada')
  expect(server.requests).toHaveLength(1)
})

it('31: retry and hedge can share one budget', async () => {
  const { origin } = await serve(503)
  const budget = retryBudget({ share: 0, minPerSecond: 0.1 })
  const agent = destroyed(createAgent())
  const one = createFetch(compose(agent, hedge({ budget })))
  const other = createFetch(compose(agent, retry({ budget, backoff: 1 })))
  await one(origin)
  await other(origin)
  expect(budget.state()[origin]).toMatchObject({ granted: 1, refused: 1 })
})
