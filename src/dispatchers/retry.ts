import type { Dispatcher } from 'undici'
import { checkNumber, checkOptions } from '../policies/options.ts'
import {
  createRetryPolicy,
  retryDefaults as policyDefaults,
  type RetryOptions as RetryDecisionOptions,
} from '../policies/retry.ts'
import { assertHandler } from './assert-handler.ts'
import { CallPlan } from './call-plan.ts'
import { type ChainBuilder, layerOf } from './chain-part.ts'
import { markEdged } from './edge.ts'
import { Exchange, scopeOf } from './exchange.ts'
import { FusedCall } from './fused-call.ts'
import { fusedPlanOf } from './fused-plan.ts'
import { withEdge } from './guard.ts'
import { withSteadyHeaders } from './headers.ts'
import { onHop, scopeOn } from './hop.ts'
import type { Layer } from './relay.ts'
import { replayDefaults } from './replay.ts'
import { RetriedCall, type RetryPlan } from './retried-call.ts'

/** Options of {@link retry}. */
export interface RetryOptions extends RetryDecisionOptions {
  /**
   * Bytes of a streamed request body that are recorded so that it can be sent again; a longer body is sent once, whole.
   * All bodies under way in the process share 64 MiB.
   * @default 1_048_576
   */
  readonly replayLimit?: number
}

/** Defaults of {@link retry}. */
export const retryDefaults = { ...policyDefaults, replayLimit: replayDefaults.perBody } as const

/**
 * Sends a call again when its attempt failed in a way that another one may mend, after a backoff.
 *
 * Only what is safe is repeated: idempotent methods, requests the caller marked, and attempts that provably never
 * reached the server. A body arrives whole each time, or is not sent again. When attempts run out, the caller gets the
 * last real response, body readable, or the last real error. `Retry-After` is honoured, never cut short: one that is
 * too long ends the call with the response that carries it.
 *
 * Defaults: {@link retryDefaults}: four attempts, exponential backoff from 100 ms with decorrelated jitter, 5 s at most.
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function retry(options: RetryOptions = {}): Layer {
  checkOptions('retry', options, [...Object.keys(retryDefaults), 'retryOn', 'random', 'now'])
  const { replayLimit = retryDefaults.replayLimit, ...decision } = options
  checkNumber('retry: replayLimit', replayLimit, { min: 0, integer: true })
  const policy = createRetryPolicy(decision)
  const repeat: RetryPlan = { policy, replayLimit, asksUser: options.retryOn !== undefined }
  const build: ChainBuilder = (stages, inner, keeper) => throughRetry(new CallPlan(stages, inner, keeper), repeat)
  return layerOf({ name: 'retry', build }, (dispatch) => build([], withEdge(dispatch), null))
}

function throughRetry(plan: CallPlan, repeat: RetryPlan): Dispatcher['dispatch'] {
  const fused = fusedPlanOf(plan, repeat)
  return markEdged(function retry(given, handler) {
    const scope = scopeOf(given)
    if (scope !== null) {
      const opts = onHop(given, scope)
      return new RetriedCall(plan, repeat, opts, handler, scopeOn(opts, scope), false).enter()
    }
    if (plan.keeper === null) assertHandler(handler)
    // A copy is kept: the caller may use its object again, for another request, while this call may still be sent again.
    const kept = { ...withSteadyHeaders(given) }
    if (fused !== null) {
      const now = performance.now()
      if (fused.fits(kept, handler, now)) return new FusedCall(fused, kept, handler, now).enter()
    }
    const exchange = new Exchange(kept)
    const accepted = new RetriedCall(plan, repeat, kept, handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  })
}
