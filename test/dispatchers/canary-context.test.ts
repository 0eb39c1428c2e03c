// What contextHeaders() has added goes to origins on its list only, also where canary() or mirror() sends a call elsewhere.
import { canary, contextHeaders, mirror, runWithContext } from 'roundtripper'
import { expect, it } from 'vitest'
import { call, chainTo, eventually, protocols, serve } from './retry-servers.ts'

const init = { headers: { 'x-own': 'mine' } }

it.each(protocols)(
  'a canary on another origin gets a context only if it is listed, over $version',
  async ({ protocol }) => {
    const server = await serve({ protocol })
    const other = await serve({ protocol })
    const layer = canary({ variants: { only: { weight: 1, to: other.origin } } })
    for (const origins of [[server.origin], [server.origin, other.origin]]) {
      const chain = chainTo(server, contextHeaders({ origins }), layer)
      await runWithContext({ requestId: 'r-1', tenant: 'acme' }, () => call(chain, server.url('/'), init))
    }
    const seen = other.requests.map(({ headers }) => [
      headers['x-own'],
      headers['x-request-id'],
      headers['x-tenant-id'],
    ])
    expect(seen).toEqual([
      ['mine', undefined, undefined],
      ['mine', 'r-1', 'acme'],
    ])
  },
)

it.each(protocols)(
  'a copy on another origin gets a context only if it is listed, over $version',
  async ({ protocol }) => {
    const server = await serve({ protocol })
    const shadow = await serve({ protocol })
    const layer = mirror({ to: shadow.origin })
    for (const origins of [[server.origin], [server.origin, shadow.origin]]) {
      const chain = chainTo(server, contextHeaders({ origins }), layer)
      await runWithContext({ requestId: 'r-1', tenant: 'acme' }, () => call(chain, server.url('/'), init))
      await eventually(() => layer.state()[server.origin]?.inUse === 0)
    }
    expect(server.requests.map(({ headers }) => headers['x-request-id'])).toEqual(['r-1', 'r-1'])
    const seen = shadow.requests.map(({ headers }) => [
      headers['x-own'],
      headers['x-request-id'],
      headers['x-tenant-id'],
    ])
    expect(seen).toEqual([
      ['mine', undefined, undefined],
      ['mine', 'r-1', 'acme'],
    ])
  },
)
