import { CircuitBreaker } from '../policies/circuit-breaker.ts'
import {
  type CircuitBreakerOptions,
  type CircuitState,
  checkCircuitBreaker,
  circuitBreakerOptionNames,
  type ForcedState,
} from '../policies/circuit-options.ts'
import { type CircuitBreakerSnapshot, type CircuitSnapshot, checkSnapshot } from '../policies/circuit-snapshot.ts'
import { checkOptions, show } from '../policies/options.ts'
import { perOrigin } from '../policies/per-origin.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { stageLayer } from './guard.ts'

/** How the circuit of one origin stands. */
export interface CircuitView {
  readonly state: CircuitState
  /** What somebody has forced it to; `null`: its rules hold. */
  readonly forced: ForcedState | null
  /** Milliseconds until an open circuit admits a probe; 0 otherwise. */
  readonly retryAfter: number
  /** Judged calls in the window. */
  readonly calls: number
  /** Failed ones among them. */
  readonly failures: number
  /** Slow ones among them. */
  readonly slow: number
  /** Calls refused so far. */
  readonly refused: number
  /** Calls it would have refused so far, had it not run in shadow. */
  readonly shadowRefused: number
}

/** The layer that {@link circuitBreaker} makes. */
export interface CircuitBreakerLayer extends ControlledLayer<CircuitBreakerOptions, CircuitView> {
  /**
   * Makes the circuit of an origin, or of all origins, also of those to come, open (refuses all), closed (admits all, and
   * counts) or disabled (admits all, and counts nothing), until told otherwise. `null`: its rules hold again, from a
   * closed circuit that knows nothing.
   *
   * @throws TypeError for another state, or an origin that is none.
   */
  force(state: ForcedState | null, origin?: string | URL): void
  /** How all circuits stand, for another process to take over: `JSON.stringify(layer)`. Times are relative. */
  toJSON(): CircuitBreakerSnapshot
  /**
   * Takes over how circuits stood, from `toJSON()`; those of other origins stay as they are.
   *
   * @throws RangeError, TypeError for what is no such state; then nothing has been changed.
   */
  restore(snapshot: CircuitBreakerSnapshot): void
}

const orders: readonly unknown[] = ['open', 'closed', 'disabled', null]

function parseOrigin(origin: string): string | null {
  const parsed = URL.parse(origin)?.origin
  return parsed === undefined || parsed === 'null' ? null : parsed
}

function checkOrigin(origin: string | URL): string {
  const parsed = parseOrigin(String(origin))
  if (parsed === null) {
    throw new TypeError(`circuitBreaker: origin must be a URL such as https://api.example.com, got ${show(origin)}`)
  }
  return parsed
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
  let settings = checkCircuitBreaker(options)
  let current = options
  let forcedAll: ForcedState | null = null
  const policy = perOrigin('circuitBreaker', (origin) => {
    const breaker = new CircuitBreaker(current, origin)
    breaker.standing = forcedAll
    breaker.force(forcedAll)
    return breaker
  })
  const { origins } = policy
  const layer = stageLayer({
    name: 'circuitBreaker',
    options: () => ({ ...settings }),
    stages: [{ ...policy, fuses: true }],
  })

  const update = (changes: Partial<CircuitBreakerOptions>) => {
    checkOptions('circuitBreaker', changes, circuitBreakerOptionNames)
    const next = { ...current, ...changes }
    settings = checkCircuitBreaker(next)
    current = next
    // What is read here is the latest: a listener may change it from within.
    for (const [, breaker] of origins) breaker.update(settings)
  }
  const force = (state: ForcedState | null, origin?: string | URL) => {
    if (!orders.includes(state)) {
      throw new TypeError(`circuitBreaker: state must be one of ${orders.map(show).join(', ')}, got ${show(state)}`)
    }
    if (origin !== undefined) {
      origins.get(checkOrigin(origin)).force(state)
      return
    }
    forcedAll = state
    for (const [, breaker] of origins) {
      breaker.standing = forcedAll
      breaker.force(forcedAll)
    }
  }
  const state = () => {
    const views: Record<string, CircuitView> = {}
    for (const [origin, breaker] of origins) {
      const { forced, retryAfter, refused, shadowRefused } = breaker
      views[origin] = { state: breaker.state, forced, retryAfter, ...breaker.statistics, refused, shadowRefused }
    }
    return views
  }
  const toJSON = (): CircuitBreakerSnapshot => {
    const found: Record<string, CircuitSnapshot> = {}
    for (const [origin, breaker] of origins) {
      // Not of what some invalid request named as its origin.
      if (parseOrigin(origin) !== null) found[origin] = breaker.snapshot()
    }
    return forcedAll === null ? { version: 1, origins: found } : { version: 1, forced: forcedAll, origins: found }
  }
  const restore = (snapshot: CircuitBreakerSnapshot) => {
    const { forced, origins: found } = checkSnapshot(snapshot)
    const given = Object.entries(found)
    const checked = given.map(([origin, one]) => [checkOrigin(origin), one] as const)
    if (forced !== undefined) {
      forcedAll = forced
      for (const [, breaker] of origins) breaker.standing = forced
    }
    for (const [origin, one] of checked) origins.get(origin).restore(one)
  }
  return Object.assign(layer, { update, state, force, toJSON, restore })
}
