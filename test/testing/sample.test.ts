import { gate, startServer } from 'roundtripper/testing'
import { Agent, request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'

it('the sample of docs/testing.md', async () => {
  // #region testing
  const server = await startServer() // TLS; HTTP/2 or HTTP/1.1, by ALPN
  const dispatcher = new Agent({ connect: { ca: server.ca! } })

  server.script('/users', [503, { status: 503, retryAfter: 1 }, { body: '[]' }]) // the last step repeats
  const { statusCode } = await request(server.url('/users'), { dispatcher }) // 503

  const answer = gate()
  server.script('/slow', { hold: answer.promise, body: 'at last' })
  const arriving = server.nextRequest('/slow')
  const calling = request(server.url('/slow'), { dispatcher })
  const { headers } = await arriving // the server has it, and waits
  answer.open()
  const text = await (await calling).body.text() // 'at last'
  // #endregion
  onTestFinished(async () => {
    await dispatcher.destroy()
    await server.close() // or: await using server = await startServer()
  })
  expect([statusCode, text]).toEqual([503, 'at last'])
  expect(headers).toBeDefined()
  expect(server.count('/users')).toBe(1)
})
