import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createBackoff } from '../../src/policies/backoff.ts'
import type { Outcome } from '../../src/policies/outcome.ts'
import { createRetryPolicy, type RetryInfo, type RetryOptions, retryDefaults } from '../../src/policies/retry.ts'
import { holds, kinds, outcome } from './fixtures.ts'
import { coded, context, decide, failed, policyOf, status } from './retry-fixtures.ts'

describe('how often', () => {
  it('13: attempts run out at maxAttempts', () => {
    expect([1, 2, 3, 4, 5].map((attempt) => decide(status(503), { attempt }))).toEqual([
      100,
      100,
      100,
      'exhausted',
      'exhausted',
    ])
    expect(decide(status(503), {}, { maxAttempts: 1 })).toBe('exhausted')
  })

  it('the waits of a call follow its own backoff, made at the first retry', () => {
    const policy = policyOf({ backoff: { jitter: 'none' } })
    const given = context()
    policy.decide(status(200), given)
    expect(given.backoff).toBeNull()
    const waits = [1, 2, 3].map((attempt) => policy.decide(status(503), Object.assign(given, { attempt })))
    expect(waits).toEqual([100, 200, 400])
    expect(policy.decide(status(503), context())).toBe(100)
  })

  it('a backoff that the call brings is used', () => {
    expect(decide(status(503), { backoff: createBackoff(7)() })).toBe(7)
  })

  it('the same chance gives the same waits', () => {
    const waits = () => {
      const chances = [0.21, 0.42, 0.63]
      const policy = createRetryPolicy({ random: () => chances.shift()! })
      const given = context()
      return [1, 2, 3].map((attempt) => policy.decide(status(503), Object.assign(given, { attempt })))
    }
    expect(waits()).toEqual(waits())
    expect(new Set(waits()).size).toBe(3)
  })
})

describe("gRPC's retry pushback", () => {
  const pushedBack = (value: string, more: Record<string, string> = {}) =>
    status(503, { 'grpc-retry-pushback-ms': value, ...more })

  it('23: takes the place of the backoff and of Retry-After, and is never cut short', () => {
    expect(decide(pushedBack('250'))).toBe(250)
    expect(decide(pushedBack('0', { 'retry-after': '2' }))).toBe(0)
    expect(decide(pushedBack('250'), {}, { respectRetryAfter: false })).toBe(250)
    expect(decide(pushedBack('5001'))).toBe('retry-after-too-long')
    expect(decide(pushedBack('250'), { remaining: 250 })).toBe('retry-after-too-long')
  })

  it('23: stops retries where it says so', () => {
    expect(decide(pushedBack('-1'))).toBe('pushback')
    expect(decide(pushedBack('soon', { 'retry-after': '0' }))).toBe('pushback')
    expect(decide(pushedBack('-1'), {}, { retryOn: () => true })).toBe('pushback')
  })

  it('23: allows no more attempts than there are, and makes nothing safe', () => {
    expect(decide(pushedBack('1'), { attempt: 4 })).toBe('exhausted')
    expect(decide(pushedBack('1'), { method: 'POST' })).toBe('unsafe')
    expect(decide(status(400, { 'grpc-retry-pushback-ms': '1' }))).toBe('not-retryable')
  })

  // A6, "Summary of Retry and Hedging Logic", 5: the delay after it is the initial backoff again.
  it('23: begins the waits anew', () => {
    const policy = policyOf({ backoff: [1, 2, 3] })
    const given = context()
    expect(policy.decide(status(503), given)).toBe(1)
    expect(policy.decide(pushedBack('50'), Object.assign(given, { attempt: 2 }))).toBe(50)
    expect(policy.decide(status(503), Object.assign(given, { attempt: 3 }))).toBe(1)
  })
})

