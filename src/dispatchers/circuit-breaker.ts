import {
  CircuitBreaker,
  type CircuitBreakerOptions,
  type CircuitState,
  checkCircuitBreaker,
} from '../policies/circuit-breaker.ts'
import { perOrigin } from '../policies/per-origin.ts'
import { stageLayer } from './guard.ts'
import type { Layer } from './relay.ts'

/** How the circuit of one origin stands. */
export interface CircuitView {
  readonly state: CircuitState
  /** Milliseconds until an open circuit admits a probe; 0 otherwise. */
  readonly retryAfter: number
  /** Judged calls in the window. */
  readonly calls: number
  /** Failed ones among them. */
  readonly failures: number
}

/** The layer that {@link circuitBreaker} makes. */
export interface CircuitBreakerLayer extends Layer {
  /** The circuits of all origins called so far, by origin. */
  state(): Readonly<Record<string, CircuitView>>
}

/**
 * Stops calling an origin that fails, and finds out with single probes when it is back. Every origin has a circuit of
 * its own. Place it below `retry()`, so that it sees every attempt, with an `attemptTimeout()` below it.
 *
 * A call that meets an open circuit fails at once with a `CircuitOpenError` (`ERR_CIRCUIT_OPEN`) that says how long is
 * left. Defaults: half of at least 20 calls within 10 s failed; open for 5 s; one probe.
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): CircuitBreakerLayer {
  checkCircuitBreaker(options)
  const policy = perOrigin('circuitBreaker', (origin) => new CircuitBreaker(options, origin))
  const layer = stageLayer({ name: 'circuitBreaker', stages: [{ ...policy, fuses: true }] })
  const state = () => {
    const views: Record<string, CircuitView> = {}
    for (const [origin, breaker] of policy.origins) {
      const { calls, failures } = breaker.statistics
      views[origin] = { state: breaker.state, retryAfter: breaker.retryAfter, calls, failures }
    }
    return views
  }
  return Object.assign(layer, { state })
}
