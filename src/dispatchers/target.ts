import { Dispatcher } from 'undici'
import { show } from '../policies/options.ts'
import type { CallKeeper, Stage } from './call-plan.ts'
import { withoutCarried } from './carried.ts'
import { chainPartOf } from './chain-part.ts'
import { checkMistakes } from './check-chain.ts'
import { describeLayer } from './describe.ts'
import { originOfDispatcher } from './dispatcher-origin.ts'
import { markEdged } from './edge.ts'
import { type CallScope, scopeOf } from './exchange.ts'
import { flattenLayers, foldLayers, type Layers } from './fold-layers.ts'
import { guardDispatch, withEdge } from './guard.ts'
import { hopTo } from './hop.ts'
import type { Layer } from './relay.ts'

/**
 * Where a layer that chooses sends a call on: a layer such as `balance(group)`, or a list of layers, over what is below;
 * another dispatcher; or an origin, through the layers below.
 */
export type Target = Dispatcher | Layer | readonly Layers[] | string | URL

/** Makes the dispatch function of a target, and the origin that calls get on the way there; `null`: they keep theirs. */
export interface PreparedTarget {
  readonly origin: string | null
  /** The layers on the way; `null`: it leaves the chain, for another dispatcher. */
  readonly layers: readonly Layer[] | null
  /** `stages` are those that stand above it, told of by `keeper`: they are one with what is next below, where that can be. */
  over(inner: Dispatcher['dispatch'], stages?: readonly Stage[], keeper?: CallKeeper | null): Dispatcher['dispatch']
}

function isDispatcher(value: unknown): value is Dispatcher {
  return value instanceof Dispatcher || typeof (value as Partial<Dispatcher> | null)?.dispatch === 'function'
}

function guarded(
  dispatch: Dispatcher['dispatch'],
  stages: readonly Stage[] = [],
  keeper: CallKeeper | null = null,
): Dispatcher['dispatch'] {
  return stages.length === 0 && keeper === null ? dispatch : guardDispatch(stages, dispatch, keeper, 'target')
}

/** On to another origin, in a scope of its own. The first layer of the kit that a call meets stands above. */
export function elsewhere(inner: Dispatcher['dispatch'], origin: string): Dispatcher['dispatch'] {
  return markEdged((opts, handler) => {
    const scope = scopeOf(opts) as CallScope
    if (scope.origin === origin) return inner(opts, handler)
    return inner(hopTo(withoutCarried(opts, origin), scope, origin), handler)
  })
}

/** An http(s) origin that somebody configured. */
export function checkOrigin(name: string, given: unknown, allowed: string): string {
  const url = typeof given === 'string' || given instanceof URL ? URL.parse(given) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TypeError(`${name} must be ${allowed}, got ${show(given)}`)
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new TypeError(`${name} must be an origin, with no path, got ${show(String(given))}`)
  }
  // They would be left out, and nobody would know.
  if (url.username !== '' || url.password !== '') {
    throw new TypeError(`${name} must be an origin, with no name and password, got one for ${show(url.origin)}`)
  }
  return url.origin
}

/**
 * The dispatch function of another dispatcher, with an edge above it. One of a single origin (a Pool, a Client) goes there
 * whatever the call names: what may not go there is left out.
 */
export function dispatchOf(dispatcher: Dispatcher): Dispatcher['dispatch'] {
  const edge = withEdge(dispatcher.dispatch.bind(dispatcher))
  const own = originOfDispatcher(dispatcher)
  if (typeof own !== 'string') return edge
  const { origin } = new URL(own)
  return markEdged((opts, handler) => edge(withoutCarried(opts, origin), handler))
}

/**
 * Checks a target. `name` is the option it was given as.
 *
 * @throws TypeError for what is no target, and for layers that defeat one another.
 */
export function prepareTarget(name: string, target: Target): PreparedTarget {
  if (isDispatcher(target)) {
    const dispatch = dispatchOf(target)
    return { origin: null, layers: null, over: (_, stages, keeper) => guarded(dispatch, stages, keeper) }
  }
  if (typeof target === 'function' || Array.isArray(target)) {
    const layers = flattenLayers([target as Layer | readonly Layers[]], name)
    // What is only unwise may be put right by the layers around: that is looked at along the whole chain.
    checkMistakes(layers.map(chainPartOf), name)
    const over: PreparedTarget['over'] = (inner, stages, keeper = null) =>
      foldLayers(layers, withEdge(inner), undefined, keeper, stages)
    return { origin: null, layers, over }
  }
  const origin = checkOrigin(name, target, 'a layer, a list of layers, a Dispatcher or an http(s) origin')
  return { origin, layers: [], over: (inner, stages, keeper) => guarded(withEdge(inner), stages, keeper) }
}

/** A target as a description of its layer shows it; `given` is what it was made of. */
export function describeTarget({ origin, layers }: PreparedTarget, given: unknown): unknown {
  return origin ?? layers?.map(describeLayer) ?? given
}
