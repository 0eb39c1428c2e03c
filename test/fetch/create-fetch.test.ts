import { getEventListeners } from 'node:events'
import { type Dispatcher, FormData, Headers, interceptors, MockAgent, Request } from 'undici'
import { describe, expect, it } from 'vitest'
import { compose } from '../../src/dispatchers/compose.ts'
import { retry } from '../../src/dispatchers/retry.ts'
import { createFetch } from '../../src/fetch/create-fetch.ts'
import { gate } from '../../src/testing/index.ts'
import { protocols, RecordingDispatcher, serve } from './servers.ts'

type Init = RequestInit & { dispatcher?: Dispatcher; duplex?: 'half' }

const put = (body: unknown): Init => ({ method: 'PUT', body: body as BodyInit })

// U+D800 alone is no character: as UTF-8 it becomes U+FFFD.
const text = 'grüße 🐇 \ud800'
const textBytes = Buffer.from('grüße 🐇 \ufffd')
const view = new DataView(new Uint8Array([9, 9, 1, 2, 3, 9]).buffer, 2, 3)

const byteBodies = [
  ['a string', () => text, textBytes, 'text/plain;charset=UTF-8'],
  ['URLSearchParams', () => new URLSearchParams({ a: 'b c' }), Buffer.from('a=b+c'), /^application\/x-www-form-urlenc/],
  ['a Uint8Array', () => new Uint8Array([1, 2, 3]), Buffer.from([1, 2, 3]), undefined],
  ['an ArrayBuffer', () => new Uint8Array([1, 2, 3]).buffer, Buffer.from([1, 2, 3]), undefined],
  ['a DataView of a part', () => view, Buffer.from([1, 2, 3]), undefined],
  ['a Buffer', () => Buffer.from('abc'), Buffer.from('abc'), undefined],
  ['a Blob', () => new Blob(['abc'], { type: 'text/x' }), Buffer.from('abc'), 'text/x'],
] as const

const form = () => {
  const made = new FormData()
  made.append('a', 'b')
  made.append('file', new Blob(['content']), 'name.txt')
  return made
}

