import { once } from 'node:events'
import {
  attemptTimeout,
  bulkhead,
  circuitBreaker,
  compose,
  createAgent,
  deadline,
  guard,
  type Layer,
  retry,
  standard,
  tracing,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { Dispatcher, errors, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { call, chainTo, errorOf, protocols, send, serve } from './retry-servers.ts'

/** A layer that tells when it is passed, on the way down. */
function telling(name: string, trail: string[]): Layer {
  return (dispatch) =>
    function tell(opts, handler) {
      trail.push(name)
      return dispatch(opts, handler)
    }
}

describe('what compose takes', () => {
  it('reads from top to bottom, flattens lists, leaves nothing out but nothing', async () => {
    const server = await serve({ protocol: 'h1' })
    const trail: string[] = []
    const chain = chainTo(
      server,
      telling('a', trail),
      [null, [telling('b', trail), undefined], false],
      telling('c', trail),
    )
    await call(chain, server.url('/'))
    expect(trail).toEqual(['a', 'b', 'c'])
    expect(chain).toBeInstanceOf(Dispatcher)
  })

  it.each([
    [
      'no dispatcher',
      () => compose(undefined as never),
      /expects a dispatcher first \(createAgent\(\)\), got undefined/,
    ],
    ['no layer', () => compose(createAgent(), retry(), 7 as never), /layer 2 must be an interceptor .*got 7/],
    [
      'a layer of one parameter',
      () => compose(createAgent(), (() => () => true) as never),
      /two parameters \(opts, handler\), got one with 0/,
    ],
    ['a layer that gives nothing', () => compose(createAgent(), (() => undefined) as never), /got undefined/],
    ['an unknown part', () => standard({ retries: 3 } as never), /unknown option "retries"; known are .*retry/],
    ['a policy without acquire', () => guard({} as never), /acquire\(scope\)/],
    ['a deadline of no length', () => deadline(0), /deadline: duration must be a number from 1 to 2147483647, got 0/],
    [
      'an attempt timeout that no timer holds',
      () => attemptTimeout(2 ** 40),
      /attemptTimeout: duration .*got 1099511627776/,
    ],
  ])('refuses %s', (_name, make, message) => {
    expect(make).toThrow(message)
  })

  it.each([
    [
      [circuitBreaker(), retry()],
      /circuitBreaker\(\) \(layer 1\) stands outside retry\(\) \(layer 2\).*Put circuitBreaker\(\) below retry\(\)/,
    ],
    [[retry(), retry()], /retry\(\) stands twice \(layers 1 and 2\): attempts multiply/],
    [[bulkhead(), retry(), bulkhead()], /bulkhead\(\) stands twice \(layers 1 and 3\)/],
    [
      [deadline(1000), attemptTimeout(1000)],
      /deadline\(1000\) is not longer than attemptTimeout\(1000\).*Make the deadline longer/,
    ],
  ])('explains a chain that defeats itself (%#)', (layers, message) => {
    expect(() => compose(createAgent(), layers)).toThrow(message)
  })

  it('only warns of what is unwise', async () => {
    const warned = once(process, 'warning')
    compose(createAgent(), bulkhead(), retry(), attemptTimeout())
    const [warning] = (await warned) as [Error & { code?: string }]
    expect(warning).toMatchObject({
      code: 'ROUNDTRIPPER_CHAIN',
      message: expect.stringContaining('Put bulkhead() below retry()'),
    })
  })

  it('tells the agent listeners through the chain, and leaves none of its own', async () => {
    const server = await serve({ protocol: 'h1' })
    const agent = createAgent({ connect: { ca: server.ca } })
    onTestFinished(() => agent.destroy())
    const chains = Array.from({ length: 50 }, () => compose(agent, tracing()))
    expect(agent.eventNames()).toEqual([])
    const connected = once(chains[0] as Dispatcher, 'connect')
    await call(chains[1] as Dispatcher, server.url('/'))
    expect(String((await connected)[0])).toBe(`${server.origin}/`)
  })
})

describe.each(protocols)('closing a chain over $version', ({ protocol }) => {
  it('46: close waits for what is queued, backing off, and being read; then calls fail as closed', async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry({ backoff: 30 }), bulkhead({ limit: 1, queue: 2 }))
    const rest = gate()
    server.script('/body', { body: ['a', rest.promise, 'b'] })
    server.script('/flaky', [503, { body: 'at last' }])
    const flaky = call(chain, server.url('/flaky'))
    await server.until(() => server.count('/flaky') === 1)
    const reading = await send(chain, server.url('/body'))
    const queued = call(chain, server.url('/queued'))
    let closed = false
    const closing = chain.close().then(() => {
      closed = true
    })
    expect(await errorOf(call(chain, server.url('/late')))).toBeInstanceOf(errors.ClientClosedError)
    expect(chain.closed).toBe(true)
    expect(closed).toBe(false)
    rest.open()
    expect(await reading.body.text()).toBe('ab')
    expect((await queued).status).toBe(200)
    expect((await flaky).text).toBe('at last')
    await closing
    expect(server.count('/late')).toBe(0)
  })

  it('46: destroy fails what waits at once, wherever it waits, and what is being read', async () => {
    const server = await serve({ protocol })
    const slots = bulkhead({ limit: 2, queue: 2 })
    const chain = chainTo(server, retry({ backoff: 5_000 }), slots)
    server.script('/body', { body: 'x'.repeat(1000), hang: 'body' })
    server.script('/hang', { hang: 'head' })
    server.script('/flaky', 503)
    const backingOff = errorOf(call(chain, server.url('/flaky')))
    await server.until(() => server.count('/flaky') === 1)
    const body = errorOf((await send(chain, server.url('/body'))).body.text())
    const hanging = errorOf(call(chain, server.url('/hang')))
    const queued = errorOf(call(chain, server.url('/queued')))
    const reason = new Error('shutting down')
    await chain.destroy(reason)
    expect(await Promise.all([backingOff, hanging, queued])).toEqual([reason, reason, reason])
    expect(await body).toBe(reason)
    expect(slots.state()[server.origin]).toMatchObject({ inUse: 0, queued: 0 })
    expect(await errorOf(call(chain, server.url('/')))).toBeInstanceOf(errors.ClientDestroyedError)
    expect(server.count('/queued')).toBe(0)
  })

  it('46: both take callbacks, and can be called again', async () => {
    const server = await serve({ protocol })
    const chain = chainTo(server, retry())
    await call(chain, server.url('/'))
    await new Promise<void>((resolve) => chain.close(resolve))
    await chain.close()
    await new Promise<void>((resolve) => chain.destroy(resolve))
    await chain.destroy()
    expect([chain.closed, chain.destroyed]).toEqual([true, true])
  })
})

it('says what to do where the fetch built into Node 22 and 24 is given a chain', async () => {
  const server = await serve({ protocol: 'h1c' })
  const chain = chainTo(server, retry())
  const [major] = process.versions.node.split('.')
  const failed = await errorOf(fetch(server.url('/'), { dispatcher: chain } as never))
  expect(Number(major)).toBeLessThan(26)
  expect(`${(failed as Error).message} ${((failed as Error).cause as Error | undefined)?.message}`).toMatch(
    /createFetch\(dispatcher\)/,
  )
})

it('46: undici.request on a chain of a chain works, and closes through both', async () => {
  const server = await serve({ protocol: 'both' })
  const inner = chainTo(server, retry())
  const outer = compose(inner, tracing())
  const { statusCode, body } = await request(server.url('/'), { dispatcher: outer })
  await body.dump()
  expect(statusCode).toBe(200)
  await outer.close()
  expect(inner.closed).toBe(true)
})
