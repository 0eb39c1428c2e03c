// 33 in every form that headers can have.
import { compose, createAgent, type Layers, logging, retry } from 'roundtripper'
import { startServer, type TestServer } from 'roundtripper/testing'
import { Agent, type Dispatcher } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { call, protocols } from './retry-servers.ts'

const quiet = { logger: { debug() {}, info() {}, warn() {} } }

/** Everything that must not reach an HTTP/2 session, at once. */
const all: Readonly<Record<string, string>> = {
  te: 'gzip',
  'proxy-connection': 'keep-alive',
  'http2-settings': 'AAMAAABkAAQCAAAAAAIAAAAA',
  'keep-alive': 'timeout=5',
  'transfer-encoding': 'chunked',
  upgrade: 'h2c',
  connection: 'keep-alive',
}
/** Those of them that undici sends over HTTP/1.1. */
const sendable = ['te', 'proxy-connection', 'http2-settings'] as const

const forms: readonly (readonly [string, (headers: Readonly<Record<string, string>>) => unknown])[] = [
  ['an object', (headers) => headers],
  ['an object, in capitals', (headers) => rename(headers, (name) => name.toUpperCase())],
  [
    'an object of lists',
    (headers) =>
      Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name, name === 'connection' ? value : [value]]),
      ),
  ],
  ['a flat list', (headers) => Object.entries(headers).flat()],
  ['a Map', (headers) => new Map(Object.entries(headers))],
  ['a set of pairs', (headers) => new Set(Object.entries(headers))],
]

function rename(headers: Readonly<Record<string, string>>, change: (name: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [change(name), value]))
}

describe.each(protocols)('headers of one connection over HTTP/$version', ({ protocol, version }) => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ protocol })
  })
  afterAll(() => server.close())
  beforeEach(() => server.clear())

  function chainOf(...layers: Layers[]): Dispatcher {
    const chain = compose(createAgent({ connect: { ca: server.ca! } }), ...layers)
    onTestFinished(() => chain.destroy())
    return chain
  }

  function expectRight(): void {
    for (const { headers } of server.requests) {
      expect(headers['x-own']).toBe('kept')
      for (const name of sendable) expect(headers[name]).toBe(version === '2' ? undefined : all[name])
      if (version === '2') for (const name of Object.keys(all)) expect(headers).not.toHaveProperty(name)
    }
  }

  it.each(forms)('33: as %s, first on a cold agent and later, alone and among siblings', async (_name, make) => {
    const chain = chainOf(logging(quiet))
    const headers = make({ ...all, 'x-own': 'kept' })
    await call(chain, server.url('/cold'), { headers } as never)
    await call(chain, server.url('/warm'), { headers } as never)
    const answers = [1, 2, 3, 4, 5].map(() => call(chain, server.url('/among'), { headers } as never))
    for (const { status } of await Promise.all(answers)) expect(status).toBe(200)
    expect(server.count()).toBe(7)
    expectRight()
    if (version === '2') expect(new Set(server.requests.map(({ connection }) => connection)).size).toBe(1)
  })

  it.each(Object.entries(all))('33: %s with nothing as value', async (name) => {
    const chain = chainOf()
    for (const value of [undefined, '']) {
      if (value === '' && name === 'connection') continue
      const headers = { [name]: value, te: 'gzip', 'x-own': 'kept', ...(name === 'te' ? { te: value } : null) }
      expect((await call(chain, server.url('/'), { headers } as never)).status).toBe(200)
    }
    for (const request of server.requests) {
      expect(request.headers['x-own']).toBe('kept')
      for (const value of request.rawHeaders) expect(value).not.toMatch(/^(undefined|null)$/)
    }
  })

  it.each([['trailers'], [' Trailers '], [['trailers']]])('33: te: %o reaches the server', async (te) => {
    const chain = chainOf()
    await call(chain, server.url('/'), { headers: { te, 'x-own': 'kept' } as never })
    await call(chain, server.url('/'), { headers: ['TE', te, 'x-own', 'kept'] as never })
    expect(server.requests.map(({ headers }) => headers.te)).toEqual(['trailers', 'trailers'])
  })

  it('33: repeated fields keep their order, and every value', async () => {
    const chain = chainOf()
    await call(chain, server.url('/'), { headers: ['x-a', '1', 'te', 'gzip', 'x-a', '2', 'te', 'deflate', 'x-a', '3'] })
    const [{ headers } = { headers: {} as Record<string, unknown> }] = server.requests
    expect(headers['x-a']).toBe('1, 2, 3')
    expect(headers.te).toBe(version === '2' ? undefined : 'gzip, deflate')
  })

  it('33: with a body, and sent again', async () => {
    server.script('/mended', [503, 200])
    const chain = chainOf(retry({ backoff: 1, idempotent: true }))
    const { 'transfer-encoding': _left, ...rest } = all
    const headers = { ...rest, 'x-own': 'kept' }
    expect((await call(chain, server.url('/mended'), { method: 'POST', body: 'order', headers })).status).toBe(200)
    expect(server.requests.map(({ body }) => body.toString())).toEqual(['order', 'order'])
    expectRight()
  })

  it('33: the caller’s own options are left as they are', async () => {
    const chain = chainOf()
    const headers = Object.freeze({ te: 'gzip', 'x-own': 'kept' })
    const opts = Object.freeze({ origin: server.origin, path: '/', method: 'GET' as const, headers })
    const { body } = await chain.request(opts)
    await body.dump()
    expect(opts.headers).toEqual({ te: 'gzip', 'x-own': 'kept' })
  })

  it('33: over an agent that is not createAgent’s, none reaches a TLS connection, which may be either', async () => {
    const agent = new Agent({ connect: { ca: server.ca! } })
    const chain = compose(agent, retry())
    onTestFinished(() => chain.destroy())
    expect((await call(chain, server.url('/'), { headers: { ...all, 'x-own': 'kept' } })).status).toBe(200)
    const [{ headers } = { headers: {} as Record<string, unknown> }] = server.requests
    for (const name of sendable) expect(headers).not.toHaveProperty(name)
    expect(headers['x-own']).toBe('kept')
  })
})

it('33: in cleartext they go out, whoever made the agent', async () => {
  const server = await startServer({ protocol: 'h1c' })
  for (const agent of [new Agent(), createAgent()]) {
    const chain = compose(agent, retry())
    for (let at = 0; at < 2; at++) await call(chain, server.url('/'), { headers: { te: 'gzip' } })
    await chain.destroy()
  }
  expect(server.requests.map(({ headers }) => headers.te)).toEqual(Array(4).fill('gzip'))
  await server.close()
})

it('33: in cleartext HTTP/2 they do not', async () => {
  const server = await startServer({ protocol: 'h2c' })
  const chain = compose(createAgent({ useH2c: true }), retry())
  for (let at = 0; at < 2; at++) {
    expect((await call(chain, server.url('/'), { headers: { ...all, 'x-own': 'kept' } })).status).toBe(200)
  }
  await chain.destroy()
  for (const { headers } of server.requests) expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['te']))
  expect(server.count()).toBe(2)
  await server.close()
})
