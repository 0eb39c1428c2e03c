import { spawnSync } from 'node:child_process'
import { setImmediate as turn } from 'node:timers/promises'
import {
  attemptTimeout,
  bodyTimeout,
  bulkhead,
  circuitBreaker,
  compose,
  deadline,
  type Logger,
  logging,
  retry,
  tracing,
} from 'roundtripper'
import { gate } from 'roundtripper/testing'
import { interceptors } from 'undici'
import { describe, expect, it } from 'vitest'
import { protocols, Spans, serve, useOpenTelemetry } from '../tracing/tracing-fixtures.ts'
import { call, type Line, levels, loggedChain, memoryPino, send } from './logging-fixtures.ts'

useOpenTelemetry()

function told(lines: readonly Line[]) {
  return lines.map(({ level, outcome, error, status, attempts }) => ({ level, outcome, error, status, attempts }))
}

const { info, warn } = levels

describe.each(protocols)('records over $protocol', ({ protocol }) => {
  it('of refused calls say who refused', async () => {
    const held = gate()
    const { server, agent } = await serve({ protocol, respond: { '*': { hold: held.promise }, '/500': 500 } })
    const full = loggedChain(agent, 'info', bulkhead({ limit: 1, queue: 0 }))
    const first = call(full.chain, server.url())
    await expect(call(full.chain, server.url())).rejects.toMatchObject({ code: 'ERR_BULKHEAD_FULL' })
    expect(told(full.lines)).toEqual([
      { level: warn, outcome: 'shed', error: 'ERR_BULKHEAD_FULL', status: undefined, attempts: 0 },
    ])
    held.open()
    await first

    const open = loggedChain(agent, 'info', circuitBreaker({ minimumCalls: 1 }), attemptTimeout(5_000))
    await call(open.chain, server.url('/500'))
    await expect(call(open.chain, server.url())).rejects.toMatchObject({ code: 'ERR_CIRCUIT_OPEN' })
    expect(told(open.lines)).toEqual([
      { level: warn, outcome: 'serverError', error: undefined, status: 500, attempts: 1 },
      { level: warn, outcome: 'shed', error: 'ERR_CIRCUIT_OPEN', status: undefined, attempts: 0 },
    ])
    expect(open.lines[1]?.notes).toEqual({ 'circuit.state': 'open' })
  })

  it('of timeouts say which', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: { '*': { hang: 'head' }, '/body': { body: 'x'.repeat(20), hang: 'body' } },
    })
    for (const [layer, path, outcome, error, status] of [
      [attemptTimeout(15), '/', 'timeout', 'ERR_ATTEMPT_TIMEOUT', undefined],
      [deadline(15), '/', 'deadline', 'ERR_DEADLINE_EXCEEDED', undefined],
      [bodyTimeout(15), '/body', 'timeout', 'ERR_BODY_TIMEOUT', 200],
    ] as const) {
      const { lines, chain } = loggedChain(agent, 'info', layer)
      await expect(call(chain, server.url(path))).rejects.toMatchObject({ code: error })
      expect(told(lines)).toEqual([{ level: warn, outcome, error, status, attempts: 1 }])
      expect(Number(lines[0]?.durationMs)).toBeGreaterThanOrEqual(15)
    }
  })

  it('of aborted calls: in the queue, in a backoff, before the head, in the body', async () => {
    const held = gate()
    const { server, agent } = await serve({
      protocol,
      respond: {
        '*': { hold: held.promise },
        '/busy': { status: 503, body: 'busy' },
        '/hang': { hang: 'head' },
        '/body': { body: 'x'.repeat(20), hang: 'body' },
      },
    })
    const slots = bulkhead({ limit: 1 })
    const reason = Object.assign(new Error('enough'), { name: 'Enough' })
    const cancelled = { level: info, outcome: 'cancelled', error: 'Enough', status: undefined }

    const queued = loggedChain(agent, 'info', retry(), slots)
    const holder = call(compose(agent, slots), server.url())
    const queue = new AbortController()
    const waiting = call(queued.chain, server.url(), { signal: queue.signal })
    await turn()
    queue.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    expect(told(queued.lines)).toEqual([{ ...cancelled, attempts: 1 }])
    expect(Number(queued.lines[0]?.queuedMs)).toBeGreaterThan(0)
    held.open()
    await holder

    const backoff = new AbortController()
    const abortThen = () => {
      setImmediate(() => backoff.abort(reason))
      return 5_000
    }
    const backing = loggedChain(agent, 'debug', retry({ backoff: abortThen }))
    await expect(call(backing.chain, server.url('/busy'), { signal: backoff.signal })).rejects.toBe(reason)
    expect(told(backing.lines)).toMatchObject([
      { outcome: 'serverError', status: 503 },
      { ...cancelled, attempts: 1 },
    ])

    const early = new AbortController()
    const heading = loggedChain(agent, 'debug', retry())
    const hanging = call(heading.chain, server.url('/hang'), { signal: early.signal })
    await server.until(() => server.count('/hang') === 1)
    early.abort(reason)
    await expect(hanging).rejects.toBe(reason)
    expect(heading.lines.map(({ outcome, error, attempt }) => [outcome, error, attempt])).toEqual([
      ['cancelled', 'Enough', 1],
      ['cancelled', 'Enough', undefined],
    ])

    const late = new AbortController()
    const reading = loggedChain(agent, 'info', retry())
    const { body } = await send(reading.chain, server.url('/body'), { signal: late.signal })
    late.abort(reason)
    await expect(body.text()).rejects.toBe(reason)
    // undici gives its own error to a dispatcher whose response is already being read.
    expect(told(reading.lines)).toEqual([{ ...cancelled, error: 'UND_ERR_ABORTED', status: 200, attempts: 1 }])
  })

  it('of bodies that nobody reads come once, call and attempt, and say so', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, { body: Buffer.alloc(4 * 1024 * 1024) }] })
    const { lines, logger } = memoryPino()
    const spans = new Spans()
    const chain = compose(
      agent,
      tracing({ tracerProvider: spans.provider, unreadBodyTimeout: 20 }),
      logging({ logger, unreadBodyTimeout: 20 }),
      retry({ backoff: 1 }),
    )
    const { body } = await send(chain, server.url())
    while (lines.length < 3) await new Promise((resolve) => setTimeout(resolve, 1))
    await body.arrayBuffer()
    const ids = spans.attempts.map((span) => span.spanContext().spanId)
    expect(lines.map(({ attempt, status, bodyUnread, span_id }) => [attempt, status, bodyUnread, span_id])).toEqual([
      [1, 503, undefined, ids[0]],
      [2, 200, true, ids[1]],
      [undefined, 200, true, spans.calls[0]?.spanContext().spanId],
    ])
  })

  it('of a body that breaks keep the status', async () => {
    const { server, agent } = await serve({ protocol, respond: { reset: 'in-body' } })
    const { lines, chain } = loggedChain(agent, 'debug', retry())
    await expect(call(chain, server.url())).rejects.toThrow()
    expect(lines.map(({ outcome, status, attempt }) => [outcome, status, attempt])).toEqual([
      ['networkError', 200, 1],
      ['networkError', 200, undefined],
    ])
  })
})

