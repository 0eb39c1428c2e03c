import { AsyncLocalStorage } from 'node:async_hooks'
import { BulkheadPolicy, type IDefaultPolicyContext, RetryPolicy, TaskCancelledError } from 'cockatiel'
import type { Dispatcher } from 'undici'
import type { Outcome } from '../policies/outcome.ts'
import { mayEverHelp, type RetryRefusal, refusalToRepeat } from '../policies/retry.ts'
import type { CallPlan } from './call-plan.ts'
import type { CallScope, ScopedOptions } from './exchange.ts'
import { HeldAttempt } from './from-cockatiel-attempt.ts'
import { type CockatielPolicy, isA, kindOfRefusal, type PolicyParts } from './from-cockatiel-policy.ts'
import { Slot } from './from-cockatiel-slot.ts'
import { RepeatingCall } from './repeating-call.ts'
import { replayDefaults, watchBody } from './replay.ts'

/** The policy for an origin; throws where there is none. */
export type PolicySource = (origin: string) => PolicyParts

// A retry policy tells that it will try again before it waits, but tells it to all its listeners: the call it is about is
// the one it is executed in. Told at once, what an unwanted response holds is free during the wait, and a call that must
// not be repeated need not wait at all.
const executing = new AsyncLocalStorage<CockatielCall>()
const heard = new WeakSet<RetryPolicy>()

function listenTo(policy: RetryPolicy): void {
  if (heard.has(policy)) return
  heard.add(policy)
  policy.onRetry(({ delay }) => executing.getStore()?.beforeRetry(delay))
}

function ignore(): void {}

function rethrow(error: unknown): never {
  throw error
}

/**
 * One call on its way through a cockatiel policy. Each run of the policy's function is an attempt, one at a time; what
 * the policy resolves or rejects with is what the call comes to.
 */
export class CockatielCall extends RepeatingCall<HeldAttempt> {
  private readonly source: PolicySource
  private policy: PolicyParts | null = null
  private counted = false
  /** Aborted when the call is given up. */
  private readonly aborter = new AbortController()
  /** Aborted when the call has its answer, and a retry policy need not go on; `null` where there is none. */
  private answered: AbortController | null = null
  private readonly slots: Slot[] = []
  private accepted = true
  private backoff = 0

  constructor(
    plan: CallPlan,
    source: PolicySource,
    given: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(plan, given, handler, scope, owns)
    this.source = source
  }

  /** Nothing the policy still does makes a difference. */
  private get decided(): boolean {
    return this.committed || this.aborted || this.ended
  }

  // Asked only of an attempt whose response the policy has chosen.
  accepts(): boolean {
    return true
  }

  protected override handOn(): boolean {
    if (this.context === null) this.start({})
    if (this.ended) return true
    try {
      this.policy = this.source(this.scope.origin)
    } catch (error) {
      this.abortAs('invalid', error as Error)
      return true
    }
    this.policy.inUse++
    this.counted = true
    if (this.policy.repeats) this.recordBody(replayDefaults.perBody)
    else watchBody(this.opts)
    this.runPart(0, { signal: this.aborter.signal }).then(
      (value) => this.goOnWith(this.resolved, value),
      (error) => this.goOnWith(this.rejected, error),
    )
    return this.accepted
  }

  // The policy's promises end here: nobody is above who could be thrown at.
  private goOnWith<T>(step: (this: this, value: T) => void, value: T): void {
    if (this.decided) return
    try {
      this.scope.exchange.run(step, this, value)
    } catch (error) {
      process.nextTick(rethrow, error)
    }
  }

  private resolved(value: unknown): void {
    const attempt = this.current
    if (attempt?.answersWith(value) === true) {
      this.answerWith(attempt)
      return
    }
    const instead = attempt === null ? 'without running its function' : 'with something else'
    const error = new TypeError(
      `fromCockatiel: the policy must resolve with the outcome that its function answered with last, and resolved ${instead}`,
    )
    this.abortAs('invalid', error)
  }

  private rejected(error: unknown): void {
    const attempt = this.current
    if (attempt?.failed === true && attempt.answer?.error === error) this.answerWith(attempt)
    else this.abortAs(kindOfRefusal(error, attempt === null ? undefined : attempt.answer), error as Error)
  }

  private answerWith(attempt: HeldAttempt): void {
    if (!attempt.failed) {
      attempt.forward()
      return
    }
    this.commit(attempt)
    this.onResponseError(attempt.inner, attempt.answer?.error as Error)
  }

  // A wrap is executed part by part, as wrap(...) itself does: what is special about a part, and that it runs its
  // function once more, can only be seen between two parts.
  private async runPart(at: number, context: IDefaultPolicyContext): Promise<unknown> {
    const earlier = this.current
    if (earlier !== null && !earlier.replaced) {
      if (this.decided || !this.mayReplace(earlier)) return earlier.result
      const freed = this.replace(earlier)
      if (freed !== null) await freed
    }
    if (this.decided) throw this.reason ?? new TaskCancelledError()
    const part = this.policy?.list[at]
    if (part === undefined) return this.send(context.signal)
    if (isA(part, BulkheadPolicy)) return this.runInSlot(part, at, context)
    if (isA(part, RetryPolicy)) return this.runRetry(part, at, context)
    return this.execute(part, at, context, context.signal)
  }

