// MSW 3 answers on the level of sockets: it puts a fetch of its own over the global one only to note whose call a
// connection serves. So a call passes through our chain down to the agent before it is mocked.
import assert from 'node:assert/strict'
import { HttpResponse, http, passthrough } from 'msw'
import { setupServer } from 'msw/node'
import { compose } from '../../../src/dispatchers/compose.ts'
import { retry } from '../../../src/dispatchers/retry.ts'
import { installFetch } from '../../../src/fetch/install-fetch.ts'
import { gate, startServer, type TestServer } from '../../../src/testing/index.ts'
import { agentOf, type Case, failure, type World } from './world.ts'

type Handlers = Parameters<typeof setupServer>

const quiet = { onUnhandledFrame: 'bypass' } as const

/** MSW speaks only HTTP/1.1, and an agent that offers HTTP/2 makes its first connection for nobody in particular. */
function http1Agent(world: World) {
  return agentOf(world, { allowH2: false })
}

async function serveHttp1(world: World): Promise<TestServer> {
  const server = await startServer({ protocol: 'both', respond: { echo: true } })
  world.onEnd(() => server.close())
  return server
}

function listen(world: World, ...handlers: Handlers): () => void {
  const msw = setupServer(...handlers)
  msw.listen(quiet)
  let isOpen = true
  const close = () => {
    if (isOpen) msw.close()
    isOpen = false
  }
  world.onEnd(close)
  return close
}

const echoOf = async (response: Response) => (await response.json()) as { path: string; body: string; protocol: string }

