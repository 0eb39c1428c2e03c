import { once } from 'node:events'
import { upgrade } from 'undici'
import { describe, expect, it } from 'vitest'
import { call, startPair, wires } from './support.ts'

describe.each(wires)('tunnels, $protocol', ({ protocol, version }) => {
  const h2 = version === '2'

  it('sends back what comes through a CONNECT', async () => {
    const { server, agent } = await startPair({ protocol, respond: 200 })
    const { socket, statusCode } = await agent.connect({ origin: server.origin, path: 'example.org:443' })
    expect(statusCode).toBe(200)
    socket.write('ping')
    const [echoed] = await once(socket, 'data')
    expect(String(echoed)).toBe('ping')
    expect(server.requests[0]!.method).toBe('CONNECT')
    socket.on('error', () => {})
    socket.destroy()
    await server.requests[0]!.closed
  })

  it('sends back what comes through an upgrade', async () => {
    const { server, agent } = await startPair({ protocol })
    server.script('/', h2 ? 200 : { status: 101, headers: { connection: 'upgrade', upgrade: 'websocket' } })
    const { socket } = await upgrade(server.url(), { dispatcher: agent, protocol: 'websocket' })
    socket.write('ping')
    const [echoed] = await once(socket, 'data')
    expect(String(echoed)).toBe('ping')
    socket.on('error', () => {})
    socket.destroy()
    expect(await server.requests[0]!.closed).toMatchObject({ how: 'answered' })
  })

  it('answers a CONNECT that is turned down', async () => {
    const { server, agent } = await startPair({ protocol, respond: { status: 407, body: 'no' } })
    const { statusCode, socket } = await agent.connect({ origin: server.origin, path: 'example.org:443' })
    expect(statusCode).toBe(407)
    socket.on('error', () => {})
    socket.destroy()
    expect((await call(agent, server.url())).status).toBe(407)
  })
})
