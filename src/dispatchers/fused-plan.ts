import type { Dispatcher } from 'undici'
import { laneUntil, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import type { RetryBudget } from '../policies/retry-budget.ts'
import type { CallKeeper, CallPlan, PreparingStage, Stage } from './call-plan.ts'
import { planOfEdge } from './edge.ts'
import type { CallScope, ScopedOptions } from './exchange.ts'
import type { FirstAttempt, RepeatingCall } from './repeating-call.ts'
import { checkRequest } from './validate.ts'

/** A call that can take the place of a fused one. */
export interface FusedRepeater extends RepeatingCall {
  /** The first attempt, which has been sent already. */
  adoptFirst(): FirstAttempt
}

// As an object: a number that is no integer costs an allocation each time it is handed to a function.
/** What a fused call knows by itself. */
export type FusedTimes = Pick<CallScope, 'origin' | 'beganAt' | 'headAt'>

/** A layer that may send a call again, in its place in a chain; and what a fused call has to do for it. */
export interface FusedLevel {
  /** The stages above it, and what is below. */
  readonly plan: CallPlan
  /** Told of each call that begins, and of each that is answered well. */
  readonly budget: RetryBudget | null
  /** It wants to know nothing of a call that goes well. */
  readonly isPassive: boolean
  /** Several attempts of it may be under way at once. */
  readonly races: boolean
  /** Whether all that it does for this call can wait until the call does not go well. */
  fits(given: ScopedOptions): boolean
  /** Where the call waits for the moment at which there is something to do though nothing has happened. */
  begins(call: FusedTimes, given: ScopedOptions): TimerLane | null
  /** A head has come that is a success. */
  answered(call: FusedTimes): void
  callOf(given: ScopedOptions, handler: Dispatcher.DispatchHandler, scope: CallScope, owns: boolean): FusedRepeater
}

const levels = new WeakMap<Dispatcher['dispatch'], readonly FusedLevel[]>()

/** Notes whose dispatch function it is. */
export function noteLevel(dispatch: Dispatcher['dispatch'], level: FusedLevel): void {
  levels.set(dispatch, withThoseBelow(level))
}

function withThoseBelow(level: FusedLevel): readonly FusedLevel[] {
  return [level, ...(levels.get(level.plan.dispatch) ?? [])]
}

const plain = new WeakSet<Dispatcher['dispatch']>()

/** Notes that nothing of the kit can be below `dispatch`, so that no scope has to travel through it. */
export function notePlainTransport(dispatch: Dispatcher['dispatch']): void {
  plain.add(dispatch)
}

// A fused call has room for the permits of a breaker, a bulkhead and a limit.
const mostPermits = 3

/** What all fused calls of one chain share. */
export class FusedPlan {
  /** The layers that may send the call again, each with the stages above it; the outermost first. */
  readonly levels: readonly FusedLevel[]
  /** The innermost of them: the others are passive. */
  readonly sender: FusedLevel
  readonly keeper: CallKeeper
  /** The stages below all of them, and the transport. */
  readonly inner: CallPlan
  /** The level with a deadline above it, and that deadline. */
  readonly deadlineLevel: FusedLevel | null
  readonly deadlineTimers: TimerLane | null
  /** The clock that runs up to the head: of what bounds it, what comes first. */
  readonly headTimers: TimerLane | null
  readonly isPlain: boolean
  /** The stage above the outermost level that prepares each call. */
  readonly preparing: PreparingStage | null
  private readonly mayAsk: readonly Stage[]
  private readonly askedEach: readonly Stage[]
  // So that a call pays for one comparison, and not for asking.
  private idleUntil: number

  constructor(given: readonly FusedLevel[], keeper: CallKeeper, inner: CallPlan) {
    this.levels = given
    this.sender = given.at(-1) as FusedLevel
    this.keeper = keeper
    this.inner = inner
    this.isPlain = plain.has(inner.dispatch)
    this.deadlineLevel = given.find(({ plan }) => deadlinesOf(plan).length > 0) ?? null
    this.deadlineTimers = this.deadlineLevel === null ? null : (deadlinesOf(this.deadlineLevel.plan)[0] as TimerLane)
    const others = given.flatMap(({ plan }) => othersOf(plan))
    this.mayAsk = others.filter(asksForATime)
    // One further in would be asked once more by a layer further out that sends the call elsewhere.
    const [outermost] = given as readonly [FusedLevel]
    const prepared = othersOf(outermost.plan).filter(prepares)
    const [preparing] = prepared.length === 1 ? prepared : []
    this.preparing = preparing?.preparing ?? null
    this.askedEach = [...others, ...inner.stages].filter((stage) => asksByCall(stage) && stage !== preparing)
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

  /** Starts what comes first of all that bounds a call up to its head. */
  startClock(call: TimerEntry & FusedTimes, timers: TimerLane | null): TimerLane | null {
    const { beganAt } = call
    const dueAt = this.preparing?.dueAt() ?? Number.POSITIVE_INFINITY
    if (dueAt - beganAt >= (timers?.duration ?? Number.POSITIVE_INFINITY)) {
      timers?.add(call, beganAt)
      return timers
    }
    const until = laneUntil(dueAt - beganAt)
    until.add(call, dueAt - until.duration)
    return until
  }

  /** Whether one object can serve this call, as long as all goes well. The options are a copy, and prepared if it can. */
  fits(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler, now: number): boolean {
    if (now >= this.idleUntil && !this.isIdle(now)) return false
    for (const stage of this.askedEach) if (stage.asksNothing?.() === false) return false
    for (const level of this.levels) if (!level.fits(opts)) return false
    const { body, method, upgrade, origin, resilience } = opts as ScopedOptions
    // The clocks of a fused call are those of its chain.
    if (resilience?.deadline !== undefined || resilience?.attemptTimeout !== undefined) return false
    if (body !== null && body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body)) return false
    if (method === 'CONNECT' || upgrade || typeof origin !== 'string') return false
    if (handler.onRequestSent !== undefined || handler.onBodySent !== undefined) return false
    if (checkRequest(opts, origin) !== false) return false
    const { preparing, deadlineTimers } = this
    if (preparing === null) return true
    return preparing.prepare(
      opts,
      now,
      deadlineTimers === null ? Number.POSITIVE_INFINITY : now + deadlineTimers.duration,
    )
  }
}

function deadlinesOf({ stages }: CallPlan): readonly TimerLane[] {
  return stages.flatMap(({ deadlineTimers }) => deadlineTimers ?? [])
}

function othersOf({ stages }: CallPlan): readonly Stage[] {
  return stages.filter(({ deadlineTimers }) => deadlineTimers === undefined)
}

function asksForATime({ idleUntil }: Stage): boolean {
  return idleUntil !== undefined
}

function asksByCall({ asksNothing }: Stage): boolean {
  return asksNothing !== undefined
}

function prepares({ preparing }: Stage): boolean {
  return preparing !== undefined
}

/**
 * The plan of fused calls for a layer that may send a call again, and the stages above it; `null` where a call needs an
 * object for each part from the start: a layer in between is foreign, or keeps an eye on attempts.
 */
export function fusedPlanOf(outermost: FusedLevel): FusedPlan | null {
  const { keeper } = outermost.plan
  const found = withThoseBelow(outermost)
  const inner = planOfEdge((found.at(-1) as FusedLevel).plan.dispatch)
  if (keeper === null || inner === undefined || inner.overEdge) return null
  if (!found.slice(0, -1).every(({ isPassive }) => isPassive)) return null
  const plans = found.map(({ plan }) => plan)
  if (plans.some(({ attemptTimers, bodyTimers }) => attemptTimers !== null || bodyTimers !== null)) return null
  if (plans.flatMap(deadlinesOf).length > 1) return null
  if (!plans.flatMap(othersOf).every((stage) => asksForATime(stage) || asksByCall(stage))) return null
  if (!inner.stages.every(({ fuses }) => fuses === true)) return null
  if (inner.stages.filter((stage) => !asksByCall(stage)).length > mostPermits) return null
  return new FusedPlan(found, keeper, inner)
}
