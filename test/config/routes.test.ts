import { describe, expect, it } from 'vitest'
import { call, errorOf, serve } from '../dispatchers/retry-servers.ts'
import { configured, problemsOf } from './fixtures.ts'

async function twoUpstreams(routes?: readonly object[]) {
  const [users, orders] = [
    await serve({ protocol: 'h2', respond: { body: 'users' } }),
    await serve({ protocol: 'h2', respond: { body: 'orders' } }),
  ]
  const upstreams = { users: { hosts: [users.origin] }, orders: { hosts: [orders.origin] } }
  return configured({
    agent: { connect: { ca: [users.ca, orders.ca] } },
    upstreams,
    ...(routes === undefined ? {} : { routes }),
  })
}

describe('the dispatcher of a configuration', () => {
  it('sends calls to the upstream that their URL names', async () => {
    const { dispatcher, fetch } = await twoUpstreams()
    expect((await call(dispatcher, 'https://orders/7')).text).toBe('orders')
    expect(await (await fetch('http://users:8080/')).text()).toBe('users')
    expect(await errorOf(call(dispatcher, 'https://nobody/'))).toMatchObject({ code: 'ERR_NO_ROUTE' })
  })

  it('sends them by routes, where there are some', async () => {
    const made = await twoUpstreams([
      { path: '/orders/*', to: 'orders' },
      { path: '/orders/:id/owner', to: 'users' },
      { methods: ['GET'], headers: { 'x-late': true }, path: '/*', to: 'orders', priority: 1, name: 'late' },
      { host: 'api.example.com', path: '/users/*', to: 'users' },
    ])
    const { dispatcher } = made
    const at = async (path: string, headers = {}) =>
      (await call(dispatcher, `https://api.example.com${path}`, { headers })).text
    expect(await at('/orders/7')).toBe('orders')
    expect(await at('/orders/7/owner')).toBe('users')
    expect(await at('/users/7')).toBe('users')
    expect(await at('/users/7', { 'x-late': '1' })).toBe('orders')
    expect(await errorOf(at('/else'))).toMatchObject({ code: 'ERR_NO_ROUTE' })
    expect(made.effective().routes[0]).toEqual({ path: '/orders/*', to: 'orders' })
  })

  it('is closed with the rest', async () => {
    const made = await twoUpstreams()
    await made.close()
    expect(await errorOf(call(made.dispatcher, 'https://orders/'))).toMatchObject({ code: 'UND_ERR_CLOSED' })
  })
})

describe('what is wrong with routes', () => {
  it('is told at each of their options', () => {
    const upstreams = { users: {}, orders: {} }
    const routes = [
      { to: 'user' },
      {
        to: 'payments',
        path: '/(',
        host: 'a b',
        contentType: 'json',
        methods: ['get'],
        headers: { 'x-a': 7 },
        priority: 1e9,
      },
      { path: '/a' },
      { path: '/b', name: 'twice', to: 'users' },
      { path: '/c', name: 'twice', to: 'users' },
      { path: '/d', name: 'routes[0]', patch: '/', to: 'users' },
      7,
    ]
    expect(problemsOf({ upstreams, routes })).toMatchInlineSnapshot(`
      [
        "routes[1].headers.x-a: must be a string or true or false, got 7",
        "routes[1].priority: must be a number from -1000000 to 1000000, got 1000000000",
        "routes[2].to: is missing: it must be a string that is not empty",
        "routes[5].patch: is no option; did you mean path? known are path, methods, host, headers, contentType, priority, name, to",
        "routes[6]: must be an object of options, got 7",
        "routes[0].to: must be the name of an upstream, users, orders, got "user"; did you mean users?",
        "routes[1].path: must be a pathname of URLPattern such as "/api/*", got "/(": Failed to construct 'URLPattern': invalid pathname pattern '/('.",
        "routes[1].host: must be a host such as "api.example.com", "*.example.com" or "*.example.com:8443", got "a b": Failed to construct 'URLPattern': invalid hostname pattern 'a b'.",
        "routes[1].contentType: must be a media type without parameters such as "application/json" or "image/*", got "json"",
        "routes[1].methods: must be methods in capitals, "GET", got "get"",
        "routes[1].to: must be the name of an upstream, users, orders, got "payments"",
        "routes[5].name: must be a name, and none such as "routes[0]", got "routes[0]"",
        "routes[4].name: must be its own: routes[3] has it, too",
      ]
    `)
  })

  it('is told where two fit the same calls', () => {
    const to = 'users'
    const routes = [
      { path: '/a/*', to },
      { path: '/b', to },
      { path: '/a/*', methods: ['GET'], to, priority: 0 },
      { path: '/a/*', to },
    ]
    expect(problemsOf({ upstreams: { users: {} }, routes })).toEqual([
      'routes[3]: fits the same calls as routes[0], and none is more literal: give one of them a higher priority, or a condition that the other does not fit',
    ])
  })

  it('is told of names that are none, and of no upstreams', () => {
    expect(problemsOf({ upstreams: { 'a.1': {}, 'xn--a': {} } })).toEqual([
      'upstreams["a.1"]: must be called what can be the host of a URL',
      'upstreams.xn--a: must be called what can be the host of a URL',
    ])
    expect(problemsOf({ upstreams: {}, routes: [{ to: 'users' }] })).toEqual([
      'routes[0].to: must be the name of an upstream, of which there is none, got "users"',
    ])
    expect(problemsOf({ upstreams: {} })).toEqual([])
  })
})
