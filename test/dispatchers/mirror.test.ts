// Mirrored calls on real servers: what is copied, where it goes, and what is told of it.
import {
  canary,
  compose,
  createAgent,
  createFetch,
  fallback,
  guard,
  hedge,
  type Policy,
  retry,
  tracing,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { type Dispatcher, interceptors } from 'undici'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { parentOf, Spans, useOpenTelemetry } from '../tracing/tracing-fixtures.ts'
import { arrived, fixed, stoppedClock } from './hedge-fixtures.ts'
import { mirrored } from './mirror-fixtures.ts'
import { call, chainTo, errorOf, eventually, protocols, quick, send, warmChainTo } from './retry-servers.ts'

useOpenTelemetry()

describe.each(protocols)('mirror over $version', ({ protocol }) => {
  it('sends a copy, and answers with what the original came to', async () => {
    const { server, shadow, layer, results, settled } = await mirrored(protocol, {}, 404)
    const chain = chainTo(server, layer)
    const headers = { authorization: 'secret', 'x-tell': 'a', host: 'localhost' }
    expect(await call(chain, server.url('/users?id=7'), { headers })).toEqual({ status: 200, text: 'hello' })
    expect(await settled()).toEqual({ mirrored: 1, dropped: 0, failed: 0, same: 0, different: 1, inUse: 0 })
    const [copy] = shadow.requests
    expect(copy).toMatchObject({ method: 'GET', path: '/users?id=7' })
    expect(copy?.headers).toMatchObject({ authorization: 'secret', 'x-tell': 'a', 'x-mirrored': '1' })
    expect(copy?.headers.host ?? copy?.headers[':authority']).toBe(`127.0.0.1:${shadow.port}`)
    expect(server.requests[0]?.headers).not.toHaveProperty('x-mirrored')
    expect(server.count()).toBe(1)
    await eventually(() => results.length === 1)
    expect(results[0]).toMatchObject({
      method: 'GET',
      origin: server.origin,
      path: '/users?id=7',
      original: { kind: 'success', status: 200 },
      copy: { kind: 'clientError', status: 404 },
      same: false,
    })
  })

  it('the mark has a name of its own, or is left out; one that came along stays behind', async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol, { mark: 'X-Shadow' })
    const chain = chainTo(server, layer)
    await call(chain, server.url('/'), { headers: { 'x-shadow': 'mine' } })
    await settled()
    layer.update({ mark: false })
    await call(chain, server.url('/'), { headers: ['a', 'b', 'x-shadow', 'mine'] as never })
    await settled()
    expect(shadow.requests.map(({ headers }) => headers['x-shadow'])).toEqual(['1', 'mine'])
  })

  it('unsafe methods are copied only where they are asked for', async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol)
    const chain = chainTo(server, layer)
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      await call(chain, server.url('/'), { method: method as Dispatcher.HttpMethod })
    }
    await settled()
    expect(shadow.requests.map(({ method }) => method).sort()).toEqual(['GET', 'HEAD', 'OPTIONS'])
    layer.update({ methods: ['POST'] })
    await call(chain, server.url('/'), { method: 'POST', body: 'order' })
    await call(chain, server.url('/'))
    await settled()
    expect(shadow.requests).toHaveLength(4)
    expect(await shadow.requests[3]?.text()).toBe('order')
  })

  it('once a call, not for each attempt, and compared with the one it is a copy of', async () => {
    const { server, shadow, layer, results, settled } = await mirrored(protocol)
    server.script('*', [503, 503, { body: 'third' }])
    const chain = chainTo(server, retry({ ...quick, maxAttempts: 3 }), layer)
    expect((await call(chain, server.url('/'))).text).toBe('third')
    expect(await settled()).toMatchObject({ mirrored: 1, different: 1 })
    expect(shadow.count()).toBe(1)
    await eventually(() => results.length === 1)
    expect(results[0]).toMatchObject({ original: { status: 503 }, copy: { status: 200 } })
  })

  it('also where the first attempt was refused above it', async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol)
    let asked = 0
    const refuses: Policy = {
      acquire: () => {
        if (asked++ === 0) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
        return null
      },
    }
    const chain = chainTo(server, fallback({ upstream: server.origin }), guard(refuses), layer)
    expect((await call(chain, server.url('/'))).text).toBe('hello')
    expect(await settled()).toMatchObject({ mirrored: 1 })
    expect([server.count(), shadow.count()]).toEqual([1, 1])
  })

  it("also under a hedge, and under undici's own retry", async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol)
    const slow = gate()
    const chain = await warmChainTo(server, hedge(fixed), layer)
    server.script('*', [{ hold: slow.promise, body: 'slow' }, { body: 'fast' }, 503, { body: 'again' }])
    const clock = await stoppedClock()
    const answer = call(chain, server.url('/'))
    await arrived(server, 1)
    await clock.advance(100)
    expect((await answer).text).toBe('fast')
    slow.open()
    vi.useRealTimers()
    const retried = chainTo(server, interceptors.retry({ minTimeout: 1, maxTimeout: 1 }), layer)
    expect((await call(retried, server.url('/'))).text).toBe('again')
    expect(await settled()).toMatchObject({ mirrored: 2 })
    expect(shadow.count()).toBe(2)
  })

  it('copies are not copied: two mirrors send one each', async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol)
    const second = await mirrored(protocol)
    const chain = chainTo(server, layer, second.layer)
    await call(chain, server.url('/'))
    await settled()
    await eventually(() => second.layer.state()[server.origin]?.inUse === 0)
    expect([server.count(), shadow.count(), second.shadow.count()]).toEqual([1, 1, 1])
    expect(Object.keys(second.layer.state())).toEqual([server.origin])
  })

  it('a copy that takes too long is ended, and counted as failed', async () => {
    const { server, shadow, layer, results } = await mirrored(protocol, { timeout: 500 }, { hang: 'head' })
    const chain = await warmChainTo(server, layer)
    const clock = await stoppedClock()
    expect((await call(chain, server.url('/'))).text).toBe('hello')
    await arrived(shadow, 1)
    await clock.advance(499)
    expect(layer.state()[server.origin]).toMatchObject({ inUse: 1, failed: 0 })
    await clock.advance(1)
    expect(layer.state()[server.origin]).toMatchObject({ mirrored: 1, failed: 1, different: 1, inUse: 0 })
    expect((await shadow.requests[0]?.closed)?.how).toBe('aborted')
    expect(results[0]).toMatchObject({ copy: { kind: 'timeout', phase: 'before-head' }, same: false })
  })

  it('an answer is read up to 64 KiB, then cancelled, and is none the worse for it', async () => {
    // It would never end.
    const endless = { body: ['x'.repeat(100_000), gate().promise] }
    const { server, shadow, layer, settled } = await mirrored(protocol, {}, endless)
    const chain = chainTo(server, layer)
    await call(chain, server.url('/'))
    expect(await settled()).toMatchObject({ mirrored: 1, failed: 0, same: 1 })
    expect((await shadow.requests[0]?.closed)?.how).toBe('aborted')
    shadow.script('*', { body: 'x'.repeat(60_000) })
    await call(chain, server.url('/'))
    expect(await settled()).toMatchObject({ mirrored: 2, same: 2 })
    expect((await shadow.requests[1]?.closed)?.how).toBe('answered')
  })

  it('beyond concurrency and queue no copies are sent', async () => {
    const slow = gate()
    const options = { concurrency: 2, queue: 1 }
    const { server, shadow, layer, settled } = await mirrored(protocol, options, { hold: slow.promise })
    const chain = chainTo(server, layer)
    for (let at = 0; at < 5; at++) expect((await call(chain, server.url('/'))).status).toBe(200)
    await arrived(shadow, 2)
    expect(layer.state()[server.origin]).toMatchObject({ mirrored: 2, dropped: 2, inUse: 3 })
    slow.open()
    expect(await settled()).toMatchObject({ mirrored: 3, dropped: 2, same: 3 })
    expect(server.count()).toBe(5)
  })

  it('goes on when the caller aborts, and compares nothing then', async () => {
    const slow = gate()
    const { server, shadow, layer, results, settled } = await mirrored(protocol, {}, { hold: slow.promise })
    server.script('*', { hang: 'head' })
    const abort = new AbortController()
    const failing = errorOf(send(chainTo(server, layer), server.url('/'), { signal: abort.signal }))
    await arrived(server, 1)
    await arrived(shadow, 1)
    abort.abort()
    expect(await failing).toMatchObject({ name: 'AbortError' })
    slow.open()
    expect(await settled()).toMatchObject({ mirrored: 1, failed: 0, same: 0, different: 0 })
    expect((await shadow.requests[0]?.closed)?.how).toBe('answered')
    await eventually(() => results.length === 1)
    expect(results[0]).toMatchObject({ original: { kind: 'cancelled' }, copy: { status: 200 }, same: undefined })
  })

  it('46: close() does not wait for copies elsewhere, destroy() ends those of its calls', async () => {
    const { server, shadow, layer } = await mirrored(protocol, {}, { hang: 'head' })
    const other = createAgent({ connect: { ca: server.ca as string } })
    onTestFinished(() => other.destroy())
    layer.update({
      to: compose(other, [(dispatch) => (opts, handler) => dispatch({ ...opts, origin: shadow.origin }, handler)]),
    })
    const chain = chainTo(server, layer)
    await call(chain, server.url('/'))
    await arrived(shadow, 1)
    await chain.close()
    expect(layer.state()[server.origin]).toMatchObject({ inUse: 1 })
    const destroyed = chainTo(server, layer)
    server.script('*', { hang: 'head' })
    const failing = errorOf(call(destroyed, server.url('/')))
    await arrived(server, 2)
    await arrived(shadow, 2)
    await destroyed.destroy()
    expect(await failing).toMatchObject({ code: 'UND_ERR_DESTROYED' })
    expect(layer.state()[server.origin]).toMatchObject({ mirrored: 2, failed: 1, inUse: 1 })
    expect((await shadow.requests[1]?.closed)?.how).toBe('aborted')
  })

  it('46: destroy() ends the copy of a call also below layers that make scopes of their own', async () => {
    const { server, shadow, layer } = await mirrored(protocol, {}, { hang: 'head' })
    const other = createAgent({ connect: { ca: server.ca as string } })
    onTestFinished(() => other.destroy())
    layer.update({ to: compose(other, [mirrorTo(shadow.origin)]) })
    const variants = { only: { weight: 1, to: server.origin.replace('127.0.0.1', 'localhost') } }
    const chain = chainTo(server, retry(quick), canary({ variants }), layer)
    server.script('*', { hang: 'head' })
    const failing = errorOf(call(chain, server.url('/')))
    await arrived(server, 1)
    await arrived(shadow, 1)
    await chain.destroy()
    expect(await failing).toMatchObject({ code: 'UND_ERR_DESTROYED' })
    await eventually(() => Object.values(layer.state()).every(({ inUse }) => inUse === 0))
    expect((await shadow.requests[0]?.closed)?.how).toBe('aborted')
  })

  it('46: over the same agent close() waits for them, destroy() ends them all', async () => {
    const slow = gate()
    const { server, shadow, layer, settled } = await mirrored(protocol, {}, [{ hold: slow.promise }, { hang: 'head' }])
    const chain = chainTo(server, layer)
    await call(chain, server.url('/'))
    await arrived(shadow, 1)
    const closing = chain.close()
    slow.open()
    await closing
    expect(await settled()).toMatchObject({ mirrored: 1, failed: 0, same: 1 })
    const destroyed = chainTo(server, layer)
    await call(destroyed, server.url('/'))
    await arrived(shadow, 2)
    await destroyed.destroy()
    expect(await settled()).toMatchObject({ mirrored: 2, failed: 1 })
    expect((await shadow.requests[1]?.closed)?.how).toBe('aborted')
  })

  it('a copy has a span of its own where its target has tracing, in the trace of the caller', async () => {
    const spans = new Spans()
    const traced = tracing({ tracerProvider: spans.provider })
    const { server, shadow, layer, settled } = await mirrored(protocol)
    layer.update({ to: [traced, mirrorTo(shadow.origin)] })
    const chain = chainTo(server, traced, layer)
    const parent = await spans.inSpan('job', async (span) => {
      await call(chain, server.url('/'))
      await settled()
      return span.spanContext()
    })
    expect(spans.attempts).toHaveLength(2)
    for (const attempt of spans.attempts) expect(parentOf(attempt)).toBe(parent.spanId)
    const [original, copy] = spans.attempts
    expect([original?.links, copy?.links]).toEqual([[], []])
    expect(shadow.requests[0]?.headers.traceparent).toContain(copy?.spanContext().spanId)
    expect(server.requests[0]?.headers.traceparent).toContain(original?.spanContext().spanId)
  })

  it('gives way where not all can be served: copies are sheddable', async () => {
    const { server, layer, settled } = await mirrored(protocol)
    const seen: [string, number][] = []
    const sees: Policy = {
      acquire: ({ origin, exchange }) => {
        seen.push([origin === server.origin ? 'original' : 'copy', exchange.priority])
        return null
      },
    }
    const chain = chainTo(server, layer, guard(sees))
    await call(chain, server.url('/'), { resilience: { priority: 'critical', deadline: 5_000 } })
    await settled()
    expect(seen).toEqual([
      ['original', 0],
      ['copy', 2],
    ])
  })

  it("48: alone in agent.compose, and under the kit's fetch", async () => {
    const { server, shadow, layer, settled } = await mirrored(protocol)
    const agent = createAgent({ connect: { ca: server.ca as string } })
    onTestFinished(() => agent.destroy())
    expect((await call(agent.compose(layer), server.url('/'))).text).toBe('hello')
    const fetch = createFetch(compose(agent, layer))
    expect(await (await fetch(server.url('/'))).text()).toBe('hello')
    expect(await settled()).toMatchObject({ mirrored: 2, same: 2 })
    expect(shadow.count()).toBe(2)
  })
})

/** A layer that sends everything to one origin. */
function mirrorTo(origin: string) {
  return (dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] =>
    (opts, handler) =>
      dispatch({ ...opts, origin }, handler)
}