describe.each(protocols)('createFetch over $protocol', ({ protocol }) => {
  it.each(byteBodies)('hands %s on so that it can be sent again', async (_name, body, bytes, type) => {
    const { server, agent } = await serve({ protocol })
    const recorder = new RecordingDispatcher(agent)
    const fetch = createFetch(recorder)

    await fetch(server.url(), put(body()))
    await fetch(new Request(server.url(), put(body()) as object) as never)

    expect(recorder.seen).toHaveLength(2)
    for (const { body: given } of recorder.seen) {
      expect(typeof given === 'string' || given instanceof Uint8Array || given instanceof Blob).toBe(true)
    }
    for (const request of server.requests) {
      expect(await request.bytes()).toEqual(bytes)
      expect(request.headers['content-length']).toBe(String(bytes.length))
      if (type === undefined) expect(request.headers).not.toHaveProperty('content-type')
      else expect(request.headers['content-type']).toMatch(type)
    }
  })

  it.each([
    ['a string', () => text],
    ['an empty string', () => ''],
    ['bytes', () => new Uint8Array([1, 2, 3])],
    ['URLSearchParams', () => new URLSearchParams({ a: 'b' })],
    ['a Blob', () => new Blob(['abc'])],
    ['a FormData', form],
  ])('16: a PUT of %s that is sent again arrives whole', async (_name, body) => {
    const { server, agent } = await serve({ protocol, respond: [503, 200] })
    const again = interceptors.retry({ methods: ['PUT'], statusCodes: [503], minTimeout: 1, maxTimeout: 1 })

    const response = await createFetch(agent.compose(again))(server.url(), put(body()))

    expect(response.status).toBe(200)
    expect(server.requests).toHaveLength(2)
    const [first, second] = await Promise.all(server.requests.map((request) => request.bytes()))
    expect(second).toEqual(first)
    expect(server.requests[1]?.complete).toBe(true)
    expect(server.requests[1]?.headers['content-type']).toBe(server.requests[0]?.headers['content-type'])
  })

  it.each([
    ['a string', (url: string) => [url, put(text)] as const],
    ['a string in a Request', (url: string) => [new Request(url, put(text) as object)] as const],
    ['a form in a Request', (url: string) => [new Request(url, put(form()) as object)] as const],
    ['an empty string', (url: string) => [url, put('')] as const],
    ['a stream', (url: string) => [url, { ...put(new Blob([text]).stream()), duplex: 'half' }] as const],
  ])("16: the kit's retry sends a PUT of %s again, whole", async (_name, call) => {
    const { server, agent } = await serve({ protocol, respond: [503, 503, 200] })
    const api = compose(agent, retry({ backoff: { initialDelay: 1, maxDelay: 1 } }))
    const [input, init] = call(server.url())

    expect((await createFetch(api)(input as string, init as RequestInit)).status).toBe(200)

    const [first, ...others] = await Promise.all(server.requests.map((request) => request.bytes()))
    expect(others).toEqual([first, first])
    expect(server.requests.every(({ complete }) => complete)).toBe(true)
  })

  it.each([307, 308])('sends the same bytes again after a %i', async (status) => {
    const respond = { '/': { status, headers: { location: '/new' } }, '*': { echo: true } }
    const { server, agent } = await serve({ protocol, respond })
    const recorder = new RecordingDispatcher(agent)

    const response = await createFetch(recorder)(server.url(), put(text))

    expect(await response.json()).toMatchObject({ method: 'PUT', path: '/new', body: textBytes.toString() })
    expect(recorder.seen.map(({ body }) => body)).toEqual([textBytes.toString(), textBytes.toString()])
  })

  it.each([
    [301, 'POST'],
    [302, 'POST'],
    [303, 'PUT'],
  ])('sends no body after a %i to a %s', async (status, method) => {
    const respond = { '/': { status, headers: { location: '/new' } }, '*': { echo: true } }
    const { server, agent } = await serve({ protocol, respond })

    const response = await createFetch(agent)(server.url(), { method, body: text })

    expect(await response.json()).toMatchObject({ method: 'GET', path: '/new', bodyLength: 0 })
    expect(server.requests[1]?.headers).not.toHaveProperty('content-length')
    expect(server.requests[1]?.headers).not.toHaveProperty('content-type')
  })

  it('streams a big Blob instead of holding it whole', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const recorder = new RecordingDispatcher(agent)

    const response = await createFetch(recorder)(server.url(), put(new Blob([new Uint8Array(1024 * 1024 + 1)])))

    expect(recorder.seen[0]?.body).not.toBeInstanceOf(Blob)
    expect(await response.json()).toMatchObject({ bodyLength: 1024 * 1024 + 1 })
    expect(server.requests[0]?.headers['content-length']).toBe(String(1024 * 1024 + 1))
  })

  it('sends a form as it was when fetch was called', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const made = form()
    const call = createFetch(agent)(server.url(), put(made))
    made.append('late', 'x')

    const body = ((await (await call).json()) as { body: string }).body
    expect(body).toContain('filename="name.txt"')
    expect(body).not.toContain('late')
  })

  it('sends the form of a Request as it was when the Request was made', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    const made = form()
    const request = new Request(server.url(), { method: 'PUT', body: made })
    made.append('late', 'x')

    const response = await createFetch(agent)(request as never)
    expect(((await response.json()) as { body: string }).body).not.toContain('late')
  })

  it('16: sends a stream as it comes, once', async () => {
    const { server, agent } = await serve({ protocol, respond: { echo: true } })
    async function* chunks() {
      yield Buffer.from('one ')
      yield Buffer.from('two')
    }
    const init = { ...put(chunks()), duplex: 'half' }
    const response = await createFetch(agent)(server.url(), init as RequestInit)
    expect(await response.json()).toMatchObject({ body: 'one two' })
    expect(server.requests[0]?.headers).not.toHaveProperty('content-length')
  })

  it.each([
    ['an agent', (agent: Dispatcher) => agent],
    ["the kit's retry", (agent: Dispatcher) => compose(agent, retry())],
  ])('16: over %s, fails with the error of a body that fails', async (_name, over) => {
    const { server, agent } = await serve({ protocol })
    const failure = new Error('disk gone')
    // biome-ignore lint/correctness/useYield: it fails first
    async function* broken(): AsyncGenerator<Uint8Array> {
      throw failure
    }
    const init = { ...put(broken()), duplex: 'half' }
    const error = await createFetch(over(agent))(server.url(), init as RequestInit).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(TypeError)
    expect(error).toMatchObject({ message: 'fetch failed', cause: failure })
    expect(server.requests.length).toBeLessThanOrEqual(1)
  })

  it('rejects with the reason of an abort, before the head and within the body', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '/head': { hang: 'head' }, '*': { hang: 'body' } },
    })
    const fetch = createFetch(agent)
    const reason = new Error('enough')
    const before = new AbortController()
    const arrived = server.nextRequest('/head')
    const call = fetch(server.url('/head'), { signal: before.signal, ...put(text) })
    await arrived
    before.abort(reason)
    await expect(call).rejects.toBe(reason)

    const within = new AbortController()
    const response = await fetch(server.url('/body'), { signal: within.signal })
    const body = response.text()
    within.abort(reason)
    await expect(body).rejects.toBe(reason)
    // Both are over at the server, too.
    await Promise.all(server.requests.map((request) => request.closed))
  })

  it('fails as undici does where there is no server, and where a body breaks', async () => {
    const { server, agent } = await serve({ protocol, respond: { cut: true } })
    const response = await createFetch(agent)(server.url())
    await expect(response.text()).rejects.toMatchObject({ name: 'TypeError', message: 'terminated' })

    const refused = await serve({ protocol })
    await refused.server.refuseConnections()
    await expect(createFetch(refused.agent)(refused.server.url())).rejects.toMatchObject({
      name: 'TypeError',
      message: 'fetch failed',
      cause: { code: 'ECONNREFUSED' },
    })
  })

  it('leaves no listener behind on a signal that many calls share', async () => {
    const { server, agent } = await serve({ protocol, respond: { '*': 200, '/cut': { reset: 'before-head' } } })
    const fetch = createFetch(agent)
    const { signal } = new AbortController()
    for (let round = 0; round < 20; round++) {
      await (await fetch(server.url(), { signal, ...put(text) })).text()
      await fetch(server.url('/cut'), { signal }).catch(() => undefined)
    }
    // fetch lets go a turn after the body's end.
    await new Promise(setImmediate)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  it('takes the dispatcher of the call before the bound one', async () => {
    const { server, agent } = await serve({ protocol })
    const bound = new RecordingDispatcher(agent)
    const own = new RecordingDispatcher(agent)
    await createFetch(bound)(server.url(), { dispatcher: own, ...put('x') } as Init)
    expect([bound.seen.length, own.seen.length]).toEqual([0, 1])
    expect(own.seen[0]?.body).toBe('x')
  })
})

