import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  AdaptiveLimit,
  type AdaptiveLimitOptions,
  type AdaptiveLimitSettings,
  checkAdaptiveLimit,
} from '../../src/policies/adaptive-limit.ts'
import { ConcurrencyLimitedError } from '../../src/policies/errors.ts'
import type { Outcome, OutcomeKind } from '../../src/policies/outcome.ts'
import type { Scope } from '../../src/policies/policy.ts'
import { holds, kinds, outcome, scope, thrownBy } from './fixtures.ts'

let now = 1_000

function onClock(): void {
  vi.spyOn(performance, 'now').mockImplementation(() => now)
}

afterEach(() => {
  vi.restoreAllMocks()
  now = 1_000
})

const plain = scope()

/** A call of a priority, with what it notes. */
function call(priority = 1, notes: Record<string, unknown> = {}): Scope {
  const note = (name: string, value: unknown) => {
    notes[name] = value
  }
  return { ...plain, note, exchange: { priority } } as unknown as Scope
}

/** Small windows, so that a test fills one at once. */
const small = { window: 10, windowCalls: 10 }

function make(options: AdaptiveLimitOptions = {}): AdaptiveLimit {
  return new AdaptiveLimit(checkAdaptiveLimit({ ...small, random: () => 0.5, ...options }))
}

function timed(kind: OutcomeKind, headMs: number, more: Partial<Outcome> = {}): Outcome {
  return outcome(kind, { headMs, ...more })
}

/** `count` calls at once that are all answered after `rtt`. */
function answered(limit: AdaptiveLimit, count: number, head: Outcome, at = now): void {
  const calls = Array.from({ length: count }, () => Object.assign(call(0), { headAt: at }))
  for (const each of calls) limit.acquire(each)
  for (const each of calls) limit.head(head, each)
  for (const each of calls) limit.settle(head, each)
}

/** Fills windows until there have been `count`. */
function windows(limit: AdaptiveLimit, count: number, head: Outcome): void {
  for (let each = 0; each < count; each++) {
    now += 1_000
    answered(limit, Math.min(10, limit.limit), head)
    now += 1_000
    answered(limit, Math.min(10, limit.limit), head)
  }
}

describe('admission', () => {
  it('26, 28: sheddable calls are refused first, then normal ones, critical ones last', () => {
    const limit = make({ initialLimit: 10 })
    for (let each = 0; each < 7; each++) limit.acquire(call(2))
    expect(thrownBy(() => limit.acquire(call(2)))).toBeInstanceOf(ConcurrencyLimitedError)
    limit.acquire(call(1))
    limit.acquire(call(1))
    expect(thrownBy(() => limit.acquire(call(1)))).toBeInstanceOf(ConcurrencyLimitedError)
    limit.acquire(call(0))
    const notes: Record<string, unknown> = {}
    expect(thrownBy(() => limit.acquire(call(0, notes)))).toMatchObject({
      code: 'ERR_CONCURRENCY_LIMITED',
      message: expect.stringMatching(/10 calls are under way, 10 of a limit of 10/),
    })
    expect(notes).toEqual({ 'adaptive.limit': 10 })
    expect({ inUse: limit.inUse, refused: limit.refused }).toEqual({ inUse: 10, refused: 3 })
    limit.settle(outcome('success'), call(0))
    limit.acquire(call(0))
  })

  it('a limit of one admits a call of every priority', () => {
    for (const priority of [0, 1, 2]) make({ initialLimit: 1 }).acquire(call(priority))
  })

  it('in shadow counts, reports, and refuses nothing', () => {
    const limit = make({ initialLimit: 1, shadow: true })
    const notes: Record<string, unknown> = {}
    limit.acquire(call(1))
    limit.acquire(call(1, notes))
    expect(notes).toMatchObject({ 'adaptive.limit': 1, 'adaptive.shadow': expect.stringContaining('limit of 1') })
    expect({ inUse: limit.inUse, refused: limit.refused, shadow: limit.shadowRefused }).toEqual({
      inUse: 2,
      refused: 0,
      shadow: 1,
    })
  })

  it('goes on with the calls under way when it is lowered', () => {
    const limit = make({ initialLimit: 20 })
    for (let each = 0; each < 15; each++) limit.acquire(call(0))
    limit.configure(checkAdaptiveLimit({ ...small, maxLimit: 5, initialLimit: 5 }))
    expect({ limit: limit.limit, inUse: limit.inUse }).toEqual({ limit: 5, inUse: 15 })
    for (let each = 0; each < 10; each++) limit.settle(outcome('success'), call(0))
    expect(thrownBy(() => limit.acquire(call(0)))).toBeInstanceOf(ConcurrencyLimitedError)
    limit.settle(outcome('success'), call(0))
    limit.acquire(call(0))
  })

  it('keeps its limit when the algorithm is another', () => {
    onClock()
    const limit = make({ algorithm: 'aimd' })
    windows(limit, 5, timed('success', 10))
    const before = limit.limit
    expect(before).toBeGreaterThan(20)
    limit.configure(checkAdaptiveLimit({ ...small, algorithm: 'vegas' }))
    expect(limit.limit).toBe(before)
  })
})

