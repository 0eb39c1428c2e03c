// Calls that wait for one of maxConnections may be given up. Their places in the queue stayed: an idle connection was closed for
// them, and a connection that ended passed its place from one to the next, each within the other, until the stack was full. The
// error was uncaught, and the place lost.
import { expect, it } from 'vitest'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

const answered = ['start', 'head 200', 'data', 'end']

it('26: no idle connection is closed for a call that was given up', async () => {
  const [one, other] = [await startFrameServer(), await startFrameServer()]
  const agent = h2cAgent({ maxConnections: 1, acquireTimeout: 300 })
  one!.onStream = () => {}
  const first = send(agent, one!.origin)
  await one!.until(() => one!.streams === 1)
  expect(await outcomeOf(send(agent, other!.origin))).toEqual(['error', 'ERR_ACQUIRE_TIMEOUT'])
  one!.connections[0]!.answer(1)
  expect(await outcomeOf(first)).toEqual(answered)
  one!.onStream = (connection, stream) => connection.answer(stream)
  expect(await outcomeOf(send(agent, one!.origin))).toEqual(answered)
  expect([one!.connections.length, other!.connections.length]).toEqual([1, 0])
})

it('47: thousands of them, each of an origin of its own, leave every place as it was', async () => {
  const server = await startFrameServer()
  server.onStream = () => {}
  const agent = h2cAgent({ maxConnections: 1, acquireTimeout: 300 })
  const first = send(agent, server.origin)
  await server.until(() => server.streams === 1)
  const calls = Array.from({ length: 6_000 }, (_, at) => send(agent, `http://127.0.0.1:${10_000 + at}`))
  server.onStream = (connection, stream) => connection.answer(stream)
  await Promise.all(calls.map(({ over }) => over))
  server.connections[0]!.socket.destroy()
  await first.over
  expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
  expect(Object.keys(agent.stats)).toEqual([server.origin])
})
