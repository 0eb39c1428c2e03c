import { describe, expect, it } from 'vitest'
import {
  AttemptTimeoutError,
  BulkheadFullError,
  CircuitOpenError,
  DeadlineExceededError,
} from '../../src/policies/errors.ts'
import type { OutcomeKind } from '../../src/policies/outcome.ts'
import type { RetryRequest } from '../../src/policies/retry.ts'
import { kinds, outcome } from './fixtures.ts'
import { coded, context, decide, failed, policyOf, status } from './retry-fixtures.ts'

describe('outcomes', () => {
  const wanted: Record<OutcomeKind, boolean> = {
    success: false,
    clientError: false,
    throttled: true,
    serverError: true,
    networkError: true,
    timeout: true,
    deadline: false,
    shed: false,
    cancelled: false,
    invalid: false,
    closed: false,
  }
  it.each(kinds)('%s', (kind) => {
    expect(decide(outcome(kind))).toBe(wanted[kind] ? 100 : 'not-retryable')
  })

  it.each([408, 425, 429, 500, 502, 503, 504])('%d is tried again', (code) => {
    expect(decide(status(code))).toBe(100)
  })

  it.each([200, 204, 304, 400, 401, 403, 404, 409, 413, 422, 499, 505, 507, 599])('%d is not', (code) => {
    expect(decide(status(code))).toBe('not-retryable')
  })

  it('501 is never tried again, whoever says so', () => {
    expect(decide(status(501))).toBe('not-retryable')
    expect(decide(outcome('throttled', { status: 501 }))).toBe('not-retryable')
    expect(decide(status(501), {}, { retryOn: () => true })).toBe('not-retryable')
  })

  it('the list of statuses is the whole list', () => {
    expect(decide(status(409), {}, { statuses: [409] })).toBe(100)
    expect(decide(status(503), {}, { statuses: [409] })).toBe('not-retryable')
    expect(decide(status(429), {}, { statuses: [] })).toBe('not-retryable')
    expect(decide(failed(coded('ECONNRESET')), {}, { statuses: [] })).toBe(100)
  })

  it('a judgement that differs from the status counts, either way', () => {
    expect(decide(outcome('serverError', { status: 200 }))).toBe(100)
    expect(decide(outcome('throttled', { status: 403 }))).toBe(100)
    expect(decide(outcome('success', { status: 503 }))).toBe('not-retryable')
    expect(decide(outcome('clientError', { status: 503 }))).toBe('not-retryable')
  })

  it('7: neither an open circuit nor anything else that the kit refuses is tried again', () => {
    const open = new CircuitOpenError('open', { retryAfter: 10 })
    expect(decide(outcome('shed', { error: open }))).toBe('not-retryable')
    expect(decide(outcome('shed', { error: new BulkheadFullError('full') }), {}, { retryOn: () => true })).toBe(
      'not-retryable',
    )
  })

  it('an attempt that timed out is tried again, a call whose time is up is not', () => {
    expect(decide(outcome('timeout', { error: new AttemptTimeoutError('slow') }))).toBe(100)
    expect(decide(outcome('deadline', { error: new DeadlineExceededError('late') }))).toBe('not-retryable')
  })

  it('20: a body that broke is final', () => {
    const broken = outcome('networkError', { phase: 'body', status: 200 })
    expect(decide(broken)).toBe('not-retryable')
    expect(decide(broken, {}, { retryOn: () => true })).toBe('not-retryable')
  })
})

describe('21: errors that another attempt cannot mend', () => {
  const permanent = [
    'CERT_HAS_EXPIRED',
    'CERT_NOT_YET_VALID',
    'CERT_REVOKED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
    'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
    'ERR_OSSL_X509_KEY_VALUES_MISMATCH',
    'ERR_INVALID_URL',
    'ERR_INVALID_URL_SCHEME',
    'ERR_INVALID_PROTOCOL',
    'ERR_INVALID_CHAR',
    'ERR_INVALID_HTTP_TOKEN',
    'ERR_INVALID_ARG_VALUE',
    'ERR_UNESCAPED_CHARACTERS',
    'ERR_HTTP2_INVALID_CONNECTION_HEADERS',
    'ERR_HTTP2_INVALID_HEADER_VALUE',
  ]
  it.each(permanent)('21: %s', (code) => {
    expect(decide(failed(coded(code)))).toBe('not-retryable')
    expect(decide(failed(coded(code)), { sent: false }, { retryOn: () => true })).toBe('not-retryable')
  })

  it.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EPIPE',
    'ETIMEDOUT',
    'UND_ERR_SOCKET',
    'UND_ERR_CONNECT_TIMEOUT',
    'UND_ERR_HEADERS_TIMEOUT',
    'UND_ERR_INFO',
    'ERR_HTTP2_STREAM_ERROR',
    'ERR_HTTP2_SESSION_ERROR',
    'ERR_HTTP2_INVALID_SESSION',
    'ERR_HTTP2_GOAWAY_SESSION',
    'ERR_TLS_HANDSHAKE_TIMEOUT',
    'ERR_SSL_WRONG_VERSION_NUMBER',
    'MY_CERT_CACHE_BUSY',
  ])('%s is none of them', (code) => {
    expect(decide(failed(coded(code)))).toBe(100)
  })

  it('21: are found below causes and in AggregateErrors, but not searched for without end', () => {
    const inner = coded('CERT_HAS_EXPIRED')
    expect(decide(failed(new TypeError('fetch failed', { cause: inner })))).toBe('not-retryable')
    const several = new AggregateError([coded('ECONNREFUSED'), new Error('x', { cause: inner })])
    expect(decide(failed(new Error('y', { cause: several })))).toBe('not-retryable')
    expect(decide(failed(new AggregateError([coded('ECONNREFUSED'), coded('ETIMEDOUT')])))).toBe(100)
    const circular = new Error('round')
    circular.cause = circular
    expect(decide(failed(circular))).toBe(100)
  })

  it.each(['text', null, 7, { code: 7 }])('an error may be anything, such as %o', (error) => {
    expect(decide(failed(error))).toBe(100)
  })
})

