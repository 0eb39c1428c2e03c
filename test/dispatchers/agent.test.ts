// createAgent: what it offers, what it takes, and what it knows of its connections.
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { type AgentOptions, agentDefaults, compose, createAgent, createFetch, protocolOf, retry } from 'roundtripper'
import { devCertificate, startServer, type TestServer } from 'roundtripper/testing'
import { type Agent, type buildConnector, errors, request } from 'undici'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { peerOf } from '../../src/dispatchers/peers.ts'
import { call, errorOf, stopClock, turns } from './retry-servers.ts'

type Connector = buildConnector.connector

function keep(agent: Agent): Agent {
  onTestFinished(() => agent.destroy())
  return agent
}

async function versionOf(agent: Agent, server: TestServer): Promise<string | undefined> {
  const response = await createFetch(agent)(server.url('/'))
  await response.text()
  return protocolOf(response)
}

describe('the protocol', () => {
  let both: TestServer
  beforeAll(async () => {
    both = await startServer({ protocol: 'both' })
  })
  afterAll(() => both.close())

  it('HTTP/2 is offered first, so that a server that honours the order takes it', async () => {
    const offered: string[][] = []
    const { key, cert, ca } = await devCertificate()
    const server = createTlsServer({
      key,
      cert,
      ALPNCallback: ({ protocols }) => {
        offered.push(protocols)
        return undefined
      },
    })
    server.on('tlsClientError', () => {})
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    for (const allowH2 of [true, false]) {
      const agent = keep(createAgent({ allowH2, connect: { ca } }))
      await errorOf(call(agent, `https://127.0.0.1:${port}/`))
    }
    expect(offered[0]).toEqual(['h2', 'http/1.1'])
    expect(offered.at(-1)).not.toContain('h2')
  })

  it('one call can do without HTTP/2', async () => {
    const agent = keep(createAgent({ connect: { ca: both.ca! } }))
    both.clear()
    await call(agent, both.url('/two'))
    const { body } = await agent.request({ origin: both.origin, path: '/one', method: 'GET', allowH2: false } as never)
    await body.dump()
    expect(both.requests.map(({ path, protocol }) => [path, protocol])).toEqual([
      ['/two', '2'],
      ['/one', '1.1'],
    ])
  })

  it.each<[string, AgentOptions, string]>([
    ['by default', {}, '2'],
    ['with HTTP/2 refused', { allowH2: false }, '1.1'],
    ['with one connection, which is a Client', { connections: 1 }, '2'],
  ])('%s', async (_name, options, version) => {
    expect(await versionOf(keep(createAgent({ ...options, connect: { ca: both.ca! } })), both)).toBe(version)
  })

  it('a server that only speaks HTTP/1.1 is spoken to in HTTP/1.1, one of only HTTP/2 in HTTP/2', async () => {
    for (const [protocol, version] of [
      ['h1', '1.1'],
      ['h2', '2'],
    ] as const) {
      const server = await startServer({ protocol })
      expect(await versionOf(keep(createAgent({ connect: { ca: server.ca! } })), server)).toBe(version)
      await server.close()
    }
  })
})

describe('the options of a connection', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ protocol: 'both' })
  })
  afterAll(() => server.close())

  it('a certificate that nobody signed is refused, unless it is trusted, or not looked at', async () => {
    const error = await errorOf(call(compose(keep(createAgent()), retry()), server.url('/')))
    expect(error).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    for (const connect of [{ ca: server.ca! }, { rejectUnauthorized: false }]) {
      expect((await call(keep(createAgent({ connect })), server.url('/'))).status).toBe(200)
    }
  })

  it('a server name is the one that is checked', async () => {
    const named = await startServer({ protocol: 'both', certificate: await devCertificate({ hosts: ['name.test'] }) })
    onTestFinished(() => named.close())
    const wrong = await errorOf(call(keep(createAgent({ connect: { ca: named.ca! } })), named.url('/')))
    expect(wrong).toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    const agent = keep(createAgent({ connect: { ca: named.ca!, servername: 'name.test' } }))
    expect((await call(agent, named.url('/'))).status).toBe(200)
  })

  it('a connect function of one’s own is used, and what it connected is known', async () => {
    const made: string[] = []
    const own: Connector = (options, callback) => {
      made.push(options.hostname)
      const { port, hostname } = options
      const socket = connectTls({
        host: hostname,
        port: Number(port),
        ca: server.ca!,
        ALPNProtocols: ['h2', 'http/1.1'],
      })
      socket.once('secureConnect', () => callback(null, socket))
      socket.once('error', (error) => callback(error, null))
    }
    const agent = keep(createAgent({ connect: own }))
    expect(await versionOf(agent, server)).toBe('2')
    expect(made).toEqual(['127.0.0.1'])
    expect(peerOf(server.origin)).toMatchObject({ alpn: 'h2', port: server.port })
  })

  it('what a connect function fails with is what the call fails with', async () => {
    const reason = new Error('no way')
    const agent = keep(createAgent({ connect: (_options, callback) => setImmediate(callback, reason, null) }))
    expect(await errorOf(call(agent, server.url('/')))).toBe(reason)
  })

  it('a socket path leads to a server that has no port', async () => {
    const path = `/tmp/roundtripper-${process.pid}-${Date.now()}.sock`
    const cleartext = await startServer({ protocol: 'h1c' })
    const forward = (await import('node:net')).createServer((socket) => {
      socket.pipe(connectTcp(cleartext.port, '127.0.0.1')).pipe(socket)
    })
    await new Promise<void>((resolve) => forward.listen(path, resolve))
    onTestFinished(async () => {
      forward.close()
      await cleartext.close()
    })
    const agent = keep(createAgent({ socketPath: path } as never))
    expect((await call(agent, 'http://elsewhere.test/')).status).toBe(200)
  })
})

