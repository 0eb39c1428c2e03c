// fallback({ on }) with an async function: its promise counted as a yes, and every good answer was replaced.
import { type FallbackOptions, fallback } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, serve } from '../dispatchers/retry-servers.ts'

it.each([async () => false, () => 1, () => 'no'])(
  '20: what is no boolean leaves it to the default (%o)',
  async (on) => {
    const server = await serve({ protocol: 'h1', respond: [200, 503] })
    const layer = fallback({ value: { status: 203 }, on: on as unknown as NonNullable<FallbackOptions['on']> })
    const chain = chainTo(server, layer)
    expect((await call(chain, server.url('/'))).status).toBe(200)
    expect((await call(chain, server.url('/'))).status).toBe(203)
  },
)
