// What undici alone can do goes on working on the agent, on an origin that is known to speak HTTP/2 as well: WebSocket, upgrade
// and CONNECT.
import type { Duplex } from 'node:stream'
import { compose, createAgent, type PoolAgent, retry } from 'roundtripper'
import { connect, type Dispatcher, upgrade, WebSocket } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startProxy } from './proxy-server.ts'
import { outcomeOf, send } from './support.ts'
import { type Speaks, startWebSocketServer, type WebSocketServer } from './web-socket-server.ts'

function agentFor(server: WebSocketServer, speaks: Speaks, options: object = {}): PoolAgent {
  const agent = createAgent({ connect: { ca: server.ca }, useH2c: speaks === 'h2c', ...options })
  onTestFinished(() => agent.destroy())
  return agent
}

async function echoed(dispatcher: Dispatcher, origin: string): Promise<string> {
  const socket = new WebSocket(`${origin.replace('http', 'ws')}/chat`, { dispatcher })
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.addEventListener('open', () => socket.send('hello'))
      socket.addEventListener('message', ({ data }) => resolve(data as string))
      socket.addEventListener('error', (event) => reject(event.error ?? new Error('closed')))
    })
  } finally {
    socket.close()
  }
}

async function echoedOn(socket: Duplex): Promise<string> {
  socket.write('ping')
  const [chunk] = await new Promise<[Buffer]>((resolve) => socket.once('data', (one: Buffer) => resolve([one])))
  socket.destroy()
  return chunk.toString()
}

const over: [Speaks, string, string][] = [
  ['h1c', '1.1 GET', '1.1 CONNECT'],
  ['h1', '1.1 GET', '1.1 CONNECT'],
  ['both', '1.1 GET', '1.1 CONNECT'],
  ['h2', '2.0 websocket', '2.0 CONNECT'],
  ['h2c', '2.0 websocket', '2.0 CONNECT'],
]

describe.each(over)('a server of %s', (speaks, webSocketOver, connectOver) => {
  it.each(['cold', 'known'])('takes a WebSocket (%s origin), beside requests', async (state) => {
    const server = await startWebSocketServer(speaks)
    const agent = agentFor(server, speaks)
    if (state === 'known') expect((await outcomeOf(send(agent, server.origin))).at(-1)).toBe('end')
    expect(await echoed(agent, server.origin)).toBe('hello')
    expect(server.upgrades).toEqual([webSocketOver])
    expect((await outcomeOf(send(agent, server.origin))).at(-1)).toBe('end')
    const wanted = speaks === 'h1c' || speaks === 'h1' ? '1.1' : '2.0'
    expect(new Set(server.requests)).toEqual(new Set([wanted]))
  })

  it('takes a WebSocket through a chain', async () => {
    const server = await startWebSocketServer(speaks)
    expect(await echoed(compose(agentFor(server, speaks), retry()), server.origin)).toBe('hello')
  })

  it.each(['cold', 'known'])('takes a CONNECT (%s origin)', async (state) => {
    const server = await startWebSocketServer(speaks)
    const agent = agentFor(server, speaks)
    if (state === 'known') expect((await outcomeOf(send(agent, server.origin))).at(-1)).toBe('end')
    const { socket, statusCode } = await connect(server.origin, { path: 'other.test:80', dispatcher: agent } as never)
    expect([statusCode, await echoedOn(socket as Duplex)]).toEqual([200, 'ping'])
    expect(server.upgrades).toEqual([connectOver])
  })

  it('takes a WebSocket through a proxy, in a tunnel', async () => {
    const server = await startWebSocketServer(speaks)
    const proxy = await startProxy()
    expect(await echoed(agentFor(server, speaks, { proxy: proxy.url }), server.origin)).toBe('hello')
    expect([new Set(proxy.tunnels), proxy.forwarded]).toEqual([new Set([new URL(server.origin).host]), []])
    expect(server.upgrades).toEqual([webSocketOver])
  })
})

it('an upgrade of undici.upgrade goes over HTTP/1.1 to an origin known to speak HTTP/2', async () => {
  const server = await startWebSocketServer('both')
  const agent = agentFor(server, 'both')
  expect((await outcomeOf(send(agent, server.origin))).at(-1)).toBe('end')
  const { socket, headers } = await upgrade(server.origin, { protocol: 'websocket', dispatcher: agent })
  expect(headers).toMatchObject({ upgrade: 'websocket' })
  socket.destroy()
  expect([server.upgrades, server.requests]).toEqual([['1.1 GET'], ['2.0']])
})

it('46: close and destroy end what is upgraded no more than undici does, and settle', async () => {
  const server = await startWebSocketServer('both')
  const agent = agentFor(server, 'both')
  expect(await echoed(agent, server.origin)).toBe('hello')
  await agent.close()
  expect((await outcomeOf(send(agent, server.origin))).at(-1)).toBe('UND_ERR_DESTROYED')
})
