import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
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
    await server.requests[0]!.received
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

it('closes an HTTP/1.1 connection whose CONNECT was turned down, and passes on what came with one that was not', async () => {
  const { server } = await startPair({ protocol: 'h1c', respond: [407, 200] })
  const send = async (socket: Socket) => {
    socket.write('CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\nfirst bytes')
    const [head] = await once(socket, 'data')
    return String(head)
  }
  const refused = connect(server.port, '127.0.0.1')
  const closed = once(refused, 'close')
  expect(await send(refused)).toMatch(/^HTTP\/1.1 407 (.|\s)*connection: close/i)
  await closed
  const taken = connect(server.port, '127.0.0.1')
  let text = await send(taken)
  while (!text.endsWith('first bytes')) text += String((await once(taken, 'data'))[0])
  expect(text).toMatch(/^HTTP\/1.1 200 /)
  taken.destroy()
})
