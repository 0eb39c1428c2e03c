import type { Dispatcher } from 'undici'
import { NoRouteError } from '../policies/errors.ts'
import { checkOptions } from '../policies/options.ts'
import { type CheckedRule, checkTable, type RouteRule } from '../policies/route-rule.ts'
import { RouteTable } from '../policies/route-table.ts'
import { withoutCarried } from './carried.ts'
import { type ChainBuilder, type ChainTarget, layerOf } from './chain-part.ts'
import { markEdged } from './edge.ts'
import { type CallScope, type ScopedOptions, scopeOf } from './exchange.ts'
import { guardDispatch, withEdge } from './guard.ts'
import { fieldOf } from './headers.ts'
import { callOf, hopTo, onHop, scopeOn } from './hop.ts'
import { originOf } from './origin-of.ts'
import { redactPath } from './redact.ts'
import type { Layer } from './relay.ts'
import { describeTarget, type PreparedTarget, prepareTarget, type Target } from './target.ts'

/** One route: which calls it takes, and where they go. */
export interface Route extends RouteRule {
  /**
   * Where its calls go: on through a layer such as `balance(group)`, or a list of layers, and then what is below `route()`;
   * to another dispatcher; or to an origin in the place of what they name, through what is below.
   */
  readonly to: Target
}

/** Options of {@link route}. */
export interface RouteOptions {
  /**
   * Where calls go that no route takes.
   * @default they fail with a `NoRouteError`
   */
  readonly fallback?: Target | undefined
}

/** What can be changed of a {@link RouteLayer} while it runs. */
export interface RouteChanges extends RouteOptions {
  /** The routes in the place of all those before. */
  readonly routes?: readonly Route[]
}

/** How a route stands. */
export interface RouteView {
  /** Calls, or attempts, that it took; of a name that stays, those before an update too. */
  readonly matched: number
}

/** How the routes stand. */
export interface RouteState {
  /** By name, or else by place in the table: `routes[0]`. */
  readonly routes: Readonly<Record<string, RouteView>>
  /** Calls, or attempts, that none took. */
  readonly unmatched: number
}

/** The layer that {@link route} makes. */
export interface RouteLayer extends Layer {
  /**
   * Replaces routes or fallback. Calls under way stay where they are; the next ones go by the new table.
   *
   * @throws TypeError, RangeError for what {@link route} refuses; then nothing has been changed.
   */
  update(changes: RouteChanges): void
  /** How many calls the routes have taken. */
  state(): RouteState
}

type Dispatch = Dispatcher['dispatch']
type GivenHeaders = ScopedOptions['headers']

/** Calls, or attempts, in all the chains that a layer stands in. */
class Counted {
  matched = 0
}

/** A table, with what was made of its targets: what `update()` replaces as one. */
class Routing {
  readonly given: readonly Route[]
  readonly rules: readonly CheckedRule[]
  readonly table: RouteTable<GivenHeaders>
  /** By the index of the route. */
  readonly targets: readonly PreparedTarget[]
  readonly counts: readonly Counted[]
  readonly fallbackTo: Target | undefined
  readonly fallback: PreparedTarget | null

  constructor(given: readonly Route[], fallbackTo: Target | undefined, before: Routing | null) {
    // Routes may share what they go to, and what is made of it then.
    const known = new Map<Target, PreparedTarget>()
    const prepare = (name: string, to: Target): PreparedTarget => {
      const prepared = known.get(to) ?? prepareTarget(name, to)
      known.set(to, prepared)
      return prepared
    }
    const { rules, targets } = checkTable('route', given, prepare)
    this.given = [...given]
    this.rules = rules
    this.table = new RouteTable('route', rules, fieldOf)
    this.targets = targets
    this.fallbackTo = fallbackTo
    this.fallback = fallbackTo === undefined ? null : prepare('route: fallback', fallbackTo)
    const counted = new Map(before?.rules.map(({ label, index }) => [label, before.counts[index] as Counted]))
    this.counts = rules.map(({ label, isNamed }) => (isNamed ? counted.get(label) : undefined) ?? new Counted())
  }

  get ways(): ChainTarget[] {
    const ways = new Map<PreparedTarget, ChainTarget>()
    for (const [index, target] of this.targets.entries()) {
      if (!ways.has(target)) ways.set(target, { name: `routes[${index}].to`, layers: target.layers })
    }
    if (this.fallback !== null) ways.set(this.fallback, { name: 'fallback', layers: this.fallback.layers })
    return [...ways.values()]
  }
}

/** The dispatch functions of a routing over what is below the layer, in one of the chains that it stands in. */
class Ways {
  readonly routing: Routing
  private readonly dispatches: readonly Dispatch[]
  private readonly fallback: Dispatch

  constructor(routing: Routing, inner: Dispatch) {
    const known = new Map<PreparedTarget, Dispatch>()
    const over = (target: PreparedTarget): Dispatch => {
      // A list of layers may begin with a foreign one.
      const dispatch = known.get(target) ?? withEdge(target.over(inner))
      known.set(target, dispatch)
      return dispatch
    }
    this.routing = routing
    this.dispatches = routing.targets.map(over)
    this.fallback = routing.fallback === null ? refusing(routing) : over(routing.fallback)
  }

