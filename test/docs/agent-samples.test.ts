// What the page of the agent shows of proxies and trailers, run.
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { createAgent, type TrailerOptions } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { startProxy } from '../http2/proxy-server.ts'

it('trailers', async () => {
  const server = await startServer({ protocol: 'h2' })
  onTestFinished(() => server.close())
  const agent = createAgent({ connect: { ca: server.ca! } })
  onTestFinished(() => agent.destroy())
  const url = server.url('/')
  const file = Readable.from([Buffer.from('Ada')])
  // #region trailers
  const hash = createHash('sha256')
  async function* hashed() {
    for await (const chunk of file) {
      hash.update(chunk)
      yield chunk
    }
  }
  const body = Readable.from(hashed())
  const options: TrailerOptions = { trailers: () => ({ 'x-sha256': hash.digest('hex') }) }
  const response = await request(url, { method: 'PUT', body, dispatcher: agent, ...options })
  // #endregion
  await response.body.dump()
  expect(server.requests[0]?.trailers).toMatchObject({ 'x-sha256': server.requests[0]?.bodySha256 })
})

it('a proxy', async () => {
  const server = await startServer({ protocol: 'h2' })
  onTestFinished(() => server.close())
  const { ca } = server
  const proxy = await startProxy()
  const url = `http://ada:secret@${proxy.host}`
  // #region proxy
  const agent = createAgent({ proxy: { url, noProxy: 'internal.example.com' }, connect: { ca } })
  // #endregion
  onTestFinished(() => agent.destroy())
  await (await request(server.url('/'), { dispatcher: agent })).body.dump()
  expect([proxy.tunnels.length, server.requests.length]).toEqual([1, 1])
})
