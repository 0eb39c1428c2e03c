import { balance, bulkhead, circuitBreaker } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, errorOf, serve } from '../dispatchers/retry-servers.ts'

const gone = Array.from({ length: 2_000 }, (_, at) => `http://10.0.${at >> 8}.${at & 255}:8080`)

// Each host that refused a call at once asked the next one on its own stack, which was too much for a thousand of them.
it('a call that two thousand hosts refuse at once fails with what the last one says', async () => {
  const layer = balance({ hosts: gone })
  const breaker = circuitBreaker()
  const chain = chainTo({}, layer, breaker)
  breaker.force('open')
  expect(await errorOf(call(chain, 'http://users/'))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
  expect(Object.values(layer.state()).every(({ calls, inFlight }) => calls === 1 && inFlight === 0)).toBe(true)
})

it('and reaches the one that takes it, with its body', async () => {
  const server = await serve({ protocol: 'h2', respond: { echo: true } })
  const breaker = circuitBreaker()
  const chain = chainTo(server, balance({ hosts: [...gone, server.origin] }), breaker, bulkhead())
  for (const origin of gone) breaker.force('open', origin)
  async function* body() {
    yield 'once'
  }
  const { text } = await call(chain, 'http://users/', { method: 'POST', body: body() as never })
  expect(JSON.parse(text)).toMatchObject({ method: 'POST', body: 'once' })
})
