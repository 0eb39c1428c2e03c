import type { Dispatcher } from 'undici'
import { pickerOptions } from '../policies/balance-algorithm.ts'
import {
  type BalanceAlgorithm,
  type BalanceOptions,
  balanceDefaults,
  checkBalance,
  type HostView,
  viewOf,
} from '../policies/balance-options.ts'
import { type HealthSettings, healthDefaults } from '../policies/health-options.ts'
import { type GroupSettings, HostGroup } from '../policies/host-group.ts'
import type { SlowStartOptions } from '../policies/slow-start.ts'
import { assertHandler } from './assert-handler.ts'
import { BalancedCall, BalancedEdge, BalancePlan, type Balancing } from './balanced-call.ts'
import { type CallKeeper, clocksOf, type Stage } from './call-plan.ts'
import { type ChainBuilder, layerOf } from './chain-part.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { effectiveOptions } from './describe.ts'
import { markEdged, planOfEdge } from './edge.ts'
import { Exchange, scopeOf, withScope } from './exchange.ts'
import { followHosts } from './follow-hosts.ts'
import { withEdge } from './guard.ts'
import { HealthChecks } from './health-checks.ts'
import { callOf, onHop, scopeOn } from './hop.ts'
import { unreadBodyTimeout } from './unread-body.ts'

export type { BalanceAlgorithm, BalanceOptions, HostView, SlowStartOptions }
export { balanceDefaults }

/** The layer that {@link balance} makes: `state()` tells of each host, by its origin. */
export type BalanceLayer = ControlledLayer<BalanceOptions, HostView>

// A body that nobody reads does not make its host look busy for ever. Where a stage above has a bound of its own, it is that.
const unread: Stage = { name: 'balance', unreadBodyTimeout }

function withUnreadBound(stages: readonly Stage[]): readonly Stage[] {
  return stages.some((stage) => stage.unreadBodyTimeout !== undefined) ? stages : [...stages, unread]
}

// Of the headers of health checks only the names: there may be credentials among them.
function shownOptions(options: BalanceOptions): object {
  const { health = false } = options
  if (health === false) return options
  const headers = Object.keys(health.headers ?? {})
  return { ...options, health: effectiveOptions(healthDefaults, { ...health, headers }) }
}

// Two functions of one shape: a class that is a variable would make every call look its constructor up.

function throughCall(plan: BalancePlan): Dispatcher['dispatch'] {
  return (given, handler) => {
    const scope = scopeOf(given)
    if (scope !== null) {
      const opts = onHop(given, scope)
      return new BalancedCall(plan, opts, handler, scopeOn(opts, scope), false).enter()
    }
    if (plan.keeper === null) assertHandler(handler)
    const exchange = new Exchange(given)
    const opts = withScope(callOf(given), exchange)
    const accepted = new BalancedCall(plan, opts, handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  }
}

function throughEdge(plan: BalancePlan): Dispatcher['dispatch'] {
  return (given, handler) => {
    const scope = scopeOf(given)
    if (scope !== null) {
      const opts = onHop(given, scope)
      return new BalancedEdge(plan, opts, handler, scopeOn(opts, scope), false).enter()
    }
    if (plan.keeper === null) assertHandler(handler)
    const exchange = new Exchange(given)
    const opts = withScope(callOf(given), exchange)
    const accepted = new BalancedEdge(plan, opts, handler, exchange, true).enter()
    exchange.runningAt = 0
    return accepted
  }
}

function balancedDispatch(
  stages: readonly Stage[],
  inner: Dispatcher['dispatch'],
  keeper: CallKeeper | null,
  balancing: Balancing,
): Dispatcher['dispatch'] {
  // Where nothing below asks anything, the call is its own edge, and needs no scope for the host.
  const edge = planOfEdge(inner)
  const isEdge = edge !== undefined && edge.stages.length === 0 && !edge.overEdge && edge.unreadBodyTimeout === 0
  const dispatch = isEdge
    ? throughEdge(new BalancePlan([...withUnreadBound(stages), clocksOf(edge)], edge.dispatch, keeper, balancing))
    : throughCall(new BalancePlan(withUnreadBound(stages), inner, keeper, balancing))
  return markEdged(Object.defineProperty(dispatch, 'name', { value: 'balance' }))
}

/**
 * Sends each call, or attempt, to one host of a group, in the place of the origin that it names: `http://users/7` goes to
 * `https://10.0.0.7:8443/7`. What failed on one host is sent to another by `retry()` and `hedge()` above; what provably
 * never reached a host (it refused the connection, or a layer below refused the call) goes on to another at once. A host
 * that answers badly is ejected for a while.
 *
 * Place it below `retry()` and `hedge()`, above `circuitBreaker()`, `bulkhead()` and `attemptTimeout()`, which then have a
 * state of their own for each host.
 *
 * @throws RangeError, TypeError for options that are out of range. A call that finds no host fails with `NoHostError`.
 */
export function balance(options: BalanceOptions): BalanceLayer {
  let current = options
  const checked = checkBalance(options)
  let { picker } = checked
  const group = new HostGroup(checked)
  const checksOf = (health: HealthSettings | null, { random }: GroupSettings) =>
    health === null ? null : new HealthChecks(health, group, random)
  const checks = checksOf(checked.health, checked)
  const balancing: Balancing = { name: checked.name, key: checked.key, group, lookup: null, checks }
  group.onHosts = () => balancing.checks?.follow()
  followHosts(balancing, checked)
  const build: ChainBuilder = (stages, inner, keeper) => balancedDispatch(stages, inner, keeper, balancing)
  const layer = layerOf(
    { name: 'balance', build, options: () => effectiveOptions(balanceDefaults, shownOptions(current)) },
    (dispatch) => build([], withEdge(dispatch), null),
  )
  const update = (changes: Partial<BalanceOptions>) => {
    const next = { ...current, ...changes }
    const checked = checkBalance(next)
    const keepsPicker = pickerOptions.every((option) => next[option] === current[option])
    if (!keepsPicker) picker = checked.picker
    current = next
    balancing.name = checked.name
    balancing.key = checked.key
    if ('health' in changes) {
      balancing.checks?.stop()
      balancing.checks = checksOf(checked.health, checked)
    }
    group.update({ ...checked, picker }, performance.now())
    followHosts(balancing, checked)
  }
  const state = () => {
    const views: Record<string, HostView> = {}
    const now = performance.now()
    for (const host of group.hosts) views[host.origin] = viewOf(host, now)
    return views
  }
  return Object.assign(layer, { update, state })
}
