import { AsyncLocalStorage } from 'node:async_hooks'
import { SpanKind } from '@opentelemetry/api'
import { compose, deadline, type Logger, logging, retry, tracing } from 'roundtripper'
import { describe, expect, it } from 'vitest'
import { protocols, Spans, serve, useOpenTelemetry } from '../tracing/tracing-fixtures.ts'
import { call, levels, loggedChain, memoryPino } from './logging-fixtures.ts'

useOpenTelemetry()

const secret = 'c0ffee5ec2e7'

describe.each(protocols)('logging over $protocol', ({ protocol, version }) => {
  it('writes one record a call, at info, with pino', async () => {
    const { server, agent } = await serve({ protocol, respond: { status: 201, body: 'made' } })
    const { lines, chain } = loggedChain(agent, 'info')
    expect(await call(chain, server.url('/users?a=1'), { method: 'POST', body: 'x' })).toBe(201)
    expect(lines).toEqual([
      {
        level: levels.info,
        method: 'POST',
        url: server.url('/users?a=1'),
        status: 201,
        outcome: 'success',
        attempts: 1,
        durationMs: expect.any(Number),
        headMs: expect.any(Number),
        queuedMs: 0,
        backoffMs: 0,
        protocol: version,
        msg: `POST ${server.url('/users?a=1')} 201`,
      },
    ])
    expect(Number(lines[0]?.headMs)).toBeGreaterThan(0)
    expect(Number(lines[0]?.durationMs)).toBeGreaterThanOrEqual(Number(lines[0]?.headMs))
  })

  it('writes one record an attempt at debug, and the call after them', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, { reset: 'before-head' }, 200] })
    const { lines, chain } = loggedChain(agent, 'debug', retry({ backoff: [3, 4] }))
    await call(chain, server.url())
    const seen = lines.map(({ level, attempt, attempts, status, outcome, backoffMs }) => ({
      level,
      attempt,
      attempts,
      status,
      outcome,
      backoffMs,
    }))
    expect(seen).toEqual([
      { level: levels.debug, attempt: 1, status: 503, outcome: 'serverError', backoffMs: 0 },
      { level: levels.debug, attempt: 2, outcome: 'networkError', backoffMs: 3 },
      { level: levels.debug, attempt: 3, status: 200, outcome: 'success', backoffMs: 4 },
      { level: levels.info, attempts: 3, status: 200, outcome: 'success', backoffMs: 7 },
    ])
    expect(lines.map(({ msg }) => msg)).toEqual([
      `GET ${server.url()} attempt 1 503`,
      `GET ${server.url()} attempt 2 ${lines[1]?.error}`,
      `GET ${server.url()} attempt 3 200`,
      `GET ${server.url()} 200`,
    ])
    expect(lines[1]?.error).toMatch(/^[A-Z0-9_]+$/)
    expect(Number(lines[3]?.durationMs)).toBeGreaterThanOrEqual(7)
  })

  it('writes one record an attempt also where nobody repeats', async () => {
    const { server, agent } = await serve({ protocol })
    const { lines, chain } = loggedChain(agent, 'debug')
    await call(chain, server.url())
    expect(lines.map(({ level, attempt, attempts }) => [level, attempt, attempts])).toEqual([
      [levels.debug, 1, undefined],
      [levels.info, undefined, 1],
    ])
  })

  it.each([
    [200, 'info'],
    [304, 'info'],
    [404, 'info'],
    [429, 'warn'],
    [500, 'warn'],
  ] as const)('tells of %d at %s', async (status, level) => {
    const { server, agent } = await serve({ protocol, respond: status })
    const { lines, chain } = loggedChain(agent, 'info')
    await call(chain, server.url())
    expect(lines.map((line) => line.level)).toEqual([levels[level]])
  })

  it('names the spans of tracing() above it', async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 503, 200] })
    for (const callSpan of [false, true]) {
      const spans = new Spans()
      const { lines, logger } = memoryPino()
      const chain = compose(
        agent,
        tracing({ tracerProvider: spans.provider, callSpan }),
        logging({ logger }),
        retry({ backoff: 1 }),
      )
      await spans.inSpan('caller', () => call(chain, server.url()))
      server.script('*', [503, 503, 200])
      const ids = spans.attempts.map((span) => span.spanContext().spanId)
      // The record of the call names its own span; where it has none, the attempt that decided it.
      const own = callSpan ? spans.calls[0]?.spanContext().spanId : ids.at(-1)
      expect(lines.map((line) => line.span_id)).toEqual([...ids, own])
      const [{ traceId } = { traceId: '' }] = spans.attempts.map((span) => span.spanContext())
      expect(lines.map((line) => line.trace_id)).toEqual(Array(4).fill(traceId))
      expect(spans.attempts.every(({ kind }) => kind === SpanKind.CLIENT)).toBe(true)
    }
  })

  it('never writes headers, bodies, cookies, credentials or signed values', async () => {
    const { server, agent } = await serve({
      protocol,
      respond: [
        { status: 503, body: secret, headers: { 'set-cookie': `id=${secret}`, 'x-secret': secret } },
        { body: secret, headers: { 'set-cookie': [`id=${secret}`, `more=${secret}`], location: `/${secret}` } },
      ],
    })
    const { lines, chain } = loggedChain(agent, 'debug', retry({ backoff: 1 }))
    await call(chain, server.url('/p'), {
      method: 'PUT',
      body: secret,
      query: { sig: secret, token: [secret, secret], shown: 'yes' },
      headers: { authorization: `Bearer ${secret}`, cookie: `id=${secret}`, 'x-api-key': secret },
    })
    expect(lines).toHaveLength(3)
    expect(JSON.stringify(lines)).not.toContain(secret)
    expect(lines[0]?.url).toBe(server.url('/p?sig=REDACTED&token=REDACTED&token=REDACTED&shown=yes'))
  })

  it("runs the logger in the caller's async context", async () => {
    const { server, agent } = await serve({ protocol, respond: [503, 200, 503, 200, 503, 200] })
    const store = new AsyncLocalStorage<string>()
    const seen: [unknown, string | undefined][] = []
    const note = (record: object) => seen.push([(record as { url: string }).url, store.getStore()])
    const logger: Logger = { debug: note, info: note, warn: note }
    const chain = compose(agent, logging({ logger }), retry({ backoff: 1 }))
    // One after the other, so that the later calls use a connection that the first one opened.
    for (const name of ['/a', '/b', '/c']) await store.run(name, () => call(chain, server.url(name)))
    expect(seen).toEqual(['/a', '/b', '/c'].flatMap((name) => Array(3).fill([server.url(name), name])))
  })

  it("runs the logger in the caller's async context also where somebody else ends the call", async () => {
    const { server, agent } = await serve({ protocol, respond: { hang: 'head' } })
    const store = new AsyncLocalStorage<string>()
    const seen: (string | undefined)[] = []
    const note = () => seen.push(store.getStore())
    const logger: Logger = { debug() {}, info: note, warn: note }
    const abort = new AbortController()
    const aborted = store.run('a', () =>
      call(compose(agent, logging({ logger })), server.url(), { signal: abort.signal }).catch(() => {}),
    )
    await server.until(() => server.count() === 1)
    store.run('somebody else', () => abort.abort())
    await aborted
    await store.run('b', () => call(compose(agent, logging({ logger }), deadline(5)), server.url()).catch(() => {}))
    expect(seen).toEqual(['a', 'b'])
  })
})