export const mswCases: readonly Case[] = [
  {
    name: 'MSW over ours mocks, and lets through what it does not know',
    installs: true,
    async run(world) {
      const server = await serveHttp1(world)
      const uninstall = installFetch(http1Agent(world))
      world.onEnd(uninstall)
      const close = listen(
        world,
        http.post('https://nowhere.invalid/mocked', async ({ request }) =>
          HttpResponse.json({ text: await request.text(), type: request.headers.get('content-type') }, { status: 201 }),
        ),
        http.get(server.url('/through'), () => passthrough()),
        http.get('https://nowhere.invalid/broken', () => HttpResponse.error()),
      )
      const url = 'https://nowhere.invalid/mocked'
      const expected = { text: 'grüße', type: 'text/plain;charset=UTF-8' }
      const init = { method: 'POST', body: 'grüße' }
      for (const call of [() => fetch(url, init), () => fetch(new Request(url, init))]) {
        const response = await call()
        assert.ok(response instanceof Response)
        assert.equal(response.status, 201)
        assert.deepEqual(await response.json(), expected)
      }
      assert.equal((await failure(fetch('https://nowhere.invalid/broken'))).message, 'fetch failed')
      assert.equal((await echoOf(await fetch(server.url('/through')))).path, '/through')
      assert.equal((await echoOf(await fetch(server.url('/unknown'), init))).body, 'grüße')
      close()
      uninstall()
      assert.deepEqual(
        server.requests.map(({ path, protocol, body }) => [path, protocol, body.toString()]),
        [
          ['/through', '1.1', ''],
          ['/unknown', '1.1', 'grüße'],
        ],
      )
    },
  },
  {
    name: 'MSW over ours streams what it mocks, piece by piece',
    installs: true,
    async run(world) {
      world.onEnd(installFetch(http1Agent(world)))
      const second = gate()
      const pieces = ['first', 'second']
      listen(
        world,
        http.get('http://nowhere.invalid/', () => {
          const body = new ReadableStream({
            async pull(controller) {
              const piece = pieces.shift()
              if (piece === undefined) return controller.close()
              if (piece === 'second') await second.promise
              controller.enqueue(new TextEncoder().encode(piece))
            },
          })
          return new HttpResponse(body)
        }),
      )
      const response = await fetch('http://nowhere.invalid/')
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      assert.equal((await reader.read()).value, 'first')
      second.open()
      assert.equal((await reader.read()).value, 'second')
      assert.equal((await reader.read()).done, true)
    },
  },
  {
    name: 'a mocked 503 is retried by the chain, with the body whole each time',
    installs: true,
    async run(world) {
      world.onEnd(installFetch(compose(http1Agent(world), retry({ backoff: { initialDelay: 1, maxDelay: 1 } }))))
      const bodies: string[] = []
      listen(
        world,
        http.put('http://nowhere.invalid/', async ({ request }) => {
          bodies.push(await request.text())
          return new HttpResponse('answer', { status: bodies.length < 3 ? 503 : 200 })
        }),
      )
      const response = await fetch('http://nowhere.invalid/', { method: 'PUT', body: 'whole' })
      assert.deepEqual([response.status, await response.text()], [200, 'answer'])
      assert.deepEqual(bodies, ['whole', 'whole', 'whole'])
    },
  },
  {
    name: 'an agent that offers HTTP/2 gets the first call to an origin past MSW',
    installs: true,
    async run(world) {
      const server = await serveHttp1(world)
      world.onEnd(installFetch(agentOf(world)))
      listen(
        world,
        http.get(server.url('/mocked'), () => HttpResponse.text('mocked')),
      )
      assert.equal((await echoOf(await fetch(server.url('/mocked')))).path, '/mocked')
      assert.equal(await (await fetch(server.url('/mocked'))).text(), 'mocked')
      assert.equal(server.count(), 1)
    },
  },
  {
    name: 'MSW below ours does not see our calls, and mocks again after the undo',
    installs: true,
    async run(world) {
      const server = await serveHttp1(world)
      const own = globalThis.fetch
      const close = listen(
        world,
        http.get(server.url('/mocked'), () => HttpResponse.text('mocked')),
      )
      const uninstall = installFetch(http1Agent(world))
      world.onEnd(uninstall)
      assert.equal((await echoOf(await fetch(server.url('/mocked')))).path, '/mocked')
      uninstall()
      assert.equal(await (await fetch(server.url('/mocked'))).text(), 'mocked')
      close()
      assert.equal(globalThis.fetch, own)
      assert.equal(server.count(), 1)
    },
  },
  {
    name: 'MSW over ours goes on after the undo, over what was there before',
    installs: true,
    async run(world) {
      const server = await startServer({ protocol: 'h1c', respond: { echo: true } })
      world.onEnd(() => server.close())
      const own = globalThis.fetch
      const ownRequest = globalThis.Request
      const uninstall = installFetch(http1Agent(world))
      const close = listen(
        world,
        http.get(server.url('/mocked'), () => HttpResponse.text('mocked')),
      )
      uninstall()
      assert.equal(await (await fetch(server.url('/mocked'))).text(), 'mocked')
      assert.equal((await echoOf(await fetch(server.url('/x'), { method: 'PUT', body: 'a' }))).body, 'a')
      close()
      // It has put back our fetch and undici's classes. The first call puts them away.
      const response = await fetch(new Request(server.url('/mocked'), { method: 'PUT', body: 'b' }))
      assert.ok(response instanceof Response)
      assert.equal((await echoOf(response)).body, 'b')
      assert.deepEqual([globalThis.fetch, globalThis.Request], [own, ownRequest])
    },
  },
  {
    name: 'an HTTP/2 session that is open before MSW listens goes on beside it',
    installs: true,
    async run(world) {
      const server = await startServer({ protocol: 'h2', respond: { echo: true } })
      world.onEnd(() => server.close())
      world.onEnd(installFetch(agentOf(world)))
      const ask = async () => (await echoOf(await fetch(server.url('/x')))).protocol
      assert.equal(await ask(), '2')
      const close = listen(
        world,
        http.get('https://nowhere.invalid/', () => HttpResponse.text('mocked')),
      )
      assert.equal(await ask(), '2')
      close()
      assert.equal(await ask(), '2')
      assert.equal(server.connections.opened, 1)
    },
  },
]
