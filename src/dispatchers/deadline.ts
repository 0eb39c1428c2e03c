import { lane, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import { DeadlineExceededError } from '../policies/errors.ts'
import { checkDuration } from '../policies/options.ts'
import type { Permit } from '../policies/policy.ts'
import type { CallScope } from './exchange.ts'
import { stageLayer } from './guard.ts'
import type { GuardedCall } from './guarded-call.ts'
import type { Layer } from './relay.ts'

/** Milliseconds a call may take, unless told otherwise. */
export const defaultDeadline = 30_000

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

  onTimer(): void {
    failByDeadline(this.call, this.lane.duration)
  }
}

/** Ends a call whose time, `duration` milliseconds, is up. */
export function failByDeadline(call: GuardedCall, duration: number): void {
  const { origin, exchange } = call.scope
  const error = new DeadlineExceededError(
    `No response head from ${origin} within ${Math.round(duration)} ms, ${exchange.attempts} attempts and all waits counted`,
    { origin, cause: exchange.outcome?.error ?? exchange.lastError },
  )
  exchange.abortedAs ??= 'deadline'
  exchange.context.runInAsyncScope(call.abortAs, call, 'deadline', error)
}

/**
 * Bounds the whole call: queues, backoffs and attempts together, up to the response head. A body that is being read is
 * never cut. When the time is up the call fails with a `DeadlineExceededError` (`ERR_DEADLINE_EXCEEDED`), wherever it
 * waits. Layers below know what is left: no attempt is begun that could not end in time. Place it above `retry()`.
 *
 * @param duration milliseconds; default 30 000
 * @throws RangeError, TypeError for a duration that no timer can hold.
 */
export function deadline(duration: number = defaultDeadline): Layer {
  checkDuration('deadline: duration', duration)
  const timers = lane(duration)
  const acquire = (scope: CallScope, call: GuardedCall) => {
    const { exchange } = scope
    const now = exchange.now()
    exchange.deadlineAt = Math.min(exchange.deadlineAt, now + duration)
    return new RunningDeadline(call, timers, now)
  }
  return stageLayer({ name: 'deadline', duration, stages: [{ name: 'deadline', acquire, deadlineTimers: timers }] })
}
