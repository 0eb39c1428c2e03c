// A deadline that is as good as none was sent as it was: with more digits than are read where it arrives, so that all of it
// was lost there, and from 1e21 on as no number at all.
import { contextHeaders, contextOf, runWithContext } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, serve } from '../dispatchers/retry-servers.ts'

it.each([1e13, Number.MAX_SAFE_INTEGER, 1e21, 1e300])('a deadline of %d ms arrives as one', async (deadline) => {
  const server = await serve({ protocol: 'h1c' })
  for (const names of [{}, { deadline: 'grpc-timeout' }]) {
    const chain = chainTo(server, contextHeaders({ origins: [server.origin], names }))
    await runWithContext({ deadline }, call, chain, server.url('/'))
    const { remaining } = contextOf(server.requests.at(-1)?.headers ?? {}, { names })
    // Three years, the most that gRPC can say in seconds.
    expect(remaining).toBeGreaterThan(3 * 365 * 86_400_000)
    expect(remaining).toBeLessThan(Number.POSITIVE_INFINITY)
  }
})
