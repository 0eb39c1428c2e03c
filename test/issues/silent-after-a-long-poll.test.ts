// A server that answers PINGs and stays silent is asked less and less often. The long wait stayed when the silence was over: a
// server gone after that was not found out for minutes, by any call on the session.
import { describe, expect, it } from 'vitest'
import { stopClock } from '../dispatchers/retry-servers.ts'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

describe('a peer that is gone after a long poll', () => {
  it.each([
    ['ended', true],
    ['still waits', false],
  ])('is found out within seconds by the next call, where the poll %s', async (_name, ends) => {
    const clock = stopClock()
    const server = await startFrameServer()
    server.onStream = () => {}
    const agent = h2cAgent()
    const poll = send(agent, server.origin)
    await server.until(() => server.streams === 1)
    for (let second = 0; second < 60; second++) await clock.advance(1_000)
    const [connection] = server.connections
    if (ends) {
      connection!.answer(1)
      expect(await outcomeOf(poll)).toEqual(['start', 'head 200', 'data', 'end'])
    }
    connection!.answersPings = false
    const order = send(agent, server.origin, { method: 'POST', body: 'order' })
    await server.until(() => server.streams === 2)
    for (let second = 0; second < 9; second++) await clock.advance(1_000)
    expect(await outcomeOf(order)).toEqual(['start', 'error', 'UND_ERR_SOCKET'])
  })
})
