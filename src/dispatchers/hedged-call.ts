import type { Dispatcher } from 'undici'
import { lane, type TimerLane } from '../policies/clock.ts'
import { asksForTime, callsForAnother, type HedgeOrigin, type HedgePolicy, isUsable } from '../policies/hedge.ts'
import type { Outcome } from '../policies/outcome.ts'
import type { PerOrigin } from '../policies/per-origin.ts'
import { mayEverHelp, refusalToRepeat } from '../policies/retry.ts'
import type { RetryBudget } from '../policies/retry-budget.ts'
import type { Begun, CallPlan } from './call-plan.ts'
import type { CallScope, ScopedOptions } from './exchange.ts'
import type { FusedLevel, FusedRepeater, FusedTimes } from './fused-plan.ts'
import { HedgedAttempt } from './hedged-attempt.ts'
import { Drain } from './holding-attempt.ts'
import { type FirstAttempt, isMarked, RepeatingCall } from './repeating-call.ts'
import { BodyBranch, RecordedBody } from './replay.ts'

/** What all calls of one hedge() share, and `update()` changes. */
export interface HedgePlan {
  policy: HedgePolicy
  replayLimit: number
  budget: RetryBudget | null
  readonly origins: PerOrigin<HedgeOrigin>
}

// Which of two that failed the caller is told of: a response tells most, then what really happened on the way. One that
// was let go, because it was too long to be kept, can no longer be told.
function weightOf({ outcome, held }: HedgedAttempt): number {
  if (held !== null) return held.isBroken ? 1 : 3
  if (outcome === null || outcome.error === undefined) return -1
  return mayEverHelp(outcome) ? 2 : 0
}

/**
 * One call and all its attempts, of which several may be under way at once. The first that answers wins, and the others
 * are given up. What fails is no answer while another is under way, or may still be sent; but a response is kept, for the
 * case that none comes.
 */
export class HedgedCall extends RepeatingCall<HedgedAttempt> implements FusedRepeater {
  private readonly hedging: HedgePlan
  private readonly known: HedgeOrigin
  /** Attempts sent. */
  private launched = 0
  /** How many may be sent on top of the first. */
  private most = 0
  /** Those whose head, or failure, has not come. */
  private undecided = 0
  /** What the caller gets if nothing better comes. */
  private best: HedgedAttempt | null = null
  private mayHedge = false
  private delay = 0
  private asked = false

  constructor(
    plan: CallPlan,
    hedging: HedgePlan,
    given: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(plan, given, handler, scope, owns)
    this.hedging = hedging
    this.known = hedging.origins.get(scope.origin)
  }

  get idempotent(): boolean {
    return this.hedging.policy.idempotent || this.marked
  }

  /** Several attempts are under way, or another may still be sent: which of them answers is open. */
  get isRace(): boolean {
    return this.mayHedge || this.undecided > 1
  }

  // While one is under way, it may yet reach the server.
  override get sent(): boolean {
    if (this.undecided > 0) return true
    for (let one = this.current; one !== null; one = one.earlier) if (one.sent) return true
    return false
  }

  protected override handOn(): boolean {
    const { policy, replayLimit } = this.hedging
    const { exchange } = this.scope
    const { method, upgrade } = this.opts
    if (policy.maxHedges === 0 || upgrade || method === 'CONNECT') return this.launch()
    this.most = policy.maxHedges
    exchange.hedges = Math.max(exchange.hedges, policy.maxHedges)
    this.recordBody(replayLimit)
    this.mayHedge = policy.methods.has(method) || this.idempotent
    const accepted = this.launch()
    if (this.mayHedge && this.undecided > 0 && !this.ended) {
      const now = exchange.now()
      this.delay = this.known.delay(policy, now)
      this.arm(this.known.lane(policy, now), now)
    }
    return accepted
  }

  adoptFirst(): FirstAttempt {
    const { policy } = this.hedging
    const { exchange } = this.scope
    this.most = policy.maxHedges
    exchange.hedges = Math.max(exchange.hedges, policy.maxHedges)
    this.mayHedge = policy.maxHedges > 0 && (policy.methods.has(this.opts.method) || this.idempotent)
    this.launched = 1
    this.undecided = 1
    return this.takeFirst(new HedgedAttempt(this, exchange, this.scope, null))
  }

