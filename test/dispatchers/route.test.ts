// Calls and where their routes send them; on real servers.
import { once } from 'node:events'
import {
  attemptTimeout,
  balance,
  bulkhead,
  type CallRecord,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  deadline,
  isShed,
  logging,
  NoRouteError,
  type Route,
  retry,
  route,
} from 'roundtripper'
import { gate, type Protocol, type TestServer } from 'roundtripper/testing'
import { connect, type Dispatcher, upgrade } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, callByFetch, chainTo, errorOf, eventually, protocols, quick, send, serve } from './retry-servers.ts'

const base = 'http://api.test'
const quiet = { debug: () => {}, warn: () => {} }

function agentFor({ ca }: TestServer) {
  const agent = createAgent(ca === undefined ? {} : { connect: { ca } })
  onTestFinished(() => agent.destroy())
  return agent
}

async function upstreams(protocol: Protocol): Promise<[users: TestServer, orders: TestServer, pages: TestServer]> {
  const make = (body: string) => serve({ protocol, respond: { body } })
  return [await make('users'), await make('orders'), await make('pages')]
}

/** A target of every kind. */
function tableOf([users, orders, pages]: readonly [TestServer, TestServer, TestServer]): Route[] {
  return [
    { path: '/users/*', to: users.origin, name: 'users' },
    { path: '/orders/*', to: [balance({ hosts: [orders.origin] }), bulkhead()] },
    { to: compose(agentFor(pages), route([{ to: pages.origin }])) },
  ]
}

describe.each(protocols)('route over $version', ({ protocol }) => {
  it('each call reaches the upstream of its route: an origin, layers, another dispatcher', async () => {
    const servers = await upstreams(protocol)
    const layer = route(tableOf(servers))
    const chain = chainTo(servers[0], retry(quick), layer)
    for (const send of [call, callByFetch]) {
      for (const path of ['/users/7?q=/orders/1', '/orders/7', '/x', '/users/../orders/1', '/users/%2e%2e/y', '/']) {
        const expected = /^\/users\/7/.test(path) ? 'users' : path.includes('orders') ? 'orders' : 'pages'
        expect((await send(chain, `${base}${path}`)).text, path).toBe(expected)
      }
    }
    expect(servers[0].requests[0]?.path).toBe('/users/7?q=/orders/1')
    expect(layer.state()).toEqual({
      routes: { users: { matched: 2 }, 'routes[1]': { matched: 4 }, 'routes[2]': { matched: 6 } },
      unmatched: 0,
    })
  })

  it('what is given raw to dispatch slips past no route', async () => {
    const servers = await upstreams(protocol)
    const chain = chainTo(servers[0], route(tableOf(servers)))
    for (const path of ['/x/../users/7', '/x/%2e%2e/users/7', '/%75sers/7']) {
      const { body } = await chain.request({ origin: base, path, method: 'GET' })
      expect(await body.text()).toBe('users')
    }
  })

  it('a route has a chain of its own', async () => {
    const [users, orders] = await upstreams(protocol)
    users.script('*', [503, 503, { body: 'third' }])
    orders.script('*', [503, { body: 'second' }])
    const layer = route([
      { path: '/users', to: [retry({ ...quick, maxAttempts: 3 }), route([{ to: users.origin }])] },
      { path: '/orders', to: orders.origin },
    ])
    const chain = chainTo(users, layer)
    expect((await call(chain, `${base}/users`)).text).toBe('third')
    expect((await call(chain, `${base}/orders`)).status).toBe(503)
  })

  it('48: alone in agent.compose, with the headers of a call in each form', async () => {
    const servers = await upstreams(protocol)
    const [users, orders] = servers
    const table: Route[] = [
      { headers: { 'x-kind': 'users' }, to: users.origin },
      { host: 'orders.test', to: orders.origin },
    ]
    const alone = agentFor(users).compose(route(table))
    const forms = [
      { 'X-Kind': 'users' },
      ['X-Kind', 'users'],
      new Map([['X-Kind', 'users']]),
      new Map([['X-Kind', 'users']]).entries(),
      [],
    ]
    for (const headers of forms.slice(0, 4)) {
      expect((await call(alone, `${base}/`, { headers: headers as Record<string, string> })).text).toBe('users')
    }
    expect(users.requests.map(({ headers }) => headers['x-kind'])).toEqual(['users', 'users', 'users', 'users'])
    expect((await call(alone, 'http://orders.test/')).text).toBe('orders')
    expect(await errorOf(call(alone, `${base}/`, { headers: { 'x-kind': 'other' } }))).toBeInstanceOf(NoRouteError)
  })

  it('46: close() waits for calls on their route, destroy() ends them', async () => {
    const held = gate()
    const server = await serve({ protocol, respond: { '/held': { hold: held.promise, body: 'late' }, '*': {} } })
    const closing = chainTo(server, route([{ to: server.origin }]))
    const late = call(closing, `${base}/held`)
    await eventually(() => server.requests.length === 1)
    const closed = closing.close()
    expect(await errorOf(call(closing, `${base}/`))).toMatchObject({ code: 'UND_ERR_CLOSED' })
    held.open()
    expect((await late).text).toBe('late')
    await closed
    server.script('*', { hang: 'head' })
    const ending = chainTo(server, route([{ to: [bulkhead(), route([{ to: server.origin }])] }]))
    const lost = call(ending, `${base}/`)
    await eventually(() => server.requests.length === 2)
    const ended = errorOf(lost)
    await ending.destroy()
    expect(await ended).toMatchObject({ code: 'UND_ERR_DESTROYED' })
  })
})

