// x-request-timeout-ms is the time that is left. It was written when contextHeaders() was asked, and anew only for attempts
// that a layer of the kit made of the very call: a wait in a queue below was not taken off, nor what attempts before had
// taken where a route, a host of a group or a redirect stood above, or undici's own retry below. So a server was told that it
// had seconds which nobody would wait.
import {
  balance,
  bulkhead,
  contextHeaders,
  deadline,
  fallback,
  type Layers,
  retry,
  route,
  runWithContext,
  standard,
} from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { interceptors } from 'undici'
import { describe, expect, it } from 'vitest'
import { call, chainTo, protocols, quick, serve, stopClock } from '../dispatchers/retry-servers.ts'

const header = 'x-request-timeout-ms'

function timesOf({ requests }: TestServer, path = '/'): (string | undefined)[] {
  return requests.filter((request) => request.path === path).map(({ headers }) => headers[header] as string | undefined)
}

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  it.each<[string, (layer: Layers) => Layers[]]>([
    ['below it', (layer) => [layer, bulkhead({ limit: 1 })]],
    ['below retry', (layer) => [layer, retry(quick), bulkhead({ limit: 1 })]],
    ['of the standard chain', (layer) => [layer, standard({ bulkhead: { limit: 1 } })]],
  ])('a wait in a queue is taken off, %s', async (_, chainOf) => {
    const held = gate()
    const server = await serve({ protocol, respond: { '/first': { hold: held.promise }, '*': 200 } })
    const chain = chainTo(server, ...chainOf(contextHeaders({ origins: [server.origin] })))
    const clock = stopClock()
    const first = call(chain, server.url('/first'))
    await server.until(() => server.requests.length === 1)
    const second = runWithContext({ deadline: 4000 }, call, chain, server.url('/'))
    const own = runWithContext({ deadline: 4000 }, call, chain, server.url('/own'), { headers: { [header]: '7' } })
    await clock.advance(1500)
    held.open()
    await Promise.all([first, second, own])
    expect(timesOf(server)).toEqual(['2500'])
    expect(timesOf(server, '/own')).toEqual(['7'])
  })

  it.each<[string, boolean, (layer: Layers, server: TestServer) => Layers[]]>([
    ['below a route', true, (layer, { origin }) => [route([{ path: '/*', to: origin }]), layer, retry(quick)]],
    ['below a group', true, (layer, { origin }) => [balance({ hosts: [origin] }), layer, retry(quick)]],
    ['below a redirect', true, (layer) => [interceptors.redirect({ maxRedirections: 1 }), layer, retry(quick)]],
    ["above undici's retry", false, (layer) => [layer, interceptors.retry({ minTimeout: 1 })]],
  ])('the attempts before are taken off, %s', async (_, isSentOn, chainOf) => {
    const held = gate()
    const server = await serve({ protocol, respond: [{ status: 503, hold: held.promise }, 200] })
    const from = await serve({ protocol, respond: { status: 307, headers: { location: server.url('/') } } })
    const layers = chainOf(contextHeaders({ origins: [server.origin] }), server)
    const chain = chainTo(server, ...layers)
    const url = (isSentOn ? from : server).url('/')
    const clock = stopClock()
    const done = runWithContext({ deadline: 4000 }, call, chain, url)
    await server.until(() => server.requests.length === 1)
    await clock.advance(1500)
    held.open()
    let isDone = false
    void done.finally(() => {
      isDone = true
    })
    while (!isDone) await clock.advance(1)
    expect((await done).status).toBe(200)
    const [first, second] = timesOf(server).map(Number) as [number, number]
    expect(first).toBe(4000)
    expect(second).toBeLessThanOrEqual(2500)
    expect(second).toBeGreaterThan(2000)
  })

  it('a deadline() further in counts, whatever stands between', async () => {
    const server = await serve({ protocol, respond: 503 })
    const spare = await serve({ protocol })
    const origins = [server.origin, spare.origin]
    const elsewhere = fallback({ upstream: spare.origin })
    const chain = chainTo(
      server,
      contextHeaders({ origins }),
      elsewhere,
      deadline(2000),
      retry({ ...quick, maxAttempts: 1 }),
    )
    const clock = stopClock()
    const done = runWithContext({ deadline: 4000 }, call, chain, server.url('/'))
    await spare.until(() => spare.requests.length === 1)
    await clock.advance(1)
    await done
    expect(timesOf(server)).toEqual(['2000'])
    // It begins anew there.
    expect(timesOf(spare)).toEqual(['2000'])
  })
})
