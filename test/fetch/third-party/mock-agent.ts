import assert from 'node:assert/strict'
import { errors, getGlobalDispatcher, MockAgent, request, setGlobalDispatcher } from 'undici'
import { compose } from '../../../src/dispatchers/compose.ts'
import { retry } from '../../../src/dispatchers/retry.ts'
import { createFetch } from '../../../src/fetch/create-fetch.ts'
import { installFetch } from '../../../src/fetch/install-fetch.ts'
import { type Case, failure, type World } from './world.ts'

const origin = 'http://mock.test'

function mockOf({ ca, onEnd }: World): MockAgent {
  const mock = new MockAgent({ connect: { ca }, enableCallHistory: true } as MockAgent.Options)
  mock.disableNetConnect()
  onEnd(() => mock.close())
  return mock
}

/** Both ways to lead a fetch to a dispatcher. */
function fetches(world: World, mock: MockAgent): readonly (typeof globalThis.fetch)[] {
  world.onEnd(installFetch(mock))
  return [globalThis.fetch, createFetch(mock) as typeof globalThis.fetch]
}

export const mockAgentCases: readonly Case[] = [
  {
    name: 'MockAgent matches on path, query, method, headers and body',
    installs: true,
    async run(world) {
      const mock = mockOf(world)
      for (const call of fetches(world, mock)) {
        const body = JSON.stringify({ name: 'Ada' })
        const pool = mock.get(origin)
        pool
          .intercept({
            path: '/users',
            query: { q: 'ö' },
            method: 'PUT',
            headers: { 'x-own': 'yes', 'content-type': 'application/json' },
            body,
          })
          .reply(201, { id: 7 }, { headers: { 'content-type': 'application/json', 'x-mock': 'yes' } })
        pool.intercept({ path: '/users', method: 'POST', body: (given) => given === 'grüße' }).reply(200, 'function')
        pool.intercept({ path: '/users', method: 'POST', body: /^a=1&b=/ }).reply(200, 'expression')
        const headers = { 'x-own': 'yes', 'content-type': 'application/json' }
        const first = await call(`${origin}/users?q=ö`, { method: 'PUT', headers, body })
        assert.deepEqual([first.status, first.headers.get('x-mock')], [201, 'yes'])
        assert.deepEqual(await first.json(), { id: 7 })
        const post = async (given: BodyInit) => (await call(`${origin}/users`, { method: 'POST', body: given })).text()
        assert.equal(await post('grüße'), 'function')
        assert.equal(await post(new URLSearchParams({ a: '1', b: '2' })), 'expression')
        mock.assertNoPendingInterceptors()
      }
      const bodies = mock
        .getCallHistory()!
        .calls()
        .map(({ method, body }) => [method, body])
      const once = [
        ['PUT', '{"name":"Ada"}'],
        ['POST', 'grüße'],
        ['POST', 'a=1&b=2'],
      ]
      assert.deepEqual(bodies, [...once, ...once])
    },
  },
  {
    name: 'MockAgent refuses what nobody told it of, where the net is disabled, and lets it through where not',
    installs: true,
    async run(world) {
      const server = await world.serve({ echo: true })
      const mock = mockOf(world)
      mock.get(server.origin).intercept({ path: '/mocked' }).reply(200, 'mocked').persist()
      for (const call of fetches(world, mock)) {
        mock.disableNetConnect()
        const error = await failure(call(server.url('/real')))
        assert.equal(error.message, 'fetch failed')
        assert.equal((error.cause as { code: string }).code, 'UND_MOCK_ERR_MOCK_NOT_MATCHED')
        mock.enableNetConnect()
        const body = 'whole'
        const echo = (await (await call(server.url('/real'), { method: 'PUT', body })).json()) as { body: string }
        assert.equal(echo.body, 'whole')
        assert.equal(await (await call(server.url('/mocked'))).text(), 'mocked')
      }
      assert.deepEqual(
        server.requests.map(({ path, protocol, body }) => [path, protocol, body.toString()]),
        Array.from({ length: 2 }, () => ['/real', world.version, 'whole']),
      )
    },
  },
  {
    name: 'MockAgent follows redirects, fails as it is told, and can be aborted',
    installs: true,
    async run(world) {
      const mock = mockOf(world)
      for (const call of fetches(world, mock)) {
        const pool = mock.get(origin)
        pool
          .intercept({ path: '/old', method: 'POST', body: 'whole' })
          .reply(307, '', { headers: { location: '/new' } })
        pool.intercept({ path: '/new', method: 'POST', body: 'whole' }).reply(200, 'there')
        pool.intercept({ path: '/broken' }).replyWithError(new Error('as told'))
        pool.intercept({ path: '/slow' }).reply(200, 'late').delay(60_000)
        const moved = await call(`${origin}/old`, { method: 'POST', body: 'whole' })
        assert.deepEqual([moved.redirected, moved.url, await moved.text()], [true, `${origin}/new`, 'there'])
        const broken = await failure(call(`${origin}/broken`))
        assert.equal((broken.cause as Error).message, 'as told')
        const controller = new AbortController()
        const slow = failure(call(`${origin}/slow`, { signal: controller.signal }))
        const reason = new Error('enough')
        setImmediate(() => controller.abort(reason))
        assert.equal(await slow, reason)
      }
    },
  },
  {
    name: 'a chain over MockAgent retries what it mocks',
    installs: true,
    async run(world) {
      const mock = mockOf(world)
      const pool = mock.get(origin)
      pool.intercept({ path: '/', method: 'PUT', body: 'whole' }).reply(503, 'no').times(2)
      pool.intercept({ path: '/', method: 'PUT', body: 'whole' }).reply(200, 'yes')
      world.onEnd(installFetch(compose(mock, retry({ backoff: { initialDelay: 1, maxDelay: 1 } }))))
      const response = await fetch(`${origin}/`, { method: 'PUT', body: 'whole' })
      assert.deepEqual([response.status, await response.text()], [200, 'yes'])
      assert.equal(mock.getCallHistory()!.calls().length, 3)
    },
  },
  {
    name: "MockAgent as undici's global dispatcher is not asked by the installed fetch, but by a call that names it",
    async run(world) {
      const server = await world.serve({ echo: true })
      const mock = mockOf(world)
      mock.get(server.origin).intercept({ path: '/' }).reply(200, 'mocked').persist()
      const before = getGlobalDispatcher()
      world.onEnd(() => setGlobalDispatcher(before))
      setGlobalDispatcher(mock)
      const ours = (await (await world.fetch(server.url())).json()) as { protocol: string }
      assert.equal(ours.protocol, world.version)
      assert.equal(await (await request(server.url())).body.text(), 'mocked')
      const named = await world.fetch(server.url(), { dispatcher: mock } as RequestInit)
      assert.equal(await named.text(), 'mocked')
      assert.equal(server.requests.length, 1)
      const error = await failure(world.fetch(server.url('/x'), { dispatcher: mock } as RequestInit))
      assert.ok(error.cause instanceof errors.UndiciError)
    },
  },
]
