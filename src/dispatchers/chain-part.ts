import type { Dispatcher } from 'undici'
import type { CallKeeper, Stage } from './call-plan.ts'
import type { Layer } from './relay.ts'

/** Makes the dispatch function of a layer together with the run of stages directly above it. */
export type ChainBuilder = (
  stages: readonly Stage[],
  inner: Dispatcher['dispatch'],
  keeper: CallKeeper | null,
) => Dispatcher['dispatch']

/** One of the ways on from a layer that chooses. */
export interface ChainTarget {
  /** What it was given as. */
  readonly name: string
  /** The layers on it; `null`: it leaves the chain, for another dispatcher. */
  readonly layers: readonly Layer[] | null
}

/** What `compose` knows of a layer of the kit: enough to check a chain, and to fold what can be folded. */
export interface ChainPart {
  /** The name of the factory. */
  readonly name: string
  /** Set where the layer is nothing but stages. */
  readonly stages?: readonly Stage[]
  /** Milliseconds a layer bounds the call or the attempt to. */
  readonly duration?: number
  /** Where it sends calls on, if not to what is below: a chain is checked along each way. */
  readonly targets?: () => readonly ChainTarget[]
  /** The options it goes by now, defaults included. */
  readonly options?: () => object
  /** Set where the layer takes the stages above it into its own guard; `inner` ends in an edge. */
  readonly build?: ChainBuilder
}

const parts = new WeakMap<Layer, ChainPart>()

/** A layer that `compose` recognises. */
export function layerOf(part: ChainPart, wrap: (dispatch: Dispatcher['dispatch']) => Dispatcher['dispatch']): Layer {
  const layer: Layer = (dispatch) => wrap(dispatch)
  Object.defineProperty(layer, 'name', { value: part.name })
  parts.set(layer, part)
  return layer
}

/** What is known of a layer; `undefined` for one that is not the kit's. */
export function chainPartOf(layer: Layer): ChainPart | undefined {
  return parts.get(layer)
}