describe('the level of a logger', () => {
  it.each([
    ['debug', 3],
    ['info', 1],
    ['warn', 0],
    ['silent', 0],
  ])('%s writes what it should of a good call', async (level, count) => {
    const { server, agent } = await serve({ protocol: 'h1', respond: [503, 200] })
    const { lines, chain } = loggedChain(agent, level, retry({ backoff: 1 }))
    await call(chain, server.url())
    expect(lines).toHaveLength(count)
  })

  it.each([
    ['warn', 1],
    ['error', 0],
  ])('%s writes what it should of a bad call', async (level, count) => {
    const { server, agent } = await serve({ protocol: 'h1', respond: 500 })
    const { lines, chain } = loggedChain(agent, level)
    await call(chain, server.url())
    expect(lines).toHaveLength(count)
  })

  it('is asked for every call, so that it can change', async () => {
    const { server, agent } = await serve({ protocol: 'h1' })
    const { lines, logger } = memoryPino('warn')
    const chain = compose(agent, logging({ logger }))
    await call(chain, server.url())
    logger.level = 'info'
    await call(chain, server.url())
    expect(lines).toHaveLength(1)
  })

  it('without isLevelEnabled everything is written, and methods keep their this', async () => {
    const { server, agent } = await serve({ protocol: 'h1' })
    class Own {
      readonly seen: string[] = []
      debug(_record: object, message: string) {
        this.seen.push(`debug ${message}`)
      }
      info(_record: object, message: string) {
        this.seen.push(`info ${message}`)
      }
      warn(_record: object, message: string) {
        this.seen.push(`warn ${message}`)
      }
    }
    const logger = new Own()
    await call(compose(agent, logging({ logger })), server.url())
    expect(logger.seen).toEqual([`debug GET ${server.url()} attempt 1 200`, `info GET ${server.url()} 200`])
  })
})

describe('options of logging()', () => {
  it.each([
    [{ logger: {} }, 'logging: logger.debug must be a function'],
    [{ logger: null }, 'logging: logger.debug must be a function'],
    [{ logger: { debug() {}, info() {} } }, 'logging: logger.warn must be a function'],
    [{ unreadBodyTimeout: -1 }, 'logging: unreadBodyTimeout must be a number from 1'],
    [{ level: 'info' }, 'logging: unknown option "level"'],
  ])('%j is refused', (options, message) => {
    expect(() => logging(options as never)).toThrow(message)
  })
})
