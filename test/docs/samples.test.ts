// What the pages of the layers show, run.
import { trace } from '@opentelemetry/api'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { pino } from 'pino'
import {
  attemptTimeout,
  BulkheadFullError,
  bodyTimeout,
  bulkhead,
  CircuitOpenError,
  circuitBreaker,
  classify,
  compose,
  createAgent,
  createFetch,
  deadline,
  guard,
  isShed,
  logging,
  type OutcomeKind,
  type Permit,
  type Policy,
  protocolOf,
  ResilienceError,
  retry,
  standard,
  type TemplatedRequest,
  tracing,
} from 'roundtripper'
import { gate, type ServerOptions, startServer } from 'roundtripper/testing'
import { Agent, type Dispatcher, interceptors, request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { destroyed } from './support.ts'

async function serve(respond: Required<ServerOptions>['respond'], protocol: 'h1c' | 'both' = 'h1c') {
  const server = await startServer({ protocol, respond })
  onTestFinished(() => server.close())
  return server
}

/** A stream for pino, and the records that went into it. */
function memory() {
  const records: Record<string, unknown>[] = []
  return { records, stream: { write: (line: string) => records.push(JSON.parse(line)) } }
}

it('tracing: names spans by templates', async () => {
  const { origin } = await serve({ '*': { body: 'here' }, '/users/7': [503, { body: 'Ada' }] })
  const exporter = new InMemorySpanExporter()
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }))
  onTestFinished(() => trace.disable())
  // #region tracing
  const urlTemplate = ({ origin, path }: TemplatedRequest) => new URL(path, origin).pathname.replace(/\d+/g, '{id}')
  const api = compose(createAgent(), tracing({ urlTemplate }), retry())
  const fetch = createFetch(api)

  const user = await fetch(`${origin}/users/7`) // one span `GET /users/{id}` for each attempt
  const found = await fetch(`${origin}/find/ada`, { resilience: { urlTemplate: '/find/{name}' } })
  // #endregion
  destroyed(api)
  expect([await user.text(), await found.text()]).toEqual(['Ada', 'here'])
  const names = exporter.getFinishedSpans().map(({ name }) => name)
  expect(names).toEqual(['GET /users/{id}', 'GET /users/{id}', 'GET call', 'GET /find/{name}', 'GET call'])
})

it('logging: writes to pino', async () => {
  const { origin } = await serve([503, { body: 'Ada' }])
  const { records, stream } = memory()
  // #region logging
  const logger = pino({ level: 'debug' }, stream) // with 'info', no records of single attempts
  const api = compose(createAgent(), logging({ logger }), retry())
  // #endregion
  const { body } = await request(`${origin}/users/7?token=abc`, { dispatcher: destroyed(api) })
  await body.text()
  expect(records.map(({ msg }) => msg)).toEqual([
    `GET ${origin}/users/7?token=REDACTED attempt 1 503`,
    `GET ${origin}/users/7?token=REDACTED attempt 2 200`,
    `GET ${origin}/users/7?token=REDACTED 200`,
  ])
})

it('classify: judges for all layers', async () => {
  const { origin } = await serve([{ status: 404, headers: { 'x-index': 'building' } }, { body: 'Ada' }])
  // #region classify
  const api = compose(
    createAgent(),
    classify(({ status, headers }) => {
      if (status === 404 && headers?.['x-index'] === 'building') return 'serverError' // worth another attempt
      return undefined // what the table says
    }),
    retry(),
  )
  // #endregion
  const { body } = await request(origin, { dispatcher: destroyed(api) })
  expect(await body.text()).toBe('Ada')
})

it('deadline: bounds attempts and waits', async () => {
  const { origin } = await serve([503, { body: 'Ada' }])
  // #region deadline
  const api = compose(createAgent(), deadline(2_000), retry(), attemptTimeout(800))
  // #endregion
  const { body } = await request(origin, { dispatcher: destroyed(api) })
  expect(await body.text()).toBe('Ada')
})

it('attemptTimeout: bounds each attempt', async () => {
  const { origin } = await serve([{ hang: 'head' }, { body: 'Ada' }])
  // #region attempt-timeout
  const api = compose(createAgent(), retry(), attemptTimeout(100))
  // #endregion
  const { body } = await request(origin, { dispatcher: destroyed(api) })
  expect(await body.text()).toBe('Ada')
})

