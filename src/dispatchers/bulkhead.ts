import {
  Bulkhead,
  checkBulkhead,
  type BulkheadOptions as PolicyOptions,
  bulkheadDefaults as policyDefaults,
} from '../policies/bulkhead.ts'
import { checkDuration, checkOptions } from '../policies/options.ts'
import { perOrigin } from '../policies/per-origin.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { effectiveOptions } from './describe.ts'
import { stageLayer } from './guard.ts'
import { unreadBodyTimeout } from './unread-body.ts'

/** Options of {@link bulkhead}. */
export interface BulkheadOptions extends PolicyOptions {
  /**
   * Milliseconds after which a body that nobody reads no longer holds its slot; `false`: it holds it for ever.
   * @default 30_000
   */
  readonly unreadBodyTimeout?: number | false
}

/** Defaults of {@link bulkhead}. */
export const bulkheadDefaults = { ...policyDefaults, unreadBodyTimeout } as const

/** How the slots of one origin stand. */
export interface BulkheadView {
  /** Slots taken. */
  readonly inUse: number
  /** Calls that wait for one. */
  readonly queued: number
  /** Calls refused so far: at once, in the queue, or for a more important one. */
  readonly refused: number
  /** Calls it would have refused so far, had it not run in shadow. */
  readonly shadowRefused: number
}

/**
 * The layer that {@link bulkhead} makes. `update` takes all options but `unreadBodyTimeout`, which is part of the plan of
 * a chain.
 */
export type BulkheadLayer = ControlledLayer<PolicyOptions, BulkheadView>

/** Checks `unreadBodyTimeout` of `layer`; 0 stands for off. */
export function checkUnreadBodyTimeout(layer: string, given: number | false | undefined): number {
  if (given === false) return 0
  return checkDuration(`${layer}: unreadBodyTimeout`, given ?? unreadBodyTimeout)
}

/**
 * Bounds how many calls an origin has under way at once. A slot is held until the body ends, is cancelled or fails, not
 * only to the head; beyond `limit` calls wait, first come first served, and beyond `queue` they are refused at once with
 * a `BulkheadFullError` (`ERR_BULKHEAD_FULL`). Place it below `retry()`, so that no slot is held during a backoff.
 *
 * Calls with `resilience: { priority: 'critical' }` are served before those without, and these before sheddable ones.
 * Where the queue is full, a call takes the place of the youngest one of the least important kind below its own, which is
 * then refused.
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function bulkhead(options: BulkheadOptions = {}): BulkheadLayer {
  checkOptions('bulkhead', options, Object.keys(bulkheadDefaults))
  const { unreadBodyTimeout: unread, ...slots } = options
  checkBulkhead(slots)
  let current: PolicyOptions = slots
  const policy = perOrigin('bulkhead', () => new Bulkhead(current))
  const stage = { ...policy, fuses: true, unreadBodyTimeout: checkUnreadBodyTimeout('bulkhead', unread) }
  const layer = stageLayer({
    name: 'bulkhead',
    options: () => effectiveOptions(bulkheadDefaults, { unreadBodyTimeout: unread, ...current }),
    stages: [stage],
  })
  const update = (changes: Partial<PolicyOptions>) => {
    checkOptions('bulkhead', changes, Object.keys(policyDefaults))
    const next = { ...current, ...changes }
    const settings = checkBulkhead(next)
    current = next
    for (const [, one] of policy.origins) one.update(settings)
  }
  const state = () => {
    const views: Record<string, BulkheadView> = {}
    for (const [origin, { inUse, queued, refused, shadowRefused }] of policy.origins) {
      views[origin] = { inUse, queued, refused, shadowRefused }
    }
    return views
  }
  return Object.assign(layer, { update, state })
}
