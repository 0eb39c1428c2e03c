// A chain is a dispatcher: everything that undici does with one, over everything that undici calls one.
import { type EventEmitter, once } from 'node:events'
import { PassThrough, type Readable, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { compose, createAgent, guard, type Layer, logging, retry, type Scope, standard } from 'roundtripper'
import { startServer, type TestServer } from 'roundtripper/testing'
import {
  Agent,
  Client,
  type Dispatcher,
  errors,
  fetch,
  getGlobalDispatcher,
  interceptors,
  Pool,
  request,
  setGlobalDispatcher,
} from 'undici'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { errorOf, protocols } from './retry-servers.ts'

const quiet = { logger: { debug() {}, info() {}, warn() {} } }
const layers = () => standard({ logging: quiet, retry: { backoff: 1 } })

function keep<D extends Dispatcher>(dispatcher: D): D {
  onTestFinished(() => dispatcher.destroy())
  return dispatcher
}

describe.each(protocols)("undici's methods on a chain over HTTP/$version", ({ protocol, version }) => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({
      protocol,
      respond: {
        '/hello': { body: 'hello', headers: { 'x-tell': 'told' }, trailers: { 'x-sum': '5' } },
        '/echo': { echo: true },
        '/tunnel': version === '2' ? 200 : { status: 101, headers: { upgrade: 'websocket', connection: 'upgrade' } },
        '*': 200,
      },
    })
  })
  afterAll(() => server.close())

  const connect = () => ({ connect: { ca: server.ca! } })
  const grounds: readonly (readonly [string, () => Dispatcher])[] = [
    ['createAgent()', () => createAgent(connect())],
    ["undici's Agent", () => new Agent(connect())],
    ['a Pool', () => new Pool(server.origin, connect())],
    ['a Client', () => new Client(server.origin, connect())],
    ['another chain', () => compose(createAgent(connect()), guard({ acquire: () => null }))],
    ['agent.compose(...)', () => createAgent(connect()).compose(retry())],
    ["undici's interceptors", () => new Agent(connect()).compose(interceptors.redirect({ maxRedirections: 1 }))],
  ]

  describe.each(grounds)('over %s', (_name, ground) => {
    const chainOf = () => keep(compose(ground(), layers()))

    it('48: request', async () => {
      const { statusCode, headers, body, trailers } = await chainOf().request({
        origin: server.origin,
        path: '/hello',
        method: 'GET',
      })
      expect([statusCode, headers['x-tell'], await body.text()]).toEqual([200, 'told', 'hello'])
      expect(trailers).toEqual({ 'x-sum': '5' })
    })

    it('48: stream', async () => {
      const chunks: Buffer[] = []
      const sink = new Writable({
        write(chunk, _encoding, done) {
          chunks.push(chunk)
          done()
        },
      })
      const opts = { origin: server.origin, path: '/hello', method: 'GET' as const }
      await chainOf().stream(opts, ({ statusCode }) => {
        expect(statusCode).toBe(200)
        return sink
      })
      expect(Buffer.concat(chunks).toString()).toBe('hello')
    })

    it('48: pipeline', async () => {
      const opts = { origin: server.origin, path: '/echo', method: 'PUT' as const }
      const duplex = chainOf().pipeline(opts, ({ body }) => (body as Readable).pipe(new PassThrough()))
      duplex.end('through the pipe')
      expect(JSON.parse(await text(duplex))).toMatchObject({ body: 'through the pipe', protocol: version })
    })

    it('48: upgrade', async () => {
      const opts = { origin: server.origin, path: '/tunnel', protocol: 'websocket' }
      const { socket } = await chainOf().upgrade(opts as never)
      socket.write('ping')
      expect(String((await once(socket, 'data'))[0])).toBe('ping')
      socket.destroy()
    })

    it('48: connect', async () => {
      const { socket, statusCode } = await chainOf().connect({
        origin: server.origin,
        path: 'example.com:443',
      } as never)
      expect(statusCode).toBe(200)
      socket.write('ping')
      expect(String((await once(socket, 'data'))[0])).toBe('ping')
      socket.destroy()
    })

    it("48: undici's request and fetch with { dispatcher }", async () => {
      const dispatcher = chainOf()
      const { body } = await request(`${server.origin}/hello`, { dispatcher })
      expect(await body.text()).toBe('hello')
      const response = await fetch(`${server.origin}/hello`, { dispatcher })
      expect([response.headers.get('x-tell'), await response.text()]).toEqual(['told', 'hello'])
    })
  })

  it('48: an aborted signal, before and after dispatch', async () => {
    const chain = keep(compose(createAgent(connect()), layers()))
    const seen = server.requests.length
    const before = AbortSignal.abort(new Error('before'))
    expect(await errorOf(request(`${server.origin}/hello`, { dispatcher: chain, signal: before }))).toBe(before.reason)
    const after = new AbortController()
    const failed = errorOf(request(`${server.origin}/hello`, { dispatcher: chain, signal: after.signal }))
    after.abort(new Error('after'))
    expect(await failed).toBe(after.signal.reason)
    expect(server.requests.length).toBe(seen)
  })

  it('a chain serves as the global dispatcher', async () => {
    const chain = keep(compose(createAgent(connect()), layers()))
    const before = getGlobalDispatcher()
    setGlobalDispatcher(chain)
    try {
      const { body } = await request(`${server.origin}/hello`)
      expect(await body.text()).toBe('hello')
      expect(await (await fetch(`${server.origin}/hello`)).text()).toBe('hello')
    } finally {
      setGlobalDispatcher(before)
    }
  })

  it("what undici's compose() makes of a chain can be used and closed", async () => {
    const chain = compose(createAgent(connect()), layers())
    const composed = keep(chain.compose(interceptors.redirect({ maxRedirections: 1 }), retry()))
    const { body } = await composed.request({ origin: server.origin, path: '/hello', method: 'GET' })
    expect(await body.text()).toBe('hello')
    await composed.close()
    expect([chain.closed, chain.destroyed]).toEqual([true, true])
  })

  it('layers of a chain on a chain share one call', async () => {
    const scopes: Scope[] = []
    const note = () =>
      guard({
        acquire(scope) {
          scopes.push(scope)
          return null
        },
      })
    const inner = compose(createAgent(connect()), note())
    const outer = keep(compose(inner, note(), retry({ backoff: 1 }), note()))
    const { body } = await outer.request({ origin: server.origin, path: '/hello', method: 'GET' })
    await body.dump()
    const [call, attempt, below] = scopes as [Scope, Scope, Scope]
    expect(scopes.map(({ number }) => number)).toEqual([0, 1, 1])
    expect(below).toBe(attempt)
    expect(attempt.exchange).toBe(call)
  })
})

