import { deadline, type RateLimitLayer, type RateLimitOptions, rateLimit } from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, protocols, serve, stopClock, turns, warmChainTo } from './retry-servers.ts'

function view(layer: RateLimitLayer, server: TestServer) {
  return layer.state()[server.origin]
}

describe.each(protocols)('serverHeaders over $version', ({ protocol }) => {
  const honours = (more: Partial<RateLimitOptions> = {}) => rateLimit({ limit: 1000, serverHeaders: true, ...more })

  it('30: a Retry-After on 429 holds calls back until then', async () => {
    const server = await serve({ protocol })
    const layer = honours()
    const chain = await warmChainTo(server, layer)
    server.script('*', [{ status: 429, retryAfter: 3 }, 200])
    const clock = stopClock()
    expect(await call(chain, server.url('/'))).toMatchObject({ status: 429 })
    expect(view(layer, server)).toMatchObject({ serverWait: 3000, retryAfter: 3000, available: 0 })
    const next = call(chain, server.url('/'))
    await clock.advance(2999)
    expect(server.count()).toBe(1)
    await clock.advance(1)
    expect(await next).toMatchObject({ status: 200 })
  })

  it('30: RateLimit lets go what the server has left, calls that are out counted, and the rest after the reset', async () => {
    const server = await serve({ protocol })
    const layer = honours()
    const chain = await warmChainTo(server, layer)
    const held = gate()
    server.script('*', [
      { hold: held.promise, headers: { 'ratelimit-policy': '"default";q=5;w=10', ratelimit: '"default";r=3;t=10' } },
      200,
    ])
    const clock = stopClock()
    const first = call(chain, server.url('/'))
    await server.until(() => server.count() === 1)
    const out = call(chain, server.url('/'))
    held.open()
    await Promise.all([first, out])
    const rest = Array.from({ length: 9 }, () => call(chain, server.url('/')))
    await turns()
    // Three were left when the first was answered, and one of those was out already (or had been counted).
    const soon = server.count()
    expect([4, 5]).toContain(soon)
    expect(view(layer, server)?.queued).toBe(11 - soon)
    await clock.advance(10_000)
    // The policy says how many go in the next ten seconds.
    await server.until(() => server.count() === soon + 5)
    await clock.advance(10_000)
    await Promise.all(rest)
    expect(server.count()).toBe(11)
  })

  it('30: calls that failed without an answer are out no more', async () => {
    const server = await serve({ protocol })
    const layer = honours()
    const chain = await warmChainTo(server, layer)
    server.script('*', [
      { reset: 'before-head' },
      { reset: 'before-head' },
      { headers: { ratelimit: '"default";r=1;t=60' } },
    ])
    for (let at = 0; at < 2; at++) await errorOf(call(chain, server.url('/'), { method: 'POST' }))
    await call(chain, server.url('/'))
    expect(view(layer, server)?.serverWait).toBe(0)
    await call(chain, server.url('/'))
    expect(server.count()).toBe(4)
  })

  it('19: calls whose deadline is before the end of the pause are refused when the server asks for it', async () => {
    const server = await serve({ protocol })
    const layer = honours({ limit: 1, window: 1000, algorithm: 'leakyBucket' })
    const chain = await warmChainTo(server, deadline(5000), layer)
    const held = gate()
    server.script('*', [{ status: 503, retryAfter: 30, hold: held.promise }, 200])
    stopClock()
    const first = call(chain, server.url('/'))
    await server.until(() => server.count() === 1)
    const second = errorOf(call(chain, server.url('/')))
    held.open()
    expect(await first).toMatchObject({ status: 503 })
    expect(await second).toMatchObject({ code: 'ERR_RATE_LIMITED', retryAfter: 30_000 })
    expect(server.count()).toBe(1)
  })

  it('30: no server holds calls back longer than maxServerWait', async () => {
    const server = await serve({ protocol, respond: { status: 429, retryAfter: 86_400 } })
    const layer = honours({ maxServerWait: 5000 })
    const chain = await warmChainTo(server, layer)
    stopClock()
    await call(chain, server.url('/'))
    expect(view(layer, server)?.serverWait).toBe(5000)
  })

  it('30: garbage, and headers nobody asked to honour, hold nothing back', async () => {
    const server = await serve({ protocol })
    const headers = { ratelimit: '"default";r=0;t=', 'ratelimit-remaining': '-', 'retry-after': 'soon' }
    server.script('*', [
      { status: 429, headers },
      { status: 429, retryAfter: 60 },
    ])
    const [honouring, deaf] = [honours(), rateLimit({ limit: 1000 })]
    await call(chainTo(server, honouring), server.url('/'))
    expect(view(honouring, server)?.serverWait).toBe(0)
    await call(chainTo(server, deaf), server.url('/'))
    expect(view(deaf, server)?.serverWait).toBe(0)
  })
})
