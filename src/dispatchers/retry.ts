import { checkNumber, checkOptions } from '../policies/options.ts'
import { PerOrigin } from '../policies/per-origin.ts'
import {
  createRetryPolicy,
  retryDefaults as policyDefaults,
  type RetryOptions as RetryDecisionOptions,
} from '../policies/retry.ts'
import {
  type RetryBudget,
  type RetryBudgetOptions,
  type RetryBudgetView,
  retryBudgetDefaults,
} from '../policies/retry-budget.ts'
import { BudgetChoice } from './budget-choice.ts'
import { CallPlan } from './call-plan.ts'
import { type ChainBuilder, layerOf } from './chain-part.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { effectiveOptions } from './describe.ts'
import { withEdge } from './guard.ts'
import { repeatDispatch } from './repeat-layer.ts'
import { replayDefaults } from './replay.ts'
import { RetryLevel, type RetryPlan, type RetryTally } from './retried-call.ts'

/** Options of {@link retry}. */
export interface RetryOptions extends RetryDecisionOptions {
  /**
   * Bytes of a streamed request body that are recorded so that it can be sent again; a longer body is sent once, whole.
   * All bodies under way in the process share 64 MiB.
   * @default 1_048_576
   */
  readonly replayLimit?: number
  /**
   * Bounds what retries add to an origin's traffic: a budget of `retryBudget()` or `retryThrottle()`, which several
   * layers may share, or options for one of its own; `false`: nothing but `maxAttempts` bounds them.
   * @default { share: 0.2, window: 10_000, minPerSecond: 10 }
   */
  readonly budget?: RetryBudget | RetryBudgetOptions | false
}

/** Defaults of {@link retry}. */
export const retryDefaults = {
  ...policyDefaults,
  replayLimit: replayDefaults.perBody,
  budget: retryBudgetDefaults,
} as const

/** What was retried of one origin. */
export interface RetryView {
  /** Attempts after the first, so far. */
  readonly retries: number
  /** Those that the budget refused. */
  readonly refused: number
  /** How the budget stands, for all layers that share it; `null` without one, or where it does not tell. */
  readonly budget: RetryBudgetView | null
}

/** The layer that {@link retry} makes. */
export type RetryLayer = ControlledLayer<RetryOptions, RetryView>

class Counted {
  readonly idle = true
  retries = 0
  refused = 0
}

/** What was retried, by origin. Costs nothing while nothing is. */
class Tally implements RetryTally {
  readonly origins = new PerOrigin(() => new Counted())

  retried(origin: string): void {
    this.origins.get(origin).retries++
  }

  forbidden(origin: string): void {
    this.origins.get(origin).refused++
  }
}

const known = [...Object.keys(retryDefaults), 'retryOn', 'random', 'now']

function checkRetry(options: RetryOptions): Pick<RetryPlan, 'policy' | 'replayLimit' | 'asksUser'> {
  checkOptions('retry', options, known)
  const { replayLimit = retryDefaults.replayLimit, budget: _, ...decision } = options
  checkNumber('retry: replayLimit', replayLimit, { min: 0, integer: true })
  return { policy: createRetryPolicy(decision), replayLimit, asksUser: options.retryOn !== undefined }
}

/**
 * Sends a call again when its attempt failed in a way that another one may mend, after a backoff.
 *
 * Only what is safe is repeated: idempotent methods, requests the caller marked, and attempts that provably never
 * reached the server. A body arrives whole each time, or is not sent again. When attempts or the budget run out, the
 * caller gets the last real response, body readable, or the last real error. `Retry-After` is honoured, never cut short:
 * one that is too long ends the call with the response that carries it.
 *
 * Defaults: {@link retryDefaults}: four attempts, exponential backoff from 100 ms with decorrelated jitter, 5 s at most;
 * a budget of a fifth of the calls in 10 s, and 10 a second besides.
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function retry(options: RetryOptions = {}): RetryLayer {
  let current = options
  const choice = new BudgetChoice('retry')
  const tally = new Tally()
  const repeat: RetryPlan = { ...checkRetry(options), budget: choice.take(options.budget), tally }
  const build: ChainBuilder = (stages, inner, keeper) =>
    repeatDispatch('retry', new RetryLevel(new CallPlan(stages, inner, keeper), repeat))
  const layer = layerOf({ name: 'retry', build, options: () => effectiveOptions(retryDefaults, current) }, (dispatch) =>
    build([], withEdge(dispatch), null),
  )
  const update = (changes: Partial<RetryOptions>) => {
    const next = { ...current, ...changes }
    const checked = checkRetry(next)
    // Last, because it may change a budget that is in use.
    repeat.budget = 'budget' in changes ? choice.take(next.budget) : repeat.budget
    Object.assign(repeat, checked)
    current = next
  }
  const state = () => {
    const now = performance.now()
    const views: Record<string, RetryView> = {}
    const origins = new Set([...[...tally.origins].map(([origin]) => origin), ...choice.origins()])
    for (const origin of origins) {
      const { retries, refused } = tally.origins.peek(origin) ?? new Counted()
      views[origin] = { retries, refused, budget: repeat.budget?.view?.(origin, now) ?? null }
    }
    return views
  }
  return Object.assign(layer, { update, state })
}
