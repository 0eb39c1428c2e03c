import { AsyncLocalStorage } from 'node:async_hooks'
import { attemptTimeout, bulkhead, classify, compose, createAgent, deadline, retry } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import type { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { guard } from '../../src/dispatchers/guard.ts'
import { call, chainTo, errorOf, protocols, serve, warmChainTo } from './retry-servers.ts'

const store = new AsyncLocalStorage<string>()

/** Every call of the caller's own code, with the store it found there. */
class Trail {
  readonly seen: [string, string | undefined][] = []

  note(what: string): void {
    this.seen.push([what, store.getStore()])
  }

  get places(): string[] {
    return [...new Set(this.seen.map(([what]) => what))].sort()
  }

  get strangers(): [string, string | undefined][] {
    return this.seen.filter(([, found]) => found !== 'caller')
  }
}

function layersOf(trail: Trail) {
  return [
    classify(() => void trail.note('classify')),
    retry({
      backoff: () => {
        trail.note('backoff')
        return 1
      },
      retryOn: () => void trail.note('retryOn'),
      idempotent: () => {
        trail.note('idempotent')
        return true
      },
    }),
    guard({
      acquire: () => {
        trail.note('acquire')
        return { head: () => trail.note('head'), settle: () => trail.note('settle') }
      },
    }),
  ]
}

/** A handler of the caller's that notes every callback. */
function dispatchNoting(chain: Dispatcher, opts: Dispatcher.DispatchOptions, trail: Trail): Promise<unknown> {
  return new Promise((resolve) => {
    chain.dispatch(opts, {
      onRequestStart: () => trail.note('onRequestStart'),
      onResponseStart: (_controller, status) => trail.note(status < 200 ? 'interim' : 'onResponseStart'),
      onResponseData: () => trail.note('onResponseData'),
      onResponseEnd: () => {
        trail.note('onResponseEnd')
        resolve(undefined)
      },
      onResponseError: (_controller, error) => {
        trail.note('onResponseError')
        resolve(error)
      },
      onBodySent: () => trail.note('onBodySent'),
      onRequestSent: () => trail.note('onRequestSent'),
    } as Dispatcher.DispatchHandler)
  })
}

describe.each(protocols)("the caller's async context over HTTP/$version", ({ protocol }) => {
  it('38: is there in all code of the caller, after a retry on a connection that somebody else opened', async () => {
    const server = await serve({ protocol })
    const trail = new Trail()
    const chain = await store.run('opener', () => warmChainTo(server, layersOf(trail)))
    server.script('*', [503, { reset: 'before-head' }, 503, { early: [{ status: 103 }], body: ['a', 'b'] }])
    async function* body() {
      trail.note('generator')
      yield 'or'
      await new Promise((resolve) => setImmediate(resolve))
      trail.note('generator')
      yield 'der'
    }
    const opts = { origin: server.origin, path: '/', method: 'POST' as const }
    await store.run('caller', () => dispatchNoting(chain, { ...opts, body: body() as never }, trail))
    expect(trail.strangers).toEqual([])
    expect(trail.places).toEqual(
      [
        'acquire',
        'backoff',
        'classify',
        'generator',
        'head',
        'idempotent',
        'interim',
        'onBodySent',
        'onRequestSent',
        'onRequestStart',
        'onResponseData',
        'onResponseEnd',
        'onResponseStart',
        'retryOn',
        'settle',
      ].sort(),
    )
    expect(server.count()).toBe(4)
  })

  it('38: is there in a body that is written by whoever opened the connection', async () => {
    const server = await serve({ protocol })
    const agent = createAgent({ connections: 1, connect: { ca: server.ca ?? '' } })
    const chain = compose(agent, retry())
    onTestFinished(() => chain.destroy())
    const trail = new Trail()
    async function* body() {
      trail.note('generator')
      yield 'x'
    }
    // Both wait for the one connection, and are written when it is there.
    const opener = store.run('opener', () => call(chain, server.url()))
    const caller = store.run('caller', () => call(chain, server.url(), { method: 'PUT', body: body() }))
    await Promise.all([opener, caller])
    expect(trail.seen).toEqual([['generator', 'caller']])
  })

  it('38: is there in functions that make a body, each time', async () => {
    const server = await serve({ protocol })
    const trail = new Trail()
    const chain = await store.run('opener', () => warmChainTo(server, layersOf(trail)))
    server.script('*', [503, 503, 200])
    const body = () => {
      trail.note('function')
      return 'order'
    }
    await store.run('caller', () => call(chain, server.url(), { method: 'PUT', body }))
    expect(trail.seen.filter(([what]) => what === 'function')).toHaveLength(3)
    expect(trail.strangers).toEqual([])
  })

  it('38: is there where two calls share a connection and a queue', async () => {
    const server = await serve({ protocol })
    const trails = { first: new Trail(), second: new Trail() }
    const slots = bulkhead({ limit: 1 })
    const ground = await store.run('opener', () => warmChainTo(server))
    server.script('*', [503, 503, { body: 'x' }])
    const calls = (['first', 'second'] as const).map((name) => {
      const chain = compose(ground, layersOf(trails[name]), slots)
      return store.run(name, () =>
        dispatchNoting(chain, { origin: server.origin, path: '/', method: 'GET' }, trails[name]),
      )
    })
    await Promise.all(calls)
    for (const name of ['first', 'second'] as const) {
      expect(new Set(trails[name].seen.map(([, found]) => found))).toEqual(new Set([name]))
    }
  })

  it.each([
    ['an attempt timeout', attemptTimeout(20)],
    ['a deadline', deadline(20)],
  ])('38: is there where %s ends a call', async (_, layer) => {
    const server = await serve({ protocol, respond: { hang: 'head' } })
    // The timers of a duration are shared: somebody else's call has set them going.
    const somebody = new AbortController()
    const other = store.run('somebody', () =>
      errorOf(call(chainTo(server, layer), server.url(), { signal: somebody.signal })),
    )
    const trail = new Trail()
    const own = chainTo(server, layer, retry({ maxAttempts: 1, retryOn: () => void trail.note('retryOn') }))
    const error = await store.run('caller', () =>
      dispatchNoting(own, { origin: server.origin, path: '/', method: 'GET' }, trail),
    )
    expect(error).toMatchObject({ code: expect.stringMatching(/TIMEOUT|DEADLINE/) })
    expect(trail.places).toContain('onResponseError')
    expect(trail.strangers).toEqual([])
    somebody.abort()
    await other
  })

  it('38: is there where a deadline ends a call in a queue', async () => {
    const held = gate()
    const server = await serve({ protocol, respond: { '/busy': { hold: held.promise }, '*': 200 } })
    const slots = bulkhead({ limit: 1 })
    const bound = deadline(25)
    const ground = chainTo(server)
    const chain = ground.compose(slots, bound)
    const busy = store.run('somebody', () => call(ground.compose(slots), server.url('/busy')))
    await server.until(() => server.count('/busy') === 1)
    // The timers of a duration are shared: somebody else's call has set them going.
    const other = store.run('somebody', () => errorOf(call(chain, server.url())))
    const trail = new Trail()
    const opts = { origin: server.origin, path: '/', method: 'GET' as const }
    const error = await store.run('caller', () => dispatchNoting(chain, opts, trail))
    expect(error).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    expect(trail.strangers).toEqual([])
    await other
    held.open()
    await busy
  })

  it('38: is there in the body of a call that waited in a queue', async () => {
    const held = gate()
    const server = await serve({ protocol, respond: { '/busy': { hold: held.promise }, '*': 200 } })
    const slots = bulkhead({ limit: 1 })
    const chain = chainTo(server, slots)
    const trail = new Trail()
    const busy = store.run('somebody', () => call(chain, server.url('/busy')))
    const body = () => {
      trail.note('function')
      return (function* () {
        trail.note('generator')
        yield 'x'
      })()
    }
    const queued = store.run('caller', () => call(chain, server.url(), { method: 'PUT', body }))
    held.open()
    await Promise.all([busy, queued])
    expect(trail.places).toEqual(['function', 'generator'])
    expect(trail.strangers).toEqual([])
  })
})