  private execute(part: CockatielPolicy, at: number, context: IDefaultPolicyContext, signal: AbortSignal) {
    const run = (own: IDefaultPolicyContext) => {
      const answer = this.runPart(at + 1, { ...context, ...own })
      // A policy of the user's may drop it.
      answer.catch(ignore)
      return answer
    }
    return part.execute(run, signal)
  }

  private runRetry(part: RetryPolicy, at: number, context: IDefaultPolicyContext): Promise<unknown> {
    listenTo(part)
    // It goes on for as long as its signal is not aborted.
    this.answered ??= new AbortController()
    const signal = AbortSignal.any([context.signal, this.answered.signal])
    return executing.run(this, () => this.execute(part, at, context, signal))
  }

  // The rest of the chain is not told to wait for the slot to be given back: it is held to the end of the body, while
  // what stands outside the bulkhead decides at the head.
  private async runInSlot(bulkhead: BulkheadPolicy, at: number, context: IDefaultPolicyContext): Promise<unknown> {
    const slot = new Slot(bulkhead, context.signal)
    this.slots.push(slot)
    if (!slot.taken) {
      const since = performance.now()
      await slot.granted
      this.scope.noteQueued(performance.now() - since)
    }
    try {
      const answer = await this.runPart(at + 1, context)
      if (this.current?.answersWith(answer) === true) this.current.keep(slot)
      else slot.free()
      return answer
    } catch (error) {
      slot.free()
      throw error
    }
  }

  private send(signal: AbortSignal | undefined): Promise<Outcome> {
    if (signal?.aborted === true) throw new TaskCancelledError()
    const { exchange } = this.scope
    const attempt = new HeldAttempt(this, exchange, this.scope, signal)
    attempt.backoffBefore = this.backoff
    this.backoff = 0
    // Not in the policy's async context: a connection made now would keep it.
    exchange.run(this.sendAttempt, this, attempt)
    return attempt.result
  }

  private sendAttempt(attempt: HeldAttempt): void {
    this.accepted = this.dispatchAttempt(attempt)
  }

  /** A retry policy has decided to run its function again in `delay` milliseconds. */
  beforeRetry(delay: number): void {
    const attempt = this.current
    if (this.decided) return
    if (attempt !== null && attempt.answer !== null && !attempt.discarded) {
      if (!this.mayReplace(attempt, delay)) return
      this.letGo(attempt)
    }
    this.backoff += delay
    this.scope.exchange.backoffMs += delay
  }

  /** Whether another attempt may follow. Where it must not, this one is the call's answer, now. */
  private mayReplace(attempt: HeldAttempt, delay = 0): boolean {
    if (attempt.discarded) return true
    const refusal = this.refusalToFollow(attempt, delay)
    if (refusal === null) return true
    if (attempt.answer !== null) {
      if (attempt.answer.kind !== 'success') this.scope.note('retry.refusal', refusal)
      this.goOnWith(this.answerWith, attempt)
      this.answered?.abort()
    }
    return false
  }

  private refusalToFollow({ answer, sent }: HeldAttempt, delay: number): RetryRefusal | null {
    if (answer !== null && !mayEverHelp(answer)) return 'not-retryable'
    const { method, marked, replayable } = this
    const refusal = refusalToRepeat({ method, idempotent: marked, replayable, sent })
    if (refusal !== null) return refusal
    return delay < this.remaining ? null : 'deadline'
  }

  private letGo(attempt: HeldAttempt): void {
    this.scope.exchange.lastError = attempt.answer?.error
    this.scope.noteQueued(attempt.queuedMs)
    attempt.discard()
    this.rewindBody()
  }

  /** Ends what is left of an attempt. Settles when all it held can be taken again; `null`: it can be now. */
  private replace(attempt: HeldAttempt): Promise<unknown> | null {
    const unwanted = new Error('the answer is not wanted')
    attempt.cancel('cancelled', unwanted)
    if (!attempt.discarded) this.letGo(attempt)
    attempt.replaced = true
    attempt.giveUp(unwanted)
    return attempt.slotsFreed()
  }

  override resume(): void {
    // While the policy decides, the response is held back whatever the consumer wants.
    if (this.current?.holding === true) this.paused = false
    else super.resume()
  }

  override stop(reason: Error): void {
    if (this.aborted || this.ended) return
    const attempt = this.current
    if (attempt !== null && !this.committed) {
      this.scope.sent = attempt.sent
      this.scope.startedAt = attempt.startedAt
      if (!attempt.discarded) this.scope.noteQueued(attempt.queuedMs)
    }
    super.stop(reason)
    this.aborter.abort(reason)
  }

  protected override settleAll(outcome: Outcome): void {
    super.settleAll(outcome)
    for (const slot of this.slots) slot.free()
  }

  protected override finish(): void {
    super.finish()
    if (this.policy === null || !this.counted) return
    this.counted = false
    this.policy.inUse--
  }
}