describe('Retry-After', () => {
  it('11: takes the place of the backoff, in both forms', () => {
    expect(decide(status(503, { 'retry-after': '2' }))).toBe(2000)
    expect(decide(status(429, { 'retry-after': 'Sat, 14 Mar 2026 12:00:03 GMT' }))).toBe(3000)
    expect(decide(status(503, { 'retry-after': 'Sat, 14 Mar 2026 11:00:00 GMT' }))).toBe(0)
    expect(decide(status(503, { 'retry-after': 'soon' }))).toBe(100)
    expect(decide(status(503, { 'retry-after': '' }))).toBe(100)
  })

  it('12: beyond the longest wait the answer stands', () => {
    expect(decide(status(503, { 'retry-after': '5' }))).toBe(5000)
    expect(decide(status(503, { 'retry-after': '6' }))).toBe('retry-after-too-long')
    expect(decide(status(429, { 'retry-after': '3' }), {}, { maxDelay: 2999 })).toBe('retry-after-too-long')
  })

  it('12: at or beyond the deadline the answer stands', () => {
    const asked = status(503, { 'retry-after': '2' })
    expect(decide(asked, { remaining: 2001 })).toBe(2000)
    expect(decide(asked, { remaining: 2000 })).toBe('retry-after-too-long')
    expect(decide(asked, { remaining: 500 })).toBe('retry-after-too-long')
  })

  it('12: makes no step of the backoff', () => {
    const policy = policyOf({ backoff: [1, 2, 3] })
    const given = context()
    expect(policy.decide(status(503, { 'retry-after': '2' }), given)).toBe(2000)
    expect(policy.decide(status(503), Object.assign(given, { attempt: 2 }))).toBe(1)
  })

  it('is not looked at where told so', () => {
    expect(decide(status(503, { 'retry-after': '60' }), {}, { respectRetryAfter: false })).toBe(100)
  })
})

describe('the deadline', () => {
  it('19: no attempt is begun after a wait that would end at or past it', () => {
    expect(decide(status(503), { remaining: 100.1 })).toBe(100)
    expect(decide(status(503), { remaining: 100 })).toBe('deadline')
    expect(decide(status(503), { remaining: 0 })).toBe('deadline')
    expect(decide(failed(coded('ECONNREFUSED')), { remaining: -5 })).toBe('deadline')
    expect(decide(status(503), { remaining: 0 }, { backoff: 0 })).toBe('deadline')
  })
})

describe('retryOn', () => {
  it('can forbid what would be tried again', () => {
    expect(decide(status(503), {}, { retryOn: () => false })).toBe('forbidden')
    expect(decide(status(404), {}, { retryOn: () => false })).toBe('not-retryable')
  })

  it('can allow what would not, if it is safe', () => {
    expect(decide(status(404), {}, { retryOn: () => true })).toBe(100)
    expect(decide(status(202), {}, { retryOn: ({ status: code }) => code === 202 })).toBe(100)
    expect(decide(status(404), { method: 'POST' }, { retryOn: () => true })).toBe('unsafe')
    expect(decide(status(404), { replayable: false }, { retryOn: () => true })).toBe('not-replayable')
    expect(decide(status(404), { attempt: 4 }, { retryOn: () => true })).toBe('exhausted')
  })

  it.each([undefined, null, 1, 'yes'])('leaves it to the defaults with %o', (answer) => {
    const options = { retryOn: () => answer as undefined }
    expect(decide(status(503), {}, options)).toBe(100)
    expect(decide(status(404), {}, options)).toBe('not-retryable')
  })

  it('leaves it to the defaults where it throws', () => {
    const retryOn = () => {
      throw new Error('mine')
    }
    expect(decide(status(503), {}, { retryOn })).toBe(100)
    expect(decide(status(404), {}, { retryOn })).toBe('not-retryable')
  })

  it('is told of the outcome and the attempt, and not asked where it could not decide', () => {
    const asked: [Outcome, RetryInfo][] = []
    const retryOn = (judged: Outcome, info: RetryInfo) => {
      asked.push([judged, { ...info }])
      return undefined
    }
    const judged = status(503)
    decide(judged, { attempt: 2, remaining: 900 }, { retryOn })
    expect(asked).toHaveLength(1)
    expect(asked[0]![0]).toBe(judged)
    expect(asked[0]![1]).toMatchObject({ attempt: 2, method: 'GET', sent: true, remaining: 900 })
    for (const kind of ['deadline', 'shed', 'cancelled', 'invalid', 'closed'] as const) {
      decide(outcome(kind), {}, { retryOn })
    }
    expect(asked).toHaveLength(1)
  })
})

