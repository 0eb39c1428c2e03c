// What a call to a group holds, and gives back; on real servers.
import { Readable } from 'node:stream'
import { type BalanceOptions, balance, bulkhead, type CallRecord, guard, hedge, logging, retry } from 'roundtripper'
import { gate, seededRandom, type TestServer } from 'roundtripper/testing'
import { upgrade } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  call,
  chainTo,
  errorOf,
  eventually,
  protocols,
  quick,
  send,
  serveMany,
  stopClock,
  turns,
} from './retry-servers.ts'

const name = 'http://users'

function group(servers: readonly TestServer[], options: Partial<BalanceOptions> = {}) {
  return balance({ algorithm: 'roundRobin', hosts: servers.map(({ origin }) => origin), slowStart: 0, ...options })
}

const inFlight = (layer: ReturnType<typeof balance>) => Object.values(layer.state()).map((view) => view.inFlight)

describe.each(protocols)('a call to a group over $version', ({ protocol }) => {
  it('16: with a body that can be read once goes past a host that cannot be reached, whole', async () => {
    const servers = await serveMany(2, protocol)
    const [dead, alive] = servers as [TestServer, TestServer]
    alive.script('*', { echo: true })
    const chain = chainTo(dead, group(servers))
    await dead.close()
    for (const make of [
      () => Readable.from(['one ', 'two']),
      () => new Blob(['one two']).stream(),
      async function* () {
        yield Buffer.from('one ')
        yield Buffer.from('two')
      },
    ]) {
      const { text } = await call(chain, `${name}/`, { method: 'POST', body: make() })
      expect(JSON.parse(text)).toMatchObject({ body: 'one two' })
    }
  })

  it('16: with a body that has been read from goes nowhere else', async () => {
    const servers = await serveMany(2, protocol)
    const begun = gate()
    const refuse = async () => {
      await begun.promise
      return { refuse: true }
    }
    for (const server of servers) server.script('*', refuse)
    const layer = group(servers)
    const chain = chainTo(servers[0] as TestServer, layer)
    async function* body() {
      yield Buffer.alloc(1_000)
      begun.open()
      await new Promise(() => {})
    }
    await errorOf(call(chain, `${name}/`, { method: 'PUT', body: body() }))
    expect(servers.flatMap(({ requests }) => requests)).toHaveLength(1)
    expect(inFlight(layer)).toEqual([0, 0])
  })

  it('47: gives its place back, however it ends', async () => {
    const servers = await serveMany(2, protocol)
    const layer = group(servers, { ejection: false })
    const chain = chainTo(servers[0] as TestServer, layer)
    const each = (path: string, step: Parameters<TestServer['script']>[1]) => {
      for (const server of servers) server.script(path, step)
    }
    each('/hang', { hang: 'head' })
    each('/stall', { body: 'x'.repeat(100), hang: 'body' })
    each('/long', { body: 'x'.repeat(300_000) })
    each('/none', 204)
    each('/reset', { reset: 'before-head' })
    each('/broken', { body: 'x'.repeat(100), reset: 'in-body' })

    const aborter = new AbortController()
    const hanging = call(chain, `${name}/hang`, { signal: aborter.signal })
    expect(inFlight(layer).toSorted()).toEqual([0, 1])
    aborter.abort()
    await errorOf(hanging)
    expect(inFlight(layer)).toEqual([0, 0])

    const stalled = await send(chain, `${name}/stall`)
    expect(inFlight(layer).toSorted()).toEqual([0, 1])
    stalled.body.on('error', () => {}).destroy()
    await turns()
    expect(inFlight(layer)).toEqual([0, 0])

    await send(chain, `${name}/`, { method: 'HEAD' })
    expect(inFlight(layer)).toEqual([0, 0])
    await send(chain, `${name}/none`)
    expect(inFlight(layer)).toEqual([0, 0])
    await errorOf(call(chain, `${name}/reset`))
    await errorOf(call(chain, `${name}/broken`))
    expect(inFlight(layer)).toEqual([0, 0])

    const unread = await send(chain, `${name}/long`)
    expect(inFlight(layer).toSorted()).toEqual([0, 1])
    await unread.body.dump()
    expect(inFlight(layer)).toEqual([0, 0])
  })

  it('47: in any mixture of retries, hedges, refusals, faults and aborts, every place is back in the end', async () => {
    const random = seededRandom()
    console.log(`balanced calls: seed ${random.seed}`)
    const servers = await serveMany(4, protocol)
    const [gone] = servers as [TestServer]
    const faults = [200, 503, { reset: 'before-head' }, { refuse: true }, { body: 'x'.repeat(100), cut: true }] as const
    for (const server of servers) server.script('*', () => faults[random.integer(0, faults.length - 1)] ?? 200)
    const layer = group(servers, {
      ejection: { consecutiveFailures: 3, ejectionTime: 5, interval: 5 },
      panicThreshold: 0.7,
    })
    const slots = bulkhead({ limit: 2, queue: 3 })
    const chain = chainTo(gone, retry({ ...quick, budget: false }), hedge({ delay: 2, budget: false }), layer, slots)
    await gone.close()
    const calls = Array.from({ length: 150 }, async () => {
      const aborter = new AbortController()
      const isGivenUp = random.chance(0.3)
      const body = random.chance(0.3) ? Readable.from(['a', 'b']) : 'ab'
      const method = random.chance(0.5) ? 'GET' : 'PUT'
      const init = method === 'GET' ? { signal: aborter.signal } : { signal: aborter.signal, method, body }
      const pending = call(chain, `${name}/`, init as object).catch(() => {})
      await turns(random.integer(0, 20))
      if (isGivenUp) aborter.abort()
      await pending
    })
    await Promise.all(calls)
    await eventually(() => inFlight(layer).every((count) => count === 0))
    for (const { inUse, queued } of Object.values(slots.state())) expect([inUse, queued]).toEqual([0, 0])
  })

  it('47: a body that nobody reads does not make its host look busy for ever', async () => {
    const clock = stopClock()
    const [server] = (await serveMany(1, protocol)) as [TestServer]
    server.script('*', { body: 'x'.repeat(200_000) })
    const layer = group([server])
    const chain = chainTo(server, layer)
    const { body } = await send(chain, `${name}/`)
    await eventually(() => body.readableLength > 60_000)
    await clock.advance(29_000)
    expect(inFlight(layer)).toEqual([1])
    await clock.advance(2_000)
    expect(inFlight(layer)).toEqual([0])
    expect((await body.text()).length).toBe(200_000)
  })

  it('46: destroy() while it waits for a slot of its host ends it, and it goes to no other', async () => {
    const servers = await serveMany(2, protocol)
    for (const server of servers) server.script('*', { hang: 'head' })
    const layer = group(servers)
    const chain = chainTo(servers[0] as TestServer, layer, bulkhead({ limit: 1, queue: 5 }))
    const errors = [1, 2, 3, 4].map(() => errorOf(call(chain, `${name}/`)))
    await eventually(() => servers.every(({ requests }) => requests.length === 1))
    await chain.destroy()
    for (const error of await Promise.all(errors)) expect(error).toMatchObject({ code: 'UND_ERR_DESTROYED' })
    expect(inFlight(layer)).toEqual([0, 0])
    expect(Object.values(layer.state()).map(({ failures }) => failures)).toEqual([0, 0])
  })
})

