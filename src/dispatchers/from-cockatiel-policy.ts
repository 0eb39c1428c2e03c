import {
  BulkheadPolicy,
  CircuitBreakerPolicy,
  CircuitState,
  FallbackPolicy,
  type IDefaultPolicyContext,
  type IPolicy,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  isTaskCancelledError,
  NoopPolicy,
  TimeoutPolicy,
} from 'cockatiel'
import type { Outcome, OutcomeKind } from '../policies/outcome.ts'
import type { Forgettable } from '../policies/per-origin.ts'

/** A policy of cockatiel 4 that answers with what the function it runs answers with: every one but a fallback. */
export type CockatielPolicy = IPolicy<IDefaultPolicyContext, never>

type PolicyClass<T> = abstract new (...args: never[]) => T

/** Whether a policy is of a class of cockatiel's; by its shape where it comes from another copy of the package. */
export function isA<T>(policy: object, policyClass: PolicyClass<T>): policy is T & object {
  return policy instanceof policyClass || (policy.constructor?.name === policyClass.name && 'executor' in policy)
}

// These run their function at most once a time they are executed.
const runOnce: readonly PolicyClass<unknown>[] = [BulkheadPolicy, CircuitBreakerPolicy, TimeoutPolicy, NoopPolicy]

/** A policy, or what a `wrap(...)` is made of, outermost first. */
export class PolicyParts implements Forgettable {
  readonly list: readonly CockatielPolicy[]
  /** Whether it may run its function more than once. */
  readonly repeats: boolean
  /** Whether it has slots, which are held to the end of a body. */
  readonly hasSlots: boolean
  /** Calls under way. */
  inUse = 0

  constructor(policy: unknown) {
    this.list = partsOf(policy, '')
    this.repeats = this.list.some((part) => !runOnce.some((policyClass) => isA(part, policyClass)))
    this.hasSlots = this.list.some((part) => isA(part, BulkheadPolicy))
  }

  /** Whether forgetting it loses nothing: an open circuit would be closed by it. */
  get idle(): boolean {
    return this.inUse === 0 && this.list.every((part) => !isA(part, CircuitBreakerPolicy) || isClosed(part))
  }
}

function isClosed(breaker: CircuitBreakerPolicy): boolean {
  return breaker.state === CircuitState.Closed
}

function partsOf(policy: unknown, place: string): CockatielPolicy[] {
  if (typeof policy !== 'object' || policy === null) throw noPolicy(policy, place)
  const { execute, wrapped, options } = policy as { execute?: unknown; wrapped?: unknown; options?: object }
  if (Array.isArray(wrapped)) return wrapped.flatMap((part, at) => partsOf(part, ` (part ${at + 1} of a wrap)`))
  if (isA(policy, FallbackPolicy)) {
    throw new TypeError(
      `fromCockatiel: a fallback policy${place} cannot stand in a chain: it answers with a value of its own, which is no ` +
        'HTTP response. Use fallback(...).execute() around the call itself.',
    )
  }
  if (typeof execute === 'function') return [policy as CockatielPolicy]
  if (options !== undefined && 'errorFilter' in options) {
    throw new TypeError(
      `fromCockatiel: expects a policy${place}, got only its conditions (handleAll, handleType(...)): ` +
        'give them to retry(...) or circuitBreaker(...), and pass what these return',
    )
  }
  throw noPolicy(policy, place)
}

function noPolicy(value: unknown, place: string): TypeError {
  const given = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
  return new TypeError(`fromCockatiel: a policy${place} must be an object with execute(function, signal), got ${given}`)
}

/**
 * What a call has come to that a policy ended with an error of its own. `last` is what became of the last attempt;
 * `undefined` where none was begun, `null` where it is still under way.
 */
export function kindOfRefusal(error: unknown, last: Outcome | null | undefined): OutcomeKind {
  // An isolated circuit is a broken one as well.
  if (isBrokenCircuitError(error) || isBulkheadRejectedError(error)) return 'shed'
  if (isTaskCancelledError(error)) return 'timeout'
  if (last === undefined) return 'shed'
  if (last === null) return 'timeout'
  return last.kind === 'success' ? 'invalid' : last.kind
}
