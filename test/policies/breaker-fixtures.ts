import { expect } from 'vitest'
import { CircuitBreaker } from '../../src/policies/circuit-breaker.ts'
import type { CircuitBreakerOptions, CircuitStateChange } from '../../src/policies/circuit-options.ts'
import { CircuitOpenError } from '../../src/policies/errors.ts'
import type { Outcome, OutcomeKind } from '../../src/policies/outcome.ts'
import type { Permit } from '../../src/policies/policy.ts'
import { outcome, scope, thrownBy } from './fixtures.ts'

export const origin = 'https://a.test'
export const call = scope(origin)
export const neutral: readonly OutcomeKind[] = ['throttled', 'deadline', 'shed', 'cancelled', 'invalid', 'closed']

/** A breaker on a clock that stands still until it is told to go. */
export function breakerAt(start: number, options: CircuitBreakerOptions = {}) {
  const clock = { now: start }
  const changes: CircuitStateChange[] = []
  const breaker = new CircuitBreaker(
    { now: () => clock.now, onStateChange: (change) => changes.push(change), ...options },
    origin,
  )
  const steps = () => changes.map(({ from, to }) => `${from} to ${to}`)
  return { breaker, clock, changes, steps }
}

export function end(permit: Permit, judged: Outcome): void {
  if (judged.phase !== 'before-head') permit.head?.(judged, call)
  permit.settle(judged.phase === 'before-head' ? judged : { ...judged, phase: 'body' }, call)
}

export function calls(breaker: CircuitBreaker, kind: OutcomeKind, times: number): void {
  for (let index = 0; index < times; index++) end(breaker.acquire(call), outcome(kind))
}

/** A breaker whose circuit opened at 0. */
export function opened(options: CircuitBreakerOptions = {}) {
  const made = breakerAt(0, { minimumCalls: 1, ...options })
  calls(made.breaker, 'networkError', 1)
  expect(made.breaker.state).toBe('open')
  return made
}

export function refusal(breaker: CircuitBreaker): CircuitOpenError {
  const error = thrownBy(() => breaker.acquire(call))
  expect(error).toBeInstanceOf(CircuitOpenError)
  return error as CircuitOpenError
}
