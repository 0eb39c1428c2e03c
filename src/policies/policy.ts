import type { Outcome } from './outcome.ts'

/**
 * Decides whether a call or an attempt may go on, and learns what became of it. A policy knows nothing of undici, so it
 * can be tested without a socket; `guard(policy)` makes a layer of it.
 */
export interface Policy {
  /** Shown in stacks, chain checks and printed chains. */
  readonly name?: string
  /**
   * Asks for admission.
   *
   * - Return a permit (or `null` when there is nothing to give back) to admit at once.
   * - Throw to refuse; the error reaches the caller.
   * - Return a promise, or a {@link Waiting}, only if the call really has to wait.
   */
  acquire(scope: Scope): Permit | PromiseLike<Permit | null> | Waiting | null
}

/**
 * What an admitted call holds. `head` is called at most once, with the judged response head; `settle` exactly once, at
 * the end of the body, at an error, or when a body that nobody reads has waited too long, and must free
 * synchronously. An outcome with phase `before-head` in `settle` means that `head` was never called.
 *
 * Both get the scope, so that one permit object can serve every call.
 */
export interface Permit {
  head?(outcome: Outcome, scope: Scope): void
  settle(outcome: Outcome, scope: Scope): void
}

/** A place in a queue. Without `cancel`, `scope.signal` is aborted when the call gives up. */
export interface Waiting {
  then(granted: (permit: Permit | null) => void, refused: (error: unknown) => void): unknown
  /** The call gave up: leave the queue now. Neither callback is called afterwards. */
  cancel(): void
}

/** One verdict: the call itself (number 0) or one of its attempts (1, 2, ...). */
export interface Scope {
  /** The call this scope belongs to; of scope 0, itself. */
  readonly exchange: ExchangeScope
  /** 0 for the call, 1 and up for its attempts. */
  readonly number: number
  /** The origin the call names, such as `https://api.example.com`; fixed before `dns()` rewrites it. */
  readonly origin: string
  /** The verdict so far; `null` until a head or an error came. */
  outcome: Outcome | null
  /** `false` while the request has provably not reached the server. */
  sent: boolean
  /** When the scope began, in milliseconds of `performance.now()`. */
  readonly beganAt: number
  /** When the last permit was granted and the request handed to the transport; 0 before. */
  startedAt: number
  /** When the response head came; 0 before. */
  headAt: number
  /** Milliseconds spent in queues. */
  queuedMs: number
  /** Negotiated protocol, as `network.protocol.version` names it: `'1.1'`, `'2'`; `undefined` where it is not known. */
  protocol: string | undefined
  /** Leaves something for logs and spans, such as the state of a breaker; a name written twice keeps the last value. */
  note(name: string, value: string | number | boolean): void
  /** Aborted when the call gives up. Made when first read: for policies that wait on a promise. */
  readonly signal: AbortSignal
}

/** How much a call may matter, the most important first. */
export const priorities = Object.freeze(['critical', 'normal', 'sheddable'] as const)

/** How much a call matters where not all can be served; what its caller gives as `resilience: { priority }`. */
export type Priority = (typeof priorities)[number]

/** The call: scope 0, and what all its attempts share. */
export interface ExchangeScope extends Scope {
  readonly method: string
  readonly path: string
  /**
   * How much the call matters where not all can be served: 0 critical, 1 normal (unless its caller said otherwise), 2
   * sheddable. A policy that lets calls wait takes lower numbers first, one that refuses some refuses higher ones first.
   */
  readonly priority: number
  /** How many attempts were begun. */
  attempts: number
  /** When the call's time is up, in milliseconds of `performance.now()`; `Infinity` without a deadline. */
  deadlineAt: number
  /** Milliseconds spent in backoffs. */
  backoffMs: number
}
