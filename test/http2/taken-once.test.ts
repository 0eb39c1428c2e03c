// POSTs with a number each, of every kind of body, against a server that keeps count of those it has taken and tells the truth in
// its GOAWAY and REFUSED_STREAM: none is taken twice, and of none that it took is it said that it never arrived.
import { Readable } from 'node:stream'
import { seededRandom } from 'roundtripper/testing'
import { expect, it } from 'vitest'
import { isUnsent } from '../../src/policies/errors.ts'
import { type FrameConnection, type FrameServer, startFrameServer } from './frame-server.ts'
import { h2cAgent, send, turn } from './support.ts'

async function* inTwo(id: string): AsyncGenerator<Buffer> {
  await turn()
  yield Buffer.from(id.slice(0, 3))
  await turn()
  yield Buffer.from(id.slice(3))
}

/** Connections of a server that fails at random, and how often each body was taken. */
class Taking {
  readonly taken = new Map<string, number>()
  private readonly random: () => number
  // For each connection the last stream that its GOAWAY leaves, and the last one that was taken.
  private readonly last = new Map<FrameConnection, number>()
  private readonly top = new Map<FrameConnection, number>()
  private readonly dead = new Set<FrameConnection>()

  constructor(server: FrameServer, random: () => number) {
    this.random = random
    server.onConnection = (connection) => connection.settings(1 + Math.floor(random() * 8))
    server.onStream = (connection, stream) => this.go(connection, stream)
  }

  private leaves(connection: FrameConnection): number {
    return this.last.get(connection) ?? 2 ** 31 - 1
  }

  private go(connection: FrameConnection, stream: number): void {
    if (this.dead.has(connection) || stream > this.leaves(connection)) return
    const frames = connection.frames.filter((seen) => seen.stream === stream)
    if (frames.some(({ type }) => type === 'RST_STREAM')) return
    const dice = this.random()
    if (dice < 0.03) {
      const lower = Math.max(this.top.get(connection) ?? 0, stream - 2 * Math.floor(this.random() * 4))
      this.last.set(connection, Math.min(this.leaves(connection), lower))
      connection.goaway(this.leaves(connection), this.random() < 0.2 ? 2 : 0)
      if (this.random() < 0.3) setTimeout(() => this.drop(connection), 2)
      if (stream > this.leaves(connection)) return
    } else if (dice < 0.05) {
      if (!this.last.has(connection)) connection.goaway(this.leaves(connection))
    } else if (dice < 0.1) {
      connection.reset(stream, 7)
      return
    }
    if (frames.some(({ type, flags }) => type === 'DATA' && (flags & 1) === 1)) this.take(connection, stream)
    else setImmediate(() => this.go(connection, stream))
  }

  private take(connection: FrameConnection, stream: number): void {
    const data = connection.frames.filter((seen) => seen.stream === stream && seen.type === 'DATA')
    const id = String(Buffer.concat(data.map(({ payload }) => payload)))
    this.taken.set(id, (this.taken.get(id) ?? 0) + 1)
    this.top.set(connection, Math.max(this.top.get(connection) ?? 0, stream))
    const dice = this.random()
    if (dice < 0.03) this.drop(connection)
    else if (dice < 0.06) connection.reset(stream, [0, 2, 8, 11][Math.floor(this.random() * 4)]!)
    else if (dice < 0.1) {
      connection.head(stream)
      connection.reset(stream, 7)
    } else if (dice < 0.5) {
      setTimeout(() => {
        if (!this.dead.has(connection)) connection.answer(stream)
      }, this.random() * 4)
    } else connection.answer(stream)
  }

  private drop(connection: FrameConnection): void {
    this.dead.add(connection)
    if (this.random() < 0.5) connection.socket.end()
    else connection.socket.resetAndDestroy()
  }
}

it.each([1, 2, 3, 4, 5, 6, 7, 8])(
  '15: no POST is taken twice, and none taken is told as unsent (seed %i)',
  async (seed) => {
    const random = seededRandom(seed).next
    const server = await startFrameServer()
    const { taken } = new Taking(server, random)
    const agent = h2cAgent({ pingInterval: 0, connections: 3, ...(seed % 2 === 0 ? { maxConnectionAge: 20 } : {}) })
    const kinds = [(id: string) => id, (id: string) => new Blob([id]), (id: string) => Readable.from([id]), inTwo]
    const calls = []
    for (let at = 0; at < 250; at++) {
      const id = `order ${at}`
      const consumer = send(agent, server.origin, { method: 'POST', body: kinds[Math.floor(random() * 4)]!(id) })
      calls.push({ id, consumer })
      if (random() < 0.05) setImmediate(() => consumer.controller?.abort(new Error('given up')))
      if (random() < 0.15) await turn()
    }
    await Promise.all(calls.map(({ consumer }) => consumer.over))
    expect([...taken].filter(([, times]) => times > 1)).toEqual([])
    for (const { id, consumer } of calls) {
      const times = taken.get(id) ?? 0
      if (consumer.events.at(-1) === 'end') expect([id, times]).toEqual([id, 1])
      else if (isUnsent(consumer.error)) expect([id, times]).toEqual([id, 0])
    }
    expect(calls.filter(({ consumer }) => consumer.events.at(-1) === 'end').length).toBeGreaterThan(80)
  },
)
