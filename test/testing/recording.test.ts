import { connect as connectH2, constants } from 'node:http2'
import { request as requestH1 } from 'node:https'
import { gate, startServer } from 'roundtripper/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { callH2c } from './h2-frames.ts'
import { agentFor, call, startPair, wires } from './support.ts'

describe.each(wires)('what a server records, $protocol', ({ protocol, version }) => {
  const h2 = version === '2'

  it('the requests in order of arrival, with all that came', async () => {
    const { server, agent } = await startPair({ protocol })
    const before = performance.now()
    await call(agent, server.url('/one?x'), { method: 'POST', body: 'grün', headers: { 'X-Mixed': 'Case' } })
    await call(agent, server.url('/two'))
    const [one, two] = server.requests
    expect(one).toMatchObject({
      number: 1,
      method: 'POST',
      path: '/one?x',
      protocol: version,
      bodyLength: 5,
      complete: true,
      aborted: false,
    })
    expect(one!.headers['x-mixed']).toBe('Case')
    expect(one!.rawHeaders[one!.rawHeaders.indexOf(h2 ? 'x-mixed' : 'X-Mixed') + 1]).toBe('Case')
    expect(String(one!.body)).toBe('grün')
    expect(await one!.text()).toBe('grün')
    expect(one!.streamId).toBe(h2 ? 1 : 0)
    expect(one!.startedAt).toBeGreaterThan(before)
    expect(two!.startedAt).toBeGreaterThanOrEqual(one!.startedAt)
    expect(two).toMatchObject({ number: 2, method: 'GET', path: '/two', streamId: h2 ? 3 : 0 })
    expect(two!.body).toHaveLength(0)
    expect(await two!.closed).toEqual({ how: 'answered', rstCode: h2 ? 0 : undefined })
  })

  it('bodies up to the limit, and counts the rest', async () => {
    const { server, agent } = await startPair({ protocol, bodyLimit: 1000, respond: { echo: true } })
    const { text } = await call(agent, server.url(), { method: 'POST', body: Buffer.alloc(200_000, 'y') })
    expect(server.requests[0]!.body).toEqual(Buffer.alloc(1000, 'y'))
    expect(server.requests[0]!.bodyLength).toBe(200_000)
    expect(JSON.parse(text).bodySha256).toBe('4b91ed7231d554c0004fbf2590eef044de1cb9e0067bfdb3c35ad1bf707b96da')
  })

  it('a large body whole', async () => {
    const { server, agent } = await startPair({ protocol })
    const body = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i % 251))
    await call(agent, server.url(), { method: 'POST', body })
    expect(server.requests[0]!.body.equals(body)).toBe(true)
  })

  it('that the caller broke off its own body', async () => {
    const { server, agent } = await startPair({ protocol, respond: { hang: 'head' } })
    const controller = new AbortController()
    const arriving = server.nextRequest()
    const body = (async function* () {
      yield 'first'
      await new Promise(() => {})
    })()
    const calling = call(agent, server.url(), { method: 'POST', body: body as never, signal: controller.signal })
    calling.catch(() => {})
    const request = await arriving
    controller.abort()
    expect(await request.closed).toMatchObject({ how: 'aborted' })
    await request.received
    // undici sends END_STREAM before the RST_STREAM of an abort, so over HTTP/2 the body does end in good order.
    expect(request.complete).toBe(h2)
    expect(String(request.body)).toBe('first')
  })

  it('that a body it could not send to its end was aborted', async () => {
    const { server, agent } = await startPair({ protocol, respond: { body: Buffer.alloc(16_000_000) } })
    const response = await agent.request({ origin: server.origin, path: '/', method: 'GET' })
    response.body.on('error', () => {})
    response.body.destroy()
    expect(await server.requests[0]!.closed).toMatchObject({ how: 'aborted' })
  })

  it('its connections, and which request came on which', async () => {
    const { server, agent } = await startPair({ protocol })
    expect(server.connections).toEqual({ opened: 0, open: 0 })
    await call(agent, server.url())
    expect(server.connections).toEqual({ opened: 1, open: 1 })
    const second = agentFor(server, protocol)
    await call(second, server.url())
    expect(server.connections).toEqual({ opened: 2, open: 2 })
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2])
    await second.destroy()
    await server.until(() => server.connections.open === 1)
    expect(server.connections.opened).toBe(2)
  })

  it('each arrival, for those who wait for it', async () => {
    const { server, agent } = await startPair({ protocol })
    await call(agent, server.url('/a'))
    const next = server.nextRequest('/a')
    const any = server.nextRequest()
    const third = server.until(() => server.count() === 3)
    await call(agent, server.url('/b'))
    await call(agent, server.url('/a?again'))
    expect((await next).path).toBe('/a?again')
    expect((await any).path).toBe('/b')
    await third
    expect([server.count(), server.count('/a'), server.count('/a?again'), server.count('/c')]).toEqual([3, 2, 1, 0])
    server.clear()
    expect(server.count()).toBe(0)
    await call(agent, server.url('/a'))
    expect(server.requests[0]!.number).toBe(4)
  })

  it('the end of what it breaks itself by closing', async () => {
    const server = await startServer({ protocol, respond: { hang: 'head' } })
    const agent = agentFor(server, protocol)
    onTestFinished(() => agent.destroy())
    const calling = call(agent, server.url())
    calling.catch(() => {})
    await server.until(() => server.count() === 1)
    const waiting = server.nextRequest('/never')
    waiting.catch(() => {})
    await server.close()
    await expect(calling).rejects.toThrow()
    await expect(waiting).rejects.toThrow('the server is closed')
    await expect(server.until(() => false)).rejects.toThrow('the server is closed')
    expect(await server.requests[0]!.closed).toMatchObject({ how: 'faulted' })
    expect(server.connections.open).toBe(0)
  })
})

