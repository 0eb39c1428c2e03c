// Traffic shared between variants: the shares over a stub, the rest on real servers.
import {
  attemptTimeout,
  type CallRecord,
  type CanaryLayer,
  type CanaryOptions,
  canary,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  hedge,
  logging,
  retry,
  tracing,
} from 'roundtripper'
import { gate, seededRandom, type TestServer } from 'roundtripper/testing'
import { Dispatcher, interceptors } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Spans, useOpenTelemetry } from '../tracing/tracing-fixtures.ts'
import { arrived, fixed, stoppedClock } from './hedge-fixtures.ts'
import { call, chainTo, errorOf, protocols, quick, send, serve, turns, warmChainTo } from './retry-servers.ts'

useOpenTelemetry()

/** Answers at once with the origin it was called at. */
class Stub extends Dispatcher {
  override dispatch({ origin }: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = { aborted: false, paused: false, reason: null, abort() {}, pause() {}, resume() {} }
    handler.onRequestStart?.(controller, null)
    handler.onResponseStart?.(controller, 200, { 'x-origin': String(origin) }, '')
    handler.onResponseEnd?.(controller, {})
    return true
  }
}

const stable = 'https://stable.test'
const fresh = 'https://canary.test'

/** What a call through the layer over a stub is answered by. */
function originOf(chain: Dispatcher, headers: Record<string, string> | string[] = {}): string {
  let answered = ''
  chain.dispatch(
    { origin: 'https://api.test', path: '/', method: 'GET', headers },
    {
      onRequestStart() {},
      onResponseStart(_controller, _status, { 'x-origin': origin }) {
        answered = String(origin)
      },
      onResponseEnd() {},
      onResponseError(_controller, error) {
        throw error
      },
    },
  )
  return answered
}

function weights(one: number, other: number): CanaryOptions['variants'] {
  return { stable: { weight: one, to: stable }, canary: { weight: other, to: fresh } }
}

const user = { header: 'x-user' } as const
const keys = Array.from({ length: 10_000 }, (_, at) => `user-${at}`)

