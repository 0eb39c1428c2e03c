import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
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
import { type ChainBuilder, layerOf } from './chain-part.ts'
import { markEdged } from './edge.ts'
import { CallScope, Exchange, kScope, type ScopedOptions, scopeOf, withScope } from './exchange.ts'
import { withEdge } from './guard.ts'
import { CallPlan, GuardedCall } from './guarded-call.ts'
import { eachHeader, headerOf } from './headers.ts'
import type { Layer } from './relay.ts'
import { type RecordedBody, recordBody, replayDefaults } from './replay.ts'

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

/** Bytes of an unwanted response that are read, so that its connection can be used again. */
const drainLimit = 64 * 1024

/** What all calls of one layer share. */
interface RepeatPlan {
  readonly policy: RetryPolicy
  readonly replayLimit: number
  readonly asksUser: boolean
}

/** One attempt: a scope of its own, and the handler of what comes back for it. */
class Attempt extends CallScope implements Dispatcher.DispatchHandler {
  readonly exchange: Exchange
  private readonly call: RetriedCall
  inner: Dispatcher.DispatchController | null = null
  /** Its terminal callback came: it can do nothing more. */
  over = false
  private drained = 0

  constructor(call: RetriedCall, exchange: Exchange, parent: CallScope) {
    super(++exchange.attempts, parent.origin, exchange.now())
    this.exchange = exchange
    this.call = call
    this.attemptTimers = parent.attemptTimers
    this.bodyTimers = parent.bodyTimers
  }

  finish(): void {
    if (this.over) return
    this.over = true
    this.exchange.observer?.end(this)
  }

  /** Ends an answer that is not wanted; what its layers hold is free when this returns. */
  giveUp(reason: Error): void {
    if (this.over) return
    this.inner?.abort(reason)
    this.finish()
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    this.inner = controller
    if (this.over) controller.abort(new Error('the attempt is over'))
    else this.call.onRequestStart(controller, context)
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    if (this.over) return
    this.judgeHead(status, headers)
    this.call.commit(this)
    this.finish()
    this.call.onRequestUpgrade(controller, status, headers, socket)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.over) return
    this.inner = controller
    if (status < 200) {
      this.call.onResponseStart(controller, status, headers, message)
    } else if (this.call.accepts(this, this.judgeHead(status, headers))) {
      this.call.commit(this)
      this.call.onResponseStart(controller, status, headers, message)
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.over) return
    if (!this.discarded) {
      this.call.onResponseData(controller, chunk)
      return
    }
    this.drained += chunk.length
    if (this.drained > drainLimit) this.giveUp(new Error('the answer is not wanted'))
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    if (this.over) return
    if (this.discarded) {
      this.finish()
      return
    }
    this.exchange.observer?.end(this)
    // Over only after the consumer took the end: if it throws, undici goes on with onResponseError.
    this.call.onResponseEnd(controller, trailers)
    this.over = true
  }

  onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.over) return
    if (this.discarded) {
      this.finish()
      return
    }
    const outcome = this.judgeError(error)
    this.finish()
    if (this.call.accepts(this, outcome)) {
      this.call.commit(this)
      this.call.onResponseError(controller, error)
    }
  }

  onResponseStarted(): void {
    this.call.onResponseStarted()
  }

  onBodySent(chunk: Buffer): void {
    this.call.onBodySent(chunk)
  }

  onRequestSent(): void {
    this.call.onRequestSent()
  }
}

/**
 * One call and all its attempts, of which at most one is under way. It is the guard of the stages above it as well: they
 * are asked once a call, then the first attempt is sent.
 */
class RetriedCall extends GuardedCall implements RetryContext {
  attempt = 0
  backoff: Backoff | null = null
  refusal: RetryRefusal | null = null

  private readonly repeat: RepeatPlan
  private body: RecordedBody | null = null
  private current: Attempt | null = null
  private committed = false
  private timer: NodeJS.Timeout | undefined = undefined
  private dueAt = 0

  constructor(
    plan: CallPlan,
    repeat: RepeatPlan,
    opts: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(plan, opts, handler, scope, owns)
    this.repeat = repeat
  }

  get method(): string {
    return this.opts.method
  }

  get idempotent(): boolean {
    const { opts } = this
    return (
      opts.idempotent === true ||
      opts.resilience?.idempotent === true ||
      headerOf(opts.headers, 'idempotency-key') !== undefined ||
      this.repeat.policy.marks(() => requestOf(opts, this.scope.origin))
    )
  }

  get replayable(): boolean {
    return this.body?.replayable ?? true
  }

  get sent(): boolean {
    return this.current?.sent ?? false
  }

  get remaining(): number {
    const { exchange } = this.scope
    return exchange.deadlineAt - exchange.now()
  }

  protected override handOn(): boolean {
    const { policy, replayLimit } = this.repeat
    if (policy.maxAttempts > 1) {
      this.body = recordBody(this.opts, this.scope.exchange, replayLimit)
      if (this.body !== null) this.opts = { ...this.opts, body: this.body } as unknown as ScopedOptions
    }
    return this.send(0)
  }

  private send(backoffBefore: number): boolean {
    const { exchange } = this.scope
    const attempt = new Attempt(this, exchange, this.scope)
    attempt.backoffBefore = backoffBefore
    this.current = attempt
    this.attempt++
    let opts = this.optsFor(attempt)
    if (exchange.observer !== null) opts = exchange.observer.begin(attempt, opts)
    try {
      return this.plan.dispatch(opts, attempt)
    } catch (error) {
      attempt.onResponseError(null, error as Error)
      return true
    }
  }

  // Options that were copied for this very call, and have been handed to nobody yet, need no second copy.
  private optsFor(attempt: Attempt): ScopedOptions {
    const { opts } = this
    if (this.attempt > 1 || !this.ownsExchange) return withScope(opts, attempt)
    opts[kScope] = attempt
    return opts
  }

  /** Whether an outcome is the call's; if not, the next attempt is on its way. */
  accepts(attempt: Attempt, outcome: Outcome): boolean {
    if (this.committed || this.ended || this.aborted) return true
    if (outcome.kind === 'success' && !this.repeat.asksUser) return true
    const delay = this.repeat.policy.decide(outcome, this)
    if (delay < 0) {
      if (this.refusal !== null && outcome.kind !== 'success') this.scope.note('retry.refusal', this.refusal)
      return true
    }
    attempt.discarded = true
    this.scope.queuedMs += attempt.queuedMs
    this.backOff(delay)
    return false
  }

  /** The attempt's answer, or failure, is the call's: nothing else will be sent. */
  commit(attempt: Attempt): void {
    if (!this.committed) this.scope.queuedMs += attempt.queuedMs
    this.committed = true
    this.scope.adopt(attempt)
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
    this.scope.exchange.run(this.send, this, delay)
  }

  override abort(reason: Error): void {
    if (this.aborted || this.ended) return
    clearTimeout(this.timer)
    this.scope.abortedAs ??= 'cancelled'
    const attempt = this.current
    if (attempt !== null && !attempt.over && !attempt.discarded) attempt.abortedAs = this.scope.abortedAs
    super.abort(reason)
    // Where nobody below could answer yet: what still comes for the attempt finds it over.
    attempt?.finish()
  }

  protected override finish(): void {
    super.finish()
    this.body?.release()
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
    if (scope !== null) return new RetriedCall(plan, repeat, given, handler, scope, false).enter()
    const exchange = new Exchange(given)
    const accepted = new RetriedCall(plan, repeat, withScope(given, exchange), handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  })
}
