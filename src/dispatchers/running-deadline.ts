import type { TimerEntry, TimerLane } from '../policies/clock.ts'
import { DeadlineExceededError } from '../policies/errors.ts'
import type { Permit } from '../policies/policy.ts'
import type { GuardedCall } from './guarded-call.ts'

/** The running time of one call. */
export class RunningDeadline implements Permit, TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly call: GuardedCall
  private readonly lane: TimerLane

  constructor(call: GuardedCall, timers: TimerLane, now: number) {
    this.call = call
    this.lane = timers
    timers.add(this, now)
  }

  head(): void {
    this.lane.remove(this)
  }

  settle(): void {
    this.lane.remove(this)
  }

  /** Milliseconds the call has had. */
  protected get duration(): number {
    return this.lane.duration
  }

  onTimer(): void {
    failByDeadline(this.call, this.duration)
  }
}

/** Ends a call whose time, `duration` milliseconds, is up. */
export function failByDeadline(call: GuardedCall, duration: number): void {
  const { origin, exchange } = call.scope
  const error = new DeadlineExceededError(
    `No response head from ${origin} within ${Math.round(duration)} ms, ${exchange.attempts} attempts and all waits counted`,
    { origin, cause: exchange.outcome?.error ?? exchange.lastError },
  )
  // Of this scope, and of no other: an attempt beside this one may have a deadline of its own.
  exchange.context.runInAsyncScope(call.abortAs, call, 'deadline', error)
}
