// A connect function of the user's own may take its time between a connection and its callback. Where the socket had closed by then,
// its call hung for ever, and so did close(); with maxConnections its place was lost.
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { createAgent } from 'roundtripper'
import type { buildConnector } from 'undici'
import { expect, it } from 'vitest'
import { startFrameServer } from '../http2/frame-server.ts'
import { outcomeOf, send } from '../http2/support.ts'

it.each(['h2', 'http/1.1'])(
  'a socket that is closed when it is handed over is no connection (%s)',
  async (alpnProtocol) => {
    const server = await startFrameServer()
    let made = 0
    const connect: buildConnector.connector = async ({ hostname, port }, callback) => {
      const socket = Object.assign(connectTcp(Number(port), hostname), {
        alpnProtocol: made++ === 0 ? alpnProtocol : 'h2',
      })
      await once(socket, 'connect')
      if (made === 1) await once(socket.destroy(), 'close')
      callback(null, socket as never)
    }
    const agent = createAgent({ connect, maxConnections: 1 })
    expect(await outcomeOf(send(agent, server.origin))).toEqual(['error', 'UND_ERR_SOCKET'])
    expect(await outcomeOf(send(agent, server.origin))).toEqual(['start', 'head 200', 'data', 'end'])
    await agent.close()
  },
)
