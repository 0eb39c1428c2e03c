import { lane } from '../policies/clock.ts'
import { checkDuration } from '../policies/options.ts'
import { stageLayer } from './guard.ts'
import type { Layer } from './relay.ts'

/** Milliseconds an attempt may take, unless told otherwise. */
export const defaultAttemptTimeout = 10_000

/**
 * Bounds each attempt, from its last permit (time spent in the kit's own queues does not count) up to the response head.
 * The attempt fails with an `AttemptTimeoutError` (`ERR_ATTEMPT_TIMEOUT`), which a retry above may mend and a breaker
 * counts. Accurate to 20 ms, also while the connection is still being made.
 *
 * A call's own `resilience: { attemptTimeout }` takes its place.
 *
 * The clock itself runs in the edge, the innermost step of the chain: that is where the last permit is granted.
 *
 * @param duration milliseconds; default 10 000
 * @throws RangeError, TypeError for a duration that no timer can hold.
 */
export function attemptTimeout(duration: number = defaultAttemptTimeout): Layer {
  checkDuration('attemptTimeout: duration', duration)
  return stageLayer({
    name: 'attemptTimeout',
    duration,
    options: () => ({ duration }),
    stages: [{ attemptTimers: lane(duration) }],
  })
}
