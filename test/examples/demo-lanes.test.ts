import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bareLane, callers, chainLane, type Lane } from '../../examples/demo/lanes.ts'
import { laneNames } from '../../examples/demo/phases.ts'
import { Upstreams } from '../../examples/demo/upstreams.ts'

let upstreams: Upstreams
let lanes: Lane[]

beforeEach(async () => {
  upstreams = await Upstreams.start(1)
  lanes = [bareLane(upstreams), chainLane(upstreams)]
})

afterEach(async () => {
  await Promise.all(lanes.map((lane) => lane.close()))
  await upstreams.stop()
})

/** Calls, ten at a time: fewer than the bulkhead lets through. */
async function callAll(lane: Lane, calls: number): Promise<void> {
  for (let call = 0; call < calls; ) {
    do lane.call('orders', `/orders/${call}`)
    while (++call % 10 !== 0)
    await lane.idle(false)
  }
}

describe('the lanes of the demo', () => {
  it('count what becomes of their calls, and the protocol of each service', async () => {
    for (const lane of lanes) {
      lane.call('orders', '/orders/1')
      lane.call('users', '/users/1')
      expect(lane.view('orders')).toMatchObject({ queued: 1 })
      await lane.idle(false)
      const { orders, users } = lane.turn()
      expect(orders).toMatchObject({ calls: 1, ok: 1, failed: 0, retries: 0, protocol: '2' })
      expect(users).toMatchObject({ calls: 1, ok: 1, failed: 0, retries: 0, protocol: '1.1' })
      expect(lane.tallies.orders).toMatchObject({ calls: 0, ok: 0, protocol: '2' })
      expect(lane.view('orders')).toMatchObject({ slots: 0, queued: 0 })
    }
    expect(lanes.map((lane) => lane.view('orders').breaker)).toEqual([undefined, 'closed'])
    const counts = await upstreams.count()
    for (const lane of laneNames) {
      expect(counts[lane]).toMatchObject({ orders: { requests: 1 }, users: { requests: 1 } })
    }
  })

  it('meet the same errors, which only the chain retries', async () => {
    await upstreams.behave('errors')
    for (const lane of lanes) await callAll(lane, 20)
    const [bare, chain] = lanes.map((lane) => lane.turn().orders)
    const counts = await upstreams.count()
    expect(bare!.failed).toBeGreaterThan(0)
    expect(bare).toMatchObject({ calls: 20, ok: 20 - bare!.failed, retries: 0 })
    expect(counts.bare.orders.requests).toBe(20)
    expect(chain!.failed).toBeLessThan(bare!.failed)
    expect(chain!.retries).toBeGreaterThan(0)
    expect(counts.chain.orders.requests).toBe(20 + chain!.retries)
  })

  it('find every connection reset, until the circuit of the chain opens', async () => {
    await upstreams.behave('resets')
    for (const lane of lanes) await callAll(lane, 40)
    expect(lanes.map((lane) => lane.tallies.orders.failed)).toEqual([40, 40])
    expect(lanes[1]!.view('orders').breaker).toBe('open')
    const counts = await upstreams.count()
    for (const lane of laneNames) {
      expect(counts[lane].orders).toMatchObject({ requests: 0 })
      expect(counts[lane].orders.connectionsReset).toBeGreaterThan(0)
    }
    await upstreams.behave('well')
    await callAll(lanes[0]!, 10)
    expect(lanes[0]!.tallies.orders.ok).toBe(10)
  })

  it('queue what comes up while all callers are busy, and can drop it', async () => {
    const [bare] = lanes
    for (let call = 0; call < callers + 3; call++) bare!.call('users', '/users/1')
    await Promise.resolve()
    expect(bare).toMatchObject({ heldUp: 3 })
    expect(bare!.view('users')).toMatchObject({ slots: callers, queued: 3 })
    await bare!.idle(true)
    expect(bare!.tallies.users).toMatchObject({ calls: callers + 3, done: callers })
  })
})
