import { sensitiveHeaders } from 'node:http2'
import { type Dispatcher, interceptors, MockAgent, fetch as plainFetch, request } from 'undici'
import { describe, expect, it } from 'vitest'
import { protocolOfHead } from '../../src/dispatchers/protocol.ts'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { protocolOf } from '../../src/fetch/protocol.ts'
import { protocols, RecordingDispatcher, serve } from './servers.ts'

type Head = Parameters<typeof protocolOfHead>

/** What a layer near the transport does: it asks for the protocol of every head, and puts its own controller above. */
function asking(heads: unknown[]): Dispatcher.DispatcherComposeInterceptor {
  class Controller {
    readonly inner: Dispatcher.DispatchController
    constructor(inner: Dispatcher.DispatchController) {
      this.inner = inner
    }
    get rawHeaders() {
      return this.inner.rawHeaders
    }
    resume() {
      this.inner.resume()
    }
    pause() {
      this.inner.pause()
    }
  }
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
      onResponseStart: (controller, status, headers, message) => {
        heads.push(protocolOfHead(controller, headers))
        handler.onResponseStart?.(new Controller(controller) as never, status, headers, message)
      },
      onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
      onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
    })
}

describe.each(protocols)('protocolOf over $protocol', ({ protocol, version }) => {
  it('36: tells the protocol of a fetch response', async () => {
    const { server, agent } = await serve({ protocol, respond: { body: 'x' } })
    const response = await createFetch(agent)(server.url())
    expect(protocolOf(response)).toBe(version)
    await response.text()
    expect(server.requests[0]?.protocol).toBe(version)
    expect(protocolOf(response)).toBe(version)
  })

  it('36: tells the protocol of what undici.request gives', async () => {
    const { server, agent } = await serve({ protocol, respond: { headers: { 'x-a': ['1', '2'] } } })
    const response = await request(server.url(), { dispatcher: agent })
    await response.body.dump()
    expect(protocolOf(response)).toBe(version)
  })

  it('36: tells the protocol of a head to a layer, interim heads too', async () => {
    const { server, agent } = await serve({ protocol, respond: { early: [{ headers: { link: '</a>' } }], body: 'x' } })
    const heads: unknown[] = []
    const response = await createFetch(agent.compose(asking(heads)))(server.url())
    expect(heads).toEqual([version, version])
    expect(protocolOf(response)).toBe(version)
    expect(await response.text()).toBe('x')
  })

  it('36: tells it through layers of undici that change the head', async () => {
    const { server, agent } = await serve({ protocol, respond: { headers: { 'x-a': '1' }, body: 'x' } })
    const chain = agent.compose(interceptors.decompress(), interceptors.retry(), interceptors.redirect())
    expect(protocolOf(await createFetch(chain)(server.url()))).toBe(version)
    const data = await request(server.url(), { dispatcher: chain })
    await data.body.dump()
    expect(protocolOf(data)).toBe(version)
  })

  it('36: does not know the protocol of a response from a cache', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { headers: { 'cache-control': 'max-age=60', 'x-a': '1' }, body: 'x' },
    })
    const heads: unknown[] = []
    const chain = agent.compose(interceptors.cache(), asking(heads))
    for (const expected of [version, undefined]) {
      const response = await createFetch(chain)(server.url())
      await response.text()
      expect(protocolOf(response)).toBe(expected)
    }
    const cached = await request(server.url(), { dispatcher: chain })
    await cached.body.dump()
    expect(protocolOf(cached)).toBeUndefined()
    expect(heads).toEqual([version, undefined, undefined])
    expect(server.requests).toHaveLength(1)
  })

  it('36: does not guess at a response that another fetch made, or at raw headers', async () => {
    const { server, agent } = await serve({ protocol })
    const response = await plainFetch(server.url(), { dispatcher: agent })
    expect(protocolOf(response as unknown as Response)).toBeUndefined()
    const raw = await request(server.url(), { dispatcher: agent, responseHeaders: 'raw' })
    await raw.body.dump()
    expect(protocolOf(raw)).toBeUndefined()
  })
})

class Kept {
  readonly rawHeaders = [Buffer.from('x-a'), Buffer.from('1')]
}

describe('protocolOf', () => {
  it('36: tells the protocol of the last hop of a redirect', async () => {
    const { server: last, agent } = await serve({ protocol: 'h2' })
    const { server: first, agent: second } = await serve({
      protocol: 'h1c',
      respond: { status: 302, headers: { location: last.url() } },
    })
    const byOrigin = new RecordingDispatcher(agent)
    byOrigin.dispatch = (options, handler) =>
      (options.origin === first.origin ? second : agent).dispatch(options, handler)
    expect(protocolOf(await createFetch(byOrigin)(first.url()))).toBe('2')
  })

  it('36: knows none of a mocked response, also above a layer that hides the mock', async () => {
    const mock = new MockAgent()
    mock.disableNetConnect()
    mock
      .get('http://mock.test')
      .intercept({ path: '/' })
      .reply(200, 'x', { headers: { 'x-a': '1' } })
      .persist()
    const heads: unknown[] = []
    const chain = mock.compose(asking(heads))
    expect(protocolOf(await createFetch(mock)('http://mock.test/'))).toBeUndefined()
    expect(protocolOf(await createFetch(chain)('http://mock.test/'))).toBeUndefined()
    const data = await request('http://mock.test/', { dispatcher: chain })
    await data.body.dump()
    expect(protocolOf(data)).toBeUndefined()
    expect(heads).toEqual([undefined, undefined])
  })

  it.each<[string, Head]>([
    ['no controller', [null, {}]],
    ['a controller without raw headers', [{}, {}]],
    ['raw headers that are null', [{ rawHeaders: null }, null]],
    ['raw headers that are an object of nobody', [{ rawHeaders: {} }, {}]],
    ['what a cache kept of HTTP/2, behind any controller', [new Kept(), { [sensitiveHeaders]: [] }]],
  ])('36: knows none from %s', (_name, head) => {
    expect(protocolOfHead(...head)).toBeUndefined()
  })
})