// The column "adaptive limit" of the table of outcomes.
describe('what counts', () => {
  const moved = (head: Outcome): number => {
    onClock()
    const limit = make({ algorithm: 'aimd', initialLimit: 10 })
    windows(limit, 3, head)
    return limit.limit - 10
  }

  it.each([
    ['success', timed('success', 10), 1],
    ['clientError', timed('clientError', 10), 1],
    ['throttled', outcome('throttled'), -1],
    ['serverError, 503', outcome('serverError'), -1],
    ['serverError, 500', outcome('serverError', { status: 500 }), 0],
    ["serverError, gRPC's UNAVAILABLE", outcome('serverError', { status: 200, headers: { 'grpc-status': '14' } }), -1],
    ['networkError', outcome('networkError'), -1],
    ['timeout', outcome('timeout'), -1],
    ['deadline', outcome('deadline'), 0],
    ['shed', outcome('shed'), 0],
    ['cancelled', outcome('cancelled'), 0],
    ['invalid', outcome('invalid'), 0],
    ['closed', outcome('closed'), 0],
    ['success from a cache', timed('success', 0.05), 0],
  ])('%s', (_name, head, direction) => {
    const change = moved(head)
    expect(Math.sign(change)).toBe(direction)
  })

  it('one slow call does not decide, nor does one that is dropped', () => {
    onClock()
    const limit = make({ algorithm: 'aimd', initialLimit: 50, slowAfter: 100, windowCalls: 100 })
    const slow = Object.assign(call(0), { headAt: now })
    for (let round = 0; round < 10; round++) {
      now += 100
      slow.headAt = now
      limit.acquire(slow)
      limit.head(timed('success', 3_000), slow)
      limit.settle(timed('success', 3_000), slow)
      limit.acquire(slow)
      limit.settle(outcome('networkError'), slow)
      for (let each = 0; each < 5; each++) answered(limit, 50, timed('success', 5))
    }
    expect(limit.limit).toBeGreaterThan(50)
  })

  it('a call that is turned away counts once', () => {
    onClock()
    const limit = make({ algorithm: 'aimd', initialLimit: 20 })
    answered(limit, 6, outcome('throttled'))
    now += 1_000
    answered(limit, 3, outcome('throttled'))
    expect(limit.limit).toBe(20)
    answered(limit, 1, outcome('throttled'))
    expect(limit.limit).toBe(18)
  })

  it('26: holds the slot to the end, and takes the time to the head', () => {
    onClock()
    const limit = make()
    const scopes = Array.from({ length: 10 }, () => Object.assign(call(0), { headAt: now + 50 }))
    for (const each of scopes) limit.acquire(each)
    for (const each of scopes) limit.head(timed('success', 7), each)
    expect(limit.inUse).toBe(10)
    now += 5_000
    for (const each of scopes) limit.settle(timed('success', 7), each)
    answered(limit, 10, timed('success', 7), now)
    expect({ inUse: limit.inUse, rtt: limit.rtt }).toEqual({ inUse: 0, rtt: 7 })
  })
})

