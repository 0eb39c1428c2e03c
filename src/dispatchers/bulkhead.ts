import {
  Bulkhead,
  checkBulkhead,
  type BulkheadOptions as PolicyOptions,
  bulkheadDefaults as policyDefaults,
} from '../policies/bulkhead.ts'
import { checkDuration, checkOptions } from '../policies/options.ts'
import { perOrigin } from '../policies/per-origin.ts'
import { stageLayer } from './guard.ts'
import type { Layer } from './relay.ts'
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
}

/** The layer that {@link bulkhead} makes. */
export interface BulkheadLayer extends Layer {
  /** The slots of all origins called so far, by origin. */
  state(): Readonly<Record<string, BulkheadView>>
}

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
  const policy = perOrigin('bulkhead', () => new Bulkhead(slots))
  const stage = { ...policy, fuses: true, unreadBodyTimeout: checkUnreadBodyTimeout('bulkhead', unread) }
  const layer = stageLayer({ name: 'bulkhead', stages: [stage] })
  const state = () => {
    const views: Record<string, BulkheadView> = {}
    for (const [origin, { inUse, queued }] of policy.origins) views[origin] = { inUse, queued }
    return views
  }
  return Object.assign(layer, { state })
}