  override takeOver(begun: Begun): void {
    super.takeOver(begun)
    const first = this.current as HedgedAttempt
    first.decided = begun.headSeen
    if (begun.headSeen) return
    // Which attempt answers is open.
    this.inner = null
    const { beganAt } = this.scope.exchange
    if (this.mayHedge) {
      this.delay = this.known.delay(this.hedging.policy, beganAt)
      this.arm(lane(this.delay), beganAt)
    }
  }

  private launch(): boolean {
    const { exchange } = this.scope
    this.launched++
    this.undecided++
    return this.dispatchAttempt(new HedgedAttempt(this, exchange, this.scope, this.current))
  }

  protected override optsFor(attempt: HedgedAttempt): ScopedOptions {
    const opts = super.optsFor(attempt)
    const { body } = opts as { body?: unknown }
    // Each has its own: a retry below begins anew with one of them only.
    return body instanceof RecordedBody ? ({ ...opts, body: new BodyBranch(body) } as unknown as ScopedOptions) : opts
  }

  override onTimer(): void {
    if (this.committed) super.onTimer()
    else this.scope.exchange.run(this.late, this)
  }

  // No answer for as long as the delay says.
  private late(): void {
    if (this.committed || this.ended) return
    const { exchange } = this.scope
    const now = exchange.now()
    const since = this.current?.handedOnAt ?? 0
    // Where it waits for a place of ours, another would only wait behind it; the server has had it for less than that.
    if (since === 0 || since + this.delay > now) this.arm(lane(this.delay), since === 0 ? now : since)
    else if (this.mayLaunch()) {
      this.launchAnother()
      if (this.mayHedge && this.undecided > 0 && !this.ended) this.arm(lane(this.delay), exchange.now())
    }
  }

  private launchAnother(): void {
    this.known.hedged++
    this.scope.note('hedge.sent', this.launched)
    if (this.launched === this.most) this.mayHedge = false
    this.launch()
  }

  private mayLaunch(): boolean {
    const { policy, budget } = this.hedging
    const { exchange } = this.scope
    if (this.aborted || this.asked || this.launched > this.most || this.remaining <= 0) return false
    if (refusalToRepeat(this, policy.methods) !== null) return false
    if (!exchange.mayRepeat) return this.refuse('exhausted')
    if (budget === null || budget.withdraw(this.scope, exchange.now())) return true
    this.known.refused++
    return this.refuse('budget')
  }

  private refuse(why: string): false {
    this.mayHedge = false
    this.scope.note('hedge.refusal', why)
    return false
  }

  /** Whether an attempt's outcome is the call's; if not, others are under way or were sent now. */
  accepts(attempt: HedgedAttempt, outcome: Outcome): boolean {
    if (this.committed || this.ended || this.aborted) return true
    attempt.decided = true
    this.undecided--
    this.learn(attempt, outcome)
    if (isUsable(outcome)) return true
    if (asksForTime(outcome)) {
      this.asked = true
      this.mayHedge = false
    }
    attempt.discarded = true
    this.keep(attempt)
    // What it holds, others may wait for.
    if (outcome.error === undefined) new Drain(attempt)
    if (this.undecided > 0) return false
    this.disarm()
    // Of a response there is more to come.
    if (attempt.held === null) attempt.finish()
    if (callsForAnother(outcome) && this.mayLaunch()) {
      this.launchAnother()
      if (this.mayHedge && this.undecided > 0 && !this.ended) this.arm(lane(this.delay))
      return false
    }
    return this.giveUpHoping(attempt)
  }

  // None is under way, and none will be sent: the best of those that failed is what the caller gets.
  private giveUpHoping(last: HedgedAttempt): boolean {
    const best = this.best as HedgedAttempt
    if (best === last) {
      last.held = null
      last.discarded = false
      return true
    }
    this.commit(best)
    if (best.held === null) this.onResponseError(best.inner, best.outcome?.error as Error)
    else best.giveHeld()
    return false
  }

  private keep(attempt: HedgedAttempt): void {
    const before = this.best
    if (before === null || weightOf(attempt) >= weightOf(before)) {
      this.best = attempt
      before?.lose(new Error('a later answer takes its place'))
    } else {
      attempt.held = null
    }
  }

