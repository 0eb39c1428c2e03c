// An upload that goes on keeps headersTimeout from running out. One whose parts left as soon as they came looked as if nothing
// moved, and was cut off in the midst.
import { expect, it } from 'vitest'
import { stopClock } from '../dispatchers/retry-servers.ts'
import { startFrameServer } from '../http2/frame-server.ts'
import { h2cAgent, outcomeOf, send } from '../http2/support.ts'

it('an upload that comes in small parts is not cut off by headersTimeout, one that stops is', async () => {
  const clock = stopClock()
  const server = await startFrameServer()
  server.onStream = () => {}
  const agent = h2cAgent({ pingInterval: 0 })
  let more = () => {}
  async function* slowly(): AsyncGenerator<Buffer> {
    for (;;) {
      yield Buffer.from('part')
      await new Promise<void>((resolve) => {
        more = resolve
      })
    }
  }
  const call = send(agent, server.origin, { method: 'PUT', body: slowly(), headersTimeout: 1_000 })
  for (let part = 1; part < 10; part++) {
    await server.until(() => (server.connections[0]?.of(1).length ?? 0) > part)
    await clock.advance(500)
    more()
  }
  expect(call.events).toEqual(['start'])
  for (let second = 0; second < 3; second++) await clock.advance(1_000)
  expect(await outcomeOf(call)).toEqual(['start', 'error', 'UND_ERR_HEADERS_TIMEOUT'])
})