it('an error page that is not read to its end is told at warn', async () => {
  const { server, agent } = await serve({
    protocol: 'h1',
    respond: { status: 500, body: 'x'.repeat(20), hang: 'body' },
  })
  const { lines, chain } = loggedChain(agent, 'info')
  const { body } = await send(chain, server.url())
  body.on('error', () => {}).destroy()
  await new Promise((resolve) => body.on('close', resolve))
  expect(told(lines)).toMatchObject([{ level: warn, outcome: 'cancelled', status: 500 }])
})

it('a reason that is no error is not written down', async () => {
  const { server, agent } = await serve({ protocol: 'h1', respond: { hang: 'head' } })
  const { lines, chain } = loggedChain(agent, 'info')
  const abort = new AbortController()
  const waiting = call(chain, server.url(), { signal: abort.signal })
  await server.until(() => server.count() === 1)
  abort.abort('a text of the caller')
  await expect(waiting).rejects.toBe('a text of the caller')
  expect(lines[0]?.error).toBe('string')
})

describe('logging() elsewhere', () => {
  it('48: inside a retry writes one record an attempt', async () => {
    const { server, agent } = await serve({ protocol: 'h1', respond: [503, 200] })
    const { lines, logger } = memoryPino()
    await call(compose(agent, retry({ backoff: 1 }), logging({ logger })), server.url())
    expect(lines.map(({ level, attempt, attempts, status }) => [level, attempt, attempts, status])).toEqual([
      [warn, 1, undefined, 503],
      [info, 2, undefined, 200],
    ])
  })

  it('48: inside a retry, below the tracing, names the span of its attempt', async () => {
    const { server, agent } = await serve({ protocol: 'h1', respond: [503, 200] })
    const { lines, logger } = memoryPino()
    const spans = new Spans()
    const layers = [retry({ backoff: 1 }), tracing({ tracerProvider: spans.provider }), logging({ logger })]
    await call(compose(agent, layers), server.url())
    const ids = spans.attempts.map((span) => span.spanContext())
    expect(lines.map(({ trace_id, span_id }) => [trace_id, span_id])).toEqual(
      ids.map(({ traceId, spanId }) => [traceId, spanId]),
    )
  })

  it('48: alone in agent.compose, and above the tracing', async () => {
    const { server, agent } = await serve({ protocol: 'h1', respond: [200, 503, 200] })
    const { lines, logger } = memoryPino('info')
    await call(agent.compose(logging({ logger })), server.url())
    const spans = new Spans()
    const layers = [logging({ logger }), tracing({ tracerProvider: spans.provider }), retry({ backoff: 1 })]
    await call(compose(agent, layers), server.url())
    expect(lines.map(({ attempts, span_id }) => [attempts, span_id])).toEqual([
      [1, undefined],
      [2, spans.calls[0]?.spanContext().spanId],
    ])
  })

  it("48: below undici's redirect writes one record a hop, and its attempts once", async () => {
    const { server, agent } = await serve({
      protocol: 'h1',
      respond: { '*': 200, '/a': { status: 302, headers: { location: '/b' } }, '/b': [503, 200] },
    })
    const { lines, logger } = memoryPino()
    const layers = [interceptors.redirect({ maxRedirections: 2 }), logging({ logger }), retry({ backoff: 1 })]
    await call(compose(agent, layers), server.url('/a'))
    expect(lines.map(({ attempt, status }) => [attempt, status])).toEqual([
      [1, 302],
      [undefined, 302],
      [2, 503],
      [3, 200],
      [undefined, 200],
    ])
  })
})