describe('createFetch', () => {
  it('keeps the referrer of a Request that comes alone', async () => {
    const { server, agent } = await serve({ protocol: 'h1c', respond: { echo: true } })
    const request = new Request(server.url(), { referrer: 'https://example.com/from', referrerPolicy: 'unsafe-url' })
    const response = await createFetch(agent)(request as never)
    expect(await response.json()).toMatchObject({ headers: { referer: 'https://example.com/from' } })
  })

  it('takes a Request as init, of which all members are getters', async () => {
    const { server, agent } = await serve({ protocol: 'h1c', respond: { echo: true } })
    const template = new Request('http://example.com', { method: 'PUT', headers: { 'x-own': 'yes' }, body: 'abc' })
    const response = await createFetch(agent)(server.url('/other'), template as unknown as RequestInit)
    const expected = { method: 'PUT', path: '/other', body: 'abc', headers: { 'x-own': 'yes' } }
    expect(await response.json()).toMatchObject(expected)
  })

  it('takes undici Headers and a URL', async () => {
    const { server, agent } = await serve({ protocol: 'h1c', respond: { echo: true } })
    const headers = new Headers({ 'x-own': 'yes' }) as unknown as globalThis.Headers
    const response = await createFetch(agent)(new URL(server.url('/u?q=1')), { headers })
    expect(await response.json()).toMatchObject({ path: '/u?q=1', headers: { 'x-own': 'yes' } })
  })

  it.each([5, 'x', true, Symbol('x')])('refuses %s for an init before anything is sent', async (init) => {
    const { server, agent } = await serve({ protocol: 'h1c' })
    await expect(createFetch(agent)(server.url(), init as never)).rejects.toBeInstanceOf(TypeError)
    expect(server.requests).toHaveLength(0)
  })

  it('takes a function for an init, as the standard does, and still uses its dispatcher', async () => {
    const { server, agent } = await serve({ protocol: 'h1c' })
    const recorder = new RecordingDispatcher(agent)
    await createFetch(recorder)(server.url(), Object.assign(() => undefined, { method: 'DELETE' }) as never)
    expect(recorder.seen).toMatchObject([{ method: 'DELETE' }])
  })

  it.each([undefined, null, {}, 'https://proxy'])('refuses %s for a dispatcher', (dispatcher) => {
    expect(() => createFetch(dispatcher as never)).toThrow(/^createFetch: dispatcher must be a Dispatcher/)
  })

  it('names a wrong dispatcher of a call', async () => {
    const { server, agent } = await serve({ protocol: 'h1c' })
    const call = createFetch(agent)(server.url(), { dispatcher: {} } as never)
    await expect(call).rejects.toThrow('fetch: init.dispatcher must be a Dispatcher')
  })

  it('looks like fetch', () => {
    const fetch = createFetch(new MockAgent())
    expect(fetch.name).toBe('fetch')
    expect(fetch).toHaveLength(1)
  })

  it('fails with the error of a dispatcher that throws', async () => {
    const failure = new Error('closed')
    const dispatcher = {
      dispatch() {
        throw failure
      },
    }
    const call = createFetch(dispatcher as never)('http://127.0.0.1')
    await expect(call).rejects.toMatchObject({ message: 'fetch failed', cause: failure })
  })

  describe('over a MockAgent', () => {
    // A layer that is a Dispatcher of its own hides that a MockAgent lies below.
    const ways = [
      ['bare', (mock: MockAgent) => mock],
      ['composed', (mock: MockAgent) => mock.compose((dispatch) => (options, handler) => dispatch(options, handler))],
      ['under another dispatcher', (mock: MockAgent) => new RecordingDispatcher(mock)],
    ] as const

    it.each(ways)('%s, matches a body given as text', async (_name, over) => {
      const mock = new MockAgent()
      mock.disableNetConnect()
      const pool = mock.get('http://mock.test')
      pool.intercept({ path: '/', method: 'PUT', body: 'a=b' }).reply(201, 'first').times(2)
      pool.intercept({ path: '/', method: 'PUT', body: (body) => body.endsWith('tail') }).reply(202, 'second')
      const fetch = createFetch(over(mock))

      expect((await fetch('http://mock.test/', put('a=b'))).status).toBe(201)
      expect((await fetch('http://mock.test/', put(new URLSearchParams({ a: 'b' })))).status).toBe(201)
      const second = await fetch('http://mock.test/', put('long tail'))
      expect([second.status, await second.text()]).toEqual([202, 'second'])
      mock.assertNoPendingInterceptors()
    })

    it('shows it every body as it was given', async () => {
      const mock = new MockAgent()
      mock.disableNetConnect()
      const shown: unknown[] = []
      const note = ({ body }: { body?: unknown }) => {
        shown.push(body)
        return 'ok'
      }
      mock.get('http://mock.test').intercept({ path: '/', method: 'PUT' }).reply(200, note).times(2)
      const fetch = createFetch(mock)
      const made = new FormData()
      const stream = new ReadableStream()
      await fetch(new Request('http://mock.test/', { method: 'PUT', body: made }) as never)
      await fetch('http://mock.test/', { ...put(stream), duplex: 'half' } as RequestInit)
      expect(shown[0]).toBe(made)
      expect(shown[1]).toBe(stream)
    })

    it.each(ways)('%s, passes a body on to the network where nothing matches', async (_name, over) => {
      const { server, agent } = await serve({ protocol: 'h1c', respond: { echo: true } })
      const mock = new MockAgent({ agent })
      mock.enableNetConnect()
      mock.get(server.origin).intercept({ path: '/mocked' }).reply(200)
      const response = await createFetch(over(mock))(server.url(), put(text))
      expect(await response.json()).toMatchObject({ body: textBytes.toString() })
    })
  })

  it('runs many calls with bodies at once', async () => {
    const { server, agent } = await serve({ protocol: 'h2', respond: { echo: true } })
    const fetch = createFetch(agent)
    const all = gate()
    const bodies = Array.from({ length: 40 }, (_, index) => `body ${index}`)
    server.script('*', async (request) => {
      if (request.number === bodies.length) all.open()
      await all.promise
      return { echo: true }
    })
    const echoes = await Promise.all(bodies.map(async (body) => (await fetch(server.url(), put(body))).json()))
    expect(echoes.map((echo) => (echo as { body: string }).body)).toEqual(bodies)
  })
})
