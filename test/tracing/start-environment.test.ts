import { afterEach, describe, expect, it, vi } from 'vitest'
import { createExports } from '../../src/tracing/export.ts'
import { type ExporterClass, loadSdk } from '../../src/tracing/sdk.ts'
import { run } from './start-child.ts'
import { type Receiver, startReceiver } from './start-receiver.ts'

let receiver: Receiver
const withReceiver = async (settings?: Parameters<typeof startReceiver>[0]) => {
  receiver = await startReceiver(settings)
  return receiver
}
afterEach(async () => {
  await receiver?.close()
  vi.unstubAllEnvs()
})

/** Starts with these options, makes spans of these names, and ends in good order. */
const program = (options = '{}', names = ['one']) => `
  const telemetry = startTracing(${options})
  for (const name of ${JSON.stringify(names)}) span(name)
  await telemetry.shutdown()
`

describe('resource', () => {
  it('takes OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES', async () => {
    const { endpoint, exports } = await withReceiver()
    await run(program(), {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_SERVICE_NAME: 'from-variable',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    }).ended
    expect(exports[0]?.resource).toMatchObject({
      'service.name': 'from-variable',
      'deployment.environment.name': 'test',
    })
  })

  it('takes serviceName before OTEL_SERVICE_NAME', async () => {
    const { endpoint, exports } = await withReceiver()
    await run(program(`{ serviceName: 'from-code' }`), {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_SERVICE_NAME: 'from-variable',
    }).ended
    expect(exports[0]?.resource['service.name']).toBe('from-code')
  })
})

describe('destination', () => {
  it('is the path of the signal under OTEL_EXPORTER_OTLP_ENDPOINT, and nothing else is sent', async () => {
    const { endpoint, exports, spans } = await withReceiver()
    await run(program(), { OTEL_EXPORTER_OTLP_ENDPOINT: `${endpoint}/base/` }).ended
    expect(exports.map(({ path }) => path)).toEqual(['/base/v1/traces'])
    expect(spans().map(({ name }) => name)).toEqual(['one'])
  })

  it('is OTEL_EXPORTER_OTLP_TRACES_ENDPOINT as it stands, before the general one', async () => {
    const { endpoint, exports } = await withReceiver()
    await run(program(), {
      OTEL_EXPORTER_OTLP_ENDPOINT: `${endpoint}/general`,
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/own`,
    }).ended
    expect(exports.map(({ path }) => path)).toEqual(['/own'])
  })

  it('is the endpoint option before both, with headers merged by name', async () => {
    const { endpoint, exports } = await withReceiver()
    const options = { endpoint: `${endpoint}/code`, headers: { 'X-Second': 'code' } }
    await run(program(JSON.stringify(options)), {
      OTEL_EXPORTER_OTLP_ENDPOINT: `${endpoint}/general`,
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/own`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-first=variable,x-second=variable',
    }).ended
    expect(exports.map(({ path }) => path)).toEqual(['/code/v1/traces'])
    expect(exports[0]?.headers).toMatchObject({ 'x-first': 'variable', 'x-second': 'code' })
  })

  it('gets protobuf unless OTEL_EXPORTER_OTLP_PROTOCOL says JSON', async () => {
    const { endpoint, exports } = await withReceiver()
    await run(program(), { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: '' }).ended
    expect(exports[0]?.headers['content-type']).toBe('application/x-protobuf')
    expect(exports[0]?.body.includes('one')).toBe(true)
  })

  it.each([
    ['localhost:4318', 'http://localhost:4318/v1/traces', {}, {}],
    ['gRPC where the variable says so', 'the OTLP collector, over gRPC', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, {}],
    [
      'HTTP all the same where the option names it, shown without credentials',
      'http://collector:4318/v1/traces',
      { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
      { endpoint: new URL('http://user:secret@collector:4318/v1/traces/') },
    ],
    ['Zipkin where the variable says so', 'the Zipkin collector', { OTEL_TRACES_EXPORTER: 'zipkin' }, {}],
  ])('is %s', async (_what, destination, variables, options) => {
    for (const [variable, value] of Object.entries(variables)) vi.stubEnv(variable, value)
    const warn = vi.fn()
    const made = createExports(loadSdk(), options, vi.fn(), warn)
    expect(made.map((each) => each.destination)).toEqual([destination])
    expect(warn).not.toHaveBeenCalled()
    await made[0]?.exporter.shutdown()
  })

  it.each([
    ['5 s', {}, 5_000],
    ['what OTEL_EXPORTER_OTLP_TIMEOUT says', { OTEL_EXPORTER_OTLP_TIMEOUT: '7000' }, undefined],
  ])('gets each export for at most %s', (_what, variables, timeoutMillis) => {
    for (const [variable, value] of Object.entries(variables)) vi.stubEnv(variable, value)
    const made = vi.fn()
    class Recorded {
      constructor(settings?: object) {
        made(settings)
      }
    }
    createExports({ ...loadSdk(), exporter: () => Recorded as unknown as ExporterClass }, {}, vi.fn(), vi.fn())
    expect(made.mock.calls[0]?.[0].timeoutMillis).toBe(timeoutMillis)
  })

  it('warns of a variable that is no URL, and goes to the default', async () => {
    vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', 'localhost:4318')
    const warn = vi.fn()
    const [made] = createExports(loadSdk(), {}, vi.fn(), warn)
    expect(made?.destination).toBe('http://localhost:4318/v1/traces')
    expect(warn.mock.calls).toEqual([
      [
        'OTEL_EXPORTER_OTLP_ENDPOINT must be an http(s) URL such as http://localhost:4318, got "localhost:4318": ignored',
      ],
    ])
  })
})

describe('sampling', () => {
  it('follows OTEL_TRACES_SAMPLER', async () => {
    const { endpoint, exports } = await withReceiver()
    await run(program(), { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER: 'always_off' }).ended
    expect(exports).toEqual([])
  })

  it('follows ratio before OTEL_TRACES_SAMPLER, and a decision of the caller before both', async () => {
    const { endpoint, spans } = await withReceiver()
    const body = `
      const telemetry = startTracing({ ratio: 0 })
      span('root')
      const caller = { traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 1 }
      context.with(trace.setSpanContext(context.active(), caller), () => span('child'))
      await telemetry.shutdown()
    `
    await run(body, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER: 'always_on' }).ended
    expect(spans().map(({ name }) => name)).toEqual(['child'])
  })
})