describe('15: what may be sent again', () => {
  it.each(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])('15: %s', (method) => {
    expect(decide(status(503), { method })).toBe(100)
    expect(decide(failed(coded('ECONNRESET')), { method })).toBe(100)
  })

  it.each(['POST', 'PATCH', 'CONNECT', 'LOCK', 'get'])('14, 15: %s is not, whatever the answer', (method) => {
    for (const code of [408, 425, 429, 500, 502, 503, 504]) {
      expect(decide(status(code, { 'retry-after': '1' }), { method })).toBe('unsafe')
    }
    expect(decide(failed(coded('ECONNRESET')), { method })).toBe('unsafe')
    expect(decide(outcome('timeout'), { method })).toBe('unsafe')
    expect(decide(status(503), { method }, { retryOn: () => true })).toBe('unsafe')
  })

  it('15: an unsafe one that provably never reached the server is', () => {
    expect(decide(failed(coded('ECONNREFUSED')), { method: 'POST', sent: false })).toBe(100)
    expect(decide(outcome('timeout'), { method: 'POST', sent: false })).toBe(100)
  })

  it('15: an unsafe one that the caller marked is', () => {
    expect(decide(status(503), { method: 'POST', idempotent: true })).toBe(100)
  })

  it('15: a method that the caller names is', () => {
    const options = { methods: ['post'] }
    expect(decide(status(503), { method: 'POST' }, options)).toBe(100)
    expect(decide(status(503), { method: 'GET' }, options)).toBe('unsafe')
  })

  it('16: only with a body that can be sent again', () => {
    expect(decide(status(503), { method: 'PUT', replayable: false })).toBe('not-replayable')
    expect(decide(failed(coded('ECONNREFUSED')), { sent: false, replayable: false })).toBe('not-replayable')
    expect(decide(status(503), { method: 'POST', idempotent: true, replayable: false })).toBe('not-replayable')
  })

  it('15: marks requests by option, asking a function only where there is one', () => {
    const request: RetryRequest = { method: 'POST', origin: 'https://a.test', path: '/x', headers: { a: '1' } }
    const never = () => {
      throw new Error('asked')
    }
    expect(policyOf().marks(never)).toBe(false)
    expect(policyOf({ idempotent: true }).marks(never)).toBe(true)
    const asked: RetryRequest[] = []
    const byPath = policyOf({
      idempotent: (given) => {
        asked.push(given)
        return given.path === '/x'
      },
    })
    expect(byPath.marks(() => request)).toBe(true)
    expect(byPath.marks(() => ({ ...request, path: '/y' }))).toBe(false)
    expect(asked[0]).toBe(request)
    expect(policyOf({ idempotent: never }).marks(() => request)).toBe(false)
    expect(policyOf({ idempotent: () => 'yes' as never }).marks(() => request)).toBe(false)
  })

  it('what is costly to know is asked only where it decides', () => {
    const lazy = (method: string) => {
      const asked: string[] = []
      const base = context({ method })
      const given = Object.defineProperties(base, {
        idempotent: { get: () => asked.push('idempotent') > 0 },
        replayable: { get: () => asked.push('replayable') > 0 },
      })
      return { asked, given }
    }
    const get = lazy('GET')
    policyOf().decide(status(200), get.given)
    expect(get.asked).toEqual([])
    policyOf().decide(status(503), get.given)
    expect(get.asked).toEqual(['replayable'])
    const post = lazy('POST')
    policyOf().decide(status(503), post.given)
    expect(post.asked).toEqual(['idempotent', 'replayable'])
  })
})
