// deduplicate() sends one request for all who ask for the same. It was made in the context of whoever came first: with
// contextHeaders() below, as its page advised, that one's deadline failed all the others, and its tenant's answer was
// everybody's. The page advised the same of a cache, which then could not know by what an answer varies.
import {
  compose,
  contextHeaders,
  createAgent,
  currentContext,
  deduplicate,
  type Layers,
  runWithContext,
  standard,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { interceptors } from 'undici'
import { expect, it, onTestFinished, vi } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, serve, stopClock } from '../dispatchers/retry-servers.ts'

it.each(protocols)(
  "29: one caller's context ends its own call only, and marks no other, over $version",
  async ({ protocol }) => {
    const held = gate()
    const server = await serve({ protocol, respond: { hold: held.promise, body: 'late' } })
    const chain = chainTo(server, deduplicate(), contextHeaders({ origins: [server.origin] }))
    const { advance } = stopClock()
    const hasty = runWithContext({ requestId: 'r-1', tenant: 'one', deadline: 100 }, call, chain, server.url('/'))
    const patient = runWithContext({ requestId: 'r-2', tenant: 'two', deadline: 60_000 }, call, chain, server.url('/'))
    await server.until(() => server.requests.length === 1)
    await advance(200)
    held.open()
    expect((await patient).text).toBe('late')
    expect((await hasty).text).toBe('late')
    expect(server.requests).toHaveLength(1)
    expect(Object.keys(server.requests[0]?.headers ?? {}).filter((name) => /request|tenant/.test(name))).toEqual([])
  },
)

it.each(protocols)(
  '29: above it, each has its own time, and tenants share nothing, over $version',
  async ({ protocol }) => {
    const held = gate()
    const server = await serve({ protocol, respond: { hold: held.promise, body: 'late' } })
    const shared = deduplicate({ excludeHeaderNames: ['x-request-id'] })
    const chain = chainTo(server, contextHeaders({ origins: [server.origin] }), shared, standard({ retry: quick }))
    const { advance } = stopClock()
    const ask = (requestId: string, tenant: string, deadline: number) =>
      runWithContext({ requestId, tenant, deadline }, call, chain, server.url('/'))
    const hasty = errorOf(ask('r-1', 'one', 100))
    const [patient, other] = [ask('r-2', 'one', 60_000), ask('r-3', 'two', 60_000)]
    await server.until(() => server.requests.length === 2)
    await advance(200)
    expect(await hasty).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    held.open()
    expect((await patient).text).toBe('late')
    expect((await other).text).toBe('late')
    expect(server.requests.map(({ headers }) => headers['x-tenant-id'])).toEqual(['one', 'two'])
    // That of the chain below, and of no caller.
    for (const { headers } of server.requests) expect(headers['x-request-timeout-ms']).toBe('30000')
  },
)

it("what is called for a caller is called in its context, though the request is nobody's", async () => {
  const server = await serve({ protocol: 'h1c' })
  const seen: (string | undefined)[] = []
  const spy: Layers = (dispatch) => (opts, handler) => {
    seen.push(currentContext()?.requestId)
    return dispatch(opts, handler)
  }
  const chain = chainTo(server, spy, deduplicate(), spy)
  await runWithContext({ requestId: 'r-1' }, async () => {
    await call(chain, server.url('/'))
    seen.push(currentContext()?.requestId)
  })
  expect(seen).toEqual(['r-1', undefined, 'r-1'])
})

it('48: above a cache, an answer that varies by tenant is for that tenant', async () => {
  const server = await serve({
    protocol: 'h1c',
    respond: { headers: { 'cache-control': 'max-age=60', vary: 'x-tenant-id' } },
  })
  const chain = chainTo(server, contextHeaders({ origins: [server.origin] }), interceptors.cache())
  for (const tenant of ['one', 'one', 'two']) await runWithContext({ tenant }, call, chain, server.url('/'))
  expect(server.requests.map(({ headers }) => headers['x-tenant-id'])).toEqual(['one', 'two'])
})

it('compose warns where the context cannot go along', async () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const agent = createAgent()
  onTestFinished(async () => {
    vi.restoreAllMocks()
    await agent.destroy()
  })
  compose(agent, deduplicate(), deduplicate(), contextHeaders({ origins: [] }))
  expect(String(warn.mock.calls.at(-1)?.[0])).toMatch(
    /contextHeaders\(\) \(layer 3\) stands inside deduplicate\(\) \(layer 1\)/,
  )
  warn.mockClear()
  compose(agent, contextHeaders({ origins: [] }), deduplicate())
  expect(warn).not.toHaveBeenCalled()
})