describe('batches', () => {
  it('are as large as OTEL_BSP_MAX_EXPORT_BATCH_SIZE', async () => {
    const { endpoint, exports } = await withReceiver()
    await run(program('{}', ['a', 'b', 'c']), {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '2',
    }).ended
    expect(exports.map(({ spans }) => spans.length)).toEqual([2, 1])
  })

  it('leave after OTEL_BSP_SCHEDULE_DELAY without a flush', async () => {
    const { endpoint, reached } = await withReceiver()
    const { process: child, ended } = run(`startTracing({ signals: false }); span('one'); setInterval(() => {}, 1e6)`, {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '1',
    })
    await reached
    child.kill()
    await ended
  })
})

describe('OTEL_TRACES_EXPORTER', () => {
  it('none sends nothing, but span processors given in code see all', async () => {
    const { endpoint, exports } = await withReceiver()
    const body = `
      const names = []
      const seen = {
        onStart() {},
        onEnd(span) { names.push(span.name) },
        async forceFlush() {},
        async shutdown() {},
      }
      const telemetry = startTracing({ spanProcessors: [seen] })
      span('one')
      await telemetry.shutdown()
      console.log(names.join())
    `
    const { stdout } = await run(body, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'none' }).ended
    expect(exports).toEqual([])
    expect(stdout).toBe('one\n')
  })

  it('console prints, and an unknown name is warned of', async () => {
    const { stdout, warnings } = await run(program(), { OTEL_TRACES_EXPORTER: 'console,paper' }).ended
    expect(stdout).toContain(`name: 'one'`)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('OTEL_TRACES_EXPORTER knows otlp, zipkin, console and none, got "paper": ignored')
  })
})

it('OTEL_SDK_DISABLED starts nothing at all', async () => {
  const { endpoint, exports } = await withReceiver()
  const body = `
    const telemetry = startTracing({ serviceName: 'shop' })
    console.log(trace.getTracer('test').startSpan('one').isRecording(), process.listenerCount('SIGTERM'))
    await telemetry.flush()
    await telemetry[Symbol.asyncDispose]()
  `
  const { code, stdout } = await run(body, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'TRUE' }).ended
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'false 0\n' })
  expect(exports).toEqual([])
})

it.each([
  ['only traces are sent', {}, ['/', '/v1/traces']],
  ['OTEL_METRICS_EXPORTER adds metrics', { OTEL_METRICS_EXPORTER: 'otlp' }, ['/', '/v1/metrics', '/v1/traces']],
  ['OTEL_LOGS_EXPORTER adds logs', { OTEL_LOGS_EXPORTER: 'otlp' }, ['/', '/v1/logs', '/v1/traces']],
])('%s', async (_what, variables, paths) => {
  const { endpoint, exports } = await withReceiver()
  const body = `
    import { logs } from '@opentelemetry/api'
    const telemetry = startTracing()
    await (await fetch(${JSON.stringify(endpoint)})).text()
    logs.getLogger('test').emit({ body: 'hello' })
    await telemetry.shutdown()
  `
  const { stderr } = await run(body, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...variables }).ended
  expect(stderr).toBe('')
  expect(exports.map(({ path }) => path).toSorted()).toEqual(paths)
})
