// What the page of rateLimit() shows, run.
import { Redis } from 'ioredis'
import {
  attemptTimeout,
  bulkhead,
  compose,
  createAgent,
  deadline,
  isShed,
  RateLimitedError,
  type RetryRequest,
  rateLimit,
  retry,
} from 'roundtripper'
import { redisStore } from 'roundtripper/redis'
import { request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { destroyed, serve } from './support.ts'

it('a rate for each attempt', async () => {
  const server = await serve([503, { body: 'Ada' }])
  // #region rate-limit
  const limit = rateLimit({ limit: 100, window: 60_000, burst: 10 })
  const api = compose(createAgent(), deadline(), retry(), limit, bulkhead(), attemptTimeout())
  const { body } = await request(server.url('/users/7'), { dispatcher: api })

  const text = await body.text()
  const seen = limit.state() // { 'https://api.example.com': { available: 8, queued: 0, admitted: 2, ... } }
  // #endregion
  destroyed(api)
  expect(text).toBe('Ada')
  expect(seen[server.origin]).toMatchObject({ available: 8, queued: 0, admitted: 2, refused: 0 })
})

it('a refusal', async () => {
  const url = (await serve(200)).origin
  const later: number[] = []
  // #region rate-limited
  const api = compose(createAgent(), rateLimit({ limit: 2, window: 60_000, queue: 0 }))
  const calls = [1, 2, 3].map(async () => {
    try {
      const { body } = await request(url, { dispatcher: api })
      await body.dump()
    } catch (error) {
      if (!(error instanceof RateLimitedError)) throw error
      later.push(error.retryAfter) // nothing was sent; it would go in so many milliseconds
    }
  })
  // #endregion
  await Promise.all(calls)
  destroyed(api)
  expect(later).toHaveLength(1)
  expect(later[0]).toBeGreaterThan(20_000)
})

it('two limits, by tenant and by origin', async () => {
  const { origin } = await serve(200)
  // #region keys
  const perTenant = rateLimit({
    algorithm: 'slidingWindow',
    limit: 2,
    window: 60_000,
    queue: 0,
    key: ({ headers }: RetryRequest) => String(headers['x-tenant']),
    maxKeys: 10_000,
  })
  const perOrigin = rateLimit({ algorithm: 'leakyBucket', limit: 50 }) // one each 20 ms
  const api = compose(createAgent(), perTenant, retry(), perOrigin)
  // #endregion
  destroyed(api)
  const as = (tenant: string) => request(origin, { dispatcher: api, headers: { 'x-tenant': tenant } })
  const results = await Promise.allSettled(['a', 'a', 'a', 'b'].map(as))
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
  for (const result of results) if (result.status === 'fulfilled') await result.value.body.dump()
})

it('what the server says', async () => {
  const { origin } = await serve({ status: 429, retryAfter: 30 })
  // #region server
  const limit = rateLimit({ limit: 1000, serverHeaders: true, queueTimeout: 5_000 })
  const api = compose(createAgent(), limit)
  const { statusCode, body } = await request(origin, { dispatcher: api }) // 429, with Retry-After: 30
  await body.dump()
  const refused = await request(origin, { dispatcher: api }).catch((error) => error) // a RateLimitedError
  // #endregion
  destroyed(api)
  expect(statusCode).toBe(429)
  expect(isShed(refused)).toBe(true)
  expect(limit.state()[origin]?.serverWait).toBeGreaterThan(29_000)
})

it('another limit, and shadow', async () => {
  const { origin } = await serve(200)
  // #region shadow
  const limit = rateLimit({ limit: 1, window: 60_000, queue: 0, shadow: true })
  const api = compose(createAgent(), limit)
  for (let call = 0; call < 3; call++) await request(origin, { dispatcher: api }).then(({ body }) => body.dump())

  const { shadowRefused } = limit.state()[origin] ?? {} // 2
  limit.update({ limit: 20, shadow: false }) // enough, and from now on in earnest
  // #endregion
  destroyed(api)
  expect(shadowRefused).toBe(2)
})

it('a limit for several processes', async () => {
  // Nothing listens there: what the sample shows is then the limit of one process.
  const { origin } = await serve(200)
  // #region redis
  const redis = new Redis({ port: 6379, maxRetriesPerRequest: 0 }) // yours, to configure and to close
  redis.on('error', () => {}) // the layer warns once an outage
  const store = redisStore(redis, { whenDown: 'local' })
  const api = compose(createAgent(), rateLimit({ limit: 600, window: 60_000, store }))
  // #endregion
  destroyed(api)
  onTestFinished(() => redis.disconnect())
  const { statusCode, body } = await request(origin, { dispatcher: api })
  await body.dump()
  expect(statusCode).toBe(200)
})
