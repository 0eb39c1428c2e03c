import type { Dispatcher } from 'undici'
import { NoRouteError } from '../policies/errors.ts'
import { checkOptions } from '../policies/options.ts'
import { type CheckedRule, checkTable, type RouteRule } from '../policies/route-rule.ts'
import { RouteTable } from '../policies/route-table.ts'
import type { CallKeeper, Stage } from './call-plan.ts'
import { type ChainBuilder, type ChainTarget, layerOf } from './chain-part.ts'
import { markEdged } from './edge.ts'
import { type CallScope, type ScopedOptions, scopeOf } from './exchange.ts'
import { guardDispatch, withEdge } from './guard.ts'
import { fieldOf } from './headers.ts'
import { callOf } from './hop.ts'
import { originOf } from './origin-of.ts'
import { redactPath } from './redact.ts'
import type { Layer } from './relay.ts'
import { describeTarget, elsewhere, type PreparedTarget, prepareTarget, type Target } from './target.ts'

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

/** Stands over what a route goes to: counts, and notes the name. */
class Taken implements Stage {
  private readonly counted: Counted
  private readonly label: string | null

  constructor(counted: Counted, label: string | null) {
    this.counted = counted
    this.label = label
  }

  acquire(scope: CallScope): null {
    this.counted.matched++
    if (this.label !== null) scope.exchange.route = this.label
    return null
  }
}

/** The dispatch functions of a routing, in one of the chains that the layer stands in. */
class Ways {
  readonly dispatch: Dispatch
  private readonly table: RouteTable<GivenHeaders>
  private readonly dispatches: readonly Dispatch[]
  private readonly fallback: Dispatch

  constructor(routing: Routing, { stages, inner, keeper, unmatched }: Place) {
    const { table, rules, counts, targets } = routing
    this.table = table
    // Layers above may set headers. Where no route asks for any, the route is chosen before they are asked: then one object
    // serves them, the count, and what is next below.
    const [above, told] = table.readsHeaders ? [[], null] : [stages, keeper]
    const over = ({ origin, ...target }: PreparedTarget, taken: Taken): Dispatch => {
      const below = [...above, taken]
      return origin === null
        ? target.over(inner, below, told)
        : guardDispatch(below, elsewhere(withEdge(inner), origin), told, 'route')
    }
    this.dispatches = targets.map((target, index) => {
      const { label, isNamed } = rules[index] as CheckedRule
      return over(target, new Taken(counts[index] as Counted, isNamed ? label : null))
    })
    const taken = new Taken(unmatched, null)
    this.fallback =
      routing.fallback === null
        ? guardDispatch([...above, taken], refusing(routing), told, 'route')
        : over(routing.fallback, taken)
    this.dispatch = table.readsHeaders ? guardDispatch(stages, this.choosing(), keeper, 'route') : this.choosing()
  }

  private choosing(): Dispatch {
    return markEdged((given, handler) => {
      const opts = scopeOf(given) === null ? callOf(given) : given
      const rule = this.table.find(opts.method, originOf(opts), opts.path, opts.headers)
      const dispatch = rule === null ? this.fallback : (this.dispatches[rule.index] as Dispatch)
      return dispatch(opts, handler)
    })
  }
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
  readonly stages: readonly Stage[]
  readonly inner: Dispatch
  readonly keeper: CallKeeper | null
  readonly unmatched: Counted

  constructor(
    routing: Routing,
    stages: readonly Stage[],
    inner: Dispatch,
    keeper: CallKeeper | null,
    unmatched: Counted,
  ) {
    this.stages = stages
    this.inner = inner
    this.keeper = keeper
    this.unmatched = unmatched
    this.ways = new Ways(routing, this)
  }
}

/** No object for a call, and no exchange of its own: the guard of what was chosen makes them. */
function routedDispatch(place: Place): Dispatch {
  const dispatch: Dispatch = (opts, handler) => place.ways.dispatch(opts, handler)
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
    const place = new Place(current, stages, inner, keeper, unmatched)
    placesNow()
    places.add(new WeakRef(place))
    return routedDispatch(place)
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
    const found = placesNow().map((place) => ({ place, ways: new Ways(next, place) }))
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
