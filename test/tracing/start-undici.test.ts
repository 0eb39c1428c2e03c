import { createServer, type IncomingHttpHeaders } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { carriesAny } from '../../src/tracing/telemetry.ts'
import { run } from './start-child.ts'
import { closeServer, listen, type Receiver, startReceiver } from './start-receiver.ts'

const parent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`

let receiver: Receiver
let url = ''
let seen: IncomingHttpHeaders[] = []
const server = createServer((request, response) => {
  seen.push(request.headers)
  response.end('hello')
})

beforeEach(async () => {
  receiver = await startReceiver()
  seen = []
  url = `http://127.0.0.1:${await listen(server)}`
})
afterEach(async () => {
  await receiver.close()
  await closeServer(server)
})

/** The spans of a program that makes these calls, with `url`, `parent` and undici's `request` at hand. */
async function spansOf(calls: string, { options = '{}', ...variables }: Record<string, string> = {}) {
  const body = `
    import { request } from 'undici'
    const url = ${JSON.stringify(url)}, parent = ${JSON.stringify(parent)}
    const telemetry = startTracing(${options})
    ${calls}
    await telemetry.shutdown()
  `
  const { code, stderr } = await run(body, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, ...variables }).ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return receiver.spans()
}

const bothOutside = 'await (await fetch(url)).text(); await (await request(url)).body.text()'

describe('traffic outside the kit', () => {
  it('gets one span a request, which its traceparent carries, and the export itself none', async () => {
    const spans = await spansOf(bothOutside)
    expect(spans.map(({ name, kind }) => [name, kind])).toEqual([
      ['GET', 3],
      ['GET', 3],
    ])
    expect(spans.map(({ attributes }) => attributes['url.full'])).toEqual([`${url}/`, `${url}/`])
    expect(seen.map(({ traceparent }) => traceparent)).toEqual(
      spans.map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`),
    )
  })

  it('gets none with instrumentUndici: false', async () => {
    expect(await spansOf(bothOutside, { options: '{ instrumentUndici: false }' })).toEqual([])
    expect(seen).toHaveLength(2)
  })
})

describe('43: a request that carries a context already', () => {
  it.each([
    ['an object', `await (await request(url, { headers: { traceparent: parent } })).body.text()`],
    ['a list', `await (await request(url, { headers: ['x-first', '1', 'TraceParent', parent] })).body.text()`],
    ['a Headers', `await (await fetch(url, { headers: new Headers({ Traceparent: parent }) })).text()`],
  ])('gets no second span, and keeps its header, given as %s', async (_form, calls) => {
    expect(await spansOf(calls)).toEqual([])
    expect(seen.map(({ traceparent }) => traceparent)).toEqual([parent])
  })

  it.each(['tracecontext,baggage', 'b3', 'b3multi', 'none'])(
    'gets no second span where tracing() made one, with the propagators %s',
    async (propagators) => {
      const source = (file: string) => JSON.stringify(new URL(`../../src/${file}`, import.meta.url).href)
      const calls = `
        const { createAgent } = await import(${source('dispatchers/agent.ts')})
        const { compose } = await import(${source('dispatchers/compose.ts')})
        const { tracing } = await import(${source('tracing/tracing.ts')})
        const dispatcher = compose(createAgent(), tracing())
        await (await request(url + '/kit', { dispatcher })).body.text()
        await dispatcher.close()
      `
      const before = receiver.spans().length
      const clients = (await spansOf(calls, { OTEL_PROPAGATORS: propagators }))
        .slice(before)
        .filter(({ kind }) => kind === 3)
      expect(clients.map(({ attributes }) => attributes['url.full'])).toEqual([`${url}/kit`])
    },
  )

  it('is known by the header of OTEL_PROPAGATORS', async () => {
    const calls = `
      await (await request(url, { headers: { b3: '${'1'.repeat(32)}-${'2'.repeat(16)}-1' } })).body.text()
      await (await request(url)).body.text()
    `
    const spans = await spansOf(calls, { OTEL_PROPAGATORS: 'b3' })
    expect(spans.map(({ name }) => name)).toEqual(['GET'])
  })

  it('cannot be known without a propagator, so that no request gets a span then', async () => {
    expect(await spansOf(bothOutside, { OTEL_PROPAGATORS: 'none' })).toEqual([])
  })
})

describe('carriesAny', () => {
  it.each([
    [['a', '1', 'TRACEPARENT', parent], true],
    [['a', 'traceparent'], false],
    [['traceparents', parent], false],
    [[], false],
    [`a: 1\r\nTraceparent: ${parent}\r\n`, true],
    ['a: traceparent\r\n', false],
    [undefined, false],
  ])('in %j: %s', (headers, expected) => {
    expect(carriesAny(headers, ['traceparent'])).toBe(expected)
  })
})
