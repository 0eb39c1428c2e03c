// A connection that turned out to speak HTTP/1.1 is kept for the call that it was made for. Where that had been given up, nobody
// asked for it, and nobody closed it: with maxConnections its place was lost for good.
import { createAgent } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { expect, it, onTestFinished } from 'vitest'
import { outcomeOf, send } from '../http2/support.ts'

it('a connection that nobody waits for any longer gives its place back', async () => {
  const [old, other] = [await startServer({ protocol: 'h1' }), await startServer({ protocol: 'h2' })]
  const agent = createAgent({
    maxConnections: 1,
    acquireTimeout: 5_000,
    connect: { ca: [old.ca, other.ca].join('\n') },
  })
  onTestFinished(async () => {
    await agent.destroy()
    await Promise.all([old.close(), other.close()])
  })
  // Given up while the connection is made.
  interface Waiting {
    readonly origins: Map<string, { readonly http2: { readonly waiting: { readonly first: { abort(): void } } } }>
  }
  const late = send(agent, old.origin)
  for (const { http2 } of (agent as unknown as Waiting).origins.values()) http2.waiting.first.abort()
  expect(await outcomeOf(late)).toEqual(['error', 'UND_ERR_ABORTED'])
  await old.until(() => old.connections.opened === 1 && old.connections.open === 0)
  expect((await outcomeOf(send(agent, other.origin))).at(-1)).toBe('end')
})
