import { afterEach, describe, expect, it } from 'vitest'
import { surroundings } from '../../src/tracing/telemetry.ts'
import { run } from './start-child.ts'
import { deadEndpoint, type Receiver, startReceiver } from './start-receiver.ts'

const telemetryUrl = JSON.stringify(new URL('../../src/tracing/telemetry.ts', import.meta.url).href)

// Shorter than the exporter's first backoff, so that it gives up after one attempt.
const shortTimeout = '700'

let receiver: Receiver
afterEach(async () => {
  await receiver?.close()
})

/** What stderr holds besides the kit's warnings and Node's hint about them. */
const others = (stderr: string) =>
  stderr
    .split('\n')
    .filter((line) => line !== '' && !line.includes('ROUNDTRIPPER_TRACING') && !line.startsWith('(Use `node'))

describe('a collector that is down', () => {
  it('costs one warning, and neither a call nor an unhandled rejection', async () => {
    receiver = await startReceiver()
    const body = `
      process.on('unhandledRejection', (reason) => console.log('unhandled', reason))
      const telemetry = startTracing()
      for (let call = 0; call < 3; call++) {
        const { status } = await fetch(${JSON.stringify(receiver.endpoint)})
        console.log(status)
        await telemetry.flush()
      }
      await telemetry.shutdown()
      await telemetry.shutdown()
    `
    const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: deadEndpoint, OTEL_EXPORTER_OTLP_TIMEOUT: shortTimeout }
    const { code, stdout, stderr, warnings } = await run(body, variables).ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: '200\n200\n200\n' })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(
      `RoundtripperWarning: roundtripper: traces could not be sent to ${deadEndpoint}/v1/traces (connect ECONNREFUSED 127.0.0.1:1)`,
    )
    expect(others(stderr)).toEqual([])
  })

  it('is told of by the process warning alone also when batches leave by themselves', async () => {
    const body = `
      startTracing({ signals: false })
      process.once('warning', () => { span('two'); setTimeout(process.exit, 20) })
      span('one')
      setInterval(() => {}, 1e6)
    `
    const { stderr, warnings } = await run(body, {
      OTEL_EXPORTER_OTLP_ENDPOINT: deadEndpoint,
      OTEL_EXPORTER_OTLP_TIMEOUT: shortTimeout,
      OTEL_BSP_SCHEDULE_DELAY: '1',
    }).ended
    expect(warnings).toHaveLength(1)
    expect(others(stderr)).toEqual([])
  })
})

it('a collector that refuses is named with its answer', async () => {
  receiver = await startReceiver({ status: 404 })
  const { warnings } = await run(`const telemetry = startTracing(); span('one'); await telemetry.shutdown()`, {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
  }).ended
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toContain('(404 Not Found)')
})

describe('a collector that never answers', () => {
  it.each(['flush', 'shutdown'])('holds up %s no longer than the bound, and costs one warning', async (way) => {
    receiver = await startReceiver({ hold: true })
    const body = `
      const { startTelemetry, surroundings } = await import(${telemetryUrl})
      const settings = { instrumentUndici: false, signals: false, spanProcessors: [] }
      const telemetry = startTelemetry(settings, { ...surroundings, longestFlush: 20 })
      span('one')
      await telemetry.${way}()
      await telemetry.${way}()
      console.log('through')
      setImmediate(process.exit)
    `
    const { stdout, warnings } = await run(body, {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_EXPORTER_OTLP_TIMEOUT: '1000000',
    }).ended
    expect(stdout).toBe('through\n')
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(`${receiver.endpoint}/v1/traces (no answer within 20 ms)`)
  })

  it('holds them up for 5 s at most', () => {
    expect(surroundings.longestFlush).toBe(5_000)
  })
})

it('flush waits for batches that are already under way', async () => {
  receiver = await startReceiver({ hold: true })
  const body = `
    const telemetry = startTracing({ signals: false })
    process.once('SIGUSR2', async () => {
      const flushed = telemetry.flush().then(() => console.log('flushed'))
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
      console.log('waiting')
      await flushed
      process.exit()
    })
    span('one')
    setInterval(() => {}, 1e6)
  `
  const program = run(body, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '1' })
  await receiver.reached
  program.process.kill('SIGUSR2')
  await program.printed('waiting')
  receiver.release()
  expect((await program.ended).stdout).toBe('waiting\nflushed\n')
})