it('what a policy below refuses with an error of its own is a refusal, and no failure of the host', async () => {
  const servers = await serveMany(2, 'h1')
  const records: CallRecord[] = []
  const write = (record: object) => void records.push(record as CallRecord)
  const layer = group(servers)
  const refusing = guard({
    acquire() {
      throw new Error('not today')
    },
  })
  const logger = { debug() {}, info: write, warn: write, isLevelEnabled: (level: string) => level !== 'debug' }
  const chain = chainTo(servers[0] as TestServer, logging({ logger }), layer, refusing)
  expect(await errorOf(call(chain, `${name}/`))).toMatchObject({ message: 'not today' })
  expect(records.map(({ outcome }) => outcome)).toEqual(['shed'])
  expect(Object.values(layer.state()).map(({ failures, inFlight: open }) => [failures, open])).toEqual([
    [0, 0],
    [0, 0],
  ])
})

it('47: a call whose connection is upgraded is over for its host', async () => {
  const [server] = (await serveMany(1, 'h1')) as [TestServer]
  server.script('*', { status: 101, headers: { upgrade: 'websocket', connection: 'upgrade' } })
  const layer = group([server])
  const { socket } = await upgrade(`${name}/`, { dispatcher: chainTo(server, layer), protocol: 'websocket' })
  onTestFinished(() => void socket.destroy())
  expect(layer.state()[server.origin]).toMatchObject({ inFlight: 0, calls: 1, failures: 0 })
})

it('headers that are none end the call, and leave nothing behind', async () => {
  const [server] = (await serveMany(1, 'h1')) as [TestServer]
  const layer = balance({ hosts: [{ origin: server.origin, authority: 'users.internal' }] })
  const chain = chainTo(server, retry(quick), layer)
  const error = await errorOf(call(chain, `${name}/`, { headers: new Map([['a', 'b']]) as never }))
  void error
  await errorOf(call(chain, `${name}/`, { headers: [['a']] as never }))
  expect(inFlight(layer)).toEqual([0])
})
