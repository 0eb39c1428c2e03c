// A cache below contextHeaders() asks again in the background when the call is over, with the headers that the call had. What
// is sent then is a call of its own, and nobody looked whether it was on its way to another origin: a redirect took the
// context along.
import { bulkhead, contextHeaders, type Layers, retry, route, runWithContext } from 'roundtripper'
import { interceptors } from 'undici'
import { expect, it, onTestFinished, vi } from 'vitest'
import { call, chainTo, protocols, quick, serve } from '../dispatchers/retry-servers.ts'

const redirect = () => interceptors.redirect({ maxRedirections: 2 })

const below: [string, () => Layers[]][] = [
  ['a redirect', () => [redirect()]],
  ['a redirect above retry', () => [redirect(), retry(quick)]],
  ['a redirect above a guard', () => [redirect(), bulkhead({ limit: 5 })]],
  ['a redirect below a route', () => [route([{ path: '/*', to: [] }]), redirect(), route([{ path: '/*', to: [] }])]],
]

it.each(
  protocols.flatMap(({ protocol, version }) =>
    below.map(([name, layersOf]) => [name, version, protocol, layersOf] as const),
  ),
)('a revalidation takes nothing to another origin, by %s, over HTTP/%s', async (_, _version, protocol, layersOf) => {
  const [from, other] = [await serve({ protocol }), await serve({ protocol })]
  const stored = { 'cache-control': 'max-age=1, stale-while-revalidate=100', etag: '"1"' }
  from.script('/', { headers: stored, body: 'one' })
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => {
    vi.useRealTimers()
  })
  const chain = chainTo(from, contextHeaders({ origins: [from.origin] }), interceptors.cache(), ...layersOf())
  const ask = () => runWithContext({ requestId: 'r-1', tenant: 'acme' }, call, chain, from.url('/'))
  expect((await ask()).text).toBe('one')
  from.script('/', { status: 307, headers: { location: from.url('/same') } })
  from.script('/same', { status: 307, headers: { location: other.url('/there') } })
  vi.setSystemTime(Date.now() + 5000)
  expect((await ask()).text).toBe('one')
  await other.until(() => other.requests.length === 1)
  expect(other.requests[0]?.headers).not.toHaveProperty('x-tenant-id')
  expect(other.requests[0]?.headers).not.toHaveProperty('x-request-id')
  expect(from.requests.map(({ path }) => path)).toEqual(['/', '/', '/same'])
  for (const { headers } of from.requests) expect(headers).toMatchObject({ 'x-request-id': 'r-1' })
})
