// What one caller says of its call holds for that call. deduplicate() sent the request for all with it: the deadline of
// whoever came first failed the others, and alone in an agent's compose() it held for nobody else's layers but theirs.
import { deduplicate, standard } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { Agent } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { call, chainTo, errorOf, protocols, serve, stopClock } from '../dispatchers/retry-servers.ts'

it.each(protocols)(
  "29: one caller's deadline and attempt timeout end its own call only, over $version",
  async (version) => {
    const server = await serve({ protocol: version.protocol })
    const held = gate()
    server.script('*', { hold: held.promise, body: 'late' })
    const chain = chainTo(server, deduplicate(), standard({ deadline: false, attemptTimeout: false }))
    const { advance } = stopClock()
    const deadline = errorOf(call(chain, server.url('/'), { resilience: { deadline: 50 } }))
    const attempt = errorOf(call(chain, server.url('/'), { resilience: { attemptTimeout: 70 } }))
    const patient = call(chain, server.url('/'))
    await server.until(() => server.requests.length === 1)
    await advance(100)
    expect(await deadline).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    expect(await attempt).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    held.open()
    expect((await patient).text).toBe('late')
    expect(server.requests).toHaveLength(1)
  },
)

it('24: the same where it stands alone', async () => {
  const server = await serve({ protocol: 'h1c', respond: { hang: 'head' } })
  const agent = new Agent().compose(deduplicate())
  onTestFinished(() => agent.destroy())
  const { advance } = stopClock()
  const hasty = errorOf(call(agent, server.url('/'), { resilience: { deadline: 50 } }))
  await server.until(() => server.requests.length === 1)
  await advance(60)
  expect(await hasty).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
  expect((await server.requests[0]?.closed)?.how).toBe('aborted')
})
