import {
  attemptTimeout,
  bulkhead,
  type CircuitBreakerLayer,
  type CircuitBreakerOptions,
  CircuitOpenError,
  circuitBreaker,
  isShed,
  retry,
} from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, send, serve } from './retry-servers.ts'

/** A clock that moves when told to. */
function testClock() {
  const clock = { at: 1000, now: () => clock.at }
  return clock
}

function breaker(options: CircuitBreakerOptions = {}) {
  const clock = testClock()
  const layer = circuitBreaker({ minimumCalls: 2, openFor: 1000, now: clock.now, ...options })
  return { layer, clock }
}

function view(layer: CircuitBreakerLayer, server: TestServer) {
  return layer.state()[server.origin]
}

describe.each(protocols)('the circuit breaker over $version', ({ protocol }) => {
  it('1: gives an aborted probe its place back and counts it neither way', async () => {
    const server = await serve({ protocol })
    const { layer, clock } = breaker()
    const chain = chainTo(server, layer)
    server.script('/', [500, 500, { hang: 'head' }, 200])
    await call(chain, server.url('/'))
    await call(chain, server.url('/'))
    expect(view(layer, server)?.state).toBe('open')
    clock.at += 1000

    const abort = new AbortController()
    const probe = errorOf(send(chain, server.url('/'), { signal: abort.signal }))
    await server.until(() => server.count('/') === 3)
    abort.abort(new Error('changed my mind'))
    expect(await probe).toMatchObject({ message: 'changed my mind' })
    expect(view(layer, server)?.state).toBe('halfOpen')

    expect((await call(chain, server.url('/'))).status).toBe(200)
    expect(view(layer, server)?.state).toBe('closed')
  })

  it('1: calls the caller gave up open no circuit', async () => {
    const server = await serve({ protocol })
    const { layer } = breaker()
    const chain = chainTo(server, layer)
    server.script('/', [{ hang: 'head' }])
    for (let at = 1; at <= 5; at++) {
      const abort = new AbortController()
      const given = errorOf(send(chain, server.url('/'), { signal: abort.signal }))
      await server.until(() => server.count('/') === at)
      abort.abort()
      await given
    }
    expect(view(layer, server)).toMatchObject({ state: 'closed', calls: 0, failures: 0 })
  })

  it('2: a failure of an earlier state does not disturb a healthy probe', async () => {
    const server = await serve({ protocol })
    const { layer, clock } = breaker()
    const chain = chainTo(server, layer)
    const late = gate()
    server.script('/late', { hold: late.promise, status: 500 })
    server.script('/', [500, 500, 200])
    const stale = call(chain, server.url('/late'))
    await server.until(() => server.count('/late') === 1)
    await call(chain, server.url('/'))
    await call(chain, server.url('/'))
    clock.at += 1000
    expect((await call(chain, server.url('/'))).status).toBe(200)
    expect(view(layer, server)?.state).toBe('closed')
    late.open()
    expect((await stale).status).toBe(500)
    expect(view(layer, server)).toMatchObject({ state: 'closed', calls: 0 })
  })

  it('3: half-open sends exactly the probes, and tells the rest how long is left', async () => {
    const server = await serve({ protocol })
    const { layer, clock } = breaker({ probes: 2 })
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', [500, 500, { hold: held.promise }])
    await call(chain, server.url('/'))
    await call(chain, server.url('/'))
    clock.at += 1000
    const probes = [call(chain, server.url('/')), call(chain, server.url('/'))]
    await server.until(() => server.count('/') === 4)
    clock.at += 300
    for (let at = 0; at < 5; at++) {
      const refused = await errorOf(call(chain, server.url('/')))
      expect(refused).toBeInstanceOf(CircuitOpenError)
      expect(isShed(refused)).toBe(true)
      expect(refused).toMatchObject({ code: 'ERR_CIRCUIT_OPEN', origin: server.origin, retryAfter: 700 })
    }
    held.open()
    await Promise.all(probes)
    expect(server.count('/')).toBe(4)
    expect(view(layer, server)?.state).toBe('closed')
  })

  it('4: a probe that hangs costs its lease, and its late success closes nothing', async () => {
    const server = await serve({ protocol })
    const { layer, clock } = breaker()
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', [500, 500, { hold: held.promise }])
    await call(chain, server.url('/'))
    await call(chain, server.url('/'))
    clock.at += 1000
    const probe = call(chain, server.url('/'))
    await server.until(() => server.count('/') === 3)
    clock.at += 1001
    expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
    expect(view(layer, server)?.state).toBe('open')
    held.open()
    expect((await probe).status).toBe(200)
    expect(view(layer, server)?.state).toBe('open')
  })

  it('5: opens at the share and at the minimum, not before', async () => {
    const server = await serve({ protocol })
    const { layer } = breaker({ minimumCalls: 4, failureShare: 0.5 })
    const chain = chainTo(server, layer)
    server.script('/', [500, 500, 200, 200, 200])
    for (let at = 1; at <= 3; at++) await call(chain, server.url('/'))
    expect(view(layer, server)).toMatchObject({ state: 'closed', calls: 3, failures: 2 })
    await call(chain, server.url('/'))
    expect(view(layer, server)?.state).toBe('open')
  })

  it('5: idle time empties the window', async () => {
    const server = await serve({ protocol })
    const { layer, clock } = breaker({ minimumCalls: 2, window: 1000 })
    const chain = chainTo(server, layer)
    server.script('/', 500)
    await call(chain, server.url('/'))
    clock.at += 600_000
    await call(chain, server.url('/'))
    expect(view(layer, server)).toMatchObject({ state: 'closed', calls: 1, failures: 1 })
  })

  it('6: what the bulkhead below refuses feeds no breaker', async () => {
    const server = await serve({ protocol })
    const { layer } = breaker()
    const chain = chainTo(server, layer, bulkhead({ limit: 1, queue: 0 }))
    const held = gate()
    server.script('/', { hold: held.promise })
    const first = call(chain, server.url('/'))
    await server.until(() => server.count('/') === 1)
    for (let at = 0; at < 10; at++) {
      expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_BULKHEAD_FULL' })
    }
    held.open()
    await first
    expect(view(layer, server)).toMatchObject({ state: 'closed', calls: 1, failures: 0 })
  })

  it('7: retry does not try an open circuit again', async () => {
    const server = await serve({ protocol })
    const { layer } = breaker()
    const chain = chainTo(server, retry({ ...quick, maxAttempts: 4 }), layer)
    server.script('/', 500)
    // The second attempt opens the circuit; the third is refused, and that is the end.
    expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
    expect(server.count('/')).toBe(2)
    expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
    expect(server.count('/')).toBe(2)
  })

  it('8: slow heads open it', async () => {
    const server = await serve({ protocol })
    const layer = circuitBreaker({ minimumCalls: 2, slowCallShare: 1, slowCallDuration: 10 })
    const chain = chainTo(server, layer)
    server.script('/', { delay: 30 })
    await call(chain, server.url('/'))
    await call(chain, server.url('/'))
    expect(view(layer, server)?.state).toBe('open')
  })

  it("9: one origin's outage opens no other's circuit", async () => {
    const [down, up] = [await serve({ protocol, respond: 500 }), await serve({ protocol, respond: 200 })]
    const { layer } = breaker()
    const chain = chainTo(down, layer)
    for (let at = 0; at < 2; at++) await call(chain, down.url('/'))
    expect(await errorOf(call(chain, down.url('/')))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
    expect((await call(chain, up.url('/'))).status).toBe(200)
    expect(view(layer, up)?.state).toBe('closed')
  })

  it('counts timeouts, resets and refused connections, and neither 4xx nor 429 as failures', async () => {
    const server = await serve({ protocol })
    const { layer } = breaker({ minimumCalls: 100 })
    const chain = chainTo(server, layer, attemptTimeout(400))
    server.script('/', [404, 429, { reset: 'before-head' }, { hang: 'head' }])
    await call(chain, server.url('/'))
    await call(chain, server.url('/'))
    expect(view(layer, server)).toMatchObject({ calls: 1, failures: 0 })
    await errorOf(call(chain, server.url('/')))
    expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    expect(view(layer, server)).toMatchObject({ calls: 3, failures: 2 })
    await server.refuseConnections()
    await server.resetConnections()
    await errorOf(call(chain, server.url('/')))
    expect(view(layer, server)).toMatchObject({ calls: 4, failures: 3 })
  })

  it('judges the head: a body that breaks after it is no failure', async () => {
    const server = await serve({ protocol })
    const { layer } = breaker()
    const chain = chainTo(server, layer)
    server.script('/', { reset: 'in-body', body: 'x'.repeat(1000) })
    await errorOf(call(chain, server.url('/')))
    expect(view(layer, server)).toMatchObject({ calls: 1, failures: 0 })
  })
})

describe('options of the circuit breaker', () => {
  it.each([
    [{ failureShare: 0 }, RangeError, /failureShare .* 0\.001 to 1, got 0/],
    [{ failureShare: '0.5' }, TypeError, /failureShare .* got "0\.5"/],
    [{ probes: 1.5 }, RangeError, /probes .* whole number of at least 1, got 1\.5/],
    [{ openFor: -1 }, RangeError, /openFor .* got -1/],
    [{ treshold: 1 }, TypeError, /unknown option "treshold"; known are .*failureShare/],
  ])('refuses %o', (options, kind, message) => {
    const make = () => circuitBreaker(options as CircuitBreakerOptions)
    expect(make).toThrow(kind)
    expect(make).toThrow(message)
  })
})
