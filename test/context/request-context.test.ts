import { setTimeout as later } from 'node:timers/promises'
import { contextFields, contextOf, currentContext, type RequestContextFields, runWithContext } from 'roundtripper'
import { describe, expect, it, vi } from 'vitest'

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const other = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'

describe('runWithContext', () => {
  it('gives back what the function returns, and has a request id in any case', async () => {
    expect(currentContext()).toBeUndefined()
    const ids = [1, 2].map(() => runWithContext({}, () => currentContext()!.requestId))
    expect(ids[0]).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    expect(ids[1]).not.toBe(ids[0])
    expect(runWithContext({}, (a: number, b: number) => a + b, 1, 2)).toBe(3)
    const id = await runWithContext({ requestId: 'r-1' }, async () => {
      await later(1)
      return currentContext()?.requestId
    })
    expect(id).toBe('r-1')
    expect(currentContext()).toBeUndefined()
  })

  it('fields complete the context around them', () => {
    const given = {
      requestId: 'r-1',
      traceparent,
      tracestate: 'a=1',
      baggage: { user: 'x' },
      priority: 'critical',
    } as const
    runWithContext({ ...given, tenant: 'acme' }, () => {
      runWithContext({ tenant: 'other', baggage: { flag: 'y' } }, () => {
        expect({ ...currentContext() }).toEqual({
          ...given,
          baggage: { flag: 'y' },
          tenant: 'other',
          deadlineAt: Number.POSITIVE_INFINITY,
        })
      })
      expect(currentContext()?.tenant).toBe('acme')
      expect(contextFields()).toEqual({ requestId: 'r-1', tenant: 'acme' })
    })
    expect(contextFields()).toEqual({})
  })

  it('a tracestate stays with the traceparent it came with', () => {
    runWithContext({ traceparent, tracestate: 'a=1' }, () => {
      runWithContext({ traceparent: other }, () => expect(currentContext()?.tracestate).toBeUndefined())
      runWithContext({ tracestate: 'b=2' }, () => {
        expect([currentContext()?.traceparent, currentContext()?.tracestate]).toEqual([traceparent, 'b=2'])
      })
    })
  })

  it('a deadline only becomes shorter', () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    try {
      runWithContext({ deadline: 100 }, () => {
        vi.advanceTimersByTime(30)
        expect(currentContext()?.remaining).toBe(70)
        runWithContext({ deadline: 1000 }, () => expect(currentContext()?.remaining).toBe(70))
        runWithContext({ deadline: 20 }, () => {
          expect(currentContext()?.remaining).toBe(20)
          vi.advanceTimersByTime(50)
          expect(currentContext()?.remaining).toBe(0)
        })
        expect(currentContext()?.remaining).toBe(20)
      })
      expect(runWithContext({}, () => currentContext()?.remaining)).toBe(Number.POSITIVE_INFINITY)
    } finally {
      vi.useRealTimers()
    }
  })

  it('a whole context takes the place of the one around it', () => {
    const kept = runWithContext({ requestId: 'kept', tenant: 'acme' }, () => currentContext()!)
    runWithContext({ requestId: 'outer', deadline: 10, baggage: { a: '1' } }, () => {
      runWithContext(kept, () => expect(currentContext()).toBe(kept))
      runWithContext(contextOf({}), () => {
        expect(currentContext()).toMatchObject({ tenant: undefined, deadlineAt: Number.POSITIVE_INFINITY })
      })
    })
  })

  it('nothing of a context can be changed', () => {
    runWithContext({ tenant: 'acme', baggage: { a: '1' } }, () => {
      const context = currentContext() as { tenant?: string; baggage?: Record<string, string> }
      expect(() => {
        context.tenant = 'a\r\nb'
      }).toThrow(TypeError)
      expect(() => {
        context.baggage!.a = '2'
      }).toThrow(TypeError)
    })
  })

  it.each([
    [null, 'runWithContext: options must be an object, got null'],
    [{ requestID: 'x' }, 'runWithContext: unknown option "requestID"; known are requestId, traceparent'],
    [{ requestId: '' }, 'requestId must be 1 to 128 letters, digits and any of _ . ~ : = / + @ -, got ""'],
    [{ requestId: 'a b' }, 'requestId must be'],
    [{ requestId: 'a\r\nx-evil: 1' }, 'requestId must be'],
    [{ requestId: 'a\n' }, 'requestId must be'],
    [{ requestId: 'a'.repeat(129) }, 'requestId must be'],
    [{ requestId: 7 }, 'requestId must be'],
    [{ tenant: 'ä' }, 'tenant must be 1 to 128'],
    [{ traceparent: '00-1-2-3' }, 'traceparent must be a traceparent of W3C Trace Context, got "00-1-2-3"'],
    [{ tracestate: 'a=1' }, 'a tracestate belongs to a traceparent'],
    [{ traceparent, tracestate: 'A=1' }, 'tracestate must be a tracestate of W3C Trace Context, got "A=1"'],
    [{ baggage: { a: 1 } }, 'runWithContext: baggage: a must be a text, got 1'],
    [{ baggage: 'a=1' }, 'runWithContext: baggage must be an object of texts by key, got "a=1"'],
    [{ priority: 'high' }, 'priority must be one of "critical", "normal", "sheddable", got "high"'],
    [{ deadline: -1 }, 'runWithContext: deadline must be a number of at least 0, got -1'],
    [{ deadline: Number.NaN }, 'runWithContext: deadline must be'],
    [{ deadline: '10' }, 'runWithContext: deadline must be'],
  ])('%j is refused', (fields, message) => {
    let ran = false
    const run = () =>
      runWithContext(fields as RequestContextFields, () => {
        ran = true
      })
    expect(run).toThrow(message)
    expect(ran).toBe(false)
  })
})

