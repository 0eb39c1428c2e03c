import {
  type AdaptiveLimitLayer,
  type AdaptiveLimitOptions,
  adaptiveLimit,
  ConcurrencyLimitedError,
  createFetch,
  isShed,
  logging,
  retry,
} from 'roundtripper'
import { gate, type TestServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { call, chainTo, errorOf, eventually, protocols, quick, send, serve } from './retry-servers.ts'

function viewOf(layer: AdaptiveLimitLayer, server: TestServer) {
  return layer.state()[server.origin]
}

const one = { initialLimit: 1, maxLimit: 1 } as const

describe.each(protocols)('the adaptive limit over $version', ({ protocol }) => {
  it('26: holds the slot to the end of the body, and refuses beyond it before anything is sent', async () => {
    const server = await serve({ protocol })
    const layer = adaptiveLimit(one)
    const chain = chainTo(server, layer)
    const rest = gate()
    server.script('/', { body: ['first', rest.promise] })
    const { body } = await send(chain, server.url('/'))
    const error = await errorOf(call(chain, server.url('/')))
    expect(error).toBeInstanceOf(ConcurrencyLimitedError)
    expect(isShed(error)).toBe(true)
    expect(error).toMatchObject({ code: 'ERR_CONCURRENCY_LIMITED', origin: server.origin })
    expect(server.count('/')).toBe(1)
    expect(viewOf(layer, server)).toMatchObject({ limit: 1, inUse: 1, refused: 1 })
    rest.open()
    await body.text()
    expect(viewOf(layer, server)?.inUse).toBe(0)
  })

  it('26: frees the slot when a body is cancelled, and when it breaks', async () => {
    const server = await serve({ protocol })
    const layer = adaptiveLimit(one)
    const chain = chainTo(server, layer)
    server.script('/', [
      { body: 'x'.repeat(1000), hang: 'body' },
      { body: 'x'.repeat(1000), reset: 'in-body' },
    ])
    const response = await createFetch(chain)(server.url('/'))
    expect(viewOf(layer, server)?.inUse).toBe(1)
    await response.body?.cancel()
    expect(viewOf(layer, server)?.inUse).toBe(0)
    await errorOf(call(chain, server.url('/')))
    expect(viewOf(layer, server)?.inUse).toBe(0)
  })

  it('26: HEAD frees the slot with the head, an abort at once', async () => {
    const server = await serve({ protocol })
    const layer = adaptiveLimit(one)
    const chain = chainTo(server, layer)
    await send(chain, server.url('/'), { method: 'HEAD' })
    expect(viewOf(layer, server)?.inUse).toBe(0)
    server.script('/slow', { hang: 'head' })
    const abort = new AbortController()
    const slow = errorOf(send(chain, server.url('/slow'), { signal: abort.signal }))
    await server.until(() => server.count('/slow') === 1)
    abort.abort(new Error('enough'))
    expect(viewOf(layer, server)?.inUse).toBe(0)
    expect(await slow).toMatchObject({ message: 'enough' })
  })

  it('below retry() holds no slot in a backoff, and what it refuses is not sent again', async () => {
    const server = await serve({ protocol })
    const layer = adaptiveLimit(one)
    const held = gate()
    const chain = chainTo(server, retry(quick), layer)
    server.script('/', [503, { hold: held.promise }])
    const running = call(chain, server.url('/'))
    await server.until(() => server.count('/') === 2)
    const records: Record<string, unknown>[] = []
    const logger = { debug() {}, info() {}, warn: (record: object) => void records.push({ ...record }) }
    const logged = chainTo(server, logging({ logger }), retry(quick), layer)
    expect(await errorOf(call(logged, server.url('/')))).toBeInstanceOf(ConcurrencyLimitedError)
    expect(records).toMatchObject([{ outcome: 'shed', error: 'ERR_CONCURRENCY_LIMITED' }])
    held.open()
    expect((await running).status).toBe(200)
    expect(server.count('/')).toBe(2)
  })

  it('in shadow refuses nothing, and tells what it would have refused', async () => {
    const server = await serve({ protocol })
    const layer = adaptiveLimit({ ...one, shadow: true })
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', { hold: held.promise })
    const calls = [1, 2, 3].map(() => call(chain, server.url('/')))
    await server.until(() => server.count('/') === 3)
    expect(viewOf(layer, server)).toMatchObject({ limit: 1, inUse: 3, refused: 0, shadowRefused: 2 })
    held.open()
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual([200, 200, 200])
  })

  it('28: sheddable calls are refused first, then normal ones, critical ones last', async () => {
    const server = await serve({ protocol })
    const layer = adaptiveLimit({ initialLimit: 10 })
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', { hold: held.promise })
    const calls: Promise<unknown>[] = []
    const admitted = async (priority: 'critical' | 'normal' | 'sheddable', count: number) => {
      for (let each = 0; each < count; each++) {
        calls.push(call(chain, server.url('/'), { resilience: { priority } }))
      }
      const refused = errorOf(call(chain, server.url('/'), { resilience: { priority } }))
      expect(await refused).toBeInstanceOf(ConcurrencyLimitedError)
      return viewOf(layer, server)?.inUse
    }
    expect(await admitted('sheddable', 7)).toBe(7)
    expect(await admitted('normal', 2)).toBe(9)
    expect(await admitted('critical', 1)).toBe(10)
    held.open()
    await Promise.all(calls)
    expect(viewOf(layer, server)).toMatchObject({ inUse: 0, refused: 3 })
  })

  it('is updated while calls are under way, and loses none', async () => {
    const server = await serve({ protocol })
    const layer = adaptiveLimit({ initialLimit: 3, maxLimit: 3 })
    const chain = chainTo(server, layer)
    const held = gate()
    server.script('/', { hold: held.promise })
    const calls = [1, 2, 3].map(() => call(chain, server.url('/')))
    await server.until(() => server.count('/') === 3)
    layer.update({ initialLimit: 2, maxLimit: 2 })
    expect(viewOf(layer, server)).toMatchObject({ limit: 2, inUse: 3 })
    expect(() => layer.update({ maxLimit: 0 })).toThrow(RangeError)
    expect(() => layer.update({ unreadBodyTimeout: 5 } as AdaptiveLimitOptions)).toThrow(/unknown option/)
    expect(viewOf(layer, server)?.limit).toBe(2)
    held.open()
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual([200, 200, 200])
    expect(viewOf(layer, server)?.inUse).toBe(0)
  })
})

it('each origin has a limit of its own, and 10,000 of them stay bounded', async () => {
  const [server, other] = [await serve({ protocol: 'h1c' }), await serve({ protocol: 'h1c' })]
  const layer = adaptiveLimit(one)
  const chain = chainTo(server, layer)
  const held = gate()
  server.script('/', { hold: held.promise })
  const running = call(chain, server.url('/'))
  await server.until(() => server.count('/') === 1)
  expect((await call(chain, other.url('/'))).status).toBe(200)
  const answer: Parameters<typeof layer>[0] = (_opts, handler) => {
    handler.onResponseError?.(null as never, new Error('no server'))
    return true
  }
  const alone = layer(answer)
  for (let number = 0; number < 10_000; number++) {
    alone({ origin: `http://${number}.test`, path: '/', method: 'GET' }, { onRequestStart() {}, onResponseError() {} })
  }
  expect(Object.keys(layer.state()).length).toBeLessThanOrEqual(1001)
  expect(viewOf(layer, server)?.inUse).toBe(1)
  held.open()
  await running
})

/**
 * A real server, with so many workers, on a clock that goes 5 ms further whenever all that is under way has reached it:
 * each worker answers one request, and callers that were refused try again.
 */
class Workers {
  count: number
  readonly #waiting: (() => void)[] = []
  #refused: (() => void)[] = []
  #now = performance.now()

  constructor(count: number) {
    this.count = count
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => this.#now)
    onTestFinished(() => clock.mockRestore())
  }

  readonly respond = () => new Promise<number>((resolve) => this.#waiting.push(() => resolve(200)))

  nextTick(): Promise<void> {
    return new Promise((resolve) => this.#refused.push(resolve))
  }

  async tick(callers: number): Promise<void> {
    await eventually(() => this.#waiting.length + this.#refused.length === callers)
    this.#now += 5
    this.answer(this.count)
  }

  answer(count: number): void {
    const refused = this.#refused
    this.#refused = []
    for (const answer of this.#waiting.splice(0, count)) answer()
    for (const again of refused) again()
  }
}

it.each(protocols)(
  'finds the capacity of a real server over $version, and finds it again when it changes',
  async ({ protocol }) => {
    const workers = new Workers(2)
    const server = await serve({ protocol, respond: workers.respond })
    const layer = adaptiveLimit({
      initialLimit: 24,
      minLimit: 2,
      maxLimit: 60,
      window: 20,
      windowCalls: 20,
      normalShare: 1,
    })
    const chain = chainTo(server, layer)
    const calls = 32
    let [stopped, answered, refused] = [false, 0, 0]
    const caller = async () => {
      while (!stopped) {
        try {
          await call(chain, server.url('/'))
          answered++
        } catch (error) {
          expect(error).toBeInstanceOf(ConcurrencyLimitedError)
          refused++
          await workers.nextTick()
        }
      }
    }
    const limits = new Set<number>()
    const limitAfter = async (ticks: number) => {
      for (let each = 0; each < ticks; each++) {
        await workers.tick(calls)
        limits.add(viewOf(layer, server)?.limit as number)
      }
      return viewOf(layer, server)?.limit
    }
    const callers = Array.from({ length: calls }, caller)
    expect(await limitAfter(240)).toBeLessThanOrEqual(10)
    workers.count = 64
    expect(await limitAfter(80)).toBeGreaterThanOrEqual(20)
    workers.count = 2
    expect(await limitAfter(160)).toBeLessThanOrEqual(40)
    stopped = true
    let over = false
    const all = Promise.all(callers).finally(() => {
      over = true
    })
    await eventually(() => {
      workers.answer(calls)
      return over
    })
    await all
    expect(Math.min(...limits)).toBeGreaterThanOrEqual(2)
    expect(Math.max(...limits)).toBeLessThanOrEqual(60)
    expect(answered).toBeGreaterThan(500)
    expect(viewOf(layer, server)).toMatchObject({ inUse: 0, refused, shadowRefused: 0 })
  },
  60_000,
)
