// Sessions of one origin: how many, for how long, and what waits for them.
import { spawn } from 'node:child_process'
import { type EventEmitter, once } from 'node:events'
import { text } from 'node:stream/consumers'
import { compose, isShed, retry } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createAgent } from '../../src/dispatchers/agent.ts'
import { stopClock, turns } from '../dispatchers/retry-servers.ts'
import { startFrameServer } from './frame-server.ts'
import { h2cAgent, outcomeOf, send } from './support.ts'

const answered = ['start', 'head 200', 'data', 'end']

function many<T>(count: number, make: (at: number) => T): T[] {
  return Array.from({ length: count }, (_, at) => make(at))
}

describe('streams', () => {
  it('are as many as the server says, and more sessions are opened for the rest', async () => {
    const server = await startFrameServer()
    server.onConnection = (connection) => connection.settings(10)
    server.onStream = () => {}
    const agent = h2cAgent()
    const calls = many(35, () => send(agent, server.origin))
    await server.until(() => server.streams === 35)
    expect(server.connections.map(({ streams }) => streams.length).sort()).toEqual([10, 10, 10, 5].sort())
    for (const connection of server.connections) for (const stream of connection.streams) connection.answer(stream)
    for (const call of calls) expect(await outcomeOf(call)).toEqual(answered)
  })

  it('are no more than maxConcurrentStreams, whatever the server allows', async () => {
    const server = await startFrameServer()
    server.onStream = () => {}
    const agent = h2cAgent({ maxConcurrentStreams: 3, maxConnectionsPerOrigin: 2 })
    many(10, () => send(agent, server.origin))
    await server.until(() => server.streams === 6)
    expect(agent.stats[server.origin]).toMatchObject({ sessions: 2, streams: 6, queued: 4, idle: 0 })
  })

  it('follow settings that change while they are used, down to none and up again', async () => {
    const server = await startFrameServer()
    server.onConnection = (connection) => connection.settings(2)
    server.onStream = () => {}
    const agent = h2cAgent({ connections: 1 })
    const calls = many(6, () => send(agent, server.origin))
    await server.until(() => server.streams === 2)
    const [connection] = server.connections
    const acknowledged = () => connection!.frames.filter(({ type, flags }) => type === 'SETTINGS' && flags === 1).length
    connection!.settings(0)
    await server.until(() => acknowledged() === 2)
    for (const stream of [1, 3]) connection!.answer(stream)
    await Promise.all(calls.slice(0, 2).map(({ over }) => over))
    await turns()
    expect(server.streams).toBe(2)
    expect(server.connections.length).toBe(1)
    connection!.settings(4)
    await server.until(() => server.streams === 6)
  })

  it('a server that wants none is not met with more connections; the wait is bounded', async () => {
    const server = await startFrameServer()
    server.onConnection = (connection) => connection.settings(0)
    const clock = stopClock()
    const agent = h2cAgent({ acquireTimeout: 5_000, pingInterval: 0 })
    server.onStream = () => {}
    // The first goes out before the settings are known.
    const first = send(agent, server.origin)
    await server.until(() => server.connections[0]?.count('SETTINGS') === 1)
    const calls = many(5, () => send(agent, server.origin))
    await clock.advance(4_999)
    expect(calls.map(({ events }) => events)).toEqual(many(5, () => []))
    await clock.advance(2)
    for (const call of calls) {
      expect((await outcomeOf(call)).at(-1)).toBe('ERR_ACQUIRE_TIMEOUT')
      expect(call.error).toMatchObject({ name: 'AcquireTimeoutError', origin: server.origin })
      expect(isShed(call.error)).toBe(true)
    }
    expect(first.events).toEqual(['start'])
    expect(server.connections.length).toBe(1)
  })
})

