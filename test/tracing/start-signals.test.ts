import { EventEmitter } from 'node:events'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { flushOnTermination, type SignalTarget } from '../../src/tracing/signals.ts'
import { run } from './start-child.ts'
import { event, type Receiver, startReceiver } from './start-receiver.ts'

let receiver: Receiver
afterEach(async () => {
  await receiver?.close()
})

const telemetryUrl = JSON.stringify(new URL('../../src/tracing/telemetry.ts', import.meta.url).href)

/** Prints `ready` with one span waiting for a flush, and stays. */
async function start(options: string, more = '', hold = false) {
  receiver = await startReceiver({ hold })
  const program = run(
    `${more}
    const telemetry = startTracing(${options})
    span('waiting')
    setInterval(() => {}, 1e6)
    console.log('ready')`,
    { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '1000000' },
  )
  await program.printed('ready')
  return program
}

const names = () => receiver.spans().map(({ name }) => name)

describe('SIGTERM', () => {
  it('flushes, then ends the process by the signal', async () => {
    const { process: child, ended } = await start('{}')
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ code: null, signal: 'SIGTERM', stderr: '' })
    expect(names()).toEqual(['waiting'])
  })

  it('leaves the ending to an application that listens itself', async () => {
    const { process: child, ended } = await start(
      '{}',
      `process.once('SIGTERM', async () => {
        console.log('own')
        span('while ending')
        await telemetry.shutdown()
        process.exit(7)
      })`,
    )
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ code: 7, signal: null, stdout: 'ready\nown\n' })
    expect(names().toSorted()).toEqual(['waiting', 'while ending'])
  })

  it('does not hide from a listener that raises the signal again when it is alone', async () => {
    const { process: child, ended } = await start(
      '{}',
      `const own = () => {
        if (process.listenerCount('SIGTERM') > 1) return
        process.removeListener('SIGTERM', own)
        process.kill(process.pid, 'SIGTERM')
      }
      process.on('SIGTERM', own)`,
    )
    child.kill('SIGTERM')
    expect((await ended).signal).toBe('SIGTERM')
  })

  it('is not held up when it comes again', async () => {
    const { process: child, ended } = await start('{}', '', true)
    child.kill('SIGTERM')
    await receiver.reached
    child.kill('SIGTERM')
    expect((await ended).signal).toBe('SIGTERM')
    expect((await ended).warnings).toEqual([])
  })

  it('goes on after the longest time of a flush, with one warning', async () => {
    receiver = await startReceiver({ hold: true })
    const {
      process: child,
      ended,
      printed,
    } = run(
      `const { startTelemetry, surroundings } = await import(${telemetryUrl})
      const settings = { instrumentUndici: false, signals: true, spanProcessors: [] }
      startTelemetry(settings, { ...surroundings, longestFlush: 20 })
      span('waiting')
      setInterval(() => {}, 1e6)
      console.log('ready')`,
      { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT: '1000000' },
    )
    await printed('ready')
    child.kill('SIGTERM')
    const { signal, warnings } = await ended
    expect(signal).toBe('SIGTERM')
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('(no answer within 20 ms)')
  })

  it('is left alone with signals: false', async () => {
    const { process: child, ended } = await start('{ signals: false }')
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ signal: 'SIGTERM' })
    expect(names()).toEqual([])
  })

  it('is left alone after shutdown', async () => {
    const {
      process: child,
      ended,
      printed,
    } = await start(
      '{}',
      `process.once('SIGUSR2', async () => {
        await telemetry.shutdown()
        console.log('listeners ' + process.listenerCount('SIGTERM'))
      })`,
    )
    child.kill('SIGUSR2')
    await printed('listeners 0')
    child.kill('SIGTERM')
    expect((await ended).signal).toBe('SIGTERM')
  })
})

describe('flushOnTermination', () => {
  function target() {
    const emitter = new EventEmitter()
    return Object.assign(emitter, { pid: 42, kill: vi.fn(() => true) }) as unknown as EventEmitter &
      SignalTarget & { kill: ReturnType<typeof vi.fn> }
  }
  const telemetry = () => ({ flush: vi.fn(async () => {}), shutdown: vi.fn(async () => {}) })

  it('counts a listener that was added with once before it', () => {
    const signals = target()
    const flushed = telemetry()
    signals.once('SIGTERM', () => {})
    flushOnTermination(flushed, signals)
    signals.emit('SIGTERM', 'SIGTERM')
    expect(flushed.flush).toHaveBeenCalledOnce()
    expect(flushed.shutdown).not.toHaveBeenCalled()
  })

  it('raises the signal only after the shutdown is through', async () => {
    const signals = target()
    const stopped = event()
    flushOnTermination({ ...telemetry(), shutdown: () => stopped.happened }, signals)
    signals.emit('SIGTERM', 'SIGTERM')
    await new Promise(setImmediate)
    expect(signals.kill).not.toHaveBeenCalled()
    stopped.happen()
    await vi.waitFor(() => expect(signals.kill.mock.calls).toEqual([[42, 'SIGTERM']]), { interval: 1 })
    expect(signals.listenerCount('SIGTERM')).toBe(0)
  })
})
