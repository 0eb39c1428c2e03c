// TLS of the agent, over HTTP/2 and HTTP/1.1 alike: whom it trusts, as whom it comes, which name it asks for, and that what
// is wrong with a certificate is told at once and asked for once.
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { connect, type TLSSocket, type TlsOptions } from 'node:tls'
import { type AgentOptions, compose, createAgent, retry } from 'roundtripper'
import { devCertificate } from 'roundtripper/testing'
import selfsigned from 'selfsigned'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Consumer } from '../contract/consumer.ts'
import { outcomeOf, send } from './support.ts'

const answered = ['start', 'head 200', 'data', 'end']
const versions = [{ version: '2' }, { version: '1.1' }] as const

interface Seen {
  readonly origin: string
  /** Of each request: protocol, name asked for by TLS, and whose certificate came with it. */
  readonly requests: { protocol: string; servername: unknown; client: string | undefined }[]
  /** TCP connections. */
  connections: number
}

const certificate = await devCertificate({ hosts: ['localhost', '127.0.0.1'] })
const authority = await selfsigned.generate([{ name: 'commonName', value: 'authority' }], {
  keyType: 'ec',
  algorithm: 'sha256',
  extensions: [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, critical: true },
  ],
})
const client = await selfsigned.generate([{ name: 'commonName', value: 'ada' }], {
  keyType: 'ec',
  algorithm: 'sha256',
  ca: { key: authority.private, cert: authority.cert },
  extensions: [
    { name: 'basicConstraints', cA: false },
    { name: 'extKeyUsage', clientAuth: true },
  ],
})
const other = await devCertificate({ hosts: ['other.test'] })

async function serve(options: TlsOptions = {}): Promise<Seen> {
  const seen = { origin: '', requests: [], connections: 0 } as Seen & { origin: string }
  const server = createSecureServer({ key: certificate.key, cert: certificate.cert, allowHTTP1: true, ...options })
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', (socket) => {
    seen.connections++
    sockets.add(socket)
  })
  server.on('request', (request, response) => {
    const socket = (request.stream?.session?.socket ?? request.socket) as TLSSocket
    const { subject } = socket.getPeerCertificate()
    const name = subject?.CN
    seen.requests.push({
      protocol: request.httpVersion,
      servername: (socket as unknown as { servername: unknown }).servername,
      client: Array.isArray(name) ? name[0] : name,
    })
    response.end('hello')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  seen.origin = `https://localhost:${(server.address() as AddressInfo).port}`
  return seen
}

/** One call through a chain that would repeat it. */
async function call(server: Seen, version: string, connect: AgentOptions['connect']): Promise<Consumer> {
  const agent = createAgent({ connect: connect as object, allowH2: version === '2' })
  onTestFinished(() => agent.destroy())
  const consumer = send(compose(agent, retry({ maxAttempts: 3, backoff: 1 })), server.origin)
  await consumer.over
  return consumer
}

describe.each(versions)('over HTTP/$version', ({ version }) => {
  const protocol = version === '2' ? '2.0' : '1.1'

  it('a CA of its own is trusted', async () => {
    const server = await serve()
    expect((await call(server, version, { ca: certificate.ca })).events).toEqual(answered)
    expect(server.requests).toEqual([{ protocol, servername: 'localhost', client: undefined }])
  })

  it('21: a certificate nobody vouches for is an error, told once', async () => {
    const server = await serve()
    const consumer = await call(server, version, {})
    expect(await outcomeOf(consumer)).toEqual(['start', 'error', 'DEPTH_ZERO_SELF_SIGNED_CERT'])
    expect([server.connections, server.requests.length]).toEqual([1, 0])
  })

  it('21: a certificate for another name is an error, told once', async () => {
    const server = await serve({ key: other.key, cert: other.cert })
    const consumer = await call(server, version, { ca: other.ca })
    expect(await outcomeOf(consumer)).toEqual(['start', 'error', 'ERR_TLS_CERT_ALTNAME_INVALID'])
    expect([server.connections, server.requests.length]).toEqual([1, 0])
  })

  it('21: a certificate of the past is an error, told once', async () => {
    const old = await selfsigned.generate([{ name: 'commonName', value: 'localhost' }], {
      keyType: 'ec',
      algorithm: 'sha256',
      notBeforeDate: new Date('2020-01-01'),
      notAfterDate: new Date('2020-02-01'),
    })
    const server = await serve({ key: old.private, cert: old.cert })
    const consumer = await call(server, version, { ca: old.cert })
    expect(await outcomeOf(consumer)).toEqual(['start', 'error', 'CERT_HAS_EXPIRED'])
    expect(server.connections).toBe(1)
  })

  it('servername is asked for, and the certificate is judged by it', async () => {
    const server = await serve({ key: other.key, cert: other.cert })
    expect((await call(server, version, { ca: other.ca, servername: 'other.test' })).events).toEqual(answered)
    expect(server.requests).toEqual([{ protocol, servername: 'other.test', client: undefined }])
  })

  it('rejectUnauthorized: false takes any certificate', async () => {
    const server = await serve({ key: other.key, cert: other.cert })
    expect((await call(server, version, { rejectUnauthorized: false })).events).toEqual(answered)
    expect(server.requests.length).toBe(1)
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('the certificate of the client goes with it (%s)', async (maxVersion) => {
    const server = await serve({ requestCert: true, ca: authority.cert, maxVersion })
    const { private: key, cert } = client
    expect((await call(server, version, { ca: certificate.ca, key, cert })).events).toEqual(answered)
    expect(server.requests).toEqual([{ protocol, servername: 'localhost', client: 'ada' }])
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('a client without one is turned away (%s)', async (maxVersion) => {
    const server = await serve({ requestCert: true, ca: authority.cert, maxVersion })
    const consumer = await call(server, version, { ca: certificate.ca })
    expect(consumer.events).toEqual(['start', 'error'])
    expect(server.requests).toEqual([])
  })
})

it('21: an alert about the certificate after the handshake is told, once', async () => {
  const server = await serve()
  const code = 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'
  let made = 0
  const agent = createAgent({
    connect: ({ hostname, port }, callback) => {
      made++
      const socket = connect({ host: hostname, port: Number(port), ca: certificate.ca, ALPNProtocols: ['h2'] })
      socket.once('secureConnect', () => {
        callback(null, socket)
        // As node:tls tells of it.
        socket.destroy(Object.assign(new Error('tlsv13 alert certificate required'), { code }))
      })
    },
  })
  onTestFinished(() => agent.destroy())
  const consumer = send(compose(agent, retry({ maxAttempts: 3, backoff: 1 })), server.origin)
  expect((await outcomeOf(consumer)).at(-1)).toBe('UND_ERR_SOCKET')
  expect(consumer.error).toMatchObject({ message: 'tlsv13 alert certificate required', cause: { code } })
  expect(made).toBe(1)
})
