import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { bulkhead, compose, retry } from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { recordedBytes } from '../../src/dispatchers/replay.ts'
import { call, chainTo, errorOf, eventually, protocols, quick, send, serve, turns } from './retry-servers.ts'

interface Source {
  readonly body: unknown
  /** Resolves when the source was closed before its end. */
  readonly closed: Promise<unknown>
}

/** Gives ten bytes, then stands still. */
function stalledGenerator(): Source {
  const closed = gate()
  async function* body() {
    try {
      yield '0123456789'
      // Not a promise that never resolves: a generator can be closed only where it yields.
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve))
        yield ''
      }
    } finally {
      closed.open()
    }
  }
  return { body: body(), closed: closed.promise }
}

function stalledNodeStream(): Source {
  let given = false
  const body = new Readable({
    read() {
      if (!given) this.push('0123456789')
      given = true
    },
  })
  return { body, closed: new Promise((resolve) => body.on('close', resolve)) }
}

function stalledWebStream(): Source {
  const closed = gate()
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(Buffer.from('0123456789')),
    pull: () => new Promise(() => {}),
    cancel: () => closed.open(),
  })
  return { body, closed: closed.promise }
}

const sources = [
  ['a generator', stalledGenerator],
  ['a Node stream', stalledNodeStream],
  ['a web stream', stalledWebStream],
] as const

describe.each(protocols)('the source of a body over HTTP/$version', ({ protocol }) => {
  describe.each(sources)('%s', (_, make) => {
    it.each([
      ['with a retry', retry(quick)],
      ['without a retry', null],
    ])('16: is closed when the call is given up while it is sent, %s', async (_name, layer) => {
      const server = await serve({ protocol })
      const chain = chainTo(server, layer)
      const { body, closed } = make()
      const abort = new AbortController()
      const failed = errorOf(send(chain, server.url(), { method: 'PUT', body, signal: abort.signal }))
      await eventually(() => server.requests[0]?.bodyLength === 10)
      abort.abort()
      expect(await failed).toBe(abort.signal.reason)
      await closed
      expect((await server.requests[0]?.closed)?.how).toBe('aborted')
      expect(server.requests[0]).toMatchObject({ complete: false, bodyLength: 10 })
      expect(recordedBytes()).toBe(0)
    })

    it('16: is closed when the call is given up in a backoff', async () => {
      const server = await serve({ protocol, respond: { status: 503, waitForBody: false } })
      const backingOff = gate()
      const retryOn = () => {
        backingOff.open()
        return undefined
      }
      const chain = chainTo(server, retry({ backoff: 5_000, retryOn }))
      const { body, closed } = make()
      const abort = new AbortController()
      const failed = errorOf(send(chain, server.url(), { method: 'PUT', body, signal: abort.signal }))
      await backingOff.promise
      abort.abort()
      await failed
      await closed
      expect(recordedBytes()).toBe(0)
    })

    it('16: is closed when attempts have run out', async () => {
      const server = await serve({ protocol, respond: { reset: 'before-head', waitForBody: false } })
      const chain = chainTo(server, retry({ ...quick, maxAttempts: 2 }))
      const { body, closed } = make()
      await errorOf(send(chain, server.url(), { method: 'PUT', body }))
      await closed
      expect(server.count()).toBe(2)
      expect(recordedBytes()).toBe(0)
    })

    it('16: is closed when it waits in a queue below the retry', async () => {
      const server = await serve({ protocol, respond: { '/busy': { hang: 'head' }, '*': 200 } })
      const slots = bulkhead({ limit: 1 })
      const chain = chainTo(server, retry(quick), slots)
      const busy = new AbortController()
      const first = errorOf(send(chain, server.url('/busy'), { signal: busy.signal }))
      const { body, closed } = make()
      const abort = new AbortController()
      const failed = errorOf(send(chain, server.url(), { method: 'PUT', body, signal: abort.signal }))
      expect(Object.values(slots.state())).toMatchObject([{ inUse: 1, queued: 1 }])
      abort.abort()
      await failed
      // Of a generator that has not begun, nothing is left to run.
      if (make === stalledGenerator) expect(await (body as AsyncGenerator).next()).toEqual({ done: true })
      else await closed
      busy.abort()
      await first
      expect(server.count('/')).toBe(0)
    })
  })

  it('16: a body that is still being sent when its answer ends is sent to its end, or not at all', async () => {
    const answered = gate()
    async function* body() {
      yield '01234'
      await answered.promise
      yield '56789'
    }
    const server = await serve({ protocol, respond: { body: 'early', waitForBody: false } })
    const chain = chainTo(server, retry(quick))
    expect(await call(chain, server.url(), { method: 'PUT', body: body() })).toEqual({ status: 200, text: 'early' })
    answered.open()
    await server.requests[0]?.received
    // HTTP/1.1 cannot go on with a request whose answer is complete; HTTP/2 does.
    const whole = protocol === 'h2'
    expect(server.requests[0]).toMatchObject({ complete: whole, bodyLength: whole ? 10 : 5 })
    await turns()
    expect(recordedBytes()).toBe(0)
  })

  it('16: a request that is passed on keeps the connection its answer goes back on', async () => {
    const upstream = await serve({ protocol, respond: { reset: 'before-head', waitForBody: false } })
    const chain = chainTo(upstream, retry({ ...quick, maxAttempts: 2 }))
    const gateway = createServer((incoming, outgoing) => {
      send(chain, upstream.url(), { method: 'PUT', body: incoming }).catch(() => outgoing.writeHead(502).end('bad'))
    })
    await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      gateway.close()
    })
    const { port } = gateway.address() as AddressInfo
    const outer = httpRequest({ host: '127.0.0.1', port, method: 'PUT', agent: false })
    const response = new Promise<IncomingMessage>((resolve, reject) =>
      outer.on('response', resolve).on('error', reject),
    )
    outer.write('not the end')
    expect((await response).statusCode).toBe(502)
    outer.destroy()
  })

  it('16: a source that fails in a queue ends its own call, nothing else', async () => {
    const held = gate()
    const server = await serve({ protocol, respond: [{ hold: held.promise }, 200] })
    for (const layers of [[bulkhead({ limit: 1 })], [retry(quick), bulkhead({ limit: 1 })]]) {
      const chain = chainTo(server, ...layers)
      const first = call(chain, server.url())
      const boom = new Error('boom')
      const body = new Readable({ read() {} })
      const second = errorOf(call(chain, server.url(), { method: 'PUT', body }))
      body.destroy(boom)
      await turns()
      held.open()
      expect((await first).status).toBe(200)
      expect(await second).toBe(boom)
      expect((await call(chain, server.url())).status).toBe(200)
    }
  })
})

/** A transport that leaves the body as it is when a request is given up. */
class Careless extends Dispatcher {
  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      pause: () => {},
      resume: () => {},
      abort: (reason: Error) => handler.onResponseError?.(controller, reason),
    }
    handler.onRequestStart?.(controller, null)
    ;(opts.body as Readable).on('data', () => {})
    return true
  }
}

it.each(sources)('16: %s is closed, whatever the transport does with it', async (_, make) => {
  const { body, closed } = make()
  const abort = new AbortController()
  const chain = compose(new Careless(), retry(quick))
  const failed = errorOf(send(chain, 'http://127.0.0.1', { method: 'PUT', body, signal: abort.signal }))
  await eventually(() => recordedBytes() === 10)
  abort.abort()
  await failed
  await closed
  expect(recordedBytes()).toBe(0)
})
