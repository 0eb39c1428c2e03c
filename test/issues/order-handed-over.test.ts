// An order for all circuits holds for origins to come. In a snapshot it was lost for them: the next process called them.
import { circuitBreaker, compose } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, errorOf, serve } from '../dispatchers/retry-servers.ts'

it('10: an order for all is handed over, also for origins that nobody has called yet', async () => {
  const server = await serve({ protocol: 'h1c' })
  const before = circuitBreaker()
  expect(before.toJSON()).toEqual({ version: 1, origins: {} })
  before.force('open')
  const after = circuitBreaker()
  after.restore(JSON.parse(JSON.stringify(before)))
  const chain = compose(chainTo(server), after)
  expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
  after.force(null)
  expect((await call(chain, server.url('/'))).status).toBe(200)
  expect(() => after.restore({ version: 1, forced: 'ajar', origins: {} } as never)).toThrow(
    'circuitBreaker: snapshot.forced must be one of null, "open", "closed", "disabled", got "ajar"',
  )
})
