import type { Dispatcher } from 'undici'
import { assertHandler } from './assert-handler.ts'
import { markEdged } from './edge.ts'
import { Exchange, scopeOf } from './exchange.ts'
import { FusedCall } from './fused-call.ts'
import { type FusedLevel, fusedPlanOf, noteLevel } from './fused-plan.ts'
import { callOf, onHop, scopeOn } from './hop.ts'

/** The dispatch function of a layer that may send a call again, with the stages above it. */
export function repeatDispatch(name: string, level: FusedLevel): Dispatcher['dispatch'] {
  const { keeper } = level.plan
  const fused = fusedPlanOf(level)
  const dispatch: Dispatcher['dispatch'] = (given, handler) => {
    const scope = scopeOf(given)
    if (scope !== null) {
      const opts = onHop(given, scope)
      return level.callOf(opts, handler, scopeOn(opts, scope), false).enter()
    }
    if (keeper === null) assertHandler(handler)
    // A copy is kept: the caller may use its object again, for another request, while this call may still be sent again.
    const kept = { ...callOf(given) }
    if (fused !== null) {
      const now = performance.now()
      if (fused.fits(kept, handler, now)) return new FusedCall(fused, kept, handler, now).enter()
    }
    const exchange = new Exchange(kept)
    const accepted = level.callOf(kept, handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  }
  noteLevel(dispatch, level)
  return markEdged(Object.defineProperty(dispatch, 'name', { value: name }))
}