describe('a session', () => {
  it('is closed when it has been idle for maxIdleTime, and not before', async () => {
    const clock = stopClock()
    const server = await startFrameServer()
    const agent = h2cAgent({ maxIdleTime: 5_000 })
    await send(agent, server.origin).over
    await clock.advance(4_900)
    await send(agent, server.origin).over
    await clock.advance(4_900)
    expect(agent.stats[server.origin]).toMatchObject({ sessions: 1, idle: 1 })
    const gone = new Promise((resolve) => agent.once('disconnect', resolve))
    await clock.advance(200)
    await gone
    expect(agent.stats).toEqual({})
    await send(agent, server.origin).over
    expect(server.connections.length).toBe(2)
  })

  it('takes no new call beyond its age, and finishes those under way', async () => {
    const clock = stopClock()
    const server = await startFrameServer()
    server.onStream = (connection, stream, at) => {
      if (at > 1) connection.answer(stream)
    }
    const agent = h2cAgent({ maxConnectionAge: 1_000, pingInterval: 0 })
    const old = send(agent, server.origin)
    await server.until(() => server.streams === 1)
    await clock.advance(1_001)
    expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
    expect(server.connections.length).toBe(2)
    server.connections[0]!.answer(1)
    expect(await outcomeOf(old)).toEqual(answered)
    await server.until(() => server.connections[0]!.count('GOAWAY') === 1)
  })

  it('is told of once when it comes and when it goes', async () => {
    const server = await startFrameServer()
    const agent = h2cAgent()
    const told: string[] = []
    for (const event of ['connect', 'disconnect', 'connectionError'] as const) {
      ;(agent as EventEmitter).on(event, (origin: URL, targets: unknown[]) =>
        told.push(`${event} ${origin.origin === server.origin} ${targets[0] === agent}`),
      )
    }
    await send(agent, server.origin).over
    server.connections[0]!.socket.end()
    await new Promise((resolve) => agent.once('disconnect', resolve))
    expect(told).toEqual(['connect true true', 'disconnect true true'])
  })

  it('does not keep the async context of whoever opened it', async () => {
    const { AsyncLocalStorage } = await import('node:async_hooks')
    const store = new AsyncLocalStorage<string>()
    const server = await startFrameServer()
    const agent = h2cAgent()
    let context: string | undefined = 'not asked'
    agent.on('disconnect', () => {
      context = store.getStore()
    })
    await store.run('opener', () => send(agent, server.origin).over)
    server.connections[0]!.socket.end()
    await new Promise((resolve) => agent.once('disconnect', resolve))
    expect(context).toBeUndefined()
  })

  it('that closes without a word is not used again', async () => {
    const server = await startFrameServer()
    const agent = h2cAgent()
    for (let at = 0; at < 5; at++) {
      expect(await outcomeOf(send(agent, server.origin))).toEqual(answered)
      server.connections.at(-1)!.socket.end()
    }
    expect(server.streams).toBeGreaterThanOrEqual(5)
  })
})

describe('a peer that goes silent', () => {
  it('is asked, and given up when it does not answer; what may be repeated goes on elsewhere', async () => {
    const clock = stopClock()
    const server = await startFrameServer()
    const agent = h2cAgent()
    await send(agent, server.origin).over
    const [silent] = server.connections
    silent!.answersPings = false
    server.onStream = (connection, stream) => {
      if (connection !== silent) connection.answer(stream)
    }
    const get = send(agent, server.origin)
    const post = send(agent, server.origin, { method: 'POST', body: 'order' })
    await server.until(() => server.streams === 3)
    for (let second = 0; second < 7; second++) await clock.advance(1_000)
    expect(await outcomeOf(post)).toEqual(['start', 'error', 'UND_ERR_SOCKET'])
    expect(await outcomeOf(get)).toEqual(answered)
    expect(silent!.count('PING')).toBe(1)
    expect(server.connections.length).toBe(2)
  })

  it('that answers is kept, and asked less and less often', async () => {
    const clock = stopClock()
    const server = await startFrameServer()
    server.onStream = () => {}
    const agent = h2cAgent()
    const call = send(agent, server.origin)
    await server.until(() => server.streams === 1)
    for (let second = 0; second < 60; second++) await clock.advance(1_000)
    expect(call.events).toEqual(['start'])
    expect(server.connections[0]!.count('PING')).toBeGreaterThan(1)
    expect(server.connections[0]!.count('PING')).toBeLessThan(5)
    server.connections[0]!.answer(1)
    expect(await outcomeOf(call)).toEqual(answered)
  })

  it('without a call is not asked', async () => {
    const clock = stopClock()
    const server = await startFrameServer()
    await send(h2cAgent(), server.origin).over
    for (let second = 0; second < 30; second++) await clock.advance(1_000)
    expect(server.connections[0]!.count('PING')).toBe(0)
  })

  it('is found out also where nothing else holds the process', async () => {
    const server = await startFrameServer()
    server.onStream = (connection) => {
      connection.answersPings = false
    }
    const program = `
      import { subscribe } from 'node:diagnostics_channel'
      import { createAgent } from ${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)}
      import { request } from 'undici'
      const dispatcher = createAgent({ useH2c: true, pingInterval: 50, pingTimeout: 50 })
      // As a session does that node:http2 does not tell of its end.
      subscribe('undici:client:sendHeaders', ({ socket }) => setImmediate(() => socket.unref()))
      await request('${server.origin}', { dispatcher }).catch((error) => console.log(error.message))
    `
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'close')
    expect(await text(child.stdout)).toBe('the server did not answer a PING\n')
    expect(await ended).toEqual([0, null])
  })
})