it('bodyTimeout: bounds the time between two pieces', async () => {
  const server = await serve({ body: ['one', 'two'] })
  const url = server.url()
  let bytes = 0
  // #region body-timeout
  const api = compose(createAgent(), attemptTimeout(1_000), bodyTimeout(5_000))
  const { body } = await request(url, { dispatcher: api })
  for await (const chunk of body) bytes += chunk.length // at most 5 s from one chunk to the next
  // #endregion
  destroyed(api)
  expect(bytes).toBe(6)
})

it('retry: repeats what may be repeated', async () => {
  const server = await serve({ '/users/7': [503, { echo: true }], '/orders': [503, { echo: true }] })
  const { origin } = server
  const user = '{"name":"Ada"}'
  const order = '{"item":1}'
  const key = 'd3b07384'
  // #region retry
  const api = compose(createAgent(), retry({ maxAttempts: 3, backoff: { initialDelay: 50 } }))
  const fetch = createFetch(api)

  // PUT may be repeated as it is, POST only where the caller says so.
  const put = await fetch(`${origin}/users/7`, { method: 'PUT', body: user })
  const post = await fetch(`${origin}/orders`, { method: 'POST', body: order, headers: { 'idempotency-key': key } })
  // #endregion
  destroyed(api)
  expect([(await put.json()).body, (await post.json()).body]).toEqual([user, order])
  expect([server.count('/users/7'), server.count('/orders')]).toEqual([2, 2])
})

it('circuitBreaker: refuses, and says how long', async () => {
  const server = await serve(500)
  const url = server.url('/orders')
  const changes: string[] = []
  const later: number[] = []
  // #region circuit-breaker
  const breaker = circuitBreaker({
    failureShare: 0.5,
    minimumCalls: 10,
    onStateChange: ({ origin, from, to }) => changes.push(`${origin}: ${from} > ${to}`),
  })
  const api = compose(createAgent(), retry(), breaker, attemptTimeout(2_000))
  // #endregion
  destroyed(api)
  for (let call = 0; call < 10; call++) {
    const { body } = await request(url, { dispatcher: api, method: 'POST' })
    await body.dump()
  }
  // #region circuit-open
  try {
    await request(url, { dispatcher: api, method: 'POST' })
  } catch (error) {
    if (!(error instanceof CircuitOpenError)) throw error
    later.push(error.retryAfter) // nothing was sent; milliseconds until it is worth another call
  }
  // #endregion
  expect(later).toHaveLength(1)
  expect(changes).toEqual([`${server.origin}: closed > open`])
  expect(breaker.state()[server.origin]).toMatchObject({ state: 'open', calls: 10, failures: 10 })
})

it('bulkhead: bounds what is under way', async () => {
  const held = gate()
  const server = await serve({ hold: held.promise, body: 'Ada' })
  const url = server.url()
  // #region bulkhead
  const slots = bulkhead({ limit: 2, queue: 1 })
  const api = compose(createAgent(), retry(), slots)
  const calls = [1, 2, 3, 4].map(() => request(url, { dispatcher: api }))

  const seen = slots.state() // { 'https://api.example.com': { inUse: 2, queued: 1 } }
  const refused = await calls[3]?.catch((error) => error) // a BulkheadFullError: no slot, and no place in the queue
  // #endregion
  destroyed(api)
  expect(seen[server.origin]).toMatchObject({ inUse: 2, queued: 1 })
  expect(refused).toBeInstanceOf(BulkheadFullError)
  held.open()
  for (const call of calls.slice(0, 3)) expect(await (await call).body.text()).toBe('Ada')
  expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
})

it('standard: takes options for each part', async () => {
  const { origin } = await serve([503, { body: 'Ada' }])
  const { records, stream } = memory()
  const logger = pino({}, stream)
  // #region standard
  const api = compose(
    createAgent(),
    standard({
      logging: { logger },
      deadline: 15_000,
      retry: { maxAttempts: 3 },
      bodyTimeout: false, // left out
    }),
  )
  // #endregion
  const { body } = await request(origin, { dispatcher: destroyed(api) })
  expect(await body.text()).toBe('Ada')
  expect(records).toMatchObject([{ attempts: 2, status: 200 }])
})

it('standard: has limits where they are asked for', async () => {
  const { origin } = await serve({ body: 'Ada' })
  // #region standard-limits
  const api = compose(
    createAgent(),
    standard({
      rateLimit: { limit: 100, window: 60_000 }, // what the server's side allows
      adaptiveLimit: { initialLimit: 50 }, // what it can take
    }),
  )
  // #endregion
  const { body } = await request(origin, { dispatcher: destroyed(api) })
  expect(await body.text()).toBe('Ada')
})

