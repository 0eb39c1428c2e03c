import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../tracing/start-child.ts'
import { drawTrace, jaeger, linksOf, parentOf, tagsOf } from './jaeger.ts'

const server = await jaeger()
afterAll(() => server?.stop())

describe.skipIf(server === undefined)('startTracing to a real Jaeger', () => {
  const service = `smoke-${process.pid}-${Date.now()}`
  const body = `
    const telemetry = startTracing({ serviceName: ${JSON.stringify(service)} })
    const tracer = trace.getTracer('test')
    // Of two that begin in the same microsecond a collector may show either first.
    const at = Date.now()
    const parent = tracer.startSpan('parent', { startTime: at, attributes: { 'test.number': 7 } })
    const inParent = trace.setSpan(context.active(), parent)
    const first = tracer.startSpan('first', { startTime: at + 1 }, inParent)
    first.end(at + 2)
    tracer.startSpan('second', { startTime: at + 3, links: [{ context: first.spanContext() }] }, inParent).end(at + 4)
    parent.end(at + 5)
    await telemetry.shutdown()
  `
  beforeAll(async () => {
    const { code, stderr } = await run(body, {
      OTEL_EXPORTER_OTLP_ENDPOINT: server?.otlpEndpoint ?? '',
      OTEL_EXPORTER_OTLP_PROTOCOL: '',
    }).ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })
  const traces = async () => {
    const found = await server?.tracesOf(service, { until: ([trace]) => trace?.spans.length === 3 })
    return found ?? []
  }

  it('arrives with names, parents, links and attributes', async () => {
    const [trace, ...more] = await traces()
    expect(more).toEqual([])
    const spans = new Map(trace?.spans.map((span) => [span.operationName, span]))
    expect([...spans.keys()].toSorted()).toEqual(['first', 'parent', 'second'])
    const [parent, first, second] = ['parent', 'first', 'second'].map((name) => spans.get(name)!)
    expect(tagsOf(parent!)).toMatchObject({ 'test.number': 7, 'otel.scope.name': 'test' })
    expect(parentOf(parent!)).toBeUndefined()
    expect([first, second].map((span) => parentOf(span!))).toEqual([parent?.spanID, parent?.spanID])
    expect(linksOf(second!)).toEqual([first?.spanID])
    expect(trace?.processes[parent?.processID ?? '']?.serviceName).toBe(service)
    expect(
      drawTrace(trace!)
        .split('\n')
        .map((line) => line.split(' {')[0]),
    ).toEqual(['parent', '  first', '  second'])
  })

  it('is waited for no longer than asked, and then shown', async () => {
    await traces()
    const never = server?.tracesOf(service, { until: () => false, timeout: 1 })
    await expect(never).rejects.toThrow(/has other traces of smoke-.* after 1 ms:\nparent .*"test.number":7/s)
  })
})