  send(unmatched: Counted, opts: ScopedOptions, handler: Dispatcher.DispatchHandler, scope: CallScope | null): boolean {
    const { routing } = this
    const from = originOf(opts)
    const rule = routing.table.find(opts.method, from, opts.path, opts.headers)
    if (rule === null) {
      unmatched.matched++
      return this.fallback(sentTo(routing.fallback, opts, scope, from), handler)
    }
    const { index } = rule
    ;(routing.counts[index] as Counted).matched++
    if (rule.isNamed && scope !== null) scope.exchange.route = rule.label
    return (this.dispatches[index] as Dispatch)(
      sentTo(routing.targets[index] as PreparedTarget, opts, scope, from),
      handler,
    )
  }
}

function sentTo(
  target: PreparedTarget | null,
  opts: ScopedOptions,
  scope: CallScope | null,
  from: string,
): ScopedOptions {
  const origin = target?.origin ?? null
  if (origin === null || origin === from) return opts
  const allowed = withoutCarried(opts, origin)
  if (scope === null) return { ...allowed, origin }
  // A redirect between two layers of the kit may have sent it to this table: that is a hop already.
  const own = onHop(allowed, scope)
  return hopTo(own, scopeOn(own, scope), origin)
}

/** Where calls go that no route takes, if there is no fallback: they are checked first, as every call is. */
function refusing({ given }: Routing): Dispatch {
  return withEdge((opts, handler) => {
    const { method } = opts
    const origin = originOf(opts)
    const host = fieldOf(opts.headers, 'host') ?? origin.replace(/^\w+:\/\//, '')
    const path = redactPath(opts.path.replace(/[?#].*$/s, ''))
    const message = `No route of ${given.length} is for ${method} ${path} on ${host}`
    handler.onResponseError?.(null as never, new NoRouteError(message, { origin, method, host, path }))
    return true
  })
}

/** A chain that the layer stands in. */
class Place {
  ways: Ways
  readonly inner: Dispatch

  constructor(routing: Routing, inner: Dispatch) {
    this.inner = inner
    this.ways = new Ways(routing, inner)
  }
}

/**
 * No object for a call, and no exchange of its own: where this is the first layer of the kit that a call meets, the first
 * one on its way makes it.
 */
function routedDispatch(place: Place, unmatched: Counted): Dispatch {
  const dispatch: Dispatch = (given, handler) => {
    const scope = scopeOf(given)
    const opts = scope === null ? callOf(given) : given
    return place.ways.send(unmatched, opts, handler, scope)
  }
  return markEdged(Object.defineProperty(dispatch, 'name', { value: 'route' }))
}

/**
 * Sends each call where the first route says that is for it: on through layers of its own, to another dispatcher, or to an
 * origin. Routes are asked by `priority`, and then the more literal one first: `/api/user/*` before `/api/*`.
 *
 * Layers above are for all calls, and those below for all that do not go to another dispatcher. A call that no route is
 * for goes to the `fallback`, or fails with a `NoRouteError` (`ERR_NO_ROUTE`).
 *
 * @throws TypeError, RangeError that tells all that is wrong with the table, or all routes that are as literal as one
 * another and for the same calls.
 */
export function route(routes: readonly Route[], options: RouteOptions = {}): RouteLayer {
  checkOptions('route', options, ['fallback'])
  let current = new Routing(routes, options.fallback, null)
  const unmatched = new Counted()
  // A layer may outlive the chains that it stands in.
  const places = new Set<WeakRef<Place>>()
  const placesNow = () => {
    const found: Place[] = []
    for (const one of places) {
      const place = one.deref()
      if (place === undefined) places.delete(one)
      else found.push(place)
    }
    return found
  }
  const build: ChainBuilder = (stages, inner, keeper) => {
    const place = new Place(current, inner)
    placesNow()
    places.add(new WeakRef(place))
    const dispatch = routedDispatch(place, unmatched)
    return stages.length === 0 && keeper === null ? dispatch : guardDispatch(stages, dispatch, keeper, 'route')
  }
  const layer = layerOf(
    {
      name: 'route',
      build,
      targets: () => current.ways,
      options: () => ({
        routes: current.given.map(({ to, ...rule }, index) => ({
          ...rule,
          to: describeTarget(current.targets[index] as PreparedTarget, to),
        })),
        ...(current.fallback === null ? null : { fallback: describeTarget(current.fallback, current.fallbackTo) }),
      }),
    },
    (dispatch) => build([], withEdge(dispatch), null),
  )
  const update = (changes: RouteChanges) => {
    checkOptions('route', changes, ['routes', 'fallback'])
    const fallback = 'fallback' in changes ? changes.fallback : current.fallbackTo
    const next = new Routing(changes.routes ?? current.given, fallback, current)
    const found = placesNow().map((place) => ({ place, ways: new Ways(next, place.inner) }))
    for (const { place, ways } of found) place.ways = ways
    current = next
  }
  const state = () => {
    const { rules, counts } = current
    const routes = rules.map(({ label, index }) => [label, { matched: (counts[index] as Counted).matched }] as const)
    return { routes: Object.fromEntries(routes), unmatched: unmatched.matched }
  }
  return Object.assign(layer, { update, state })
}
