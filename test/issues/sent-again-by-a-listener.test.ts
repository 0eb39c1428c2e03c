// A consumer may send again as it is told of an error, in the callback itself. Where no connection could be made, the new call
// was failed with the old ones before it had an attempt of its own; a consumer that goes on asking kept the process in a loop.
import { connect } from 'node:net'
import { createAgent } from 'roundtripper'
import type { buildConnector } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { startFrameServer } from '../http2/frame-server.ts'
import { outcomeOf, send } from '../http2/support.ts'

it('a call sent from onResponseError gets a connection of its own', async () => {
  const server = await startFrameServer()
  let attempts = 0
  const connector: buildConnector.connector = ({ hostname, port }, callback) => {
    if (++attempts === 1) {
      setImmediate(() => callback(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }), null))
      return
    }
    const socket = Object.assign(connect(Number(port), hostname), { alpnProtocol: 'h2' })
    socket.once('connect', () => callback(null, socket as never))
  }
  const agent = createAgent({ connect: connector })
  onTestFinished(() => agent.destroy())
  const again: ReturnType<typeof send>[] = []
  const first = send(agent, server.origin, { on: { error: () => again.push(send(agent, server.origin)) } })
  expect(await outcomeOf(first)).toEqual(['error', 'ECONNREFUSED'])
  expect(await outcomeOf(again[0]!)).toEqual(['start', 'head 200', 'data', 'end'])
  expect(attempts).toBe(2)
})
