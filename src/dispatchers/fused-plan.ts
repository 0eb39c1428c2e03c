import type { Dispatcher } from 'undici'
import type { TimerLane } from '../policies/clock.ts'
import type { CallKeeper, CallPlan, Stage } from './call-plan.ts'
import { planOfEdge } from './edge.ts'
import type { ScopedOptions } from './exchange.ts'
import type { RetryPlan } from './retried-call.ts'
import { checkRequest } from './validate.ts'

const plain = new WeakSet<Dispatcher['dispatch']>()

/** Notes that nothing of the kit can be below `dispatch`, so that no scope has to travel through it. */
export function notePlainTransport(dispatch: Dispatcher['dispatch']): void {
  plain.add(dispatch)
}

// A fused call has room for the permits of a breaker and of a bulkhead.
const mostPermits = 2

/** What all fused calls of one chain share. */
export class FusedPlan {
  readonly retry: RetryPlan
  /** The stages above retry, and who keeps the calls. */
  readonly outer: CallPlan
  readonly keeper: CallKeeper
  /** The stages below it, and the transport. */
  readonly inner: CallPlan
  readonly deadlineTimers: TimerLane | null
  /** The clock that runs up to the head: of what bounds it, what comes first. */
  readonly headTimers: TimerLane | null
  readonly isPlain: boolean
  private readonly mayAsk: readonly Stage[]
  // So that a call pays for one comparison, and not for asking.
  private idleUntil: number

  constructor(outer: CallPlan, keeper: CallKeeper, inner: CallPlan, retry: RetryPlan) {
    this.outer = outer
    this.keeper = keeper
    this.inner = inner
    this.retry = retry
    this.isPlain = plain.has(inner.dispatch)
    const deadlines = outer.stages.flatMap(({ deadlineTimers }) => deadlineTimers ?? [])
    this.deadlineTimers = deadlines[0] ?? null
    this.mayAsk = outer.stages.filter(({ deadlineTimers }) => deadlineTimers === undefined)
    this.idleUntil = this.mayAsk.length === 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
    const { attemptTimers } = inner
    const isDeadlineFirst =
      this.deadlineTimers !== null && (attemptTimers === null || this.deadlineTimers.duration < attemptTimers.duration)
    this.headTimers = isDeadlineFirst ? this.deadlineTimers : attemptTimers
  }

  private isIdle(now: number): boolean {
    let until = Number.POSITIVE_INFINITY
    for (const stage of this.mayAsk) until = Math.min(until, stage.idleUntil?.(now) ?? now)
    this.idleUntil = until
    return until > now
  }

  /** Whether one object can serve this call, as long as all goes well. */
  fits(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler, now: number): boolean {
    if (this.retry.asksUser || (now >= this.idleUntil && !this.isIdle(now))) return false
    const { body, method, upgrade, origin, resilience } = opts as ScopedOptions
    // The clocks of a fused call are those of its chain.
    if (resilience?.deadline !== undefined || resilience?.attemptTimeout !== undefined) return false
    if (body !== null && body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body)) return false
    if (method === 'CONNECT' || upgrade || typeof origin !== 'string') return false
    if (handler.onRequestSent !== undefined || handler.onBodySent !== undefined) return false
    return checkRequest(opts, origin) === false
  }
}

/**
 * The plan of fused calls for a retry with the stages above it; `null` where a call needs an object for each part from
 * the start: a layer in between is foreign, or keeps an eye on attempts.
 */
export function fusedPlanOf(outer: CallPlan, retry: RetryPlan): FusedPlan | null {
  const { keeper } = outer
  const inner = planOfEdge(outer.dispatch)
  if (keeper === null || inner === undefined || inner.overEdge) return null
  if (outer.attemptTimers !== null || outer.bodyTimers !== null) return null
  const deadlines = outer.stages.filter(({ deadlineTimers }) => deadlineTimers !== undefined)
  const others = outer.stages.filter(({ deadlineTimers }) => deadlineTimers === undefined)
  if (deadlines.length > 1 || !others.every(({ idleUntil }) => idleUntil !== undefined)) return null
  if (inner.stages.length > mostPermits || !inner.stages.every(({ fuses }) => fuses === true)) return null
  return new FusedPlan(outer, keeper, inner, retry)
}
