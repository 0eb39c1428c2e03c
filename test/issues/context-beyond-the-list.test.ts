// contextHeaders() promises that no origin which is not on its list gets any of the context. A route to another origin took
// all of it along; and so did every layer that sends a call to a Pool or Client, which goes to its own origin whatever the
// call names.
import {
  canary,
  compose,
  contextHeaders,
  fallback,
  type Layers,
  mirror,
  retry,
  route,
  runWithContext,
  standard,
} from 'roundtripper'
import type { RecordedRequest, TestServer } from 'roundtripper/testing'
import { type Dispatcher, Pool } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, chainTo, protocols, quick, serve } from '../dispatchers/retry-servers.ts'

const context = {
  requestId: 'r-1',
  tenant: 'acme',
  deadline: 60_000,
  priority: 'critical',
  baggage: { a: 'b' },
} as const
const names = ['baggage', 'x-request-id', 'x-request-priority', 'x-request-timeout-ms', 'x-tenant-id']

function brought(request: RecordedRequest | undefined): string[] {
  return Object.keys((request as RecordedRequest).headers)
    .filter((name) => names.includes(name))
    .toSorted()
}

function poolOf({ origin, ca }: TestServer): Pool {
  const pool = new Pool(origin, { allowH2: true, ...(ca === undefined ? null : { connect: { ca } }) })
  onTestFinished(() => pool.destroy())
  return pool
}

const chainOfPool = (server: TestServer) => compose(poolOf(server), retry(quick))

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  it.each<[string, (other: TestServer) => Layers[]]>([
    ['a route to an origin', ({ origin }) => [route([{ path: '/*', to: origin }])]],
    ['the same above retry', ({ origin }) => [route([{ path: '/*', to: origin }]), retry(quick)]],
    ['the same above the standard chain', ({ origin }) => [route([{ path: '/*', to: origin }]), standard()]],
    ['the same below retry', ({ origin }) => [retry(quick), route([{ path: '/*', to: origin }])]],
    ['a route to a pool', (other) => [route([{ path: '/*', to: poolOf(other) }])]],
    ['a route to a chain over a pool', (other) => [route([{ path: '/*', to: chainOfPool(other) }])]],
    ['a fallback to a pool', (other) => [fallback({ upstream: poolOf(other) })]],
    ['a canary at a pool', (other) => [canary({ variants: { next: { weight: 1, to: poolOf(other) } } })]],
    ['a mirror at a pool', (other) => [mirror({ to: poolOf(other) })]],
  ])('%s takes along what its origin may have, and nothing else', async (_, layersOf) => {
    const [listed, other] = [await serve({ protocol, respond: 503 }), await serve({ protocol })]
    for (const origins of [[listed.origin], [listed.origin, other.origin]]) {
      other.clear()
      // One agent for both servers: they have one certificate.
      const chain = chainTo(listed, contextHeaders({ origins }), ...layersOf(other))
      await runWithContext(context, call, chain, listed.url('/'), { headers: { 'x-own': '1' } })
      await other.until(() => other.requests.length === 1)
      expect(brought(other.requests[0])).toEqual(origins.length === 1 ? [] : names)
      expect(other.requests[0]?.headers['x-own']).toBe('1')
    }
  })
})

it('a dispatcher that goes where the call says is known by the origin of the call', async () => {
  const listed = await serve({ protocol: 'h1c' })
  const bare: Pick<Dispatcher, 'dispatch'> = chainTo(listed)
  for (const to of [chainTo(listed), { dispatch: bare.dispatch.bind(bare) } as Dispatcher]) {
    const chain = chainTo(listed, contextHeaders({ origins: [listed.origin] }), route([{ path: '/*', to }]))
    await runWithContext(context, call, chain, listed.url('/'))
  }
  for (const request of listed.requests) expect(brought(request)).toEqual(names)
  expect(listed.requests).toHaveLength(2)
})
