// The gateway of the examples passed on headers that `connection` names, both ways; and a call that asked by `expect` whether
// it should send its body was answered with 502, as undici does not send that header.
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { balance, compose, createAgent } from 'roundtripper'
import { expect, it, onTestFinished } from 'vitest'
import { gatewayServer } from '../../examples/gateway/gateway.ts'

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => server.closeAllConnections())
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

it('passes on no header of one connection, and the body of a call that expects 100', async () => {
  let received: IncomingHttpHeaders = {}
  let body = ''
  const upstream = createServer(async (incoming, response) => {
    received = incoming.headers
    body = await text(incoming)
    response.writeHead(200, { connection: 'keep-alive, X-Hop', 'x-hop': '1', 'x-end': '1' }).end('ok')
  })
  const chain = compose(createAgent(), balance({ hosts: [`http://127.0.0.1:${await listening(upstream)}`] }))
  onTestFinished(() => chain.destroy())
  const port = await listening(gatewayServer(chain))

  const headers = { connection: 'close, X-Secret', 'x-secret': '1', 'x-kept': '1', expect: '100-continue' }
  const call = request({ host: '127.0.0.1', port, method: 'POST', headers: { ...headers, 'content-length': 5 } })
  call.on('continue', () => call.end('hello'))
  call.flushHeaders()
  const [response] = await once(call, 'response')
  response.resume()

  expect(response.statusCode).toBe(200)
  expect(body).toBe('hello')
  expect(received).toMatchObject({ 'x-kept': '1' })
  expect(received).not.toHaveProperty('x-secret')
  expect(response.headers).toMatchObject({ 'x-end': '1' })
  expect(response.headers).not.toHaveProperty('x-hop')
})