describe('whatever comes', () => {
  it('47: the limit keeps its bounds, nothing is admitted beyond it, and every slot comes back', () => {
    onClock()
    const event = fc.record({
      priority: fc.integer({ min: 0, max: 2 }),
      kind: fc.constantFrom(...kinds),
      rtt: fc.integer({ min: 1, max: 400 }),
      wait: fc.integer({ min: 0, max: 20 }),
      settles: fc.nat(3),
    })
    const algorithm = fc.constantFrom('vegas' as const, 'gradient2' as const, 'aimd' as const)
    holds(
      'adaptive limit',
      fc.property(algorithm, fc.array(event, { minLength: 60, maxLength: 200 }), (chosen, events) => {
        const settings: AdaptiveLimitSettings = checkAdaptiveLimit({
          algorithm: chosen,
          initialLimit: 10,
          minLimit: 3,
          maxLimit: 30,
          ...small,
        })
        const limit = new AdaptiveLimit(settings)
        const open: { call: Scope; head: Outcome }[] = []
        const settleOne = () => {
          const { call: ended, head } = open.shift() as { call: Scope; head: Outcome }
          if (head.phase === 'head') limit.head(head, Object.assign(ended, { headAt: now }))
          limit.settle(head, ended)
        }
        for (const { priority, kind, rtt, wait, settles } of events) {
          now += wait
          const begun = call(priority)
          const share = [1, settings.normalShare, settings.sheddableShare][priority] as number
          const mayEnter = limit.inUse < Math.ceil(share * limit.limit)
          try {
            limit.acquire(begun)
            open.push({ call: begun, head: timed(kind, rtt) })
            expect(mayEnter).toBe(true)
            expect(limit.inUse).toBeLessThanOrEqual(limit.limit)
          } catch (error) {
            expect(error).toBeInstanceOf(ConcurrencyLimitedError)
            expect(mayEnter).toBe(false)
          }
          for (let each = 0; each < settles && open.length > 0; each++) settleOne()
          expect(limit.inUse).toBe(open.length)
          expect(limit.limit).toBeGreaterThanOrEqual(3)
          expect(limit.limit).toBeLessThanOrEqual(30)
        }
        while (open.length > 0) settleOne()
        expect(limit.inUse).toBe(0)
        expect(limit.idle).toBe(true)
      }),
    )
  })
})

describe('options', () => {
  it.each([
    [{ algorithm: 'bbr' }, TypeError, /algorithm must be one of vegas, gradient2, aimd, got "bbr"/],
    [{ minLimit: 0 }, RangeError, /adaptiveLimit: minLimit must be a whole number of at least 1, got 0/],
    [{ maxLimit: 5, minLimit: 6, initialLimit: 6 }, RangeError, /maxLimit must be a whole number of at least 6, got 5/],
    [{ initialLimit: 2000 }, RangeError, /initialLimit must be a whole number from 1 to 1000, got 2000/],
    [{ window: 0 }, RangeError, /window must be a number from 1 to .*, got 0/],
    [{ windowCalls: 1.5 }, RangeError, /windowCalls must be a whole number of at least 1, got 1.5/],
    [{ normalShare: 1.1 }, RangeError, /normalShare must be a number from 0 to 1, got 1.1/],
    [{ normalShare: 0.5, sheddableShare: 0.7 }, RangeError, /sheddableShare must be a number from 0 to 0.5, got 0.7/],
    [{ slowAfter: '1s' }, TypeError, /slowAfter must be .*, got "1s"/],
    [{ shadow: 1 }, TypeError, /shadow must be true or false, got 1/],
    [{ random: 4 }, TypeError, /random must be a function, got 4/],
    [{ queue: 4 }, TypeError, /unknown option "queue"/],
  ])('refuses %o', (options, kind, message) => {
    const check = () => checkAdaptiveLimit(options as AdaptiveLimitOptions)
    expect(check).toThrow(kind)
    expect(check).toThrow(message)
  })
})