describe('bounds over all origins', () => {
  it('an idle connection elsewhere is closed for a new one; none idle: the wait is bounded', async () => {
    const clock = stopClock()
    const [one, other, third] = [await startFrameServer(), await startFrameServer(), await startFrameServer()]
    const agent = h2cAgent({ maxConnections: 2, acquireTimeout: 5_000, pingInterval: 0 })
    await send(agent, one!.origin).over
    other!.onStream = () => {}
    third!.onStream = () => {}
    send(agent, other!.origin)
    await other!.until(() => other!.streams === 1)
    send(agent, third!.origin)
    await third!.until(() => third!.streams === 1)
    expect(Object.keys(agent.stats).sort()).toEqual([other!.origin, third!.origin].sort())
    const late = send(agent, one!.origin)
    await clock.advance(5_001)
    expect(await outcomeOf(late)).toEqual(['error', 'ERR_ACQUIRE_TIMEOUT'])
    other!.connections[0]!.answer(1)
    expect(await outcomeOf(send(agent, one!.origin))).toEqual(answered)
  })

  it('holds for HTTP/1.1 as well', async () => {
    const servers = [await startServer({ protocol: 'h1c' }), await startServer({ protocol: 'h1c' })]
    const agent = createAgent({ maxConnections: 1 })
    onTestFinished(async () => {
      await agent.destroy()
      for (const server of servers) await server.close()
    })
    for (let round = 0; round < 3; round++) {
      for (const server of servers) expect((await outcomeOf(send(agent, server.origin))).at(-1)).toBe('end')
    }
    expect(Object.keys(agent.stats).length).toBe(1)
  })
})

describe('close and destroy', () => {
  it('46: close waits for what is under way and what waits, destroy fails it at once', async () => {
    const server = await startFrameServer()
    server.onConnection = (connection) => connection.settings(1)
    server.onStream = () => {}
    const agent = h2cAgent({ connections: 1 })
    const calls = many(2, () => send(agent, server.origin))
    await server.until(() => server.streams === 1)
    let closed = false
    const closing = agent.close().then(() => {
      closed = true
    })
    expect(await outcomeOf(send(agent, server.origin))).toEqual(['error', 'UND_ERR_CLOSED'])
    await turns()
    expect(closed).toBe(false)
    server.connections[0]!.answer(1)
    await server.until(() => server.streams === 2)
    server.connections[0]!.answer(3)
    await closing
    for (const call of calls) expect(await outcomeOf(call)).toEqual(answered)
    expect(await outcomeOf(send(agent, server.origin))).toEqual(['error', 'UND_ERR_DESTROYED'])
    expect([agent.closed, agent.destroyed]).toEqual([true, true])
  })

  it('46: a call that waits for its first connection is failed by destroy', async () => {
    const server = await startFrameServer()
    const agent = h2cAgent()
    const call = send(compose(agent, retry()), server.origin)
    const bare = send(agent, server.origin)
    await agent.destroy()
    expect(await outcomeOf(bare)).toEqual(['error', 'UND_ERR_DESTROYED'])
    expect((await outcomeOf(call)).at(-1)).toBe('UND_ERR_DESTROYED')
  })
})