describe('canary over a stub', () => {
  it.each([
    [95, 5],
    [80, 20],
    [50, 50],
  ])('gives each its share of 10,000 seeded calls within 2 points: %d to %d', (one, other) => {
    const layer = canary({ variants: weights(one, other), random: seededRandom(42).next })
    const chain = compose(new Stub(), layer)
    let canaries = 0
    for (let at = 0; at < 10_000; at++) if (originOf(chain) === fresh) canaries++
    expect(Math.abs(canaries / 100 - other)).toBeLessThanOrEqual(2)
    expect(layer.state()['https://api.test']).toEqual({
      stable: { weight: one, calls: 10_000 - canaries, failures: 0, inUse: 0 },
      canary: { weight: other, calls: canaries, failures: 0, inUse: 0 },
    })
  })

  it('a key keeps its variant while a canary grows, until it goes over to it', () => {
    const layer = canary({ variants: weights(100, 0), by: user })
    const chain = compose(new Stub(), layer)
    const seen = () => keys.map((key) => originOf(chain, { 'x-user': key }))
    let before = seen()
    expect(before.every((origin) => origin === stable)).toBe(true)
    for (const share of [5, 20, 60]) {
      layer.update({ variants: { stable: { weight: 100 - share }, canary: { weight: share } } })
      const now = seen()
      expect(now.filter((origin, at) => before[at] === fresh && origin !== fresh)).toEqual([])
      expect(Math.abs(now.filter((origin) => origin === fresh).length / 100 - share)).toBeLessThanOrEqual(2)
      before = now
    }
    // And so does every other process: nothing of the ramp is remembered.
    const other = compose(new Stub(), canary({ variants: weights(40, 60), by: user }))
    expect(keys.map((key) => originOf(other, { 'x-user': key }))).toEqual(before)
  })

  it('a header, a cookie or a function gives the key; where there is none, chance decides', () => {
    const random = () => 0.99
    const by = [user, { cookie: 'uid' }, ({ headers }) => headers['x-user'] as string] satisfies CanaryOptions['by'][]
    const [header, cookie, made] = by.map((key) =>
      compose(new Stub(), canary({ variants: weights(50, 50), by: key, random })),
    )
    for (const key of keys.slice(0, 100)) {
      const expected = originOf(header!, { 'X-User': key })
      expect(originOf(cookie!, { cookie: `a=b; uid=${key}; uidx=c` })).toBe(expected)
      expect(originOf(cookie!, ['Cookie', `uid=${key}`])).toBe(expected)
      expect(originOf(made!, { 'x-user': key })).toBe(expected)
    }
    for (const chain of [header!, cookie!, made!])
      expect(originOf(chain, { 'x-other': 'a', cookie: 'b=c' })).toBe(fresh)
  })

  it('a function that throws, or gives no text, leaves it to chance', () => {
    const gives = [() => 7, () => undefined, () => '', () => Promise.resolve('a')] as unknown as (() => string)[]
    const throws = () => {
      throw new Error('no key')
    }
    for (const by of [...gives, throws]) {
      const chain = compose(new Stub(), canary({ variants: weights(50, 50), by, random: () => 0.99 }))
      expect(originOf(chain)).toBe(fresh)
    }
  })

  it('a header names the variant, whatever weight, key and chance say', () => {
    const options: CanaryOptions = { variants: weights(100, 0), header: 'X-Canary', by: user, random: () => 0 }
    const chain = compose(new Stub(), canary(options))
    expect(originOf(chain, { 'x-canary': 'canary', 'x-user': 'a' })).toBe(fresh)
    expect(originOf(chain, ['x-canary', 'canary'])).toBe(fresh)
    expect(originOf(chain, { 'x-canary': 'nobody' })).toBe(stable)
    expect(originOf(chain, { 'x-canary': '__proto__' })).toBe(stable)
    expect(originOf(compose(new Stub(), canary({ variants: weights(100, 0) })), { 'x-canary': 'canary' })).toBe(stable)
  })

  it('is updated as a whole or not at all, and a variant keeps where it goes', () => {
    const layer = canary({ variants: weights(100, 0), random: () => 0.5 })
    const chain = compose(new Stub(), layer)
    const before = layer.state()
    expect(() => layer.update({ variants: { stable: { weight: 0 }, canary: { weight: 0 } } })).toThrow(RangeError)
    expect(() => layer.update({ header: 'no token' })).toThrow(TypeError)
    expect(layer.state()).toEqual(before)
    expect(originOf(chain)).toBe(stable)
    layer.update({ header: 'x-canary' })
    expect(originOf(chain)).toBe(stable)
    layer.update({ variants: { stable: { weight: 1 }, canary: { weight: 9 } } })
    expect(originOf(chain)).toBe(fresh)
    layer.update({ variants: { stable: { weight: 1 }, next: { weight: 9, to: 'https://next.test' } } })
    expect(originOf(chain)).toBe('https://next.test')
    expect(originOf(chain, { 'x-canary': 'canary' })).toBe('https://next.test')
    expect(layer.state()['https://api.test']).toMatchObject({ stable: { weight: 1, calls: 2 }, next: { calls: 2 } })
    expect(chain.describe()[0]).toMatchObject({
      layer: 'canary',
      options: {
        variants: { stable: { weight: 1, to: stable }, next: { weight: 9, to: 'https://next.test' } },
        header: 'x-canary',
      },
    })
  })

  it.each<[unknown, string]>([
    [{}, 'canary: variants must be an object of variants by name, got undefined'],
    [{ variants: [] }, 'canary: variants must be an object of variants by name, got an array'],
    [{ variants: {} }, 'canary: variants must hold one with a weight above 0, got none'],
    [{ variants: { a: { weight: '1' } } }, 'canary: variants.a.weight must be a number of at least 0, got "1"'],
    [{ variants: { a: { weight: 1, at: 'b' } } }, 'canary: variants.a: unknown option "at"; known are weight, to'],
    [{ variants: { a: { weight: 1, to: 7 } } }, 'canary: variants.a.to must be a layer'],
    [{ variants: { a: { weight: 1 } }, by: 'x-user' }, 'canary: by must be a function, { header } or { cookie }'],
    [{ variants: { a: { weight: 1 } }, by: { query: 'a' } }, 'canary: by must be a function, { header } or { cookie }'],
    [{ variants: { a: { weight: 1 } }, by: { cookie: 'a b' } }, 'canary: by.cookie must be a name of token characters'],
    [{ variants: { a: { weight: 1 } }, header: '' }, 'canary: header must be a name of token characters, got ""'],
    [{ variants: { a: { weight: 1 } }, random: 1 }, 'canary: random must be a function, got 1'],
    [
      { variants: { a: { weight: 1 } }, share: 1 },
      'canary: unknown option "share"; known are variants, header, by, random',
    ],
  ])('%j is refused', (options, message) => {
    expect(() => canary(options as CanaryOptions)).toThrow(message)
  })
})

