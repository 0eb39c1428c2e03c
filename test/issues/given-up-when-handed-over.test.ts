// An origin may come to speak HTTP/1.1. Calls that had begun over HTTP/2 then wait in undici's pool; one that was given up there
// was not told of it, and was sent all the same when its turn came.
import { connect as connectTls } from 'node:tls'
import { createAgent } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import type { buildConnector } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { turns } from '../dispatchers/retry-servers.ts'
import { send } from '../http2/support.ts'

interface Inside {
  readonly origins: Map<string, { readonly http2: { readonly sessions: { retire(): void }[] } }>
}

it('17, 45: a call that is given up while it waits for a connection of HTTP/1.1 ends at once, and is never sent', async () => {
  const server = await startServer({ protocol: 'both' })
  const offer = { alpn: ['h2'] }
  const connect: buildConnector.connector = ({ hostname, port }, callback) => {
    const socket = connectTls({ host: hostname, port: Number(port), ca: server.ca!, ALPNProtocols: offer.alpn })
    socket.once('secureConnect', () => callback(null, socket))
  }
  const agent = createAgent({ connect, connections: 1 })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  await send(agent, server.origin, { path: '/warm' }).over
  const paths = ['/one', '/other']
  for (const path of paths) server.script(path, [{ refuse: true }, { hang: 'head' }])
  offer.alpn = ['http/1.1']
  const calls = paths.map((path) => send(agent, server.origin, { path }))
  for (const { http2 } of (agent as unknown as Inside).origins.values()) http2.sessions[0]!.retire()
  await server.until(() => paths.some((path) => server.count(path) === 2))
  await turns()
  expect(calls.map(({ events }) => events)).toEqual([['start'], ['start']])
  const waits = server.count('/one') === 1 ? 0 : 1
  const [late, busy] = [calls[waits]!, calls[1 - waits]!]
  const reason = new Error('enough')
  late.controller!.abort(reason)
  expect([late.events, late.error]).toEqual([['start', 'error'], reason])
  expect(late.controller).toMatchObject({ aborted: true, reason })
  busy.controller!.abort(reason)
  await busy.over
  expect(busy.error).toBe(reason)
  await send(agent, server.origin, { path: '/next' }).over
  expect([server.count(paths[waits]!), late.events]).toEqual([1, ['start', 'error']])
})