describe('what a chain is told, and tells', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ protocol: 'h1c' })
  })
  afterAll(() => server.close())

  it.each<[string, (origin: string) => Dispatcher, (origin: string) => string | undefined]>([
    ['an Agent', () => new Agent(), () => undefined],
    ['a Pool', (origin) => new Pool(origin), (origin) => origin],
    ['a Client', (origin) => new Client(origin), (origin) => origin],
    ['a chain on a Pool', (origin) => compose(new Pool(origin), retry()), (origin) => origin],
  ])('interceptors get the origin of %s as second argument, as in agent.compose', async (_name, ground, expected) => {
    const told: unknown[] = []
    const listening = ((dispatch: Dispatcher['dispatch'], origin: unknown) => {
      told.push(origin)
      return (opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => dispatch(opts, handler)
    }) as Layer
    keep(compose(ground(server.origin), listening, retry(), listening))
    expect(told).toEqual([expected(server.origin), expected(server.origin)])
  })

  it('layers see the origin of a Pool where the options name none', async () => {
    const origins: string[] = []
    const chain = keep(
      compose(
        compose(new Pool(server.origin), retry()),
        guard({
          acquire(scope) {
            origins.push(scope.origin)
            return null
          },
        }),
      ),
    )
    const { body } = await chain.request({ path: '/', method: 'GET' } as never)
    await body.dump()
    expect(origins).toEqual([server.origin])
  })

  it('its statistics and limits are those of the agent', async () => {
    const agent = new Agent({ webSocket: { maxPayloadSize: 7 }, eventSource: { maxEventSize: 9 } } as never)
    const chain = keep(compose(agent, retry()))
    const { body } = await request(server.origin, { dispatcher: chain })
    await body.dump()
    expect(chain.stats).toEqual(agent.stats)
    expect(Object.keys(chain.stats as object)).toEqual([server.origin])
    expect(chain.webSocketOptions).toMatchObject({ maxPayloadSize: 7 })
    expect(chain.eventSourceOptions).toMatchObject({ maxEventSize: 9 })
  })

  it('every event of the agent is heard through the chain, and the agent keeps no listener', async () => {
    const agent = createAgent({ connections: 1, pipelining: 1 })
    const chain = keep(compose(agent, retry({ maxAttempts: 1 })))
    const heard: string[] = []
    const note = (name: string) => () => heard.push(name)
    const names = ['connect', 'disconnect', 'connectionError', 'drain'] as const
    const listeners = names.map((name) => [name, note(name)] as const)
    for (const [name, listener] of listeners) expect((chain as EventEmitter).on(name, listener)).toBe(chain)
    const disconnected = once(chain, 'disconnect')
    const drained = once(chain, 'drain')
    const answers = [1, 2, 3].map(async () => {
      const { body } = await request(server.origin, { dispatcher: chain })
      await body.dump()
    })
    await Promise.all([...answers, drained])
    await server.resetConnections()
    await disconnected
    await errorOf(request('http://127.0.0.1:1', { dispatcher: chain }))
    expect([...new Set(heard)].sort()).toEqual([...names].sort())
    for (const [name, listener] of listeners) (chain as EventEmitter).off(name, listener)
    expect([...agent.eventNames(), ...chain.eventNames()]).toEqual([])
  })

  it('fifty chains on one agent leave no listener, and no warning', async () => {
    const agent = keep(createAgent())
    const warnings: Error[] = []
    const note = (warning: Error) => warnings.push(warning)
    process.on('warning', note)
    onTestFinished(() => {
      process.off('warning', note)
    })
    const chains = Array.from({ length: 50 }, () => compose(agent, logging(quiet), retry()))
    await Promise.all(
      chains.map(async (dispatcher) => {
        const { body } = await request(server.origin, { dispatcher })
        await body.dump()
      }),
    )
    await new Promise((resolve) => setImmediate(resolve))
    expect([agent.eventNames(), warnings]).toEqual([[], []])
  })
})

