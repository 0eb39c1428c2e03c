// The mirror layer over dispatchers that answer at once: shares, order, options.
import { bulkhead, compose, type MirrorOptions, type MirrorResult, mirror, mirrorDefaults } from 'roundtripper'
import { seededRandom, startBlackhole } from 'roundtripper/testing'
import { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { stoppedClock } from './hedge-fixtures.ts'
import { call, serve, turns, warmChainTo } from './retry-servers.ts'

describe('mirror', () => {
  /** Answers at once. */
  class Stub extends Dispatcher {
    calls = 0
    override dispatch(_opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
      this.calls++
      const controller = { aborted: false, paused: false, reason: null, abort() {}, pause() {}, resume() {} }
      handler.onRequestStart?.(controller, null)
      handler.onResponseStart?.(controller, 200, {}, '')
      handler.onResponseEnd?.(controller, {})
      return true
    }
  }

  const consumer: Dispatcher.DispatchHandler = { onRequestStart() {}, onResponseEnd() {}, onResponseError() {} }

  it.each([0, 0.05, 0.5, 1])('copies its share of 10,000 seeded calls within 2 points: %d', async (share) => {
    const target = new Stub()
    const layer = mirror({ to: target, share, concurrency: 10_000, random: seededRandom(42).next })
    const chain = compose(new Stub(), layer)
    for (let at = 0; at < 10_000; at++) {
      chain.dispatch({ origin: 'https://api.test', path: '/', method: 'GET' }, consumer)
    }
    await turns(3)
    expect(Math.abs(target.calls / 100 - 100 * share)).toBeLessThanOrEqual(2)
    if (share === 0 || share === 1) expect(target.calls).toBe(share * 10_000)
    expect(layer.state()['https://api.test']?.mirrored ?? 0).toBe(target.calls)
  })

  it('nothing of a copy is done before the original has been handed on', async () => {
    const order: string[] = []
    const noting = (name: string): Dispatcher => {
      const stub = new Stub()
      return stub.compose((dispatch) => (opts, handler) => {
        order.push(name)
        return dispatch(opts, handler)
      })
    }
    const chain = compose(noting('original'), mirror({ to: noting('copy') }))
    chain.dispatch({ origin: 'https://api.test', path: '/', method: 'GET' }, consumer)
    expect(order).toEqual(['original'])
    await turns(1)
    expect(order).toEqual(['original', 'copy'])
  })

  it('an upgrade is not copied, nor what is no valid request', async () => {
    const target = new Stub()
    const layer = mirror({ to: target })
    const chain = compose(new Stub(), layer)
    const base = { origin: 'https://api.test', path: '/', method: 'GET' } as const
    chain.dispatch({ ...base, upgrade: 'websocket' }, consumer)
    chain.dispatch({ ...base, headers: { 'a b': 'c' } }, consumer)
    chain.dispatch({ ...base, headers: [['a']] as never }, consumer)
    await turns(1)
    expect(target.calls).toBe(0)
    expect(layer.state()['https://api.test']).toMatchObject({ mirrored: 0, dropped: 2, inUse: 0 })
  })

  it('what onResult throws is a warning, once', async () => {
    const warnings: string[] = []
    const listen = (warning: Error) => warnings.push(warning.message)
    process.on('warning', listen)
    onTestFinished(() => {
      process.off('warning', listen)
    })
    const onResult = () => {
      throw new Error('no more room')
    }
    const chain = compose(new Stub(), mirror({ to: new Stub(), onResult }))
    for (let at = 0; at < 3; at++) chain.dispatch({ origin: 'https://api.test', path: '/', method: 'GET' }, consumer)
    await turns(3)
    expect(warnings).toEqual(['The onResult given to mirror() threw: Error: no more room'])
  })

  it('a target that throws fails the copy only', async () => {
    const target = new Stub()
    target.dispatch = () => {
      throw new Error('broken')
    }
    const results: MirrorResult[] = []
    const layer = mirror({ to: target, onResult: (result) => results.push(result) })
    const stub = new Stub()
    compose(stub, layer).dispatch({ origin: 'https://api.test', path: '/', method: 'GET' }, consumer)
    await turns(2)
    expect(stub.calls).toBe(1)
    expect(layer.state()['https://api.test']).toMatchObject({ mirrored: 1, failed: 1, different: 1, inUse: 0 })
    expect(results[0]).toMatchObject({ copy: { error: { message: 'broken' } } })
  })

  it('a target that cannot be told to stop is let go of all the same', async () => {
    const target = new Stub()
    target.dispatch = (_opts, handler) => {
      const abort = () => {
        throw new Error('no stopping')
      }
      handler.onRequestStart?.({ aborted: false, paused: false, reason: null, abort, pause() {}, resume() {} }, null)
      return true
    }
    const layer = mirror({ to: target, timeout: 100 })
    const clock = await stoppedClock()
    compose(new Stub(), layer).dispatch({ origin: 'https://api.test', path: '/', method: 'GET' }, consumer)
    await turns(1)
    expect(layer.state()['https://api.test']).toMatchObject({ inUse: 1 })
    await clock.advance(100)
    expect(layer.state()['https://api.test']).toMatchObject({ mirrored: 1, failed: 1, inUse: 0 })
  })

  it('a target that is a black hole is let go of when its time is up', async () => {
    const hole = await startBlackhole()
    onTestFinished(() => hole.close())
    const server = await serve({ protocol: 'h1', respond: { body: 'hello' } })
    const layer = mirror({ to: hole.origin, timeout: 200, concurrency: 1, queue: 0 })
    const chain = await warmChainTo(server, layer)
    const clock = await stoppedClock()
    await call(chain, server.url('/'))
    await turns()
    await call(chain, server.url('/'))
    expect(layer.state()[server.origin]).toMatchObject({ mirrored: 1, dropped: 1, inUse: 1 })
    await clock.advance(200)
    expect(layer.state()[server.origin]).toMatchObject({ mirrored: 1, failed: 1, inUse: 0 })
  })

  it.each<[Partial<Record<keyof MirrorOptions | 'too', unknown>>, string]>([
    [
      { to: undefined },
      'mirror: to must be a layer, a list of layers, a Dispatcher or an http(s) origin, got undefined',
    ],
    [{ to: 'https://a.test/path' }, 'mirror: to must be an origin, with no path, got "https://a.test/path"'],
    [{ to: [bulkhead(), bulkhead()] }, 'mirror: to: bulkhead() stands twice'],
    [{ share: 1.1 }, 'mirror: share must be a number from 0 to 1, got 1.1'],
    [{ methods: 'GET' }, 'mirror: methods must be an array of methods, got "GET"'],
    [{ methods: ['GET', 'CONNECT'] }, 'mirror: methods must hold methods such as GET, and not CONNECT, got "CONNECT"'],
    [{ methods: ['a b'] }, 'mirror: methods must hold methods such as GET'],
    [{ concurrency: 0 }, 'mirror: concurrency must be a whole number of at least 1, got 0'],
    [{ queue: -1 }, 'mirror: queue must be a whole number of at least 0, got -1'],
    [{ timeout: 0 }, 'mirror: timeout must be a number from 1 to 2147483647, got 0'],
    [{ bodyLimit: 0.5 }, 'mirror: bodyLimit must be a whole number of at least 0, got 0.5'],
    [{ mark: true }, 'mirror: mark must be the name of a header, or false, got true'],
    [{ mark: 'a b' }, 'mirror: mark must be the name of a header, or false, got "a b"'],
    [{ onResult: 1 }, 'mirror: onResult must be a function, got 1'],
    [{ random: 1 }, 'mirror: random must be a function, got 1'],
    [{ too: 1 }, 'mirror: unknown option "too"'],
  ])('%o is refused, and leaves a layer as it is', (options, message) => {
    expect(() => mirror({ to: 'https://a.test', ...options } as MirrorOptions)).toThrow(message)
    if (options.to === undefined && 'to' in options) return
    const layer = mirror({ to: 'https://a.test' })
    expect(() => layer.update(options as Partial<MirrorOptions>)).toThrow(message)
  })

  it('has the defaults that it says it has', () => {
    const chain = compose(new Stub(), mirror({ to: 'https://a.test', share: 0.5 }))
    expect(chain.describe()[0]).toMatchObject({ options: { to: 'https://a.test', share: 0.5, timeout: 10_000 } })
    const { methods, ...others } = mirrorDefaults
    expect(methods).toEqual(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])
    expect(others).toEqual({
      share: 1,
      concurrency: 32,
      queue: 64,
      timeout: 10_000,
      bodyLimit: 1_048_576,
      mark: 'x-mirrored',
    })
  })
})
