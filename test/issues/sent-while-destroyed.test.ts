// destroy() tells consumers of their calls' end. One that sent again as it heard of it was still taken in: failed with the
// others in a loop, or, to another origin, sent and answered by an agent that was being destroyed.
import { expect, it } from 'vitest'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

it('46: a call sent from inside destroy() is refused, to whatever origin', async () => {
  const [server, other] = [await startFrameServer(), await startFrameServer()]
  server!.onStream = () => {}
  const agent = h2cAgent()
  const again: ReturnType<typeof send>[] = []
  const sendBoth = () => {
    for (const { origin } of [server!, other!]) again.push(send(agent, origin))
  }
  const first = send(agent, server!.origin, { on: { error: sendBoth } })
  await server!.until(() => server!.streams === 1)
  await agent.destroy(new Error('over'))
  expect(first.events).toEqual(['start', 'error'])
  expect(again.length).toBe(2)
  for (const call of again) expect(await outcomeOf(call)).toEqual(['error', 'UND_ERR_DESTROYED'])
  expect(other!.connections.length).toBe(0)
})
