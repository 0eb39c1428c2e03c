// Calls against a server that sends GOAWAY, resets streams and drops connections at random: every call settles once, none
// hangs, no POST is taken twice, and what is lost is told.
import { seededRandom } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { type FrameConnection, startFrameServer } from './frame-server.ts'
import { h2cAgent, send, turn } from './support.ts'

describe('a server that fails at random', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'every call settles, and none is sent twice that may not be (seed %i)',
    async (seed) => {
      const random = seededRandom(seed).next
      const server = await startFrameServer()
      const drop = (connection: FrameConnection) => {
        if (random() < 0.5) connection.socket.end()
        else connection.socket.resetAndDestroy()
      }
      let taken = 0
      server.onConnection = (connection) => connection.settings(1 + Math.floor(random() * 20))
      server.onStream = (connection, stream) => {
        const dice = random()
        if (dice < 0.03) connection.goaway(Math.max(0, stream - 2))
        else if (dice < 0.05) {
          connection.goaway(2 ** 31 - 1)
          taken++
          connection.answer(stream)
        } else if (dice < 0.1) connection.reset(stream, 7)
        else {
          taken++
          if (dice < 0.13) connection.reset(stream, [0, 2, 8][Math.floor(random() * 3)]!)
          else if (dice < 0.15) drop(connection)
          else if (dice < 0.2) {
            connection.head(stream)
            connection.data(stream, 'a part')
            connection.reset(stream, 8)
          } else if (dice < 0.6) setImmediate(() => connection.answer(stream))
          else connection.answer(stream)
        }
      }
      const agent = h2cAgent({ pingInterval: 0 })
      const calls = []
      for (let at = 0; at < 400; at++) {
        const post = random() < 0.5
        const opts = post ? { method: 'POST' as const, body: `order ${at}` } : {}
        const consumer = send(agent, server.origin, opts)
        if (random() < 0.05) setImmediate(() => consumer.controller?.abort(new Error('given up')))
        calls.push({ post, consumer })
        if (random() < 0.1) await turn()
      }
      await Promise.all(calls.map(({ consumer }) => consumer.over))
      for (let at = 0; at < 5; at++) await turn()
      const starts = calls.map(({ consumer }) => consumer.events.filter((event) => event === 'start').length)
      expect(Math.max(...starts)).toBe(1)
      const ends = calls.map(
        ({ consumer }) => consumer.events.filter((event) => event === 'end' || event === 'error').length,
      )
      expect(new Set(ends)).toEqual(new Set([1]))
      const whole = calls.filter(({ consumer }) => consumer.events.at(-1) === 'end')
      expect(whole.length).toBeGreaterThan(200)
      for (const { consumer } of whole) expect(consumer.bytes).toBe(2)
      expect(agent.stats[server.origin]?.streams ?? 0).toBe(0)
      expect(agent.stats[server.origin]?.queued ?? 0).toBe(0)
      expect(taken).toBeGreaterThanOrEqual(whole.length)
    },
  )
})
