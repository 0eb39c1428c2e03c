// Of a call that met two budgets each was counted anew with every attempt: the more was sent again, the more they allowed.
// A redirect's second origin was counted in none: all its retries came from what every origin has besides.
import { hedge, type RetryBudget, retry, retryBudget } from 'roundtripper'
import { interceptors } from 'undici'
import { expect, it } from 'vitest'
import { call, chainTo, quick, serve } from '../dispatchers/retry-servers.ts'

function counting() {
  const origins: string[] = []
  const budget: RetryBudget = {
    deposit: ({ origin }) => void origins.push(origin),
    record() {},
    withdraw: () => true,
  }
  return { origins, budget }
}

it('22: a call counts once in each budget, however often it is sent', async () => {
  const server = await serve({ protocol: 'h1c', respond: 503 })
  const [above, below] = [counting(), counting()]
  const chain = chainTo(
    server,
    retry({ ...quick, maxAttempts: 4, budget: above.budget }),
    hedge({ budget: below.budget }),
  )
  await call(chain, server.url('/'))
  expect(server.requests).toHaveLength(5)
  expect([above.origins, below.origins]).toEqual([[server.origin], [server.origin]])
})

it('9, 22: a redirect counts where it goes, too', async () => {
  const [from, to] = [await serve({ protocol: 'h1c' }), await serve({ protocol: 'h1c', respond: 503 })]
  from.script('/', { status: 307, headers: { location: to.url('/there') } })
  const { origins, budget } = counting()
  const chain = chainTo(from, interceptors.redirect({ maxRedirections: 3 }), retry({ ...quick, budget }))
  await call(chain, from.url('/'))
  expect(to.requests).toHaveLength(4)
  expect(origins).toEqual([from.origin, to.origin])
})

it('22: what a call adds to a share does not grow with its attempts', async () => {
  const server = await serve({ protocol: 'h1c', respond: 503 })
  const half = () => retryBudget({ share: 0.5, minPerSecond: 0 })
  const chain = chainTo(
    server,
    retry({ ...quick, maxAttempts: 9, budget: half() }),
    hedge({ budget: half(), maxHedges: 9 }),
  )
  for (let count = 0; count < 20; count++) await call(chain, server.url('/'))
  // Half of twenty calls each.
  expect(server.requests.length).toBeLessThanOrEqual(40)
})
