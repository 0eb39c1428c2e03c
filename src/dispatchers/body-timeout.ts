import { lane } from '../policies/clock.ts'
import { checkDuration } from '../policies/options.ts'
import { stageLayer } from './guard.ts'
import type { Layer } from './relay.ts'

/** Milliseconds between two pieces of a body, unless told otherwise. */
export const defaultBodyTimeout = 30_000

/**
 * Bounds the time between two pieces of a response body while somebody is reading it. A consumer that holds the body
 * back stops the clock. The body fails with a `BodyTimeoutError` (`ERR_BODY_TIMEOUT`); it is never sent again, since
 * bytes of it may have reached the caller.
 *
 * @param duration milliseconds; default 30 000
 * @throws RangeError, TypeError for a duration that no timer can hold.
 */
export function bodyTimeout(duration: number = defaultBodyTimeout): Layer {
  checkDuration('bodyTimeout: duration', duration)
  return stageLayer({
    name: 'bodyTimeout',
    options: () => ({ duration }),
    stages: [{ bodyTimers: lane(duration) }],
  })
}
