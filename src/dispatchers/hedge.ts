import {
  type HedgeOptions as HedgeDecisionOptions,
  HedgeOrigin,
  HedgePolicy,
  type HedgeView,
  hedgeDefaults as policyDefaults,
} from '../policies/hedge.ts'
import { checkNumber, checkOptions } from '../policies/options.ts'
import { PerOrigin } from '../policies/per-origin.ts'
import { type RetryBudget, type RetryBudgetOptions, retryBudgetDefaults } from '../policies/retry-budget.ts'
import { BudgetChoice } from './budget-choice.ts'
import { CallPlan } from './call-plan.ts'
import { type ChainBuilder, layerOf } from './chain-part.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { effectiveOptions } from './describe.ts'
import { withEdge } from './guard.ts'
import { HedgeLevel, type HedgePlan } from './hedged-call.ts'
import { repeatDispatch } from './repeat-layer.ts'
import { replayDefaults } from './replay.ts'

/** Options of {@link hedge}. */
export interface HedgeOptions extends HedgeDecisionOptions {
  /**
   * Bounds hedges, with the retries of all layers that are given the same budget: one that `retryBudget()` or
   * `retryThrottle()` made, options for a `retryBudget()` of the layer's own, or `false` for no bound.
   * @default { share: 0.2, window: 10_000, minPerSecond: 10 }
   */
  readonly budget?: RetryBudget | RetryBudgetOptions | false
  /**
   * Bytes of a streamed request body that are recorded so that it can be sent again; a longer body is sent once, whole.
   * All bodies under way in the process share 64 MiB.
   * @default 1_048_576
   */
  readonly replayLimit?: number
}

/** Defaults of {@link hedge}. */
export const hedgeDefaults = {
  ...policyDefaults,
  budget: retryBudgetDefaults,
  replayLimit: replayDefaults.perBody,
} as const

export type { HedgeView }

/** The layer that {@link hedge} makes. */
export type HedgeLayer = ControlledLayer<HedgeOptions, HedgeView>

function checkHedge(options: HedgeOptions): Pick<HedgePlan, 'policy' | 'replayLimit'> {
  checkOptions('hedge', options, Object.keys(hedgeDefaults))
  const { replayLimit = hedgeDefaults.replayLimit, budget: _, ...decision } = options
  checkNumber('hedge: replayLimit', replayLimit, { min: 0, integer: true })
  return { policy: new HedgePolicy(decision), replayLimit }
}

/**
 * Sends another attempt of a call that has no answer after a while, beside the first one. The first usable answer (below
 * 400, or 4xx but 429) wins, the others are cancelled, which counts for or against nobody. Where all that are under way
 * have failed, the next one is sent at once. If none answers, the caller gets the best of what there was: a response with
 * its body, or else the last real error.
 *
 * Only what may be repeated is hedged: idempotent methods and marked requests, with a body that can be sent twice; never
 * an upgrade or CONNECT. A call that waits in a queue of ours is not hedged, and neither is one whose server asked for
 * time (`Retry-After`, 429, gRPC's pushback). Place it above `circuitBreaker()` and `bulkhead()`, below `deadline()`.
 *
 * Defaults: {@link hedgeDefaults}: one hedge, after the 95th percentile of the origin's response heads of the last 30 s;
 * after 2 s while there are fewer than 100 of them.
 *
 * Source: Dean and Barroso, "The Tail at Scale" (2013); gRPC proposal A6; Finagle's BackupRequestFilter.
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function hedge(options: HedgeOptions = {}): HedgeLayer {
  let current = options
  const choice = new BudgetChoice('hedge')
  const origins = new PerOrigin(() => new HedgeOrigin())
  const hedging: HedgePlan = { ...checkHedge(options), budget: choice.take(options.budget), origins }
  const build: ChainBuilder = (stages, inner, keeper) =>
    repeatDispatch('hedge', new HedgeLevel(new CallPlan(stages, inner, keeper), hedging))
  const layer = layerOf({ name: 'hedge', build, options: () => effectiveOptions(hedgeDefaults, current) }, (dispatch) =>
    build([], withEdge(dispatch), null),
  )
  const update = (changes: Partial<HedgeOptions>) => {
    const next = { ...current, ...changes }
    const checked = checkHedge(next)
    // Last, because it may change a budget that is in use.
    if ('budget' in changes) hedging.budget = choice.take(next.budget)
    Object.assign(hedging, checked)
    current = next
  }
  const state = () => {
    const now = performance.now()
    const views: Record<string, HedgeView> = {}
    for (const [origin, known] of origins) views[origin] = known.view(hedging.policy, now)
    return views
  }
  return Object.assign(layer, { update, state })
}
