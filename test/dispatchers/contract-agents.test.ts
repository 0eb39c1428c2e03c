// The handler contract over undici's other agents: MockAgent and ProxyAgent.
import { ProxyAgent } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Ground, openGround } from '../contract/ground.ts'
import { layerKinds } from '../contract/layers.ts'
import { mockOf, mockScenarios } from '../contract/mock.ts'
import { Noise } from '../contract/noise.ts'
import { startProxy, type TestProxy } from '../contract/proxy.ts'
import { scenarios } from '../contract/scenarios.ts'
import { assemblies, playRow } from '../contract/table.ts'

let noise: Noise
beforeAll(() => {
  noise = new Noise()
})
afterAll(() => {
  noise[Symbol.dispose]()
})

describe('MockAgent', () => {
  let ground: Ground
  beforeAll(async () => {
    ground = await openGround('1.1', { secure: false, agentTo: ({ origin }) => mockOf(origin) })
  })
  afterAll(() => ground.close())

  for (const kind of layerKinds) {
    it(`45, 47, 48: ${kind.name} over a MockAgent`, async () => {
      const composed = await playRow(ground, noise, [kind], assemblies.composed, mockScenarios)
      const foreign = await playRow(ground, noise, [kind], assemblies['in agent.compose'], mockScenarios)
      expect([...composed.mistakes, ...foreign.mistakes]).toEqual([])
      expect(ground.server.requests).toEqual([])
    })
  }
})

// The proxy's own HTTP says nothing of 1xx and trailers, and a forwarded request has no tunnel.
const unforwarded = new Set(['/early', '/trailers', '/tunnel', 'example.com:443'])

describe.each([
  { way: 'a tunnel to HTTP/1.1', version: '1.1', secure: true, proxyTunnel: true },
  { way: 'a tunnel to HTTP/2', version: '2', secure: true, proxyTunnel: true },
  { way: 'forwarding', version: '1.1', secure: false, proxyTunnel: false },
] as const)('ProxyAgent, $way', ({ way, version, secure, proxyTunnel }) => {
  let proxy: TestProxy
  let ground: Ground
  beforeAll(async () => {
    proxy = await startProxy()
    ground = await openGround(version, {
      secure,
      agentTo: ({ ca }) => new ProxyAgent({ uri: proxy.uri, proxyTunnel, ...(secure ? { requestTls: { ca } } : null) }),
    })
  })
  afterAll(async () => {
    await ground.close()
    await proxy[Symbol.asyncDispose]()
  })

  const chosen = proxyTunnel ? scenarios : scenarios.filter(({ path }) => !unforwarded.has(path))

  for (const kind of layerKinds) {
    it(`45, 47, 48: ${kind.name} over a ProxyAgent, by ${way}`, async () => {
      const composed = await playRow(ground, noise, [kind], assemblies.composed, chosen)
      const foreign = await playRow(ground, noise, [kind], assemblies['in agent.compose'], chosen)
      expect([...composed.mistakes, ...foreign.mistakes]).toEqual([])
      expect(proxyTunnel ? proxy.tunnels : proxy.forwarded).toBeGreaterThan(0)
      expect(ground.server.requests.every((request) => request.protocol === version)).toBe(true)
      ground.clear()
    })
  }
})
