import type { Dispatcher } from 'undici'
import type { Policy, Scope } from '../policies/policy.ts'
import { assertHandler } from './assert-handler.ts'
import { type CallKeeper, CallPlan, clocksOf, type Stage } from './call-plan.ts'
import { type ChainPart, layerOf } from './chain-part.ts'
import { Edge, isEdged, isOverEdge, markEdged, notePlanOfEdge, planOfEdge } from './edge.ts'
import { Exchange, scopeOf, withScope } from './exchange.ts'
import { GuardedCall } from './guarded-call.ts'
import { callOf, onHop, scopeOn } from './hop.ts'
import type { Layer } from './relay.ts'

/** The dispatch function of a run of stages. Makes the exchange where this is the first layer of the kit. */
export function guardDispatch(
  stages: readonly Stage[],
  inner: Dispatcher['dispatch'],
  keeper: CallKeeper | null,
  name = 'guard',
): Dispatcher['dispatch'] {
  const plan = new CallPlan(stages, inner, keeper, isOverEdge(inner))
  const isEdge = !isEdged(inner)
  const dispatch = isEdge ? throughEdge(plan) : throughGuard(plan)
  if (isEdge) notePlanOfEdge(dispatch, plan)
  return markEdged(Object.defineProperty(dispatch, 'name', { value: name }))
}

// Two functions of one shape: a class that is a variable would make every call look its constructor up.

function throughGuard(plan: CallPlan): Dispatcher['dispatch'] {
  return (given, handler) => {
    const scope = scopeOf(given)
    if (scope !== null) {
      const opts = onHop(given, scope)
      return new GuardedCall(plan, opts, handler, scopeOn(opts, scope), false).enter()
    }
    if (plan.keeper === null) assertHandler(handler)
    const exchange = new Exchange(given)
    const accepted = new GuardedCall(plan, withScope(callOf(given), exchange), handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  }
}

function throughEdge(plan: CallPlan): Dispatcher['dispatch'] {
  return (given, handler) => {
    const scope = scopeOf(given)
    if (scope !== null) {
      const opts = onHop(given, scope)
      return new Edge(plan, opts, handler, scopeOn(opts, scope), false).enter()
    }
    if (plan.keeper === null) assertHandler(handler)
    const exchange = new Exchange(given)
    const accepted = new Edge(plan, withScope(callOf(given), exchange), handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  }
}

/** `dispatch` with an edge above it; as it is where it has one already. */
export function withEdge(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  return isEdged(dispatch) ? dispatch : guardDispatch([], dispatch, null, 'edge')
}

/**
 * The dispatch function of a run of stages over `inner`. Where that is an edge and nothing more, the two are one object;
 * unless they give up unread bodies at different times: a guard has one clock for that.
 */
export function guardOver(
  stages: readonly Stage[],
  inner: Dispatcher['dispatch'],
  keeper: CallKeeper | null,
  name: string,
): Dispatcher['dispatch'] {
  const edge = planOfEdge(inner)
  const bound = stages.find((stage) => stage.unreadBodyTimeout !== undefined)?.unreadBodyTimeout ?? 0
  if (edge === undefined || (bound > 0 && edge.unreadBodyTimeout > 0 && bound !== edge.unreadBodyTimeout)) {
    return guardDispatch(stages, inner, keeper, name)
  }
  return guardDispatch([...stages, ...edge.stages, clocksOf(edge)], edge.dispatch, keeper, name)
}

/** A layer of the kit that is a stage; `compose` folds those that stand side by side into one guard. */
export function stageLayer(part: ChainPart & { readonly stages: readonly Stage[] }): Layer {
  return layerOf(part, (dispatch) => guardDispatch(part.stages, dispatch, null, part.name))
}

/**
 * Makes a layer of a policy: asked before the request goes on, told of its head and its end.
 *
 * Every call and attempt gets exactly one `acquire`, and for what it returned exactly one `settle`, whatever happens:
 * success, error, abort, a body nobody reads. Several policies are asked in the order given and told in the reverse.
 *
 * @throws TypeError for a policy without an `acquire` function.
 */
export function guard(...policies: readonly Policy[]): Layer {
  if (policies.length === 0) throw new TypeError('guard: expects at least one policy, got none')
  for (const policy of policies) {
    if (typeof policy?.acquire !== 'function') {
      throw new TypeError(`guard: a policy must be an object with acquire(scope), got ${typeof policy}`)
    }
  }
  const stages: Stage[] = policies.map((policy) => ({
    name: policy.name ?? 'guard',
    acquire: (scope: Scope) => policy.acquire(scope),
  }))
  // Not the policy's bare name: the check of a chain would take it for the layer of that name.
  const [first] = policies
  return stageLayer({ name: first?.name === undefined ? 'guard' : `guard(${first.name})`, stages })
}