describe.each(protocols)('canary over $version', ({ protocol }) => {
  async function two(options: Partial<CanaryOptions> & { readonly to?: CanaryOptions['variants'][string]['to'] } = {}) {
    const server = await serve({ protocol, respond: { body: 'stable' } })
    const other = await serve({ protocol, respond: { body: 'canary' } })
    const { to = other.origin, ...rest } = options
    const layer = canary({
      variants: { stable: { weight: 1 }, canary: { weight: 0, to } },
      header: 'x-canary',
      ...rest,
    })
    return { server, other, layer }
  }

  function view(layer: CanaryLayer, server: TestServer) {
    return layer.state()[server.origin]
  }

  it('without a target a variant goes where the call says; failures are counted by variant', async () => {
    const { server, other, layer } = await two()
    other.script('*', [503, { reset: 'before-head' }, 404, { body: 'hello hello', cut: true }])
    const chain = chainTo(server, layer)
    const headers = { 'x-canary': 'canary' }
    expect(await call(chain, server.url('/users'))).toEqual({ status: 200, text: 'stable' })
    expect((await call(chain, server.url('/users'), { headers })).status).toBe(503)
    await errorOf(call(chain, server.url('/users'), { headers }))
    expect((await call(chain, server.url('/users'), { headers })).status).toBe(404)
    await errorOf(call(chain, server.url('/users'), { headers }))
    expect(view(layer, server)).toEqual({
      stable: { weight: 1, calls: 1, failures: 0, inUse: 0 },
      canary: { weight: 0, calls: 4, failures: 3, inUse: 0 },
    })
    // The header that chose goes along: what is behind may want to choose as well.
    expect(other.requests[0]).toMatchObject({ path: '/users', headers: { 'x-canary': 'canary' } })
  })

  it('targets may be layers, or a dispatcher', async () => {
    const breaker = circuitBreaker()
    const server = await serve({ protocol, respond: { body: 'stable' } })
    const other = await serve({ protocol, respond: { body: 'other' } })
    const agent = createAgent({ connect: { ca: server.ca as string } })
    onTestFinished(() => agent.destroy())
    const elsewhere = agent.compose(
      (dispatch) => (opts, handler) => dispatch({ ...opts, origin: other.origin }, handler),
    )
    const layer = canary({
      variants: { stable: { weight: 1, to: [[breaker], attemptTimeout()] }, canary: { weight: 0, to: elsewhere } },
      header: 'x-canary',
    })
    const chain = chainTo(server, layer)
    expect((await call(chain, server.url('/'))).text).toBe('stable')
    expect((await call(chain, server.url('/'), { headers: { 'x-canary': 'canary' } })).text).toBe('other')
    expect(breaker.state()[server.origin]?.calls).toBe(1)
  })

  it('a retry above it keeps the variant, though chance would say otherwise', async () => {
    const points = [0.9, 0.1, 0.1]
    const { server, other, layer } = await two({ header: undefined })
    layer.update({ variants: { stable: { weight: 1 }, canary: { weight: 1 } }, random: () => points.shift() as number })
    other.script('*', [503, 503, { body: 'canary' }])
    const chain = chainTo(server, retry({ ...quick, maxAttempts: 3 }), layer)
    expect(await call(chain, server.url('/'))).toEqual({ status: 200, text: 'canary' })
    expect(points).toHaveLength(2)
    expect(view(layer, server)).toMatchObject({ stable: { calls: 0 }, canary: { calls: 3, failures: 2 } })
    expect(await call(chain, server.url('/'))).toEqual({ status: 200, text: 'stable' })
  })

  it('also where the weights change between two attempts', async () => {
    const { server, other, layer } = await two({ header: undefined })
    layer.update({ variants: { stable: { weight: 0 }, canary: { weight: 1 } } })
    other.script('*', [
      () => {
        layer.update({ variants: { stable: { weight: 1 } } })
        return 503
      },
      { body: 'canary' },
    ])
    const chain = chainTo(server, retry(quick), layer)
    expect((await call(chain, server.url('/'))).text).toBe('canary')
    expect((await call(chain, server.url('/'))).text).toBe('stable')
  })

  it('a hedge above it keeps the variant', async () => {
    const slow = gate()
    const { server, other, layer } = await two()
    const chain = await warmChainTo(server, hedge(fixed), layer)
    other.script('*', [{ body: 'warm' }, { hold: slow.promise, body: 'slow' }, { body: 'fast' }])
    const headers = { 'x-canary': 'canary' }
    await call(chain, server.url('/'), { headers })
    other.clear()
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'), { headers })
    await arrived(other, 1)
    await clock.advance(100)
    expect((await answer).text).toBe('fast')
    expect(server.count()).toBe(0)
    slow.open()
  })

  it('a retry in the target is that variant by itself', async () => {
    const { server, other, layer } = await two({ to: [retry(quick)] })
    server.script('*', [503, { body: 'again' }])
    const chain = chainTo(server, layer)
    expect((await call(chain, server.url('/'), { headers: { 'x-canary': 'canary' } })).text).toBe('again')
    expect(view(layer, server)?.canary).toMatchObject({ calls: 1, failures: 0 })
    expect(other.count()).toBe(0)
  })

  it('one canary in the target of another: each decides once', async () => {
    const third = await serve({ protocol, respond: { body: 'third' } })
    const points = [0, 0]
    const inner = canary({
      variants: { a: { weight: 1, to: third.origin }, b: { weight: 1 } },
      random: () => points.shift() as number,
    })
    const { server, layer } = await two({ to: inner })
    third.script('*', [503, { body: 'third' }])
    const chain = chainTo(server, retry(quick), layer)
    expect((await call(chain, server.url('/'), { headers: { 'x-canary': 'canary' } })).text).toBe('third')
    expect(points).toHaveLength(1)
  })

  it('tells spans and records of a variant that is not the first', async () => {
    const { server, layer } = await two()
    const spans = new Spans()
    const records: CallRecord[] = []
    const write = (record: object) => records.push(record as CallRecord)
    const logger = { debug: write, info: write, warn: write, isLevelEnabled: (level: string) => level !== 'debug' }
    const chain = chainTo(server, tracing({ tracerProvider: spans.provider }), logging({ logger }), layer)
    await call(chain, server.url('/'))
    await call(chain, server.url('/'), { headers: { 'x-canary': 'canary' } })
    expect(records.map(({ notes }) => notes)).toEqual([undefined, { canary: 'canary' }])
    expect(spans.attempts.map(({ attributes }) => attributes['roundtripper.canary'])).toEqual([undefined, 'canary'])
  })

  it('47: every count comes back: aborts, resets, a body that is cancelled', async () => {
    const { server, other, layer } = await two()
    const chain = chainTo(server, retry({ maxAttempts: 2, backoff: 1 }), layer)
    const headers = { 'x-canary': 'canary' }
    other.script('*', { hang: 'head' })
    const abort = new AbortController()
    const hanging = errorOf(send(chain, server.url('/'), { headers, signal: abort.signal }))
    await arrived(other, 1)
    expect(view(layer, server)?.canary?.inUse).toBe(1)
    abort.abort()
    await hanging
    other.script('*', { body: 'x'.repeat(200_000) })
    const { body } = await send(chain, server.url('/'), { headers })
    body.destroy()
    body.on('error', () => {})
    await turns()
    expect(view(layer, server)?.canary).toMatchObject({ calls: 2, failures: 0, inUse: 0 })
  })

  it('46: close() waits for its calls, destroy() ends them', async () => {
    const slow = gate()
    const { server, other, layer } = await two()
    const headers = { 'x-canary': 'canary' }
    other.script('*', [{ hold: slow.promise, body: 'late' }, { hang: 'head' }])
    const closed = chainTo(server, layer)
    const answer = call(closed, server.url('/'), { headers })
    await arrived(other, 1)
    const closing = closed.close()
    slow.open()
    expect((await answer).text).toBe('late')
    await closing
    const destroyed = chainTo(server, layer)
    const failing = errorOf(call(destroyed, server.url('/'), { headers }))
    await arrived(other, 2)
    await destroyed.destroy()
    expect(await failing).toMatchObject({ code: 'UND_ERR_DESTROYED' })
    expect(view(layer, server)?.canary).toMatchObject({ calls: 2, inUse: 0 })
  })

  it("48: alone in agent.compose, under undici's own retry, and under createFetch", async () => {
    const { server, other, layer } = await two()
    const agent = createAgent({ connect: { ca: server.ca as string } })
    onTestFinished(() => agent.destroy())
    const headers = { 'x-canary': 'canary' }
    other.script('*', [{ body: 'one' }, 503, { body: 'two' }, { body: 'three' }])
    expect((await call(agent.compose(layer), server.url('/'), { headers })).text).toBe('one')
    const retried = agent.compose(layer, interceptors.retry({ minTimeout: 1, maxTimeout: 1 }))
    expect((await call(retried, server.url('/'), { headers })).text).toBe('two')
    const fetch = createFetch(compose(agent, layer))
    expect(await (await fetch(server.url('/'), { headers })).text()).toBe('three')
  })

  it('headers that can be read once are read once', async () => {
    const { server, other, layer } = await two()
    const headers = new Map([['x-canary', 'canary']]).entries() as unknown as Record<string, string>
    expect((await call(chainTo(server, layer), server.url('/'), { headers })).text).toBe('canary')
    expect(other.requests[0]?.headers['x-canary']).toBe('canary')
  })
})
