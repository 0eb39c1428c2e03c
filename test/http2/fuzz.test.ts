// Frames at random from the other side: whatever comes, each call settles once or goes on waiting until it is given up, nothing
// is thrown where nobody can catch it, and the agent goes on.

import { seededRandom } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { type FrameConnection, startFrameServer } from './frame-server.ts'
import { h2cAgent, outcomeOf, send, turn } from './support.ts'

function hostile(random: () => number, connection: FrameConnection, stream: number): void {
  const pick = (below: number) => Math.floor(random() * below)
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => pick(256)))
  const target = [0, stream, stream + 2, 2, 2 ** 31 - 1, 1][pick(6)]!
  const dice = pick(10)
  if (dice === 0) connection.socket.write(bytes(pick(200)))
  else if (dice === 1) connection.head(target, random() < 0.5)
  else if (dice === 2) connection.data(target, 'x'.repeat(pick(20_000)), random() < 0.3)
  else if (dice === 3) connection.reset(target, pick(13))
  else if (dice === 4) connection.goaway([0, stream, 2 ** 31 - 1][pick(3)]!, pick(13))
  else if (dice === 5) connection.settings([0, 1, 100, 2 ** 32 - 1][pick(4)]!)
  else if (dice === 6) connection.send(pick(12), pick(256), target, bytes(pick(40)))
  else if (dice === 7) connection.send(8, 0, target, bytes(4))
  else if (dice === 8) connection.send(6, 0, 0, bytes(8))
  else connection.answer(stream)
}

describe('hostile frames', () => {
  it.each([11, 12, 13, 14, 15, 16])('are survived (seed %i)', async (seed) => {
    const random = seededRandom(seed).next
    const server = await startFrameServer()
    // A server may allow no stream at all: calls then wait for as long as they may.
    const agent = h2cAgent({ pingInterval: 0, acquireTimeout: 40 })
    server.onStream = (connection, stream) => {
      for (let at = 0; at < 1 + random() * 6; at++) hostile(random, connection, stream)
    }
    for (let round = 0; round < 40; round++) {
      const calls = Array.from({ length: 5 }, () =>
        send(agent, server.origin, random() < 0.5 ? { method: 'POST', body: 'order' } : {}),
      )
      for (let at = 0; at < 5; at++) await turn()
      await Promise.all(
        calls.map(async (call) => {
          while (!call.isOver && call.controller === null) await turn()
          call.controller?.abort(new Error('long enough'))
          await call.over
        }),
      )
      for (const { events } of calls) {
        expect(events.filter((event) => event === 'start').length).toBeLessThanOrEqual(1)
        expect(events.filter((event) => event === 'end' || event === 'error').length).toBe(1)
      }
    }
    server.onStream = (connection, stream) => connection.answer(stream)
    for (const { socket } of server.connections) socket.destroy()
    for (let at = 0; at < 20; at++) await turn()
    expect((await outcomeOf(send(agent, server.origin))).at(-1)).toBe('end')
  })
})