it('upgrades and CONNECT pass', async () => {
  const switching = { status: 101, headers: { upgrade: 'websocket', connection: 'upgrade' } }
  const server = await serve({ protocol: 'h1', respond: { '/ws': switching, '*': 200 } })
  const layer = route([
    { path: '/ws', to: server.origin },
    { methods: ['CONNECT'], to: server.origin, name: 'tunnel' },
  ])
  const chain = chainTo(server, layer)
  const upgraded = await upgrade(`${base}/ws`, { protocol: 'websocket', dispatcher: chain })
  const tunnel = await connect(base, { path: 'db.test:5432', dispatcher: chain } as Parameters<typeof connect>[1])
  for (const { socket } of [upgraded, tunnel]) {
    const echo = once(socket, 'data')
    socket.write('hello')
    expect(String((await echo)[0])).toBe('hello')
    socket.destroy()
  }
  expect(layer.state().routes).toEqual({ 'routes[0]': { matched: 1 }, tunnel: { matched: 1 } })
})

describe('a call that no route is for', () => {
  const nowhere = () => route([{ path: '/a', to: 'http://a.test' }])

  it('fails, is not retried, and nobody counts it', async () => {
    const records: CallRecord[] = []
    const logger = { ...quiet, info: () => {}, warn: (record: CallRecord) => records.push(record) }
    const breaker = circuitBreaker({ consecutiveFailures: 1 })
    const agent = createAgent()
    onTestFinished(() => agent.destroy())
    const layer = nowhere()
    const chain = agent.compose(layer, breaker, retry(quick), logging({ logger: logger as never }))
    const error = await errorOf(call(chain, `${base}/b/c?token=secret`, { method: 'PUT' }))
    expect(error).toBeInstanceOf(NoRouteError)
    expect(error).toMatchObject({
      code: 'ERR_NO_ROUTE',
      message: 'No route of 1 is for PUT /b/c on api.test',
      origin: base,
      method: 'PUT',
      host: 'api.test',
      path: '/b/c',
    })
    expect(isShed(error)).toBe(false)
    expect(breaker.state()[base]).toMatchObject({ state: 'closed' })
    expect(records).toMatchObject([{ outcome: 'invalid', error: 'ERR_NO_ROUTE', attempts: 1 }])
    expect(layer.state().unmatched).toBe(1)
  })

  it('45: its consumer has a controller, and one terminal callback', async () => {
    const agent = createAgent()
    onTestFinished(() => agent.destroy())
    for (const chain of [compose(agent, nowhere()), agent.compose(nowhere()), compose(agent, deadline(), nowhere())]) {
      const told: string[] = []
      chain.dispatch(
        { origin: base, path: '/', method: 'GET' },
        {
          onRequestStart: () => told.push('start'),
          onResponseError: (_controller, error) => told.push((error as NoRouteError).code),
        },
      )
      expect(told).toEqual(['start', 'ERR_NO_ROUTE'])
    }
  })

  it('21: a request that could not be sent is told that first', async () => {
    const chain = chainTo({}, nowhere())
    expect(await errorOf(call(chain, `${base}/`, { headers: { 'a b': '1' } }))).toMatchObject({
      code: 'ERR_INVALID_REQUEST',
    })
  })

  it('goes to the fallback where there is one', async () => {
    const server = await serve({ protocol: 'h1', respond: { body: 'fallback' } })
    const layer = route([{ path: '/a', to: 'http://a.test' }], { fallback: server.origin })
    const chain = chainTo(server, layer)
    expect((await call(chain, `${base}/b`)).text).toBe('fallback')
    layer.update({ fallback: undefined })
    expect(await errorOf(createFetch(chain)(`${base}/b`))).toMatchObject({ cause: { code: 'ERR_NO_ROUTE' } })
  })
})

