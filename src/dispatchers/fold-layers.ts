import type { Dispatcher } from 'undici'
import type { CallKeeper, Stage } from './call-plan.ts'
import { type ChainBuilder, chainPartOf } from './chain-part.ts'
import { isOverEdge, markOverEdge } from './edge.ts'
import { noteGround } from './ground.ts'
import { guardDispatch, guardOver, withEdge } from './guard.ts'
import type { Layer } from './relay.ts'

/** What `compose` takes: layers, lists of layers, and nothing (`null`, `undefined`, `false`), which is left out. */
export type Layers = Layer | null | undefined | false | readonly Layers[]

/** What something is, for an error that says so. */
export function kindOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'object' && value !== null) return `an instance of ${value.constructor?.name ?? 'Object'}`
  if (typeof value !== 'function') return String(value)
  const part = chainPartOf(value as Layer)
  return part === undefined ? `function ${value.name || '(anonymous)'}` : `the layer ${part.name}()`
}

/** The layers of nested lists, without what is nothing. */
export function flattenLayers(layers: readonly Layers[], name = 'compose'): Layer[] {
  return (layers as readonly unknown[])
    .flat(Number.POSITIVE_INFINITY)
    .filter((layer) => layer !== null && layer !== undefined && layer !== false)
    .map((layer, at) => {
      if (typeof layer === 'function') return layer as Layer
      throw new TypeError(
        `${name}: layer ${at + 1} must be an interceptor (dispatch) => dispatch, got ${kindOf(layer)}`,
      )
    })
}

function foldStages(stages: readonly Stage[], dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  if (stages.length > 0) return guardDispatch(stages, dispatch, null)
  return isOverEdge(dispatch) ? dispatch : withEdge(dispatch)
}

function unreadBound(stages: readonly Stage[]): number | undefined {
  return stages.find((stage) => stage.unreadBodyTimeout !== undefined)?.unreadBodyTimeout
}

// A guard has one clock for a body that nobody reads: stages that give up at different times need one each.
function haveOneClock(stages: readonly Stage[], others: readonly Stage[]): boolean {
  const bound = unreadBound(stages)
  const other = unreadBound(others)
  return bound === undefined || other === undefined || bound === other
}

type ForeignLayer = (dispatch: Dispatcher['dispatch'], origin: string | null | undefined) => unknown

function applyForeign(
  layer: Layer,
  at: number,
  dispatch: Dispatcher['dispatch'],
  origin: string | null | undefined,
): Dispatcher['dispatch'] {
  const applied = (layer as ForeignLayer)(dispatch, origin)
  if (typeof applied !== 'function' || applied.length !== 2) {
    throw new TypeError(
      `compose: layer ${at + 1}, the interceptor ${layer.name || '(anonymous)'}, must return a dispatch function with ` +
        `the two parameters (opts, handler), got ${typeof applied === 'function' ? `one with ${applied.length}` : kindOf(applied)}`,
    )
  }
  return markOverEdge(applied as Dispatcher['dispatch'])
}

/**
 * The dispatch function of layers over another one. Adjacent stages become one guard, together with the layer below them
 * where it can take them in. With a `keeper` the outermost guard is there in any case: it keeps the calls for close() and
 * destroy(), and gives the consumer one controller. `above`: stages that stand over all the layers.
 */
export function foldLayers(
  layers: readonly Layer[],
  ground: Dispatcher['dispatch'],
  origin: string | null | undefined,
  keeper: CallKeeper | null,
  above: readonly Stage[] = [],
): Dispatcher['dispatch'] {
  let dispatch = ground
  let run: Stage[] = []
  let build: ChainBuilder | null = null
  const fold = (): Dispatcher['dispatch'] => {
    const folded = build === null ? foldStages(run, dispatch) : build(run, dispatch, null)
    run = []
    build = null
    return folded
  }
  for (let at = layers.length - 1; at >= 0; at--) {
    const layer = layers[at] as Layer
    const part = chainPartOf(layer)
    if (part?.stages !== undefined) {
      if (!haveOneClock(part.stages, run)) dispatch = fold()
      run.unshift(...part.stages)
    } else if (part?.build !== undefined) {
      dispatch = withEdge(fold())
      noteGround(dispatch, ground)
      build = part.build
    } else {
      dispatch = applyForeign(layer, at, fold(), origin)
    }
  }
  if (!haveOneClock(above, run)) dispatch = fold()
  run.unshift(...above)
  // Where nothing but an edge is below, the stages above it and that edge are one.
  if (build === null && above.length > 0) return guardOver(run, dispatch, keeper, 'chain')
  if (keeper === null) return fold()
  return build === null ? guardDispatch(run, dispatch, keeper, 'chain') : (build as ChainBuilder)(run, dispatch, keeper)
}
