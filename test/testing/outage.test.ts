import { connect } from 'node:net'
import { gate, startBlackhole, startServer } from 'roundtripper/testing'
import { Agent, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, startPair, wires } from './support.ts'

describe.each(wires)('outages, $protocol', ({ protocol }) => {
  it('refuses connections, and comes back on the same port', async () => {
    const { server, agent } = await startPair({ protocol })
    const { port } = server
    for (let round = 1; round <= 5; round++) {
      await call(agent, server.url())
      expect(server.connections.open).toBe(1)
      await server.refuseConnections()
      expect(server.connections).toEqual({ opened: round, open: 0 })
      await expect(call(agent, server.url())).rejects.toMatchObject({ code: 'ECONNREFUSED' })
      await server.refuseConnections()
      await server.resume()
      await server.resume()
      expect(server.port).toBe(port)
    }
  })

  it('holds the port while it refuses, so that nobody else is given it', async () => {
    const server = await startServer({ protocol })
    onTestFinished(() => server.close())
    const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
    const before = sockets()
    await server.refuseConnections()
    // Both ends of a connection that leaves from the port.
    expect(sockets()).toBe(before + 2)
    await server.resume()
    while (sockets() > before) await new Promise((resolve) => setImmediate(resolve))
  })

  it('resets the connections it has, and takes new ones', async () => {
    const { server, agent } = await startPair({ protocol, respond: { '*': 200, '/hang': { hang: 'head' } } })
    for (let round = 1; round <= 5; round++) {
      const hanging = call(agent, server.url('/hang'))
      hanging.catch(() => {})
      await server.until(() => server.count('/hang') === round)
      await server.resetConnections()
      await expect(hanging).rejects.toThrow()
      expect(await server.requests.at(-1)!.closed).toMatchObject({ how: 'faulted' })
      expect((await call(agent, server.url())).status).toBe(200)
    }
  })

  it('leaves no socket behind when it resets connections that are closing', async () => {
    const { server, agent } = await startPair({ protocol })
    for (let turns = 0; turns < 24; turns++) {
      const { promise, open } = gate()
      server.script('/', { cut: true, body: ['part', promise] })
      const cut = call(agent, server.url()).catch(() => {})
      await server.until(() => server.count() === turns + 1)
      await server.requests[turns]!.received
      open()
      for (let i = 0; i < turns; i++) await undefined
      await Promise.all([server.resetConnections(), cut])
      await server.requests[turns]!.closed
    }
    await agent.destroy()
    await server.until(() => server.connections.open === 0)
  })

  it('is closed for good by close(), which may come twice, and during an outage', async () => {
    const server = await startServer({ protocol })
    await server.refuseConnections()
    await Promise.all([server.close(), server.close()])
    await expect(server.resume()).rejects.toThrow('the server is closed')
    const socket = connect(server.port, '127.0.0.1')
    const code = await new Promise((resolve) =>
      socket.on('error', (error) => resolve((error as { code?: string }).code)),
    )
    expect(code).toBe('ECONNREFUSED')
  })

  it('lets go of everything when closed while it begins to refuse', async () => {
    const server = await startServer({ protocol })
    const resources = () => process.getActiveResourcesInfo().filter((name) => /TCP/.test(name)).length
    const before = resources()
    const refusing = server.refuseConnections()
    await Promise.all([refusing, server.close()])
    expect(resources()).toBeLessThan(before)
  })
})

describe('startBlackhole', () => {
  it('takes the connection and never completes the handshake', async () => {
    const hole = await startBlackhole()
    const agent = new Agent({ allowH2: true })
    onTestFinished(() => agent.destroy())
    const calling = request(hole.url('/x'), { dispatcher: agent })
    calling.catch(() => {})
    while (hole.bytesReceived === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(hole.origin).toBe(`https://127.0.0.1:${hole.port}`)
    expect(hole.connections).toEqual({ opened: 1, open: 1 })
    expect(await Promise.race([calling, Promise.resolve('still hanging')])).toBe('still hanging')
    await hole.close()
    await expect(calling).rejects.toThrow()
    expect(hole.connections).toEqual({ opened: 1, open: 0 })
  })

  it('reads a cleartext request and never answers it', async () => {
    const agent = new Agent({ headersTimeout: 40 })
    onTestFinished(() => agent.destroy())
    await using hole = await startBlackhole({ secure: false })
    const calling = request(hole.url(), { dispatcher: agent })
    calling.catch(() => {})
    while (hole.bytesReceived === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(hole.origin).toMatch(/^http:/)
    await hole.close()
    await expect(calling).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' })
  })

  it('says what is wrong with its options', async () => {
    await expect(startBlackhole({ secure: 1 as never })).rejects.toThrow('secure must be true or false, got 1')
    await expect(startBlackhole({ tls: true } as never)).rejects.toThrow('unknown option "tls"')
  })
})