describe('what dispatch is given', () => {
  const calls: readonly (readonly [string, () => Dispatcher])[] = [
    ['a chain', () => compose(new Agent(), retry())],
    ['a layer in agent.compose', () => new Agent().compose(logging(quiet))],
    ['retry() in agent.compose', () => new Agent().compose(retry())],
  ]
  const legacy = { onConnect() {}, onHeaders() {}, onData() {}, onComplete() {}, onError() {} }

  it.each(calls)("%s: a handler of undici's older interface is refused, not left waiting", (_name, make) => {
    const dispatcher = keep(make())
    const opts = { origin: 'http://127.0.0.1:1', path: '/', method: 'GET' as const }
    for (const [handler, message] of [
      [legacy, /must have onRequestStart and onResponseError\. The fetch built into Node .*createFetch\(dispatcher\)/],
      [null, /handler must be an object/],
      [undefined, /handler must be an object/],
      [() => undefined, /handler must be an object/],
    ] as const) {
      expect(() => dispatcher.dispatch(opts, handler as never)).toThrow(errors.InvalidArgumentError)
      expect(() => dispatcher.dispatch(opts, handler as never)).toThrow(message)
    }
  })

  it.each<[unknown, RegExp]>([
    [null, /opts must be an object, got null/],
    [undefined, /opts must be an object, got undefined/],
    ['http://127.0.0.1', /opts must be an object, got string/],
    [
      { dispatcher: {}, origin: 'http://127.0.0.1:1', path: '/', method: 'GET' },
      /belongs to undici\.request and fetch/,
    ],
    [{ path: '/', method: 'GET' }, /opts\.origin must be a non-empty string or URL/],
  ])('%o as options is told to the handler', async (opts, message) => {
    const chain = keep(compose(new Agent(), retry()))
    const told: Error[] = []
    chain.dispatch(opts as never, { onRequestStart() {}, onResponseError: (_controller, error) => told.push(error) })
    expect(told).toHaveLength(1)
    expect(told[0]).toBeInstanceOf(errors.InvalidArgumentError)
    expect(told[0]?.message).toMatch(message)
  })

  it('{ dispatcher: null } says nothing', async () => {
    const server = await startServer({ protocol: 'h1c' })
    onTestFinished(() => server.close())
    const chain = keep(compose(new Agent(), retry()))
    const { body } = await chain.request({ origin: server.origin, path: '/', method: 'GET', dispatcher: null } as never)
    await body.dump()
    expect(server.count()).toBe(1)
  })
})

describe('what compose is given', () => {
  const ground = new Agent()
  it.each<[string, () => unknown, RegExp]>([
    [
      'a layer in place of the dispatcher',
      () => compose(retry() as never),
      /expects a dispatcher first .*got the layer retry\(\)/,
    ],
    [
      'a function in place of it',
      () => compose((() => undefined) as never),
      /expects a dispatcher first .*got function \(anonymous\)/,
    ],
    [
      'an object in place of it',
      () => compose({ dispatch() {} } as never),
      /expects a dispatcher first .*got an instance of Object/,
    ],
    [
      'a dispatcher among the layers',
      () => compose(ground, retry(), new Agent() as never),
      /layer 2 must be an interceptor .*got an instance of Agent/,
    ],
    [
      'text among the layers',
      () => compose(ground, null, 'retry' as never),
      /layer 1 must be an interceptor .*got "retry"/,
    ],
    [
      'true among the layers',
      () => compose(ground, [retry(), [true]] as never),
      /layer 2 must be an interceptor .*got true/,
    ],
    [
      'a layer that promises',
      () => compose(ground, retry(), (async () => undefined) as never),
      /layer 2, the interceptor .*got an instance of Promise/,
    ],
    [
      'a layer that takes three parameters',
      () => compose(ground, (() => (_a: unknown, _b: unknown, _c: unknown) => true) as never),
      /layer 1, the interceptor \(anonymous\), must return .*two parameters \(opts, handler\), got one with 3/,
    ],
    [
      'a layer that is named',
      () => compose(ground, function mine() {} as never),
      /layer 1, the interceptor mine, must return a dispatch function .*got undefined/,
    ],
    [
      'a factory that nobody called',
      () => compose(ground, retry as never),
      /retry: options must be an object, got a function; in compose\(\) write retry\(\)/,
    ],
  ])('%s is refused', (_name, make, message) => {
    expect(make).toThrow(TypeError)
    expect(make).toThrow(message)
  })

  it('a dispatcher of another copy of undici is one', async () => {
    const copy = { dispatch() {}, compose: () => copy, close() {}, destroy() {}, on() {} }
    expect(() => compose(copy as never, retry())).not.toThrow()
  })
})
