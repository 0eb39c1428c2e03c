// A `host` header of another name takes a call to connections of its own. Whoever listens to undici's channels heard of such a
// request twice: instrumentation-undici then had a span that never ended. And it did so where the call names a server for TLS.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { connect as connectTls } from 'node:tls'
import { createAgent } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import type { buildConnector } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { send } from '../http2/support.ts'

/** An agent, and the server names that it asked for. */
async function serve() {
  const server = await startServer({ protocol: 'h2' })
  const names: unknown[] = []
  const connect: buildConnector.connector = ({ hostname, port, servername }, callback) => {
    names.push(servername)
    const socket = connectTls({ host: hostname, port: Number(port), ca: server.ca!, ALPNProtocols: ['h2'] })
    socket.once('secureConnect', () => callback(null, socket))
  }
  const agent = createAgent({ connect })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  return { origin: server.origin, agent, names }
}

it('a call with another host is announced once', async () => {
  const { origin, agent } = await serve()
  const opts = { headers: { host: 'other.test' } }
  for (const known of [{}, opts]) await send(agent, origin, known).over
  let announced = 0
  const count = () => announced++
  subscribe('undici:request:create', count)
  onTestFinished(() => void unsubscribe('undici:request:create', count))
  await send(agent, origin, opts).over
  expect(announced).toBe(1)
})

it('the servername of a call counts before its host, as with undici', async () => {
  const { origin, agent, names } = await serve()
  await send(agent, origin, { servername: 'named.test', headers: { host: 'other.test' } }).over
  await send(agent, origin, { headers: { host: 'other.test' } }).over
  expect(names).toEqual(['named.test', 'other.test'])
})
