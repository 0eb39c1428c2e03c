// An answer may end before its request has been sent. A server that then neither reads on nor resets the stream kept its place in
// the session, and close() from ending, for ever.
import { expect, it } from 'vitest'
import { stopClock } from '../dispatchers/retry-servers.ts'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

async function* neverMore(): AsyncGenerator<Buffer> {
  yield Buffer.from('begun')
  await new Promise(() => {})
}

it.each([
  ['that the server does not read', () => Buffer.alloc(1_000_000)],
  ['whose source gives no more', neverMore],
])('46: an upload %s is given up when it has stood still for bodyTimeout', async (_name, body) => {
  const clock = stopClock()
  const server = await startFrameServer()
  const agent = h2cAgent({ bodyTimeout: 1_000 })
  const call = send(agent, server.origin, { method: 'PUT', body: body() })
  expect((await outcomeOf(call)).at(-1)).toBe('end')
  expect(agent.stats[server.origin]).toMatchObject({ streams: 1 })
  const closing = agent.close()
  for (let second = 0; second < 4; second++) await clock.advance(1_000)
  await closing
  expect(server.connections[0]!.of(1).at(-1)).toBe('RST_STREAM 8')
})

it('one that moves is left alone, however slowly', async () => {
  const clock = stopClock()
  const server = await startFrameServer()
  const agent = h2cAgent({ bodyTimeout: 1_000, pingInterval: 0 })
  let more = () => {}
  async function* slowly(): AsyncGenerator<Buffer> {
    for (let at = 0; at < 5; at++) {
      await new Promise<void>((resolve) => {
        more = resolve
      })
      yield Buffer.from('part')
    }
  }
  const call = send(agent, server.origin, { method: 'PUT', body: slowly() })
  expect((await outcomeOf(call)).at(-1)).toBe('end')
  for (let second = 0; second < 5; second++) {
    more()
    await clock.advance(900)
  }
  await server.until(() => server.connections[0]!.of(1).at(-1)?.endsWith('END') === true)
})
