// What the pages of circuitBreaker and the retry budgets show, run.
import {
  attemptTimeout,
  CircuitOpenError,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  retry,
  retryBudget,
  retryThrottle,
  standard,
} from 'roundtripper'
import { request } from 'undici'
import { expect, it } from 'vitest'
import { destroyed, serve } from './support.ts'

it('circuitBreaker: is told what to do while it runs', async () => {
  const server = await serve({ body: 'Ada' })
  const { origin } = server
  // #region circuit-control
  const breaker = circuitBreaker({ shadow: true }) // at first: see what it would refuse
  const api = compose(createAgent(), retry(), breaker, attemptTimeout(2_000))

  breaker.update({ shadow: false, openForFactor: 2, openForJitter: 0.2 }) // then in earnest
  breaker.force('open', origin) // this origin is being repaired: nobody calls it
  breaker.force(null, origin) // and back
  // #endregion
  destroyed(api)
  const { body } = await request(server.url(), { dispatcher: api })
  expect(await body.text()).toBe('Ada')
  breaker.force('open')
  await expect(request(server.url(), { dispatcher: api })).rejects.toBeInstanceOf(CircuitOpenError)
  expect(breaker.state()[origin]).toMatchObject({ refused: 1, shadowRefused: 0 })
})

it('circuitBreaker: is handed on to another process', async () => {
  const server = await serve(500)
  const before = circuitBreaker({ consecutiveFailures: 1 })
  await request(server.url(), { dispatcher: destroyed(compose(createAgent(), before)) }).then(({ body }) => body.dump())
  const files = new Map<string, string>()
  // #region circuit-hand-over
  files.set('circuits.json', JSON.stringify(before)) // as the old process ends

  const breaker = circuitBreaker({ consecutiveFailures: 1 })
  breaker.restore(JSON.parse(files.get('circuits.json') ?? '{"version":1,"origins":{}}'))
  // #endregion
  expect(breaker.state()[server.origin]).toMatchObject({ state: 'open' })
})

it('retryBudget: is shared', async () => {
  const server = await serve(503)
  // #region retry-budget
  const budget = retryBudget({ share: 0.1, minPerSecond: 1 })
  const reads = compose(createAgent(), standard({ retry: { budget } }))
  const writes = compose(createAgent(), standard({ retry: { budget, maxAttempts: 2 } }))
  // #endregion
  destroyed(reads)
  destroyed(writes)
  for (let call = 0; call < 4; call++) await createFetch(reads)(server.url()).then((answer) => answer.text())
  await createFetch(writes)(server.url()).then((answer) => answer.text())
  // #region retry-budget-state
  const { left, granted, refused } = budget.state()[server.origin] ?? {}
  // #endregion
  expect({ left, granted, refused }).toEqual({ left: 0, granted: 10, refused: 2 })
})

it('retryThrottle: goes by outcomes', async () => {
  const server = await serve(503)
  // #region retry-throttle
  const budget = retryThrottle({ maxTokens: 10, tokenRatio: 0.1 })
  const api = compose(createAgent(), retry({ budget }))
  // #endregion
  const { body } = await request(server.url(), { dispatcher: destroyed(api) })
  await body.dump()
  expect(budget.state()[server.origin]).toMatchObject({ left: 1, granted: 3 })
})
