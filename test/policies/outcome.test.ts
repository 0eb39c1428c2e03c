import { describe, expect, it } from 'vitest'
import {
  isFailure,
  isSuccess,
  kindOfError,
  kindOfStatus,
  type OutcomeKind,
  statusOfError,
} from '../../src/policies/outcome.ts'
import { kinds } from './fixtures.ts'

const coded = (code: unknown, more: object = {}) => Object.assign(new Error('x'), { code }, more)

describe('kindOfStatus', () => {
  it.each<[number, OutcomeKind]>([
    [101, 'success'],
    [200, 'success'],
    [304, 'success'],
    [399, 'success'],
    [400, 'clientError'],
    [404, 'clientError'],
    [408, 'clientError'],
    [425, 'clientError'],
    [428, 'clientError'],
    [429, 'throttled'],
    [430, 'clientError'],
    [499, 'clientError'],
    [500, 'serverError'],
    [501, 'serverError'],
    [503, 'serverError'],
    [599, 'serverError'],
    [999, 'serverError'],
  ])('%d is %s', (status, kind) => {
    expect(kindOfStatus(status)).toBe(kind)
  })
})

describe('kindOfError', () => {
  it.each<[string, OutcomeKind]>([
    ['ERR_CIRCUIT_OPEN', 'shed'],
    ['ERR_BULKHEAD_FULL', 'shed'],
    ['ERR_CONCURRENCY_LIMITED', 'shed'],
    ['ERR_RATE_LIMITED', 'shed'],
    ['ERR_ATTEMPT_TIMEOUT', 'timeout'],
    ['ERR_BODY_TIMEOUT', 'timeout'],
    ['ERR_DEADLINE_EXCEEDED', 'deadline'],
    ['ERR_INVALID_REQUEST', 'invalid'],
    ['UND_ERR_INVALID_ARG', 'invalid'],
    ['UND_ERR_NOT_SUPPORTED', 'invalid'],
    ['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'invalid'],
    ['UND_ERR_INVALID_RETURN_VALUE', 'invalid'],
    ['UND_ERR_CLOSED', 'closed'],
    ['UND_ERR_DESTROYED', 'closed'],
    ['UND_ERR_ABORTED', 'cancelled'],
    ['UND_ERR_CONNECT_TIMEOUT', 'networkError'],
    ['UND_ERR_HEADERS_TIMEOUT', 'networkError'],
    ['UND_ERR_BODY_TIMEOUT', 'networkError'],
    ['UND_ERR_SOCKET', 'networkError'],
    ['ECONNREFUSED', 'networkError'],
    ['ENOTFOUND', 'networkError'],
    ['ERR_HTTP2_STREAM_ERROR', 'networkError'],
    ['CERT_HAS_EXPIRED', 'networkError'],
  ])('%s is %s', (code, kind) => {
    expect(kindOfError(coded(code))).toBe(kind)
  })

  it.each([undefined, null, 'UND_ERR_CLOSED', 7, new Error('x'), coded(20), new DOMException('x', 'AbortError')])(
    '%o tells nothing and is networkError',
    (error) => {
      expect(kindOfError(error)).toBe('networkError')
    },
  )
})

describe('statusOfError', () => {
  it('reads the status of a response that an inner layer turned into an error', () => {
    expect(statusOfError(coded('UND_ERR_RESPONSE', { statusCode: 503 }))).toBe(503)
    expect(statusOfError(coded('UND_ERR_RESPONSE', { status: 502 }))).toBe(502)
    expect(statusOfError(coded('UND_ERR_RESPONSE', { statusCode: 503, status: 502 }))).toBe(503)
  })

  it('reads nothing elsewhere', () => {
    expect(statusOfError(coded('UND_ERR_RESPONSE'))).toBeUndefined()
    expect(statusOfError(coded('UND_ERR_RESPONSE', { statusCode: '503' }))).toBeUndefined()
    expect(statusOfError(coded('UND_ERR_SOCKET', { statusCode: 503 }))).toBeUndefined()
    expect(statusOfError(undefined)).toBeUndefined()
  })
})

describe('the table', () => {
  const failures: readonly OutcomeKind[] = ['serverError', 'networkError', 'timeout']
  const successes: readonly OutcomeKind[] = ['success', 'clientError']

  it.each(kinds)('%s', (kind) => {
    expect(isFailure(kind)).toBe(failures.includes(kind))
    expect(isSuccess(kind)).toBe(successes.includes(kind))
  })
})