  private learn(attempt: HedgedAttempt, outcome: Outcome): void {
    const { budget } = this.hedging
    const usable = isUsable(outcome)
    // Reading the clock costs more than all the rest here.
    const now = usable && attempt.headAt > 0 ? attempt.headAt : this.scope.exchange.now()
    if (usable && outcome.headMs !== undefined) this.known.add(outcome.headMs, now)
    // It would have taken longer still.
    else if (outcome.kind === 'timeout' && attempt.handedOnAt > 0) this.known.add(now - attempt.handedOnAt, now)
    if (budget === null || attempt.forked) return
    if (usable) budget.record(attempt, false)
    else if (attempt.sent && (mayEverHelp(outcome) || asksForTime(outcome))) budget.record(attempt, true)
  }

  override commit(attempt: HedgedAttempt): void {
    if (!this.committed) this.decide(attempt)
    super.commit(attempt)
  }

  private decide(winner: HedgedAttempt): void {
    this.disarm()
    this.mayHedge = false
    this.undecided = 0
    const { exchange } = this.scope
    // Before the consumer hears of the answer: what the others hold is free by then.
    for (let one = this.current; one !== null; one = one.earlier) {
      if (one === winner || one.over) continue
      // Left out, those that are slow would make the others look fast, and ever more hedges would be sent.
      const isLate = !one.decided && one.handedOnAt > 0 && !this.aborted
      if (isLate) this.known.add(exchange.now() - one.handedOnAt, exchange.now())
      one.lose(this.reason ?? new Error('another attempt was first'))
    }
    this.inner = winner.inner
    if (this.aborted) return
    if (this.launched > 1) {
      this.scope.note('hedge.winner', winner.number)
      if (winner.earlier !== null && winner.outcome !== null && isUsable(winner.outcome)) this.known.won++
    }
    winner.giveHints()
  }

  // Who answers is open until then: what the consumer wants of the call, it wants of all attempts.

  override onRequestStart(controller: Dispatcher.DispatchController, context: object | null): void {
    const { budget } = this.hedging
    if (this.aborted || this.ended) {
      controller.abort(this.reason ?? new Error('the call is over'))
      return
    }
    if (budget !== null) this.scope.exchange.countIn(budget, this.scope)
    if (this.context === null) this.start(context ?? {})
    else if (context !== null && context !== this.context) Object.assign(this.context, context)
  }

  protected override abortInner(reason: Error): void {
    if (this.committed) {
      super.abortInner(reason)
      return
    }
    // The one that was sent first answers for the call.
    for (let one = this.current; one !== null; one = one.earlier) if (!one.over) one.inner?.abort(reason)
  }

  override stop(reason: Error): void {
    if (this.aborted || this.ended) return
    this.scope.abortedAs ??= 'cancelled'
    for (let one = this.current; one !== null; one = one.earlier) this.markAborted(one)
    super.stop(reason)
    for (let one = this.current; one !== null; one = one.earlier) this.endAborted(one, reason)
  }
}

/** One hedge() in its place in a chain. */
export class HedgeLevel implements FusedLevel {
  readonly plan: CallPlan
  readonly isPassive = false
  readonly races = true
  private readonly hedging: HedgePlan

  constructor(plan: CallPlan, hedging: HedgePlan) {
    this.plan = plan
    this.hedging = hedging
  }

  get budget(): RetryBudget | null {
    return this.hedging.budget
  }

  // What is marked is rare enough to be asked anew whenever it matters.
  fits(given: ScopedOptions): boolean {
    const { policy } = this.hedging
    return policy.methods.has(given.method) || !(policy.idempotent || isMarked(given))
  }

  begins({ origin, beganAt }: FusedTimes, { method }: ScopedOptions): TimerLane | null {
    const { policy, origins } = this.hedging
    return policy.maxHedges > 0 && policy.methods.has(method) ? origins.get(origin).lane(policy, beganAt) : null
  }

  answered({ origin, beganAt, headAt }: FusedTimes): void {
    this.hedging.origins.get(origin).add(headAt - beganAt, headAt)
  }

  callOf(given: ScopedOptions, handler: Dispatcher.DispatchHandler, scope: CallScope, owns: boolean): HedgedCall {
    return new HedgedCall(this.plan, this.hedging, given, handler, scope, owns)
  }
}