describe('contextOf', () => {
  const headers = {
    'x-request-id': 'r-1',
    traceparent,
    tracestate: ['a=1', 'b=2'],
    baggage: 'user=x;p=1',
    'x-request-timeout-ms': '250',
    'x-request-priority': 'critical',
    'x-tenant-id': 'acme',
  }

  it('trusts request id, trace and deadline, and nothing else unless told so', () => {
    expect(contextOf(headers)).toMatchObject({
      requestId: 'r-1',
      traceparent,
      tracestate: 'a=1,b=2',
      baggage: undefined,
      priority: undefined,
      tenant: undefined,
    })
    expect(contextOf(headers).remaining).toBeLessThanOrEqual(250)
    expect(contextOf(headers, { trust: ['tenant', 'priority', 'baggage'] })).toMatchObject({
      traceparent: undefined,
      tracestate: undefined,
      baggage: { user: 'x' },
      priority: 'critical',
      tenant: 'acme',
      deadlineAt: Number.POSITIVE_INFINITY,
    })
    expect(contextOf(headers, { trust: [] }).requestId).not.toBe('r-1')
  })

  it.each([
    ['x-request-id', 'requestId', ['', 'a b', 'a\r\nb', 'a,b', 'x'.repeat(129), ['a', 'b']]],
    ['traceparent', 'traceparent', ['', 'x', [traceparent, traceparent]]],
    ['tracestate', 'tracestate', ['A=1', 'a', '']],
    ['baggage', 'baggage', ['a', '', 'a b=1']],
    ['x-request-timeout-ms', 'remaining', ['', '-1', '1.5', '1e3', ' 10', 'NaN', '1'.repeat(13), ['1', '2']]],
    ['x-request-priority', 'priority', ['', 'Critical', 'high', '0']],
    ['x-tenant-id', 'tenant', ['', 'a b', 'a\u0000', ['a', 'b']]],
  ])('what is no %s is not there', (name, field, values) => {
    const trust = ['requestId', 'trace', 'baggage', 'deadline', 'priority', 'tenant'] as const
    for (const value of values) {
      const context = contextOf({ traceparent, [name]: value }, { trust }) as unknown as Record<string, unknown>
      if (field === 'requestId') expect(context.requestId).toHaveLength(36)
      else expect(context[field]).toBe(field === 'remaining' ? Number.POSITIVE_INFINITY : undefined)
    }
  })

  it('a tracestate without a traceparent that holds is not even looked at (§3.3)', () => {
    expect(contextOf({ tracestate: 'a=1' }).tracestate).toBeUndefined()
    expect(contextOf({ traceparent: 'x', tracestate: 'a=1' }).tracestate).toBeUndefined()
  })

  it.each([
    ['100m', 100],
    ['2S', 2000],
    ['1M', 60_000],
    ['1H', 3_600_000],
    ['5000u', 5],
    ['99999999n', 99.999999],
    ['123456789m', Number.POSITIVE_INFINITY],
    ['100', Number.POSITIVE_INFINITY],
    ['1s', Number.POSITIVE_INFINITY],
  ])('reads grpc-timeout: %s', (value, expected) => {
    vi.useFakeTimers({ toFake: ['performance'] })
    try {
      const { remaining } = contextOf({ 'grpc-timeout': value }, { names: { deadline: 'grpc-timeout' } })
      expect(remaining).toBeCloseTo(expected, 6)
    } finally {
      vi.useRealTimers()
    }
  })

  it.each([
    [{ trust: 'tenant' }, 'contextOf: trust must be an array of fields, got "tenant"'],
    [{ trust: ['traceparent'] }, 'contextOf: trust: unknown field "traceparent"; known are requestId, trace'],
    [{ names: { tenant: 'x tenant' } }, 'contextOf: names: tenant must be the name of a header, got "x tenant"'],
    [{ names: { tenant: 'Baggage' } }, 'contextOf: names: tenant must be a header of its own, got "Baggage"'],
    [{ names: { tenant: 'X-Request-Id' } }, 'contextOf: names: tenant must be a header of its own'],
    [{ names: { trace: 'b3' } }, 'contextOf: names: unknown option "trace"'],
    [{ headers: {} }, 'contextOf: unknown option "headers"; known are trust, names'],
  ])('the options %j are refused', (options, message) => {
    expect(() => contextOf({}, options as object)).toThrow(message)
  })
})
