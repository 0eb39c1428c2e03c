// undici's cache in a chain of ours, on real servers: what is served, what goes out, and what spans and records say of it.
import { type CallRecord, circuitBreaker, compose, createAgent, logging, retry, standard } from 'roundtripper'
import { type StepOptions, startServer, type TestServer } from 'roundtripper/testing'
import { cacheStores, type Dispatcher, interceptors, request } from 'undici'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { errorOf, eventually, protocols, turns } from './retry-servers.ts'

/** Only the clock of dates stands still: the cache reckons freshness by it. */
function stopDates(): (milliseconds: number) => void {
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => {
    vi.useRealTimers()
  })
  return (milliseconds) => vi.setSystemTime(Date.now() + milliseconds)
}

async function serve(
  protocol: 'h1' | 'h2',
  ...steps: StepOptions[]
): Promise<{ server: TestServer; ground: Dispatcher }> {
  const server = await startServer({ protocol, respond: steps })
  const ground = createAgent({ connect: { ca: server.ca as string } })
  onTestFinished(async () => {
    await ground.destroy()
    await server.close()
  })
  return { server, ground }
}

async function get(dispatcher: Dispatcher, url: string, headers: Record<string, string> = {}) {
  const { statusCode, headers: given, body } = await request(url, { dispatcher, headers })
  return { status: statusCode, text: await body.text(), age: given.age, warning: given.warning }
}

const fresh = (body: string, control: string, more: Record<string, string> = {}): StepOptions => ({
  body,
  headers: { 'cache-control': control, ...more },
})

const quick = standard({ retry: { backoff: 1, maxAttempts: 2 } })

describe.each(protocols)("undici's cache over $version", ({ protocol }) => {
  it('48: above the chain, a hit reaches no layer and no server', async () => {
    const { server, ground } = await serve(protocol, fresh('one', 'max-age=60'), fresh('two', 'max-age=60'))
    const breaker = circuitBreaker()
    const chain = compose(ground, interceptors.cache(), retry(), breaker)
    expect((await get(chain, server.url('/'))).text).toBe('one')
    expect(await get(chain, server.url('/'))).toMatchObject({ text: 'one', age: expect.any(String) })
    expect(server.requests).toHaveLength(1)
    expect(breaker.state()[server.origin]?.calls).toBe(1)
  })

  it('48: vary keeps answers apart', async () => {
    const vary = { vary: 'accept-language' }
    const { server, ground } = await serve(
      protocol,
      fresh('moin', 'max-age=60', vary),
      fresh('hello', 'max-age=60', vary),
    )
    const chain = compose(ground, interceptors.cache(), quick)
    for (let round = 0; round < 2; round++) {
      expect((await get(chain, server.url('/'), { 'accept-language': 'de' })).text).toBe('moin')
      expect((await get(chain, server.url('/'), { 'accept-language': 'en' })).text).toBe('hello')
    }
    expect(server.requests).toHaveLength(2)
  })

  it('48: stale-if-error serves what is stale when retries have run out, and when the circuit is open', async () => {
    const pass = stopDates()
    const { server, ground } = await serve(protocol, fresh('old', 'max-age=1, stale-if-error=600'), { status: 503 })
    const breaker = circuitBreaker({ minimumCalls: 3 })
    const chain = compose(ground, interceptors.cache(), retry({ backoff: 1, maxAttempts: 2 }), breaker)
    await get(chain, server.url('/'))
    pass(5000)
    expect(await get(chain, server.url('/'))).toMatchObject({
      status: 200,
      text: 'old',
      warning: expect.stringContaining('110'),
    })
    expect(server.requests).toHaveLength(3)
    expect(breaker.state()[server.origin]?.state).toBe('open')
    expect((await get(chain, server.url('/'))).text).toBe('old')
    expect(server.requests).toHaveLength(3)
    // What was never cached has nothing stale to serve.
    expect(await errorOf(get(chain, server.url('/other')))).toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
  })

  it('48: stale-if-error also serves when the server cannot be reached', async () => {
    const pass = stopDates()
    const { server, ground } = await serve(protocol, fresh('old', 'max-age=1, stale-if-error=600'))
    const chain = compose(ground, interceptors.cache(), quick)
    await get(chain, server.url('/'))
    pass(5000)
    await server.refuseConnections()
    expect((await get(chain, server.url('/'))).text).toBe('old')
  })

  it('48: stale-while-revalidate serves at once; the revalidation is a call of its own', async () => {
    const pass = stopDates()
    const control = 'max-age=1, stale-while-revalidate=600'
    const { server, ground } = await serve(
      protocol,
      fresh('old', control),
      { status: 503 },
      fresh('new', 'max-age=600'),
    )
    const records: CallRecord[] = []
    const keep = (record: object) => {
      records.push(record as CallRecord)
    }
    const chain = compose(
      ground,
      logging({ logger: { debug() {}, info: keep, warn: keep } }),
      interceptors.cache(),
      retry({ backoff: 1 }),
    )
    await get(chain, server.url('/'))
    pass(5000)
    expect((await get(chain, server.url('/'))).text).toBe('old')
    await eventually(() => server.requests.length === 3)
    await server.requests[2]?.closed
    await turns(30)
    expect((await get(chain, server.url('/'))).text).toBe('new')
    expect(server.requests).toHaveLength(3)
    expect(records.map(({ status, outcome, attempts }) => [status, outcome, attempts])).toEqual([
      [200, 'success', 1],
      [200, 'success', 1],
      [200, 'success', 1],
    ])
  })

  it('17: an abort while a stale answer is validated ends the call at once, and the validation with it', async () => {
    const pass = stopDates()
    const { server, ground } = await serve(protocol, fresh('old', 'max-age=1'), { hang: 'head' })
    const chain = compose(ground, interceptors.cache(), quick)
    await get(chain, server.url('/'))
    pass(5000)
    const controller = new AbortController()
    const aborted = errorOf(request(server.url('/'), { dispatcher: chain, signal: controller.signal }))
    await server.until(() => server.requests.length === 2)
    controller.abort()
    expect(await aborted).toMatchObject({ name: 'AbortError' })
    expect((await server.requests[1]?.closed)?.how).toBe('aborted')
  })

  it.each([
    ['MemoryCacheStore', () => new cacheStores.MemoryCacheStore({ maxCount: 2, maxEntrySize: 100 })],
    ['SqliteCacheStore', () => new cacheStores.SqliteCacheStore({ maxCount: 2, maxEntrySize: 100 })],
  ])('48: %s keeps no more than maxCount answers, and none longer than maxEntrySize', async (_name, make) => {
    const { server, ground } = await serve(protocol, {})
    const store = make()
    const long = 'x'.repeat(101)
    server.script('*', ({ path }) => fresh(path === '/long' ? long : path, 'max-age=60'))
    const chain = compose(ground, interceptors.cache({ store }), quick)
    for (let round = 0; round < 2; round++) expect((await get(chain, server.url('/long'))).text).toBe(long)
    expect(server.count('/long')).toBe(2)
    for (let round = 0; round < 2; round++) expect((await get(chain, server.url('/1'))).text).toBe('/1')
    expect(server.count('/1')).toBe(1)
    for (const path of ['/2', '/3', '/4', '/5', '/6']) await get(chain, server.url(path))
    await get(chain, server.url('/1'))
    expect(server.count('/1')).toBe(2)
  })
})
