import type { Dispatcher } from 'undici'
import { PerOrigin } from '../policies/per-origin.ts'
import { assertHandler } from './assert-handler.ts'
import { CallPlan } from './call-plan.ts'
import { type ChainBuilder, layerOf } from './chain-part.ts'
import { markEdged } from './edge.ts'
import { Exchange, scopeOf } from './exchange.ts'
import { CockatielCall, type PolicySource } from './from-cockatiel-call.ts'
import { type CockatielPolicy, PolicyParts } from './from-cockatiel-policy.ts'
import { guardDispatch, withEdge } from './guard.ts'
import { callOf, onHop, scopeOn } from './hop.ts'
import type { Layer } from './relay.ts'
import { unreadBodyTimeout } from './unread-body.ts'

function perOrigin(policy: (origin: string) => CockatielPolicy): PolicySource {
  if (policy.length > 1) {
    throw new TypeError(
      `fromCockatiel: a function must be one that makes a policy, (origin) => policy, got one with ${policy.length} ` +
        'parameters (usePolicy(...) is a decorator)',
    )
  }
  const origins = new PerOrigin((origin) => new PolicyParts(policy(origin)))
  return (origin) => origins.get(origin)
}

/**
 * Takes a policy of cockatiel 4 into the chain: retry, circuit breaker, timeout, bulkhead, a wrap of them, one of your own.
 *
 * Each run of the function that the policy executes is one attempt, with a scope, a span and a body of its own. It
 * answers with the {@link Outcome} of the response as soon as its head is there (for `handleWhenResult`), and throws the
 * error of an attempt that got none (for `handleAll`, `handleType`). A slot of a cockatiel bulkhead is held to the end of
 * the body. The policy's timeout ends at the head: a body that is read is never cut.
 *
 * What the policy resolves with is what the caller gets: that response, its body unread, or the policy's own error
 * (`BrokenCircuitError`, `BulkheadRejectedError`, `TaskCancelledError`). Whatever it asks for, only what is safe is sent
 * again: where another attempt must not be made, the call comes to what the last one did.
 *
 * The state is the policy's own: one policy object serves all origins. A function makes one for each origin, which is
 * kept while the origin is in use.
 *
 * @throws TypeError for a fallback policy, alone or in a wrap (its value is no response), and for what is no policy.
 */
export function fromCockatiel(policy: CockatielPolicy | ((origin: string) => CockatielPolicy)): Layer {
  const shared = typeof policy === 'function' ? null : new PolicyParts(policy)
  const source = typeof policy === 'function' ? perOrigin(policy) : () => shared as PolicyParts
  // What an origin's own policy has is known only when the origin is called.
  const build = shared?.hasSlots === false ? buildPlain(source) : buildWithSlots(source)
  return layerOf({ name: 'fromCockatiel', build }, (dispatch) => build([], withEdge(dispatch), null))
}

function buildPlain(source: PolicySource): ChainBuilder {
  return (stages, inner, keeper) => throughPolicy(new CallPlan(stages, inner, keeper), source)
}

// A body that nobody reads must not hold a slot for ever. The guard of the stages above has a clock of its own for that.
function buildWithSlots(source: PolicySource): ChainBuilder {
  return (stages, inner, keeper) => {
    if (stages.length === 0) return throughPolicy(new CallPlan([{ unreadBodyTimeout }], inner, keeper), source)
    return guardDispatch(stages, throughPolicy(new CallPlan([{ unreadBodyTimeout }], inner, null), source), keeper)
  }
}

function throughPolicy(plan: CallPlan, source: PolicySource): Dispatcher['dispatch'] {
  return markEdged(function fromCockatiel(given, handler) {
    const scope = scopeOf(given)
    if (scope !== null) {
      const opts = onHop(given, scope)
      return new CockatielCall(plan, source, opts, handler, scopeOn(opts, scope), false).enter()
    }
    if (plan.keeper === null) assertHandler(handler)
    const exchange = new Exchange(given)
    // A copy is kept: the caller may use its object again, for another request, while this call may still be sent again.
    const accepted = new CockatielCall(plan, source, { ...callOf(given) }, handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  })
}