it('guard: makes a layer of a policy', async () => {
  const { origin } = await serve({ body: 'Ada' })
  // #region guard
  const allowed = new Set([origin])
  const counts = new Map<OutcomeKind, number>()

  // One permit for all calls: it is told of the outcome and the scope each time.
  const counting: Permit = {
    settle: ({ kind }) => counts.set(kind, (counts.get(kind) ?? 0) + 1),
  }
  const outbound: Policy = {
    name: 'outbound',
    acquire(scope) {
      if (!allowed.has(scope.origin)) throw new ResilienceError(`${scope.origin} is not to be called`)
      return counting
    },
  }
  const api = compose(createAgent(), guard(outbound), standard())
  // #endregion
  destroyed(api)
  const { body } = await request(origin, { dispatcher: api })
  expect(await body.text()).toBe('Ada')
  const refused = await request('http://127.0.0.1:9', { dispatcher: api }).catch((error) => error)
  expect(refused).toBeInstanceOf(ResilienceError)
  expect([refused.message, isShed(refused)]).toEqual(['http://127.0.0.1:9 is not to be called', false])
  expect([...counts]).toEqual([['success', 1]])
})

it('resilience: what one call says of itself', async () => {
  const { origin } = await serve({ '/report': { body: 'long' }, '/hint': { hang: 'head' } })
  // #region call-options
  const api = compose(createAgent(), standard())
  const fetch = createFetch(api)
  const report = await fetch(`${origin}/report`, { resilience: { deadline: 120_000, attemptTimeout: false } })

  // undici's types do not know `resilience`, but take it in an object that has a name.
  const options = { dispatcher: api, resilience: { deadline: 20, priority: 'sheddable' } }
  const hint = await request(`${origin}/hint`, options).catch(() => null)
  // #endregion
  destroyed(api)
  expect(await report.text()).toBe('long')
  expect(hint).toBe(null)
})

it('compose: reads from top to bottom', async () => {
  const { origin } = await serve([503, { body: 'Ada' }])
  const verbose: boolean = origin === ''
  // #region compose
  const api = compose(
    createAgent(),
    tracing(), // outermost: sees the call as its caller does
    verbose && logging(), // what is false is left out
    deadline(10_000),
    retry(),
    [circuitBreaker(), bulkhead()], // a list is flattened
    attemptTimeout(2_000), // innermost, next to the agent
  )
  // #endregion
  const { body } = await request(origin, { dispatcher: destroyed(api) })
  expect(await body.text()).toBe('Ada')
})

it('compose: undici around a chain, and the end of it', async () => {
  const target = await serve({ body: 'Ada' })
  const server = await serve({ status: 302, headers: { location: target.url('/users/7') } })
  const url = server.url()
  const breaker = circuitBreaker()
  // #region around
  const api = compose(createAgent(), retry(), breaker, attemptTimeout(2_000))
  const following = api.compose(interceptors.redirect({ maxRedirections: 3 })) // each hop is a call of its own
  const { body } = await request(url, { dispatcher: following })
  const text = await body.text()
  await following.close() // waits for the calls under way, then closes the agent
  // #endregion
  expect(text).toBe('Ada')
  expect(Object.keys(breaker.state())).toEqual([server.origin, target.origin])
  const late = await request(url, { dispatcher: api }).catch((error) => error)
  expect(late.code).toBe('UND_ERR_CLOSED')
})

it('compose: one layer in undici alone', async () => {
  const { origin } = await serve([503, { body: 'Ada' }])
  // #region agent-compose
  const agent = new Agent().compose(attemptTimeout(2_000), retry()) // the last is outermost
  // #endregion
  const { body } = await request(origin, { dispatcher: destroyed(agent as Dispatcher) })
  expect(await body.text()).toBe('Ada')
})

it('agent: speaks HTTP/2 where the server does', async () => {
  const server = await serve({ body: 'Ada' }, 'both')
  const { ca } = server
  const url = server.url()
  // #region agent
  const agent = createAgent({ connections: 16, connect: { ca } })
  const response = await request(url, { dispatcher: agent })
  const protocol = protocolOf(response) // '2'
  // #endregion
  destroyed(agent)
  expect(await response.body.text()).toBe('Ada')
  expect(protocol).toBe('2')
})

it('compose: a chain tells what it is made of', () => {
  // #region describe
  const api = compose(createAgent(), standard({ deadline: 10_000 }))
  const printed = JSON.stringify(api.describe(), null, 2) // [{ "layer": "tracing", "options": { ... } }, ...]
  // #endregion
  destroyed(api)
  expect(JSON.parse(printed)).toContainEqual({ layer: 'deadline', options: { duration: 10_000 } })
})