describe('a logger that throws', () => {
  const fail = () => {
    throw new Error('disk full')
  }
  const good: Logger = { debug() {}, info() {}, warn() {} }

  it.each<[string, () => Logger]>([
    ['in every method', () => ({ debug: fail, info: fail, warn: fail })],
    ['for attempts', () => ({ ...good, debug: fail })],
    ['when asked for its level', () => ({ ...good, isLevelEnabled: fail })],
  ])('%s harms no call, and is told of once', async (_, make) => {
    const { server, agent } = await serve({ protocol: 'h2', respond: [503, 200] })
    const warnings: unknown[] = []
    const listen = (warning: Error & { code?: string }) => {
      if (warning.code === 'ROUNDTRIPPER_LOGGER') warnings.push(warning.message)
    }
    process.on('warning', listen)
    const logger = make()
    const chain = compose(agent, logging({ logger }), retry({ backoff: 1 }), bulkhead({ limit: 1 }))
    const again = compose(agent, logging({ logger }))
    expect(await call(chain, server.url())).toBe(200)
    expect(await call(again, server.url())).toBe(200)
    await server.refuseConnections()
    await expect(call(chain, server.url(), { method: 'POST' })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await turn()
    process.removeListener('warning', listen)
    expect(warnings).toEqual([expect.stringContaining('disk full')])
  })
})

it('writes lines of JSON on standard error by default, from info', () => {
  const program = `
    import { createServer } from 'node:http'
    import { request } from 'undici'
    import { compose, createAgent, logging, retry } from ${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)}
    let failures = 1
    const server = createServer((_, response) => { response.statusCode = failures-- > 0 ? 503 : 200; response.end('hello') })
    server.listen(0, '127.0.0.1', async () => {
      const chain = compose(createAgent(), logging(), retry({ backoff: 1 }))
      const url = 'http://127.0.0.1:' + server.address().port
      await (await request(url + '/p?sig=secret', { dispatcher: chain })).body.text()
      server.close()
      await chain.close()
      await request(url + '/', { dispatcher: chain }).catch(() => {})
      console.log(url)
    })
  `
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', program]
  const cwd = new URL('../../', import.meta.url)
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' })
  const url = stdout.trim()
  expect(status).toBe(0)
  const lines = stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines).toEqual([
    {
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      method: 'GET',
      url: `${url}/p?sig=REDACTED`,
      status: 200,
      outcome: 'success',
      attempts: 2,
      durationMs: expect.any(Number),
      headMs: expect.any(Number),
      queuedMs: 0,
      backoffMs: 1,
      protocol: '1.1',
      msg: `GET ${url}/p?sig=REDACTED 200`,
    },
  ])
})
