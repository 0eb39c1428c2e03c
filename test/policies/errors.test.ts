import { describe, expect, it, vi } from 'vitest'
import * as errors from '../../src/policies/errors.ts'

const {
  AttemptTimeoutError,
  BodyTimeoutError,
  BulkheadFullError,
  CircuitOpenError,
  ConcurrencyLimitedError,
  DeadlineExceededError,
  InvalidRequestError,
  isShed,
  NoHostError,
  NoRouteError,
  RateLimitedError,
  ResilienceError,
} = errors

const origin = 'https://a.test'
const retryAfter = 250
const asked = { method: 'GET', host: 'a.test', path: '/' }
const all = [
  { type: CircuitOpenError, code: 'ERR_CIRCUIT_OPEN', name: 'CircuitOpenError', shed: true },
  { type: BulkheadFullError, code: 'ERR_BULKHEAD_FULL', name: 'BulkheadFullError', shed: true },
  {
    type: ConcurrencyLimitedError,
    code: 'ERR_CONCURRENCY_LIMITED',
    name: 'ConcurrencyLimitedError',
    shed: true,
  },
  { type: NoHostError, code: 'ERR_NO_HOST', name: 'NoHostError', shed: true },
  { type: NoRouteError, code: 'ERR_NO_ROUTE', name: 'NoRouteError', shed: false },
  { type: RateLimitedError, code: 'ERR_RATE_LIMITED', name: 'RateLimitedError', shed: true },
  { type: AttemptTimeoutError, code: 'ERR_ATTEMPT_TIMEOUT', name: 'AttemptTimeoutError', shed: false },
  { type: BodyTimeoutError, code: 'ERR_BODY_TIMEOUT', name: 'BodyTimeoutError', shed: false },
  { type: DeadlineExceededError, code: 'ERR_DEADLINE_EXCEEDED', name: 'DeadlineExceededError', shed: false },
  { type: InvalidRequestError, code: 'ERR_INVALID_REQUEST', name: 'InvalidRequestError', shed: false },
] as const

describe('the errors of the kit', () => {
  it.each(all)('$name carries code, origin, cause and a name', ({ type, code, name }) => {
    const cause = new Error('why')
    const error = new type('what', { origin, cause, retryAfter, ...asked })
    expect(error).toMatchObject({ code, name, origin, cause, message: 'what' })
    expect(String(error)).toBe(`${name}: what`)
    expect(error.stack).toContain('errors.test.ts')
    expect(error).toBeInstanceOf(ResilienceError)
    expect(error).toBeInstanceOf(Error)
  })

  it.each(all)('$name is an instance of no other', ({ type, name }) => {
    const error = new type('what', { retryAfter, ...asked })
    expect(all.filter((other) => error instanceof other.type).map((other) => other.name)).toEqual([name])
  })

  it('have no cause where none is given', () => {
    expect('cause' in new BulkheadFullError('what')).toBe(false)
    expect(new BulkheadFullError('what').origin).toBeUndefined()
  })

  it('that say when to come back say so in milliseconds', () => {
    expect(new CircuitOpenError('what', { retryAfter }).retryAfter).toBe(250)
    expect(new RateLimitedError('what', { retryAfter }).retryAfter).toBe(250)
  })

  it('are recognised across two copies of the package', async () => {
    vi.resetModules()
    const copy = (await import('../../src/policies/errors.ts')) as typeof errors
    expect(copy.CircuitOpenError).not.toBe(CircuitOpenError)
    const theirs = new copy.CircuitOpenError('what', { retryAfter })
    expect(theirs).toBeInstanceOf(CircuitOpenError)
    expect(theirs).toBeInstanceOf(ResilienceError)
    expect(theirs).not.toBeInstanceOf(BulkheadFullError)
    expect(isShed(theirs)).toBe(true)
  })

  it('let a class of the user below them be told apart', () => {
    class QuotaError extends ResilienceError {
      override readonly code: string = 'ERR_QUOTA'
    }
    expect(new QuotaError('what')).toBeInstanceOf(QuotaError)
    expect(new QuotaError('what')).toBeInstanceOf(ResilienceError)
    expect(new BulkheadFullError('what')).not.toBeInstanceOf(QuotaError)
  })

  it.each([undefined, null, 'ERR_CIRCUIT_OPEN', {}, { code: 'ERR_CIRCUIT_OPEN' }, new Error('x')])(
    'take %o for none of theirs',
    (value) => {
      expect(value instanceof ResilienceError).toBe(false)
      expect(value instanceof CircuitOpenError).toBe(false)
      expect(isShed(value)).toBe(false)
    },
  )
})

describe('isShed', () => {
  it.each(all)('of $name: $shed', ({ type, shed }) => {
    const error = new type('what', { retryAfter, ...asked })
    expect(isShed(error)).toBe(shed)
    expect(isShed(new TypeError('fetch failed', { cause: error }))).toBe(shed)
  })

  it('ends where causes go in a circle', () => {
    const circular = new Error('round')
    circular.cause = circular
    expect(isShed(circular)).toBe(false)
  })
})
