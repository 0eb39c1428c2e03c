import {
  attemptTimeout,
  bulkhead,
  compose,
  createAgent,
  createFetch,
  deadline,
  type Outcome,
  retry,
} from 'roundtripper'
import { gate, startBlackhole, type TestServer } from 'roundtripper/testing'
import { type Dispatcher, errors } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, chainTo, errorOf, eventually, protocols, quick, send, serve, turns } from './retry-servers.ts'

const reasons: readonly (readonly [string, unknown])[] = [
  ['an Error', new Error('enough')],
  ['an Error with a code of undici', new errors.SocketError('enough')],
  ['a TimeoutError', new DOMException('late', 'TimeoutError')],
  ['a string', 'enough'],
  ['a number', 7],
  ['an object', { enough: true }],
  ['nothing', undefined],
]

/** A call that stands in its backoff. */
async function backingOff(server: TestServer, init: { signal: AbortSignal; body?: string; method?: string }) {
  const decided = gate()
  const retryOn = ({ kind }: Outcome) => {
    if (kind === 'serverError') decided.open()
    return undefined
  }
  const chain = chainTo(server, retry({ backoff: 60_000, maxDelay: 60_000, retryOn }))
  const failed = errorOf(call(chain, server.url(), init))
  await decided.promise
  return { chain, failed }
}

function generatorThatAborts(abort: () => void): AsyncGenerator<string> {
  return (async function* () {
    abort()
    yield 'never read'
  })()
}

function functionThatAborts(abort: () => void): () => string {
  return () => {
    abort()
    return 'never sent'
  }
}