describe('while it runs', () => {
  it('a table takes the place of another, and calls under way stay where they are', async () => {
    const [users, orders] = await upstreams('h2')
    const held = gate()
    users.script('/held', { hold: held.promise, body: 'old' })
    const layer = route([{ path: '/*', to: users.origin, name: 'all' }])
    const chain = chainTo(users, deadline(), layer)
    const other = chainTo(users, layer)
    const under = call(chain, `${base}/held`)
    await eventually(() => users.requests.length === 1)
    layer.update({
      routes: [
        { path: '/*', to: orders.origin, name: 'all' },
        { path: '/x', to: users.origin },
      ],
    })
    held.open()
    expect((await under).text).toBe('old')
    for (const one of [chain, other]) {
      expect((await call(one, `${base}/held`)).text).toBe('orders')
      expect((await call(one, `${base}/x`)).text).toBe('users')
    }
    expect(layer.state().routes).toEqual({ all: { matched: 3 }, 'routes[1]': { matched: 2 } })
  })

  it('a wrong table changes nothing', async () => {
    const [users, orders] = await upstreams('h1')
    const layer = route([{ to: users.origin }])
    const chain = chainTo(users, layer)
    const wrong = (_dispatch: Dispatcher['dispatch']) => (() => true) as unknown as Dispatcher['dispatch']
    for (const changes of [
      {
        routes: [
          { path: '/a', to: orders.origin },
          { path: '/a', to: orders.origin },
        ],
      },
      { routes: [{ to: 7 as never }] },
      { routes: [{ to: [wrong] }] },
      { routes: [{ to: orders.origin }], fallback: 'ftp://a' },
      { tables: [] } as object,
    ]) {
      expect(() => layer.update(changes)).toThrow(TypeError)
      expect((await call(chain, `${base}/`)).text).toBe('users')
    }
  })
})

it('records name the route', async () => {
  const [users] = await upstreams('h1')
  const records: CallRecord[] = []
  const logger = { ...quiet, info: (record: CallRecord) => records.push(record) }
  const table: Route[] = [
    { path: '/a', name: 'a', to: users.origin },
    { path: '/b', to: users.origin },
  ]
  const chain = chainTo(users, logging({ logger: logger as never }), route(table))
  for (const path of ['/a', '/b']) await call(chain, `${base}${path}`)
  expect(records.map((record) => record.route)).toEqual(['a', undefined])
  expect('route' in (records[1] as CallRecord)).toBe(false)
})

it('a call keeps its origin on a route that leads on through layers only', async () => {
  const [users] = await upstreams('h1')
  const chain = chainTo(users, route([{ to: [bulkhead()] }]))
  const { body } = await send(chain, users.url('/'))
  expect(await body.text()).toBe('users')
})

it('all that is wrong with a table is told, targets included', () => {
  expect(() =>
    route([
      { path: 'a', to: 'ftp://a.test' },
      { to: 7 as never },
      { to: [retry(), retry()] },
      { to: 'http://a.test/b' },
    ]),
  ).toThrow(
    /routes\[0\]\.path must be .*; .*routes\[0\]\.to must be a layer.*; .*routes\[1\]\.to must be a layer.*; .*routes\[2\]\.to: retry\(\) stands twice.*; .*routes\[3\]\.to must be an origin, with no path/,
  )
  expect(() => route([], { falback: 'http://a.test' } as object)).toThrow('unknown option "falback"')
  expect(() => route([], { fallback: 7 as never })).toThrow('route: fallback must be')
})

describe('the check of a chain', () => {
  const agent = createAgent()
  const own: Route[] = [{ to: 'http://a.test', path: '/a' }, { to: [retry()] }]

  it('looks along each of the ways', () => {
    expect(() => compose(agent, retry(), route(own))).toThrow(
      /compose: on the way to routes\[1\]\.to: retry\(\) stands twice \(layers 1 and 3\)/,
    )
    expect(() => compose(agent, route([{ to: circuitBreaker() }]), retry(), attemptTimeout())).toThrow(
      'stands outside retry()',
    )
    expect(() => compose(agent, route([], { fallback: retry() }), retry())).toThrow('on the way to fallback')
  })

  it('not below another dispatcher, nor beyond the way', () => {
    expect(() => compose(agent, route(own))).not.toThrow()
    const breaker = [circuitBreaker(), attemptTimeout()]
    expect(() => compose(agent, route([{ to: breaker }, { path: '/b', to: [retry()] }]))).not.toThrow()
    expect(() => compose(agent, route([{ to: agent }]), retry())).not.toThrow()
  })
})

it('a chain tells what its routes are', () => {
  const layer = route(
    [
      { path: '/a', headers: { 'x-a': /1/ }, to: 'http://a.test' },
      { to: [retry({ maxAttempts: 2 }), bulkhead()] },
      { path: '/c', to: createAgent() },
    ],
    { fallback: 'http://b.test' },
  )
  const [described] = compose(createAgent(), layer).describe()
  expect(described).toMatchObject({
    layer: 'route',
    options: {
      routes: [
        { path: '/a', headers: { 'x-a': '/1/' }, to: 'http://a.test' },
        { to: [{ layer: 'retry', options: { maxAttempts: 2 } }, { layer: 'bulkhead' }] },
        { path: '/c', to: 'an instance of PoolAgent' },
      ],
      fallback: 'http://b.test',
    },
  })
})

it('a wrong route hides no conflict of others', () => {
  const table = [
    { path: '/x', to: [] },
    { path: '/x', to: [] },
    { path: 'y', to: [] },
  ]
  expect(() => route(table)).toThrow(
    /routes\[2\].path must be .*; route: of these routes both fit.*routes\[0\] and routes\[1\]/,
  )
})
