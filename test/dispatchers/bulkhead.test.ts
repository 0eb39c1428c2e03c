import { once } from 'node:events'
import {
  BulkheadFullError,
  type BulkheadLayer,
  type BulkheadOptions,
  bulkhead,
  createFetch,
  deadline,
} from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { call, chainTo, errorOf, protocols, send, serve } from './retry-servers.ts'

function slots(layer: BulkheadLayer, server: TestServer) {
  return layer.state()[server.origin]
}

/** Resolves with the next process warning of a code. */
async function nextWarning(code: string): Promise<Error> {
  for (;;) {
    const [warning] = (await once(process, 'warning')) as [Error & { code?: string }]
    if (warning.code === code) return warning
  }
}

describe.each(protocols)('the bulkhead over $version', ({ protocol }) => {
  it('26: holds the slot to the end of the body, not to the head', async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, layer)
    const rest = gate()
    server.script('/', { body: ['first', rest.promise] })
    const { body } = await send(chain, server.url('/'))
    expect(slots(layer, server)).toMatchObject({ inUse: 1, queued: 0 })
    expect(await errorOf(call(chain, server.url('/')))).toBeInstanceOf(BulkheadFullError)
    rest.open()
    await body.text()
    expect(slots(layer, server)).toMatchObject({ inUse: 0, queued: 0 })
  })

  it('26: frees the slot when the body is cancelled', async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, layer)
    server.script('/', { body: 'x'.repeat(1000), hang: 'body' })
    const response = await createFetch(chain)(server.url('/'))
    expect(slots(layer, server)?.inUse).toBe(1)
    await response.body?.cancel()
    expect(slots(layer, server)?.inUse).toBe(0)
  })

  it('26: frees the slot when the body breaks', async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, layer)
    server.script('/', { body: 'x'.repeat(1000), reset: 'in-body' })
    await errorOf(call(chain, server.url('/')))
    expect(slots(layer, server)?.inUse).toBe(0)
  })

  it.each([
    ['HEAD', 'HEAD', 200],
    ['204', 'GET', 204],
    ['304', 'GET', 304],
  ])('26: %s frees the slot at once', async (_name, method, status) => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 0 })
    const chain = chainTo(server, layer)
    server.script('/', { status })
    let inUseAtHead: number | undefined
    await new Promise<void>((resolve, reject) => {
      chain.dispatch(
        { origin: server.origin, path: '/', method },
        {
          onRequestStart() {},
          onResponseStart() {
            inUseAtHead = slots(layer, server)?.inUse
          },
          onResponseData() {},
          onResponseEnd: () => resolve(),
          onResponseError: (_controller, error) => reject(error),
        },
      )
    })
    expect(inUseAtHead).toBe(0)
  })

  it('26: a body that nobody reads frees its slot in time, warns once, and stays readable', async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 0, unreadBodyTimeout: 20 })
    const chain = chainTo(server, layer)
    const large = 'x'.repeat(300_000)
    server.script('/', { body: large })
    const warnings: unknown[] = []
    const collect = (warning: Error & { code?: string }) => {
      if (warning.code === 'ROUNDTRIPPER_BODY_UNREAD') warnings.push(warning)
    }
    process.on('warning', collect)
    try {
      const warned = nextWarning('ROUNDTRIPPER_BODY_UNREAD')
      const first = await send(chain, server.url('/'))
      expect((await warned).message).toContain(server.origin)
      expect(slots(layer, server)?.inUse).toBe(0)
      const second = await send(chain, server.url('/'))
      expect(await first.body.text()).toBe(large)
      expect(await second.body.text()).toBe(large)
      expect(slots(layer, server)?.inUse).toBe(0)
      expect(warnings).toHaveLength(1)
    } finally {
      process.off('warning', collect)
    }
  })

  it('27: the queue is bounded in number, first come first served', async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 2 })
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', [{ hold: held.promise }, 200])
    const running = call(chain, server.url('/'))
    await server.until(() => server.count('/') === 1)
    const queued = ['a', 'b'].map((name) => call(chain, server.url(`/${name}`)))
    expect(slots(layer, server)).toMatchObject({ inUse: 1, queued: 2 })
    const refused = await errorOf(call(chain, server.url('/c')))
    expect(refused).toMatchObject({ code: 'ERR_BULKHEAD_FULL', origin: server.origin })
    expect((refused as Error).message).toMatch(/limit.*1.*queue.*2|1.*2/)
    held.open()
    await Promise.all([running, ...queued])
    expect(server.requests.map(({ path }) => path)).toEqual(['/', '/a', '/b'])
  })

  it('21, 28: a call with a wrong option displaces nobody, and is refused as such when its turn comes', async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 2 })
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', { hold: held.promise })
    const running = call(chain, server.url('/'))
    await server.until(() => server.count('/') === 1)
    const sheddable = call(chain, server.url('/a'), { resilience: { priority: 'sheddable' } })
    const wrong = errorOf(call(chain, server.url('/b'), { resilience: { deadline: 0 } }))
    const urgent = { resilience: { priority: 'urgent' } } as object
    expect(await errorOf(call(chain, server.url('/c'), urgent))).toBeInstanceOf(BulkheadFullError)
    const critical = { resilience: { priority: 'critical', deadline: 0 } } as const
    expect(await errorOf(call(chain, server.url('/d'), critical))).toBeInstanceOf(BulkheadFullError)
    expect(slots(layer, server)).toMatchObject({ inUse: 1, queued: 2 })
    held.open()
    expect(await wrong).toMatchObject({ code: 'ERR_INVALID_REQUEST' })
    await Promise.all([running, sheddable])
    expect(server.requests.map(({ path }) => path)).toEqual(['/', '/a'])
  })

  it('27: the queue is bounded in time', async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 5, queueTimeout: 20 })
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', { hold: held.promise })
    const running = call(chain, server.url('/'))
    await server.until(() => server.count('/') === 1)
    expect(await errorOf(call(chain, server.url('/')))).toMatchObject({ code: 'ERR_BULKHEAD_FULL' })
    expect(slots(layer, server)).toMatchObject({ inUse: 1, queued: 0 })
    held.open()
    await running
  })

  it("27: a call's deadline also bounds its wait", async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 5 })
    const [patient, hurried] = [chainTo(server, layer), chainTo(server, deadline(30), layer)]
    const held = gate()
    server.script('/', { hold: held.promise })
    const running = call(patient, server.url('/'))
    await server.until(() => server.count('/') === 1)
    expect(await errorOf(call(hurried, server.url('/')))).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    expect(slots(layer, server)).toMatchObject({ inUse: 1, queued: 0 })
    expect(server.count('/')).toBe(1)
    held.open()
    await running
  })

  it("27: an aborted waiter's place is free at once", async () => {
    const server = await serve({ protocol })
    const layer = bulkhead({ limit: 1, queue: 1 })
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', [{ hold: held.promise }, 200])
    const running = call(chain, server.url('/'))
    await server.until(() => server.count('/') === 1)
    const abort = new AbortController()
    const waiting = errorOf(send(chain, server.url('/'), { signal: abort.signal }))
    expect(slots(layer, server)?.queued).toBe(1)
    abort.abort(new Error('enough'))
    expect(slots(layer, server)?.queued).toBe(0)
    const next = call(chain, server.url('/'))
    expect(slots(layer, server)?.queued).toBe(1)
    expect(await waiting).toMatchObject({ message: 'enough' })
    held.open()
    expect((await next).status).toBe(200)
    await running
  })

  it("29: one call's end leaves its neighbours alone", async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, deadline(40), bulkhead({ limit: 10 }))
    const held = gate()
    server.script('/slow', { hang: 'head' })
    server.script('/steady', { body: ['a', held.promise, 'b'] })
    // Its own connection may take longer than the others have.
    const { body } = await send(chain, server.url('/steady'), { resilience: { deadline: 10_000 } })
    expect(await errorOf(call(chain, server.url('/slow')))).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    held.open()
    expect(await body.text()).toBe('ab')
  })
})

describe('options of the bulkhead', () => {
  it.each([
    [{ limit: 0 }, RangeError, /limit .* whole number of at least 1, got 0/],
    [{ queue: -1 }, RangeError, /queue .* got -1/],
    [{ unreadBodyTimeout: 'never' }, TypeError, /unreadBodyTimeout .* got "never"/],
    [{ size: 3 }, TypeError, /unknown option "size"; known are limit, queue/],
  ])('refuses %o', (options, kind, message) => {
    const make = () => bulkhead(options as BulkheadOptions)
    expect(make).toThrow(kind)
    expect(make).toThrow(message)
  })
})
