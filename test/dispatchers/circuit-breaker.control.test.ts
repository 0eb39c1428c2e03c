// What an operator does to a breaker while calls go through it.
import {
  type CallRecord,
  type CircuitBreakerLayer,
  type CircuitBreakerOptions,
  type CircuitEvent,
  circuitBreaker,
  type Layers,
  logging,
  retry,
  standard,
} from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, protocols, quick, serve } from './retry-servers.ts'

function breaker(options: CircuitBreakerOptions = {}) {
  const clock = { at: 1000 }
  const layer = circuitBreaker({ minimumCalls: 2, openFor: 1000, now: () => clock.at, ...options })
  return { layer, clock }
}

const view = (layer: CircuitBreakerLayer, server: TestServer) => layer.state()[server.origin]

// A chain in which one object serves a call, and one in which it takes several.
const forms: readonly (readonly [string, (layer: CircuitBreakerLayer) => Layers])[] = [
  ['in many objects', (layer) => layer],
  [
    'in one object',
    (layer) => {
      const [deadline, , ...below] = standard({ tracing: false, circuitBreaker: false })
      return [deadline!, retry({ maxAttempts: 1 }), layer, ...below]
    },
  ],
]

describe.each(protocols)('a breaker that is told what to do over HTTP/$version', ({ protocol }) => {
  describe.each(forms)('%s', (_, around) => {
    it('10: forced open refuses, forced closed and disabled let through, and null leaves it to its rules', async () => {
      const server = await serve({ protocol, respond: 500 })
      const { layer } = breaker()
      const chain = chainTo(server, around(layer))
      layer.force('open')
      expect(await errorOf(call(chain, server.url()))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN', retryAfter: 1000 })
      expect(server.count()).toBe(0)
      expect(view(layer, server)).toMatchObject({ state: 'open', forced: 'open', refused: 1 })

      layer.force('closed', server.origin)
      for (let at = 0; at < 3; at++) expect((await call(chain, server.url())).status).toBe(500)
      expect(view(layer, server)).toMatchObject({ state: 'closed', forced: 'closed', calls: 3, failures: 3 })

      layer.force('disabled', new URL(server.url('/path')))
      for (let at = 0; at < 3; at++) expect((await call(chain, server.url())).status).toBe(500)
      expect(view(layer, server)).toMatchObject({ state: 'closed', forced: 'disabled', calls: 0 })

      layer.force(null)
      for (let at = 0; at < 2; at++) expect((await call(chain, server.url())).status).toBe(500)
      expect(await errorOf(call(chain, server.url()))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
      expect(view(layer, server)).toMatchObject({ state: 'open', forced: null })
    })

    it('10: in shadow it counts and tells, and everything goes out', async () => {
      const server = await serve({ protocol, respond: 500 })
      const { layer, clock } = breaker({ shadow: true })
      const chain = chainTo(server, around(layer))
      for (let at = 0; at < 5; at++) expect((await call(chain, server.url())).status).toBe(500)
      expect(view(layer, server)).toMatchObject({ state: 'open', calls: 2, refused: 0, shadowRefused: 3 })
      clock.at += 1000
      server.script('*', 200)
      expect((await call(chain, server.url())).status).toBe(200)
      expect(view(layer, server)).toMatchObject({ state: 'closed', shadowRefused: 3 })
    })

    it('changes while it runs, and loses no call', async () => {
      const server = await serve({ protocol, respond: 500 })
      const { layer } = breaker({ minimumCalls: 100 })
      const chain = chainTo(server, around(layer))
      const held = gate()
      server.script('/held', { hold: held.promise, status: 500 })
      const under = call(chain, server.url('/held'))
      await server.until(() => server.count('/held') === 1)
      await call(chain, server.url())
      layer.update({ minimumCalls: 2 })
      expect(view(layer, server)?.state).toBe('closed')
      held.open()
      expect((await under).status).toBe(500)
      expect(view(layer, server)?.state).toBe('open')
      layer.update({ shadow: true })
      expect((await call(chain, server.url())).status).toBe(500)
      expect(() => layer.update({ failureShare: 2, shadow: false })).toThrow('failureShare')
      expect((await call(chain, server.url())).status).toBe(500)
    })
  })

  it('3, 10: goes on in another process, open for what was left, then with a probe', async () => {
    const server = await serve({ protocol, respond: [500, 500, 200] })
    const here = breaker()
    const chain = chainTo(server, here.layer)
    await call(chain, server.url())
    await call(chain, server.url())
    here.clock.at += 400
    const text = JSON.stringify(here.layer)

    const there = breaker()
    there.clock.at = 9_000_000
    there.layer.restore(JSON.parse(text))
    const other = chainTo(server, there.layer)
    expect(await errorOf(call(other, server.url()))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN', retryAfter: 600 })
    there.clock.at += 600
    expect((await call(other, server.url())).status).toBe(200)
    expect(view(there.layer, server)?.state).toBe('closed')
  })

  it('10: tells in logs what it was forced to, and that a call passed in shadow only', async () => {
    const server = await serve({ protocol, respond: 200 })
    const records: CallRecord[] = []
    const keep = (record: object) => {
      records.push(record as CallRecord)
    }
    const { layer } = breaker({ shadow: true })
    const chain = chainTo(server, logging({ logger: { debug: () => {}, info: keep, warn: keep } }), layer)
    layer.force('open')
    await call(chain, server.url())
    const notes = { 'circuit.forced': 'open', 'circuit.state': 'open', 'circuit.shadow': 'open' }
    expect(records).toMatchObject([{ notes }])
  })

  it('5: opens after failures in a row, for longer each time', async () => {
    const server = await serve({ protocol, respond: 500 })
    const { layer, clock } = breaker({ failureShare: false, consecutiveFailures: 3, openForFactor: 3 })
    const chain = chainTo(server, layer)
    for (let at = 0; at < 3; at++) await call(chain, server.url())
    expect(await errorOf(call(chain, server.url()))).toMatchObject({ retryAfter: 1000 })
    clock.at += 1000
    await call(chain, server.url())
    expect(await errorOf(call(chain, server.url()))).toMatchObject({ retryAfter: 3000 })
  })

  it('10: tells a listener of each attempt, step and refusal', async () => {
    const server = await serve({ protocol, respond: [500, 500] })
    const events: CircuitEvent[] = []
    const { layer } = breaker({ onEvent: (event) => events.push(event) })
    const chain = chainTo(server, retry(quick), layer)
    await errorOf(call(chain, server.url()))
    expect(events.map(({ type, origin }) => [type, origin])).toEqual([
      ['judged', server.origin],
      ['judged', server.origin],
      ['stateChange', server.origin],
      ['refused', server.origin],
    ])
  })
})

describe('the breaker as a layer', () => {
  it('9, 10: forces one origin and no other, also one that nobody has called yet', async () => {
    const [down, up] = [await serve({ protocol: 'h1c' }), await serve({ protocol: 'h1c' })]
    const layer = circuitBreaker()
    const chain = chainTo(down, layer)
    layer.force('open', down.origin)
    expect(await errorOf(call(chain, down.url()))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
    expect((await call(chain, up.url())).status).toBe(200)
    layer.force(null, down.origin)
    expect((await call(chain, down.url())).status).toBe(200)
  })

  it('9, 10: an order for all holds for origins to come, and is never forgotten among 10 000', async () => {
    const layer = circuitBreaker()
    const first = 'https://first.test'
    layer.force('open', first)
    for (let at = 0; at < 10_000; at++) {
      layer.restore({ version: 1, origins: { [`https://${at}.test`]: calm } })
    }
    expect(layer.state()[first]?.forced).toBe('open')
    expect(Object.keys(layer.state()).length).toBe(1000)
    layer.force('disabled')
    const server = await serve({ protocol: 'h1c' })
    await call(chainTo(server, layer), server.url())
    expect(view(layer, server)?.forced).toBe('disabled')
  })

  const calm = {
    state: 'closed',
    forced: null,
    openFor: 0,
    probeFor: 0,
    openings: 0,
    consecutiveFailures: 0,
  } as const

  it.each<[unknown, unknown, string]>([
    ['shut', undefined, 'circuitBreaker: state must be one of "open", "closed", "disabled", null, got "shut"'],
    [undefined, undefined, 'got undefined'],
    ['open', 'api.test', 'circuitBreaker: origin must be a URL such as https://api.example.com, got "api.test"'],
    ['open', 'mailto:a@b.test', 'got "mailto:a@b.test"'],
  ])('10: refuses force(%o, %o)', (state, origin, message) => {
    expect(() => circuitBreaker().force(state as 'open', origin as string)).toThrow(message)
  })

  it('10: refuses a snapshot of which one origin is wrong, and changes nothing', () => {
    const layer = circuitBreaker()
    const open = { ...calm, state: 'open', openFor: 1e6 } as const
    const wrong = { version: 1, origins: { 'https://a.test': open, nowhere: open } } as const
    expect(() => layer.restore(wrong)).toThrow('origin must be a URL')
    expect(layer.state()).toEqual({})
  })
})
