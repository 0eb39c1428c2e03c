// What the page of questions shows, run.
import {
  attemptTimeout,
  bodyTimeout,
  bulkhead,
  CircuitOpenError,
  circuitBreaker,
  compose,
  createAgent,
  createFetch,
  deadline,
  installFetch,
  isShed,
  type KitRequestInit,
  RateLimitedError,
  retry,
  tracing,
} from 'roundtripper'
import { expect, it, onTestFinished } from 'vitest'
import { serve } from './support.ts'

it('tells the chain of one call of the installed fetch', async () => {
  const server = await serve([503, 201])
  const url = server.origin
  const uninstall = installFetch()
  onTestFinished(uninstall)
  // #region installed
  const init: KitRequestInit = { method: 'POST', body: '{"item":7}', resilience: { idempotent: true } }
  const response = await fetch(url, init) // the global one, installed
  // #endregion
  await response.text()
  expect(response.status).toBe(201)
  expect(server.requests).toHaveLength(2)
})

it('reads how things stand', async () => {
  const { origin } = await serve({ body: 'Ada' })
  // #region state
  const agent = createAgent()
  const breaker = circuitBreaker()
  const slots = bulkhead()
  const api = compose(
    agent,
    tracing(),
    deadline(30_000),
    retry(),
    breaker,
    slots,
    attemptTimeout(10_000),
    bodyTimeout(30_000),
  )
  const fetch = createFetch(api)
  await (await fetch(origin)).text()

  const circuit = breaker.state()[origin]?.state // 'closed'
  const inUse = slots.state()[origin]?.inUse // 0
  const sessions = agent.stats[origin]?.sessions // 1
  // #endregion
  onTestFinished(() => api.destroy())
  expect({ circuit, inUse, sessions }).toEqual({ circuit: 'closed', inUse: 0, sessions: 1 })
})

it('answers for a call that was refused', async () => {
  const { origin: url } = await serve({ body: 'Ada' })
  const breaker = circuitBreaker()
  breaker.force('open')
  const api = compose(createAgent(), breaker, attemptTimeout(2_000))
  onTestFinished(() => api.destroy())
  const fetch = createFetch(api)
  // #region refused
  const answer = await fetch(url).catch((error: Error) => {
    if (!isShed(error)) throw error
    const reason = error.cause // fetch's TypeError has it as cause; undici.request rejects with it
    const known = reason instanceof CircuitOpenError || reason instanceof RateLimitedError
    const seconds = known ? Math.ceil(reason.retryAfter / 1_000) : 1
    return new Response(null, { status: 503, headers: { 'retry-after': String(seconds) } })
  })
  // #endregion
  expect(answer.status).toBe(503)
  expect(answer.headers.get('retry-after')).toBe('5')
})
