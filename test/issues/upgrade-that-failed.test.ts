// hedge() never sends an upgrade twice. Where one failed it did so at once.
import { hedge } from 'roundtripper'
import { upgrade } from 'undici'
import { expect, it } from 'vitest'
import { chainTo, errorOf, serve } from '../dispatchers/retry-servers.ts'

it('31: an upgrade that is refused is not hedged', async () => {
  const server = await serve({ protocol: 'h1', respond: 503 })
  const layer = hedge({ budget: false })
  await errorOf(upgrade(server.url('/'), { dispatcher: chainTo(server, layer), protocol: 'websocket' }))
  expect(server.requests).toHaveLength(1)
  expect(layer.state()[server.origin]?.hedged).toBe(0)
})
