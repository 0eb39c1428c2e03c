import { lane } from '../policies/clock.ts'
import { checkDuration } from '../policies/options.ts'
import type { CallScope } from './exchange.ts'
import { stageLayer } from './guard.ts'
import type { GuardedCall } from './guarded-call.ts'
import type { Layer } from './relay.ts'
import { RunningDeadline } from './running-deadline.ts'

/** Milliseconds a call may take, unless told otherwise. */
export const defaultDeadline = 30_000

/**
 * Bounds the whole call: queues, backoffs and attempts together, up to the response head. A body that is being read is
 * never cut. When the time is up the call fails with a `DeadlineExceededError` (`ERR_DEADLINE_EXCEEDED`), wherever it
 * waits. Layers below know what is left: no attempt is begun that could not end in time. Place it above `retry()`.
 * A call's own `resilience: { deadline }` takes its place.
 *
 * @param duration milliseconds; default 30 000
 * @throws RangeError, TypeError for a duration that no timer can hold.
 */
export function deadline(duration: number = defaultDeadline): Layer {
  checkDuration('deadline: duration', duration)
  const timers = lane(duration)
  const acquire = (scope: CallScope, call: GuardedCall) => {
    const { exchange } = scope
    // The caller has said how long this call may take, and that clock runs already.
    if (exchange.ownDeadline !== undefined) return null
    const now = exchange.now()
    exchange.deadlineAt = Math.min(exchange.deadlineAt, now + duration)
    return new RunningDeadline(call, timers, now)
  }
  return stageLayer({
    name: 'deadline',
    duration,
    options: () => ({ duration }),
    stages: [{ name: 'deadline', acquire, deadlineTimers: timers }],
  })
}
