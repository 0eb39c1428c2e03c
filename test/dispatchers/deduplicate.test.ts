// Callers that share one request: what undici's own interceptor makes of an abort, and what ours does.
import {
  bulkhead,
  compose,
  createAgent,
  createFetch,
  deadline,
  deduplicate,
  logging,
  retry,
  standard,
} from 'roundtripper'
import { gate, startServer, type TestServer } from 'roundtripper/testing'
import { type Dispatcher, interceptors, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { errorOf, eventually, protocols, turns } from './retry-servers.ts'

async function serve(protocol: 'h1' | 'h2'): Promise<{ server: TestServer; ground: Dispatcher }> {
  const server = await startServer({ protocol })
  const ground = createAgent({ connect: { ca: server.ca as string } })
  onTestFinished(async () => {
    await ground.destroy()
    await server.close()
  })
  return { server, ground }
}

async function text(dispatcher: Dispatcher, url: string, signal?: AbortSignal): Promise<string> {
  const { body } = await request(url, signal === undefined ? { dispatcher } : { dispatcher, signal })
  return body.text()
}

describe.each(protocols)('deduplicate over $version', ({ protocol }) => {
  it("29: undici's own fails all who share a request when the first of them gives up", async () => {
    const { server, ground } = await serve(protocol)
    server.script('*', { hang: 'head' })
    const chain = compose(ground, interceptors.deduplicate())
    const controller = new AbortController()
    const first = errorOf(text(chain, server.url('/'), controller.signal))
    const second = errorOf(text(chain, server.url('/')))
    await server.until(() => server.requests.length === 1)
    controller.abort()
    expect(await first).toMatchObject({ name: 'AbortError' })
    // The day this is mended, ours has one reason less.
    expect(await second).toMatchObject({ name: 'AbortError' })
  })

  it('29: the abort of one caller, the first included, leaves the others their answer', async () => {
    for (const leaving of [0, 1, 2]) {
      const { server, ground } = await serve(protocol)
      const held = gate()
      server.script('*', { hold: held.promise, body: 'shared' })
      const chain = compose(ground, deduplicate(), standard())
      const controllers = [0, 1, 2].map(() => new AbortController())
      const answers = controllers.map(({ signal }) => text(chain, server.url('/'), signal).catch((error) => error.name))
      await server.until(() => server.requests.length === 1)
      controllers[leaving]?.abort()
      expect(await answers[leaving]).toBe('AbortError')
      held.open()
      expect(await Promise.all(answers)).toEqual([0, 1, 2].map((at) => (at === leaving ? 'AbortError' : 'shared')))
      expect(server.requests).toHaveLength(1)
    }
  })

  it('29: the request ends when nobody wants it any more, also in the midst of its body', async () => {
    const { server, ground } = await serve(protocol)
    server.script('/head', { hang: 'head' })
    server.script('/body', { body: 'x'.repeat(1000), hang: 'body' })
    const slots = bulkhead({ limit: 1, queue: 0 })
    const chain = compose(ground, deduplicate(), slots)
    for (const path of ['/head', '/body']) {
      const controllers = [new AbortController(), new AbortController()]
      const answers = controllers.map(({ signal }) => errorOf(text(chain, server.url(path), signal)))
      await server.until(() => server.count(path) === 1)
      await turns()
      controllers[0]?.abort()
      await answers[0]
      expect(slots.state()[server.origin]?.inUse).toBe(1)
      controllers[1]?.abort()
      await answers[1]
      expect(slots.state()[server.origin]?.inUse).toBe(0)
      expect((await server.requests.at(-1)?.closed)?.how).toBe('aborted')
    }
  })

  it('29: the deadline of one caller is not that of the others', async () => {
    const { server, ground } = await serve(protocol)
    const held = gate()
    server.script('*', { hold: held.promise, body: 'late' })
    const shared = compose(ground, deduplicate())
    const hasty = errorOf(text(compose(shared, deadline(300)), server.url('/')))
    const patient = text(shared, server.url('/'))
    expect(await hasty).toMatchObject({ code: 'ERR_DEADLINE_EXCEEDED' })
    held.open()
    expect(await patient).toBe('late')
    expect(server.requests).toHaveLength(1)
  })

  it('45: fetch sees the headers of a shared answer, and each caller reads its own body', async () => {
    const { server, ground } = await serve(protocol)
    const held = gate()
    server.script('*', { hold: held.promise, headers: { 'x-shared': 'yes' }, body: ['one ', 'two'] })
    const fetch = createFetch(compose(ground, deduplicate(), retry()))
    const answers = [0, 1, 2].map(() => fetch(server.url('/')))
    await server.until(() => server.requests.length === 1)
    held.open()
    for (const response of await Promise.all(answers)) {
      expect([response.headers.get('x-shared'), await response.text()]).toEqual(['yes', 'one two'])
    }
    expect(server.requests).toHaveLength(1)
  })

  it('45: a body that its only caller holds back is held back at the server, whatever its length', async () => {
    const { server, ground } = await serve(protocol)
    const length = 12 * 1024 * 1024
    server.script('*', { body: Buffer.alloc(length, 'y') })
    const chain = compose(ground, deduplicate())
    const { body } = await request(server.url('/'), { dispatcher: chain })
    await turns(50)
    let read = 0
    for await (const chunk of body) {
      read += chunk.length
      await turns(1)
    }
    expect(read).toBe(length)
  })

  it('48: what is not safe, or differs, is not shared; the request is one call of its own to what lies below', async () => {
    const { server, ground } = await serve(protocol)
    const held = gate()
    server.script('*', { hold: held.promise })
    const records: unknown[] = []
    const keep = (record: object) => records.push(record)
    const chain = compose(ground, deduplicate(), logging({ logger: { debug() {}, info: keep, warn: keep } as never }))
    const calls = ['/a', '/a', '/b'].map((path) => text(chain, server.url(path)))
    const posts = [0, 1].map(async () => {
      const { body } = await request(server.url('/a'), { dispatcher: chain, method: 'POST' })
      return body.text()
    })
    await eventually(() => server.requests.length === 4)
    held.open()
    await Promise.all([...calls, ...posts])
    expect(server.requests.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
      'GET /a',
      'GET /b',
      'POST /a',
      'POST /a',
    ])
    expect(records).toHaveLength(4)
  })

  it('refuses what undici refuses, and options that do not exist', () => {
    expect(() => deduplicate({ methods: ['POST'] as never })).toThrow(/only contain safe HTTP methods/)
    expect(() => deduplicate({ method: ['GET'] } as never)).toThrow(/deduplicate: unknown option "method"/)
  })
})
