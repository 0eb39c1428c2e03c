import {
  AdaptiveLimit,
  adaptiveLimitOptionNames,
  checkAdaptiveLimit,
  type AdaptiveLimitOptions as PolicyOptions,
  adaptiveLimitDefaults as policyDefaults,
} from '../policies/adaptive-limit.ts'
import { checkOptions } from '../policies/options.ts'
import { perOrigin } from '../policies/per-origin.ts'
import { checkUnreadBodyTimeout } from './bulkhead.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { effectiveOptions } from './describe.ts'
import { stageLayer } from './guard.ts'
import { unreadBodyTimeout } from './unread-body.ts'

/** Options of {@link adaptiveLimit}. */
export interface AdaptiveLimitOptions extends PolicyOptions {
  /**
   * Milliseconds after which a body that nobody reads no longer holds its slot; `false`: it holds it for ever. Cannot be
   * updated.
   * @default 30_000
   */
  readonly unreadBodyTimeout?: number | false
}

/** Defaults of {@link adaptiveLimit}. */
export const adaptiveLimitDefaults = { ...policyDefaults, unreadBodyTimeout } as const

/** How the limit of one origin stands. */
export interface AdaptiveLimitView {
  /** How many calls may be under way at once. */
  readonly limit: number
  /** How many are. */
  readonly inUse: number
  /** The mean time to the response head in the last window, in milliseconds; 0 before there was one. */
  readonly rtt: number
  /** What the algorithm takes for that time in a server that is not crowded; 0 while it is not known. */
  readonly baseline: number
  /** Calls refused so far. */
  readonly refused: number
  /** Calls that would have been refused, but for `shadow`. */
  readonly shadowRefused: number
}

/** The layer that {@link adaptiveLimit} makes. */
export type AdaptiveLimitLayer = ControlledLayer<PolicyOptions, AdaptiveLimitView>

/**
 * Bounds how many calls an origin has under way at once, by a limit that it finds itself: up while the origin answers as
 * fast as it can, down when calls begin to wait there, or are turned away. Beyond the limit a call is refused at once with a
 * `ConcurrencyLimitedError` (`ERR_CONCURRENCY_LIMITED`); sheddable calls first, then normal ones, critical ones last. Every
 * origin has a limit of its own. Place it below `retry()`, and below a `bulkhead()` where there is one.
 *
 * Defaults: {@link adaptiveLimitDefaults}.
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function adaptiveLimit(options: AdaptiveLimitOptions = {}): AdaptiveLimitLayer {
  checkOptions('adaptiveLimit', options, [...adaptiveLimitOptionNames, 'unreadBodyTimeout'])
  const { unreadBodyTimeout: unread, ...limits } = options
  let given: PolicyOptions = limits
  let settings = checkAdaptiveLimit(given)
  const policy = perOrigin('adaptiveLimit', () => new AdaptiveLimit(settings))
  const stage = { ...policy, fuses: true, unreadBodyTimeout: checkUnreadBodyTimeout('adaptiveLimit', unread) }
  const layer = stageLayer({
    name: 'adaptiveLimit',
    options: () => effectiveOptions(adaptiveLimitDefaults, { unreadBodyTimeout: unread, ...given }),
    stages: [stage],
  })
  const update = (changed: Partial<PolicyOptions>) => {
    checkOptions('adaptiveLimit', changed, adaptiveLimitOptionNames)
    const next = { ...given, ...changed }
    settings = checkAdaptiveLimit(next)
    given = next
    for (const [, limit] of policy.origins) limit.configure(settings)
  }
  const state = () => {
    const views: Record<string, AdaptiveLimitView> = {}
    for (const [origin, { limit, inUse, rtt, baseline, refused, shadowRefused }] of policy.origins) {
      views[origin] = { limit, inUse, rtt, baseline, refused, shadowRefused }
    }
    return views
  }
  return Object.assign(layer, { update, state })
}
