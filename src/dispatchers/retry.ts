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
import { layerOf } from './chain-part.ts'
import { CallScope, Exchange, type ScopedOptions, scopeOf, withScope } from './exchange.ts'
import { withEdge } from './guard.ts'
import { eachHeader, headerOf } from './headers.ts'
import { type Layer, Relay } from './relay.ts'
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

interface RetryPlan {
  readonly policy: RetryPolicy
  readonly replayLimit: number
  readonly asksUser: boolean
  readonly dispatch: Dispatcher['dispatch']
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
    this.attemptTimeout = parent.attemptTimeout
    this.bodyTimeout = parent.bodyTimeout
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
    this.call.release()
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
    this.call.release()
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
      this.call.release()
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

/** One call and all its attempts, of which at most one is under way. */
class RetriedCall extends Relay implements RetryContext {
  readonly method: string
  attempt = 0
  backoff: Backoff | null = null
  refusal: RetryRefusal | null = null

  private readonly plan: RetryPlan
  private readonly opts: ScopedOptions
  private readonly body: RecordedBody | null
  private readonly ownsExchange: boolean
  private current: Attempt | null = null
  private committed = false
  private timer: NodeJS.Timeout | undefined = undefined
  private dueAt = 0

  constructor(
    plan: RetryPlan,
    opts: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(handler, scope)
    this.plan = plan
    this.method = opts.method
    this.ownsExchange = owns
    this.body = plan.policy.maxAttempts > 1 ? recordBody(opts, scope.exchange, plan.replayLimit) : null
    this.opts = this.body === null ? opts : ({ ...opts, body: this.body } as unknown as ScopedOptions)
  }

  get idempotent(): boolean {
    const opts = this.opts
    return (
      opts.idempotent === true ||
      opts.resilience?.idempotent === true ||
      headerOf(opts.headers, 'idempotency-key') !== undefined ||
      this.plan.policy.marks(() => requestOf(opts, this.scope.origin))
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

  /** Sends the next attempt. */
  send(backoffBefore: number): boolean {
    const { exchange } = this.scope
    const attempt = new Attempt(this, exchange, this.scope)
    attempt.backoffBefore = backoffBefore
    this.current = attempt
    this.attempt++
    let opts = withScope(this.opts, attempt)
    if (exchange.observer !== null) opts = exchange.observer.begin(attempt, opts)
    try {
      return this.plan.dispatch(opts, attempt)
    } catch (error) {
      attempt.onResponseError(null, error as Error)
      return true
    }
  }

  /** Whether an outcome is the call's; if not, the next attempt is on its way. */
  accepts(attempt: Attempt, outcome: Outcome): boolean {
    if (this.committed || this.ended || this.aborted) return true
    if (outcome.kind === 'success' && !this.plan.asksUser) return true
    const delay = this.plan.policy.decide(outcome, this)
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

  /** Lets go of the recorded body and, where this layer made it, of the exchange. */
  release(): void {
    this.body?.release()
    if (this.ownsExchange) this.scope.exchange.done = true
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
    exchange.run(this.send, this, delay)
  }

  override abort(reason: Error): void {
    if (this.aborted || this.ended) return
    this.aborted = true
    this.reason = reason
    this.scope.abortedAs ??= 'cancelled'
    clearTimeout(this.timer)
    const attempt = this.current
    if (attempt !== null && !attempt.over) {
      if (!attempt.discarded) attempt.abortedAs = this.scope.abortedAs
      attempt.inner?.abort(reason)
      // Nobody below could answer yet: what still comes for the attempt finds it over.
      attempt.finish()
    }
    if (this.ended) return
    this.release()
    this.scope.judgeError(reason)
    this.onResponseError(this, reason)
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
  const asksUser = options.retryOn !== undefined
  return layerOf({ name: 'retry', forks: true }, (inner) => {
    const plan: RetryPlan = { policy, replayLimit, asksUser, dispatch: withEdge(inner) }
    return function retry(given, handler) {
      const scope = scopeOf(given)
      if (scope !== null) return new RetriedCall(plan, given, handler, scope, false).send(0)
      const exchange = new Exchange(given)
      const accepted = new RetriedCall(plan, withScope(given, exchange), handler, exchange, true).send(0)
      exchange.runningAt = 0
      return accepted
    }
  })
}