it('tells the code an HTTP/2 caller cancelled with', async () => {
  const { server } = await startPair({ protocol: 'h2', respond: { hang: 'body' } })
  const session = connectH2(server.origin, { ca: server.ca! })
  onTestFinished(() => session.destroy())
  const stream = session.request({ ':path': '/' })
  stream.on('error', () => {})
  stream.on('response', () => stream.close(constants.NGHTTP2_FLOW_CONTROL_ERROR))
  const request = await server.nextRequest()
  expect(await request.closed).toEqual({ how: 'aborted', rstCode: constants.NGHTTP2_FLOW_CONTROL_ERROR })
})

it('tells an HTTP/2 body that was reset from one that ended', async () => {
  const { server } = await startPair({ protocol: 'h2c' })
  const caller = callH2c(server.port)
  caller.startPost('/', 'half of it')
  const request = await server.nextRequest()
  caller.reset(constants.NGHTTP2_CANCEL)
  expect(await request.closed).toEqual({ how: 'aborted', rstCode: constants.NGHTTP2_CANCEL })
  await request.received
  expect([request.complete, String(request.body)]).toEqual([false, 'half of it'])
})

it('records the trailers of a request', async () => {
  const { server } = await startPair({ protocol: 'h1' })
  const request = requestH1(server.url(), { method: 'POST', ca: server.ca, headers: { trailer: 'x-sum' } })
  request.on('error', () => {})
  request.on('response', (response) => response.resume())
  request.write('body')
  request.addTrailers({ 'x-sum': '9' })
  request.end()
  const recorded = await server.nextRequest()
  await recorded.closed
  expect(recorded.trailers).toEqual({ 'x-sum': '9' })
})

it('can answer before the body of the request is in, or look at it first', async () => {
  const { server, agent } = await startPair({ protocol: 'h1' })
  const { promise, open } = gate()
  server.script('/early', { waitForBody: false, body: 'early' })
  server.script('/read', async (request) => ({ body: `got ${await request.text()}` }))
  const body = (async function* () {
    yield 'first'
    await promise
    yield ' second'
  })()
  const early = agent.request({ origin: server.origin, path: '/early', method: 'POST', body: body as never })
  expect(await (await early).body.text()).toBe('early')
  expect(server.requests[0]!.complete).toBe(false)
  open()
  expect((await call(agent, server.url('/read'), { method: 'POST', body: 'this' })).text).toBe('got this')
})