describe('the defaults', () => {
  it.each(['h1', 'h2'] as const)('idle connections are kept for a minute (%s)', async (protocol) => {
    const clock = stopClock()
    const server = await startServer({ protocol })
    onTestFinished(() => server.close())
    const agent = keep(createAgent({ connect: { ca: server.ca! } }))
    await call(agent, server.url('/'))
    await clock.advance(agentDefaults.keepAliveTimeout - 2_000)
    await call(agent, server.url('/'))
    expect(server.connections.opened).toBe(1)
    await clock.advance(agentDefaults.keepAliveTimeout + 2_000)
    await server.until(() => server.connections.open === 0)
    await call(agent, server.url('/'))
    expect(server.connections.opened).toBe(2)
  })

  it('sockets to one origin are bounded', async () => {
    const server = await startServer({ protocol: 'h1c' })
    const agent = keep(createAgent({ connections: 3 }))
    await Promise.all(Array.from({ length: 30 }, () => call(agent, server.url('/'))))
    expect(server.connections.opened).toBe(3)
    expect(agentDefaults).toMatchObject({ keepAliveTimeout: 60_000, connections: 256, connectTimeout: 10_000 })
    await server.close()
  })
})

describe('what is wrong with options', () => {
  it.each<[object | undefined, RegExp]>([
    [{ connections: 1.5 }, /createAgent: connections must be a whole number of at least 1, got 1\.5/],
    [{ connections: null }, /^$/],
    [{ keepAliveTimeout: 0 }, /createAgent: keepAliveTimeout must be a number of at least 1, got 0/],
    [{ connectTimeout: Number.NaN }, /createAgent: connectTimeout must be a number of at least 0, got NaN/],
    [{ keepalive: true }, /createAgent: unknown option "keepalive"; known are .*keepAliveTimeout/],
    [[], /createAgent: options must be an object, got an array/],
    [{ connect: 7 }, /createAgent: connect must be an object of options or a function, got 7/],
    [{ maxOrigins: -1 }, /maxOrigins must be a number greater than 0/],
    [{ factory: 'pool' }, /factory must be a function/],
  ])('%o', (options, message) => {
    let told = ''
    try {
      keep(createAgent(options as never))
    } catch (error) {
      told = (error as Error).message
    }
    expect(told).toMatch(message)
  })

  it('no options are needed', async () => {
    const server = await startServer({ protocol: 'h1c' })
    const { body } = await request(server.url('/'), { dispatcher: keep(createAgent()) })
    await body.dump()
    await server.close()
  })
})

describe('what is known of connections', () => {
  it('is what all of them agree on', async () => {
    const server = await startServer({ protocol: 'both' })
    const two = createAgent({ connect: { ca: server.ca! } })
    const one = createAgent({ allowH2: false, connect: { ca: server.ca! } })
    await call(two, server.url('/'))
    expect(peerOf(server.origin)?.alpn).toBe('h2')
    await call(one, server.url('/'))
    expect(peerOf(server.origin)).toEqual({ alpn: undefined, address: '127.0.0.1', port: server.port })
    await two.destroy()
    await turns()
    expect(peerOf(server.origin)?.alpn).toBe('http/1.1')
    await one.destroy()
    await turns()
    expect(peerOf(server.origin)).toBeUndefined()
    await server.close()
  })

  it('goes with the connection, whoever closes it', async () => {
    const server = await startServer({ protocol: 'h1c' })
    const agent = keep(createAgent())
    await call(agent, server.url('/'))
    expect(peerOf(server.origin)).toEqual({ alpn: 'http/1.1', address: '127.0.0.1', port: server.port })
    await server.resetConnections()
    await turns()
    expect(peerOf(server.origin)).toBeUndefined()
    await call(agent, server.url('/'))
    expect(peerOf(server.origin)?.port).toBe(server.port)
    await server.close()
  })

  it('a connection that failed is not known', async () => {
    const agent = keep(createAgent())
    expect(await errorOf(call(agent, 'http://127.0.0.1:1/'))).toMatchObject({ code: 'ECONNREFUSED' })
    expect(peerOf('http://127.0.0.1:1')).toBeUndefined()
  })

  it('an agent that is destroyed fails its calls, and is of no further use', async () => {
    const agent = createAgent()
    await agent.destroy()
    expect(await errorOf(call(agent, 'http://127.0.0.1:1/'))).toBeInstanceOf(errors.ClientDestroyedError)
  })
})