describe.each(protocols)('aborts over HTTP/$version', ({ protocol }) => {
  describe.each(reasons)('for %s', (_, reason) => {
    it('17: in a backoff it settles at once with the reason of the caller, and nothing more is sent', async () => {
      const server = await serve({ protocol, respond: 503 })
      const abort = new AbortController()
      const { failed } = await backingOff(server, { signal: abort.signal, method: 'PUT', body: 'text' })
      abort.abort(reason)
      expect(await failed).toBe(abort.signal.reason)
      await turns()
      expect(server.count()).toBe(1)
    })

    it('17: in a queue it settles at once with the reason of the caller, and nothing is sent', async () => {
      const held = gate()
      const server = await serve({ protocol, respond: { '/busy': { hold: held.promise }, '*': 200 } })
      const slots = bulkhead({ limit: 1, queue: 1 })
      const chain = chainTo(server, retry(quick), slots)
      const busy = call(chain, server.url('/busy'))
      const abort = new AbortController()
      const failed = errorOf(call(chain, server.url(), { signal: abort.signal }))
      abort.abort(reason)
      expect(await failed).toBe(abort.signal.reason)
      expect(slots.state()[server.origin]).toMatchObject({ inUse: 1, queued: 0 })
      held.open()
      await busy
      await turns()
      expect(server.count('/')).toBe(0)
    })

    it('17: before the head it settles at once with the reason of the caller, and nothing more is sent', async () => {
      const server = await serve({ protocol, respond: { hang: 'head' } })
      const chain = chainTo(server, retry(quick))
      const abort = new AbortController()
      const failed = errorOf(call(chain, server.url(), { signal: abort.signal }))
      await server.until(() => server.count() === 1)
      abort.abort(reason)
      expect(await failed).toBe(abort.signal.reason)
      expect((await server.requests[0]?.closed)?.how).toBe('aborted')
      expect(server.count()).toBe(1)
    })

    it('17: through fetch, in a backoff, it settles at once with the reason of the caller', async () => {
      const server = await serve({ protocol, respond: 503 })
      const decided = gate()
      const retryOn = () => {
        decided.open()
        return undefined
      }
      const fetch = createFetch(chainTo(server, retry({ backoff: 60_000, maxDelay: 60_000, retryOn })))
      const abort = new AbortController()
      const failed = errorOf(fetch(server.url(), { signal: abort.signal }))
      await decided.promise
      abort.abort(reason)
      expect(await failed).toBe(abort.signal.reason)
      await turns()
      expect(server.count()).toBe(1)
    })
  })

  it('17: while the connection is being made it settles at once, and nothing is sent', async () => {
    const blackhole = await startBlackhole()
    onTestFinished(() => blackhole.close())
    const chain = chainTo({}, retry(quick), attemptTimeout())
    const abort = new AbortController()
    const failed = errorOf(send(chain, blackhole.url(), { signal: abort.signal }))
    await eventually(() => blackhole.connections.opened === 1)
    abort.abort()
    expect(await failed).toBe(abort.signal.reason)
    await turns()
    expect(blackhole.connections.opened).toBe(1)
  })

  it('17: before it began nothing is sent', async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry(quick))
    const signal = AbortSignal.abort(new Error('enough'))
    expect(await errorOf(call(chain, server.url(), { signal }))).toBe(signal.reason)
    expect(await errorOf(createFetch(chain)(server.url(), { signal }))).toBe(signal.reason)
    await turns()
    expect(server.count()).toBe(0)
  })

  it('17: given up by its controller without a reason, it fails as in undici, wherever it stands', async () => {
    const server = await serve({ protocol, respond: { '/503': 503, '/hang': { hang: 'head' } } })
    const blackhole = await startBlackhole()
    onTestFinished(() => blackhole.close())
    const chain = chainTo(server, retry({ backoff: 60_000, maxDelay: 60_000 }))
    for (const url of [server.url('/503'), server.url('/hang'), blackhole.url()]) {
      const { origin, pathname } = new URL(url)
      let controller: Dispatcher.DispatchController | undefined
      const failed = new Promise((resolve) => {
        chain.dispatch(
          { origin, path: pathname, method: 'GET' },
          {
            onRequestStart: (given) => {
              controller = given
            },
            onResponseError: (_controller, error) => resolve(error),
          },
        )
      })
      if (origin === server.origin) await server.until(() => server.count(pathname) === 1)
      controller?.abort(undefined as never)
      expect(await failed).toBeInstanceOf(errors.RequestAbortedError)
    }
    expect(server.count()).toBe(2)
  })

  it('17: a deadline in a backoff that cannot end in time never comes: the response is returned at once', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'busy' } })
    const chain = chainTo(server, deadline(50), retry({ backoff: 50, maxDelay: 60_000 }))
    expect(await call(chain, server.url())).toEqual({ status: 503, text: 'busy' })
    expect(server.count()).toBe(1)
  })

  it('17: destroy() ends calls in a backoff at once, and nothing more is sent', async () => {
    const server = await serve({ protocol, respond: 503 })
    const { chain, failed } = await backingOff(server, { signal: new AbortController().signal })
    await chain.destroy()
    expect(await failed).toBeInstanceOf(errors.ClientDestroyedError)
    expect(server.count()).toBe(1)
  })

  it('17: a body that gives up its own call ends it, and the agent goes on working', async () => {
    const server = await serve({ protocol })
    for (const layer of [retry(quick), null]) {
      const chain = chainTo(server, layer)
      for (let round = 0; round < 2; round++) {
        for (const make of [generatorThatAborts, functionThatAborts]) {
          const abort = new AbortController()
          const reason = new Error('from within')
          const body = make(() => abort.abort(reason))
          const failed = errorOf(call(chain, server.url(), { method: 'PUT', body, signal: abort.signal }))
          expect(await failed).toBe(reason)
          expect(await call(chain, server.url(), { method: 'PUT', body: 'fine' })).toMatchObject({ status: 200 })
        }
      }
    }
    const given = server.requests.filter(({ complete }) => complete)
    expect(given.map(({ body }) => String(body))).toEqual(Array(8).fill('fine'))
    for (const { complete, closed } of server.requests) {
      if (!complete) expect((await closed).how).toBe('aborted')
    }
  })
})

describe('a chain without a retry', () => {
  it('17: where the function that makes the body gives up, no connection is made', async () => {
    const server = await serve({ protocol: 'h2' })
    const abort = new AbortController()
    const body = functionThatAborts(() => abort.abort())
    await errorOf(call(chainTo(server), server.url(), { method: 'PUT', body, signal: abort.signal }))
    await turns()
    expect(server.connections.opened).toBe(0)
  })

  it('17: in a queue an abort settles at once, and nothing is sent', async () => {
    const held = gate()
    const server = await serve({ protocol: 'h2', respond: { '/busy': { hold: held.promise }, '*': 200 } })
    const chain = compose(createAgent({ connect: { ca: server.ca ?? '' } }), bulkhead({ limit: 1 }))
    onTestFinished(() => chain.destroy())
    const busy = call(chain, server.url('/busy'))
    const abort = new AbortController()
    const failed = errorOf(call(chain, server.url(), { signal: abort.signal }))
    abort.abort()
    expect(await failed).toBe(abort.signal.reason)
    held.open()
    await busy
    expect(server.count('/')).toBe(0)
  })
})
