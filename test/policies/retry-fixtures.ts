import { expect } from 'vitest'
import { kindOfStatus, type Outcome } from '../../src/policies/outcome.ts'
import { createRetryPolicy, type RetryContext, type RetryOptions, type RetryRefusal } from '../../src/policies/retry.ts'
import { outcome } from './fixtures.ts'

const epoch = Date.UTC(2026, 2, 14, 12, 0, 0)

/** A first GET that could be sent again in every way. */
export function context(more: Partial<RetryContext> = {}): RetryContext {
  return {
    attempt: 1,
    method: 'GET',
    idempotent: false,
    replayable: true,
    sent: true,
    remaining: Number.POSITIVE_INFINITY,
    backoff: null,
    refusal: null,
    ...more,
  }
}

export const policyOf = (options: RetryOptions = {}) =>
  createRetryPolicy({ backoff: 100, now: () => epoch, ...options })
export const status = (code: number, headers: Outcome['headers'] = {}) =>
  outcome(kindOfStatus(code), { status: code, headers, phase: 'head', error: undefined })
export const failed = (error: unknown) => outcome('networkError', { error })
export const coded = (code: string) => Object.assign(new Error(code), { code })

/** Milliseconds to wait, or why not. */
export function decide(
  judged: Outcome,
  more: Partial<RetryContext> = {},
  options: RetryOptions = {},
): number | RetryRefusal {
  const given = context(more)
  const delay = policyOf(options).decide(judged, given)
  if (delay >= 0) {
    expect(given.refusal).toBeNull()
    return delay
  }
  expect(delay).toBe(-1)
  return given.refusal!
}
