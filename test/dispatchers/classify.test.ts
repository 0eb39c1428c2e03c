import {
  attemptTimeout,
  bulkhead,
  type Classifiable,
  type Classify,
  circuitBreaker,
  classify,
  deadline,
  type Outcome,
  retry,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { describe, expect, it } from 'vitest'
import { guard } from '../../src/dispatchers/guard.ts'
import { call, callByFetch, chainTo, errorOf, protocols, quick, send, serve } from './retry-servers.ts'

/** What policies are told: at the head, and at the end. */
function watcher() {
  const heads: Outcome[] = []
  const ends: Outcome[] = []
  const layer = guard({
    acquire: () => ({ head: (outcome) => void heads.push(outcome), settle: (outcome) => void ends.push(outcome) }),
  })
  return { layer, heads, ends }
}

const clients = [
  ['request', call],
  ['fetch', callByFetch],
] as const

describe.each(protocols)('classify over HTTP/$version', ({ protocol }) => {
  it.each(clients)('15: a good status that is judged a failure is tried again, through %s', async (_, by) => {
    const server = await serve({
      protocol,
      respond: [{ headers: { 'x-state': 'warming-up' }, body: 'not yet' }, { body: 'fine' }],
    })
    const judge: Classify = ({ headers }) => (headers?.['x-state'] === 'warming-up' ? 'serverError' : undefined)
    const breaker = circuitBreaker()
    const chain = chainTo(server, classify(judge), retry(quick), breaker, attemptTimeout())
    expect(await by(chain, server.url())).toEqual({ status: 200, text: 'fine' })
    expect(server.count()).toBe(2)
    expect(breaker.state()[server.origin]).toMatchObject({ calls: 2, failures: 1 })
  })

  it('15: a bad status that is judged a success is not tried again, and is no failure', async () => {
    const server = await serve({ protocol, respond: { status: 503, body: 'planned' } })
    const breaker = circuitBreaker()
    const chain = chainTo(
      server,
      classify(() => 'success'),
      retry(quick),
      breaker,
      attemptTimeout(),
    )
    expect(await call(chain, server.url())).toEqual({ status: 503, text: 'planned' })
    expect(server.count()).toBe(1)
    expect(breaker.state()[server.origin]).toMatchObject({ calls: 1, failures: 0 })
  })

  it('15: no judgement makes a POST safe, or a 501 worth another attempt', async () => {
    const server = await serve({ protocol, respond: { '/post': 200, '/501': 501 } })
    const chain = chainTo(
      server,
      classify(() => 'serverError'),
      retry(quick),
    )
    expect(await call(chain, server.url('/post'), { method: 'POST', body: 'order' })).toMatchObject({ status: 200 })
    expect(await call(chain, server.url('/501'))).toMatchObject({ status: 501 })
    expect(server.count()).toBe(2)
  })

  it('is asked once a head, once an error, and told what there is to know', async () => {
    const seen: Classifiable[] = []
    const server = await serve({
      protocol,
      respond: [{ status: 503, headers: { 'x-n': '1' } }, { reset: 'before-head' }, { body: 'fine' }],
    })
    const { layer } = watcher()
    const chain = chainTo(
      server,
      classify((one) => void seen.push(one)),
      retry(quick),
      circuitBreaker(),
      bulkhead(),
      attemptTimeout(),
      layer,
    )
    expect(await call(chain, server.url())).toEqual({ status: 200, text: 'fine' })
    expect(seen).toMatchObject([
      { status: 503, headers: { 'x-n': '1' }, error: undefined },
      { status: undefined, headers: undefined, error: expect.any(Error) },
      { status: 200, error: undefined },
    ])
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('x')
      },
    ],
    ["gives a kind that is the kit's own", () => 'cancelled'],
    ['gives no kind at all', () => 'nonsense'],
    ['gives a promise', async () => 'success'],
    ['gives undefined', () => undefined],
  ])('where it %s, the default counts', async (_, judge) => {
    const server = await serve({ protocol, respond: [503, 404] })
    const { layer, heads, ends } = watcher()
    const chain = chainTo(server, classify(judge as unknown as Classify), retry(quick), layer)
    expect(await call(chain, server.url())).toMatchObject({ status: 404 })
    expect(heads.map(({ kind }) => kind)).toEqual(['serverError', 'clientError'])
    expect(ends.map(({ kind }) => kind)).toEqual(['serverError', 'clientError'])
  })

  it("is never asked about what is the kit's own", async () => {
    const seen: Classifiable[] = []
    const held = gate()
    const server = await serve({
      protocol,
      respond: { '/busy': { hold: held.promise }, '/hang': { hang: 'head' }, '*': 200 },
    })
    const slots = bulkhead({ limit: 1, queue: 0 })
    const judge: Classify = (one) => {
      seen.push(one)
      return 'serverError'
    }
    const chain = (...layers: Parameters<typeof chainTo>[1][]) =>
      chainTo(server, classify(judge), retry(quick), ...layers)
    const busy = call(chainTo(server, slots), server.url('/busy'))
    // Refused, over time, given up, badly asked for, a body that fails.
    await errorOf(call(chain(slots), server.url()))
    await errorOf(call(chainTo(server, classify(judge), deadline(20), retry(quick)), server.url('/hang')))
    const abort = new AbortController()
    const aborted = errorOf(send(chain(), server.url('/hang'), { signal: abort.signal }))
    abort.abort()
    await aborted
    await errorOf(call(chain(), server.url(), { method: 'PUT', body: () => 42 }))
    await errorOf(
      call(chain(), server.url(), {
        method: 'PUT',
        body: () => {
          throw new Error('x')
        },
      }),
    )
    held.open()
    await busy
    expect(seen).toEqual([])
  })

  it('is asked about the attempt timeout, and may judge it', async () => {
    const server = await serve({ protocol, respond: { hang: 'head' } })
    const { layer, ends } = watcher()
    const judge: Classify = ({ error }) =>
      (error as { code?: string }).code === 'ERR_ATTEMPT_TIMEOUT' ? 'clientError' : undefined
    const chain = chainTo(server, classify(judge), retry(quick), layer, attemptTimeout(30))
    expect(await errorOf(call(chain, server.url()))).toMatchObject({ code: 'ERR_ATTEMPT_TIMEOUT' })
    expect(ends.map(({ kind }) => kind)).toEqual(['clientError'])
  })

  it.each([
    ['14', 'serverError', 2],
    ['8', 'throttled', 2],
    ['5', 'success', 1],
  ])('15: a trailers-only answer of gRPC with grpc-status %s is %s', async (grpcStatus, kind, attempts) => {
    const grpc = { headers: { 'content-type': 'application/grpc', 'grpc-status': grpcStatus } }
    const server = await serve({ protocol, respond: [grpc, 200] })
    const { layer, ends } = watcher()
    const chain = chainTo(server, retry({ ...quick, idempotent: true }), layer)
    await call(chain, server.url(), { method: 'POST', body: 'message' })
    expect(ends[0]?.kind).toBe(kind)
    expect(server.count()).toBe(attempts)
  })
})

describe('its argument', () => {
  it.each([undefined, null, 'serverError', {}])('must be a function, not %j', (judge) => {
    expect(() => classify(judge as never)).toThrow(TypeError)
    expect(() => classify(judge as never)).toThrow('classify: judge must be a function')
  })
})