describe('any decision', () => {
  it('15, 16, 19, 21: a yes is always safe, replayable, in time and within bounds', () => {
    const anyOutcome = fc
      .record({
        kind: fc.constantFrom(...kinds),
        code: fc.constantFrom(undefined, 200, 404, 408, 425, 429, 500, 501, 503, 504),
        phase: fc.constantFrom('before-head' as const, 'head' as const, 'body' as const),
        retryAfter: fc.constantFrom(undefined, '0', '1', '4', '60', 'soon'),
        error: fc.constantFrom(undefined, coded('ECONNRESET'), coded('CERT_HAS_EXPIRED')),
      })
      .map(({ kind, code, phase, retryAfter, error }) =>
        outcome(kind, { status: code, phase, error, headers: retryAfter ? { 'retry-after': retryAfter } : {} }),
      )
    const anyContext = fc.record({
      attempt: fc.integer({ min: 1, max: 6 }),
      method: fc.constantFrom('GET', 'PUT', 'POST', 'PATCH'),
      idempotent: fc.boolean(),
      replayable: fc.boolean(),
      sent: fc.boolean(),
      remaining: fc.constantFrom(Number.POSITIVE_INFINITY, 10_000, 3000, 150, 0),
    })
    const answers = fc.constantFrom(undefined, true, false)
    let yes = 0
    // Of outcomes by chance alone one in sixty is tried again: some runs would see no yes at all.
    const mostlyRetryable = fc.oneof(anyOutcome, fc.constantFrom(status(503), failed(coded('ECONNRESET'))))
    const run = fc.property(mostlyRetryable, anyContext, answers, fc.nat(), (judged, given, answer, chance) => {
      const policy = policyOf({ backoff: {}, random: () => (chance % 1000) / 1000, retryOn: () => answer })
      const asked = context(given)
      const delay = policy.decide(judged, asked)
      if (delay === -1) {
        expect(asked.refusal).not.toBeNull()
        return
      }
      yes++
      expect(asked.refusal).toBeNull()
      expect(given.idempotent || !given.sent || given.method === 'GET' || given.method === 'PUT').toBe(true)
      expect(given.replayable).toBe(true)
      expect(given.attempt).toBeLessThan(4)
      expect(delay).toBeGreaterThanOrEqual(0)
      expect(delay).toBeLessThanOrEqual(5000)
      expect(delay).toBeLessThan(given.remaining)
      expect(answer).not.toBe(false)
      expect(judged.phase).not.toBe('body')
      expect(judged.status).not.toBe(501)
      expect(['deadline', 'shed', 'cancelled', 'invalid', 'closed']).not.toContain(judged.kind)
      expect((judged.error as { code?: string } | undefined)?.code).not.toBe('CERT_HAS_EXPIRED')
      const server = judged.headers?.['retry-after']
      if (server !== undefined && server !== 'soon') expect(delay).toBe(Number(server) * 1000)
    })
    holds('retry decisions', run)
    expect(yes).toBeGreaterThan(0)
  })
})

describe('options', () => {
  it('are those of the table', () => {
    expect(retryDefaults).toEqual({
      maxAttempts: 4,
      statuses: [408, 425, 429, 500, 502, 503, 504],
      methods: ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'],
      backoff: { initialDelay: 100, maxDelay: 5000, exponent: 2, jitter: 'decorrelated' },
      maxDelay: 5000,
      respectRetryAfter: true,
      idempotent: false,
    })
    expect(createRetryPolicy()).toMatchObject({ maxAttempts: 4, maxDelay: 5000 })
  })

  it('tell dates by the wall clock', () => {
    const soon = new Date(Date.now() + 3_000_000).toUTCString()
    const policy = createRetryPolicy({ maxDelay: 10_000_000, backoff: 1 })
    const delay = policy.decide(status(503, { 'retry-after': soon }), context())
    expect(delay).toBeGreaterThan(2_900_000)
    expect(delay).toBeLessThanOrEqual(3_000_000)
  })

  it.each<[RetryOptions, string]>([
    [{ maxAttempts: 0 }, 'retry: maxAttempts must be a whole number of at least 1, got 0'],
    [{ maxAttempts: Number.POSITIVE_INFINITY }, 'maxAttempts must be a whole number of at least 1, got Infinity'],
    [{ statuses: [200] }, 'statuses must be a whole number from 400 to 599, got 200'],
    [{ statuses: [501] }, 'statuses must not hold 501, which is never retried'],
    [{ statuses: 503 as never }, 'statuses must be an array of statuses'],
    [{ methods: ['GET POST'] }, 'methods must hold method names, got "GET POST"'],
    [{ methods: 'GET' as never }, 'retry: methods must be an array of method names'],
    [{ maxDelay: -1 }, 'maxDelay must be a number from 0 to 2147483647, got -1'],
    [{ backoff: 6000 }, 'backoff must be a number from 0 to 5000, got 6000'],
    [{ respectRetryAfter: 1 as never }, 'respectRetryAfter must be true or false, got 1'],
    [{ retryOn: true as never }, 'retryOn must be a function, got true'],
    [{ idempotent: 'yes' as never }, 'idempotent must be true or false, got "yes"'],
    [{ random: 1 as never }, 'random must be a function, got 1'],
    [{ now: 1 as never }, 'now must be a function, got 1'],
    [{ retries: 3 } as RetryOptions, 'retry: unknown option "retries"'],
  ])('refuse %o', (options, message) => {
    expect(() => createRetryPolicy(options)).toThrow(message)
  })
})
