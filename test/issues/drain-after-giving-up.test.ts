// dispatch() answers `false` where a call has to wait, and 'drain' is to follow. It did not where those that waited were given up.
import { expect, it } from 'vitest'
import { stopClock, turns } from '../dispatchers/retry-servers.ts'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

it("'drain' follows when no call waits any longer, though none was sent", async () => {
  const clock = stopClock()
  const server = await startFrameServer()
  server.onConnection = (connection) => connection.settings(1)
  server.onStream = () => {}
  const agent = h2cAgent({ connections: 1, acquireTimeout: 1_000, pingInterval: 0 })
  send(agent, server.origin)
  await server.until(() => server.streams === 1)
  await turns()
  let drained = 0
  agent.on('drain', () => drained++)
  const waiting = [send(agent, server.origin), send(agent, server.origin)]
  await clock.advance(1_001)
  for (const call of waiting) expect(await outcomeOf(call)).toEqual(['error', 'ERR_ACQUIRE_TIMEOUT'])
  expect(drained).toBe(1)
})
