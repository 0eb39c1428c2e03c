import type { Dispatcher } from 'undici'
import type { Backoff } from '../policies/backoff.ts'
import { checkNumber, checkOptions } from '../policies/options.ts'
import type { Outcome } from '../policies/outcome.ts'
import {
  createRetryPolicy,
  retryDefaults as policyDefaults,
  type RetryContext,
  type RetryOptions as RetryDecisionOptions,
  type RetryPolicy,
  type RetryRefusal,
  type RetryRequest,
} from '../policies/retry.ts'
import { assertHandler } from './assert-handler.ts'
import { Attempt } from './attempt.ts'
import { type ChainBuilder, layerOf } from './chain-part.ts'
import { failByDeadline } from './deadline.ts'
import { markEdged } from './edge.ts'
import { type CallScope, Exchange, kScope, onHop, type ScopedOptions, scopeOf } from './exchange.ts'
import { withEdge } from './guard.ts'
import { CallPlan } from './guarded-call.ts'
import { eachHeader } from './headers.ts'
import type { Layer } from './relay.ts'
import { RepeatingCall } from './repeating-call.ts'
import { replayDefaults } from './replay.ts'

/** Options of {@link retry}. */
export interface RetryOptions extends RetryDecisionOptions {
  /**
   * Bytes of a streamed request body that are recorded so that it can be sent again; a longer body is sent once, whole.
   * All bodies under way in the process share 64 MiB.
   * @default 1_048_576
   */
  readonly replayLimit?: number
}

/** Defaults of {@link retry}. */
export const retryDefaults = { ...policyDefaults, replayLimit: replayDefaults.perBody } as const

/** What all calls of one layer share. */
interface RepeatPlan {
  readonly policy: RetryPolicy
  readonly replayLimit: number
  readonly asksUser: boolean
}

/**
 * One call and all its attempts, of which at most one is under way. It is the guard of the stages above it as well: they
 * are asked once a call, then the first attempt is sent.
 */
class RetriedCall extends RepeatingCall implements RetryContext {
  attempt = 0
  backoff: Backoff | null = null
  refusal: RetryRefusal | null = null

  private readonly repeat: RepeatPlan
  private timer: NodeJS.Timeout | undefined = undefined
  private dueAt = 0

  constructor(
    plan: CallPlan,
    repeat: RepeatPlan,
    given: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(plan, given, handler, scope, owns)
    this.repeat = repeat
  }

  get idempotent(): boolean {
    return this.marked || this.repeat.policy.marks(() => requestOf(this.opts, this.scope.origin))
  }

  protected override handOn(): boolean {
    const { policy, replayLimit } = this.repeat
    if (policy.maxAttempts > 1) this.recordBody(replayLimit)
    return this.send(0)
  }

  private send(backoffBefore: number): boolean {
    const attempt = new Attempt(this, this.scope.exchange, this.scope)
    attempt.backoffBefore = backoffBefore
    this.attempt++
    return this.dispatchAttempt(attempt)
  }

  /** Whether an outcome is the call's; if not, the next attempt is on its way. */
  accepts(attempt: Attempt, outcome: Outcome): boolean {
    if (this.committed || this.ended || this.aborted) return true
    if (outcome.kind === 'success' && !this.repeat.asksUser) return true
    const { policy } = this.repeat
    const delay = this.scope.exchange.context.runInAsyncScope(policy.decide, policy, outcome, this)
    if (delay < 0) {
      if (this.refusal !== null && outcome.kind !== 'success') this.scope.note('retry.refusal', this.refusal)
      return true
    }
    attempt.discarded = true
    this.scope.queuedMs += attempt.queuedMs
    this.rewindBody()
    this.backOff(delay)
    return false
  }

  private backOff(delay: number): void {
    this.scope.exchange.backoffMs += delay
    this.dueAt = performance.now() + delay
    this.timer = setTimeout(wake, Math.ceil(delay), this, delay)
  }

  /** The backoff is over. */
  wake(delay: number): void {
    const early = this.dueAt - performance.now()
    if (early > 0) {
      // setTimeout may be a fraction of a millisecond early, and what a server asked for is not to be cut short.
      this.timer = setTimeout(wake, Math.ceil(early), this, delay)
      return
    }
    this.timer = undefined
    this.current?.giveUp(new Error('the answer is not wanted'))
    const { exchange } = this.scope
    if (this.remaining > 0) exchange.run(this.send, this, delay)
    // The process stood still for so long that the time is up.
    else failByDeadline(this, exchange.deadlineAt - exchange.beganAt)
  }

  override stop(reason: Error): void {
    clearTimeout(this.timer)
    super.stop(reason)
  }
}

// A function of its own, so that the timer holds no closure.
function wake(call: RetriedCall, delay: number): void {
  call.wake(delay)
}

function requestOf(opts: ScopedOptions, origin: string): RetryRequest {
  const headers: Record<string, string | readonly string[] | undefined> = {}
  eachHeader(opts.headers, (name, value) => {
    if (value !== null && value !== undefined) headers[name.toLowerCase()] = Array.isArray(value) ? value : `${value}`
  })
  return { method: opts.method, origin, path: opts.path, headers }
}

/**
 * Sends a call again when its attempt failed in a way that another one may mend, after a backoff.
 *
 * Only what is safe is repeated: idempotent methods, requests the caller marked, and attempts that provably never
 * reached the server. A body arrives whole each time, or is not sent again. When attempts run out, the caller gets the
 * last real response, body readable, or the last real error. `Retry-After` is honoured, never cut short: one that is
 * too long ends the call with the response that carries it.
 *
 * Defaults: {@link retryDefaults}: four attempts, exponential backoff from 100 ms with decorrelated jitter, 5 s at most.
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function retry(options: RetryOptions = {}): Layer {
  checkOptions('retry', options, [...Object.keys(retryDefaults), 'retryOn', 'random', 'now'])
  const { replayLimit = retryDefaults.replayLimit, ...decision } = options
  checkNumber('retry: replayLimit', replayLimit, { min: 0, integer: true })
  const policy = createRetryPolicy(decision)
  const repeat: RepeatPlan = { policy, replayLimit, asksUser: options.retryOn !== undefined }
  const build: ChainBuilder = (stages, inner, keeper) => throughRetry(new CallPlan(stages, inner, keeper), repeat)
  return layerOf({ name: 'retry', build }, (dispatch) => build([], withEdge(dispatch), null))
}

function throughRetry(plan: CallPlan, repeat: RepeatPlan): Dispatcher['dispatch'] {
  return markEdged(function retry(given, handler) {
    const scope = scopeOf(given)
    if (scope !== null) {
      const opts = onHop(given, scope)
      return new RetriedCall(plan, repeat, opts, handler, opts[kScope] ?? scope, false).enter()
    }
    if (plan.keeper === null) assertHandler(handler)
    const exchange = new Exchange(given)
    const accepted = new RetriedCall(plan, repeat, given, handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  })
}
