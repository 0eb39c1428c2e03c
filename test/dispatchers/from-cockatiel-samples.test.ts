// What docs/from-cockatiel.md shows, run.
import {
  BrokenCircuitError,
  bulkhead,
  ConsecutiveBreaker,
  circuitBreaker,
  DelegateBackoff,
  ExponentialBackoff,
  handleAll,
  handleWhen,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  retry,
  TimeoutStrategy,
  timeout,
  wrap,
} from 'cockatiel'
import { attemptTimeout, compose, createAgent, createFetch, fromCockatiel, type Outcome, tracing } from 'roundtripper'
import { startServer } from 'roundtripper/testing'
import { type Dispatcher, request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { errorOf } from './retry-servers.ts'

async function serve(respond: Parameters<typeof startServer>[0]) {
  const server = await startServer({ protocol: 'h1c', ...respond })
  onTestFinished(() => server.close())
  return server
}

function destroyed<T extends Dispatcher>(dispatcher: T): T {
  onTestFinished(() => dispatcher.destroy())
  return dispatcher
}

it('takes a wrap in', async () => {
  const { origin } = await serve({ respond: [503, { body: '[]' }] })
  // #region usage
  // Errors are thrown, responses are outcomes.
  const failures = handleAll.orWhenResult((outcome) => (outcome as Outcome).kind === 'serverError')
  const policy = wrap(
    retry(failures, { maxAttempts: 3, backoff: new ExponentialBackoff({ initialDelay: 100 }) }),
    circuitBreaker(failures, { halfOpenAfter: 5_000, breaker: new ConsecutiveBreaker(5) }),
    bulkhead(32, 64),
    timeout(2_000, TimeoutStrategy.Aggressive),
  )
  const api = compose(createAgent(), tracing(), fromCockatiel(policy))
  const fetch = createFetch(api)

  const users = await fetch(`${origin}/users`)
  // #endregion
  destroyed(api)
  expect(await users.json()).toEqual([])
})

it('makes a policy for each origin', async () => {
  const [bad, good] = [await serve({ respond: 500 }), await serve({ respond: { body: 'here' } })]
  const failures = handleAll.orWhenResult((outcome) => (outcome as Outcome).kind === 'serverError')
  // #region per-origin
  const breakers = fromCockatiel((_origin) =>
    circuitBreaker(failures, { halfOpenAfter: 5_000, breaker: new ConsecutiveBreaker(1) }),
  )
  // #endregion
  const api = destroyed(compose(createAgent(), breakers, attemptTimeout()))
  for (const { origin } of [bad, good]) await (await request(origin, { dispatcher: api })).body.dump()
  expect(await errorOf(request(bad.origin, { dispatcher: api }))).toBeInstanceOf(BrokenCircuitError)
  expect((await request(good.origin, { dispatcher: api })).statusCode).toBe(200)
})

it('leaves out what the caller did', async () => {
  const server = await serve({ respond: { hang: 'head' } })
  // #region conditions
  const failures = handleWhen(
    (error) => (error as Error).name !== 'AbortError' && !isBulkheadRejectedError(error),
  ).orWhenResult((outcome) => (outcome as Outcome).kind === 'serverError')
  const breaker = circuitBreaker(failures, { halfOpenAfter: 5_000, breaker: new ConsecutiveBreaker(1) })
  const api = compose(createAgent(), fromCockatiel(wrap(breaker, bulkhead(1))), attemptTimeout())
  // #endregion
  destroyed(api)
  const controller = new AbortController()
  const arrived = server.nextRequest()
  const hanging = errorOf(request(server.origin, { dispatcher: api, signal: controller.signal }))
  await arrived
  expect(isBulkheadRejectedError(await errorOf(request(server.origin, { dispatcher: api })))).toBe(true)
  controller.abort()
  await hanging
  server.script('/', 200)
  expect((await request(server.origin, { dispatcher: api })).statusCode).toBe(200)
})

it('waits as long as the server asks for', async () => {
  const { origin } = await serve({ respond: [{ status: 503, headers: { 'retry-after': '0' } }, { body: 'here' }] })
  const failures = handleAll.orWhenResult((outcome) => (outcome as Outcome).kind === 'serverError')
  // #region retry-after
  const backoff = new DelegateBackoff<{ result: object }>(({ result }) => {
    const asked = 'value' in result ? Number((result.value as Outcome).headers?.['retry-after']) : Number.NaN
    return asked >= 0 ? asked * 1_000 : 200
  })
  const api = compose(createAgent(), fromCockatiel(retry(failures, { maxAttempts: 3, backoff })))
  // #endregion
  destroyed(api)
  expect((await request(origin, { dispatcher: api })).statusCode).toBe(200)
})

it('tells refusals by their class', async () => {
  const { origin } = await serve({ respond: 500 })
  const failures = handleAll.orWhenResult((outcome) => (outcome as Outcome).kind === 'serverError')
  const breaker = circuitBreaker(failures, { halfOpenAfter: 5_000, breaker: new ConsecutiveBreaker(1) })
  const api = destroyed(compose(createAgent(), fromCockatiel(breaker)))
  const fetch = createFetch(api)
  await fetch(origin)
  const answers: string[] = []
  // #region errors
  try {
    await fetch(origin)
  } catch (error) {
    const { cause } = error as Error
    if (!isBrokenCircuitError(cause) && !isBulkheadRejectedError(cause)) throw error
    answers.push('come back later')
  }
  // #endregion
  expect(answers).toEqual(['come back later'])
})
