// What an operator does to a bulkhead while calls go through it.
import { type BulkheadLayer, bulkhead, type CallRecord, logging, retry, standard } from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, eventually, protocols, serve } from './retry-servers.ts'

const view = (layer: BulkheadLayer, server: TestServer) => layer.state()[server.origin]

describe.each(protocols)('a bulkhead that changes over HTTP/$version', ({ protocol }) => {
  it('27, 47: raised, it lets waiting calls go at once; lowered, it takes slots away as they come back', async () => {
    const server = await serve({ protocol })
    const held = gate()
    server.script('/', { hold: held.promise, body: 'fine' })
    const layer = bulkhead({ limit: 1 })
    const chain = chainTo(server, layer)
    const calls = Array.from({ length: 6 }, () => call(chain, server.url()))
    await server.until(() => server.count() === 1)
    expect(view(layer, server)).toMatchObject({ inUse: 1, queued: 5 })
    layer.update({ limit: 3 })
    await server.until(() => server.count() === 3)
    expect(view(layer, server)).toMatchObject({ inUse: 3, queued: 3 })
    layer.update({ limit: 1 })
    expect(view(layer, server)).toMatchObject({ inUse: 3, queued: 3 })
    held.open()
    let most = 0
    const watch = eventually(() => {
      const { inUse = 0, queued = 0 } = view(layer, server) ?? {}
      // Three end together, and only one goes on.
      if (queued < 3) most = Math.max(most, inUse)
      return inUse + queued === 0
    })
    for (const answer of await Promise.all(calls)) expect(answer).toEqual({ status: 200, text: 'fine' })
    await watch
    expect(most).toBeLessThanOrEqual(1)
    expect(view(layer, server)).toEqual({ inUse: 0, queued: 0, refused: 0, shadowRefused: 0 })
  })

  it('counts refusals, and in shadow only what they would have been', async () => {
    const server = await serve({ protocol })
    const held = gate()
    server.script('/', { hold: held.promise })
    const records: CallRecord[] = []
    const keep = (record: object) => {
      records.push(record as CallRecord)
    }
    const layer = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, logging({ logger: { debug: () => {}, info: keep, warn: keep } }), layer)
    const first = call(chain, server.url())
    await server.until(() => server.count() === 1)
    expect(await errorOf(call(chain, server.url()))).toMatchObject({ code: 'ERR_BULKHEAD_FULL' })
    layer.update({ shadow: true })
    const second = call(chain, server.url())
    await server.until(() => server.count() === 2)
    expect(view(layer, server)).toEqual({ inUse: 1, queued: 0, refused: 1, shadowRefused: 1 })
    held.open()
    await Promise.all([first, second])
    expect(records.map(({ notes }) => notes)).toContainEqual({ 'bulkhead.shadow': 'full' })
    expect(view(layer, server)?.inUse).toBe(0)
  })

  it('changes for the standard chain in one object, and for origins to come', async () => {
    const [one, other] = [await serve({ protocol }), await serve({ protocol })]
    const [deadline, , ...below] = standard({ tracing: false, circuitBreaker: false, bulkhead: false })
    const layer = bulkhead({ limit: 5, queue: 0 })
    const chain = chainTo(one, deadline!, retry({ maxAttempts: 1 }), layer, ...below)
    await call(chain, one.url())
    layer.update({ limit: 1 })
    for (const server of [one, other]) {
      const held = gate()
      server.script('/held', { hold: held.promise })
      const under = call(chain, server.url('/held'))
      await server.until(() => server.count('/held') === 1)
      expect(await errorOf(call(chain, server.url()))).toMatchObject({ code: 'ERR_BULKHEAD_FULL' })
      held.open()
      await under
    }
  })
})

it('an update that is wrong changes nothing', () => {
  const layer = bulkhead()
  expect(() => layer.update({ queue: 5, limit: 0 })).toThrow('limit must be a whole number of at least 1, got 0')
  expect(() => layer.update({ unreadBodyTimeout: 5 } as object)).toThrow('unknown option "unreadBodyTimeout"')
})
