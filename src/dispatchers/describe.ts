import type { Dispatcher } from 'undici'
import { chainPartOf } from './chain-part.ts'
import type { Layer } from './relay.ts'

/** What a layer of a chain goes by. */
export interface LayerDescription {
  /** The name of the factory, or that of a foreign interceptor. */
  readonly layer: string
  /**
   * Its options, defaults and later `update()`s included, as plain data: what is no data (a function, a logger, a store) is
   * a word that tells what it is. Absent where nothing is known of them.
   */
  readonly options?: Readonly<Record<string, unknown>>
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Options with what is not given filled in from the defaults, also inside of options that are objects. */
export function effectiveOptions(defaults: object, given: object): Record<string, unknown> {
  const effective: Record<string, unknown> = { ...defaults }
  for (const [name, value] of Object.entries(given)) {
    const byDefault = effective[name]
    if (value === undefined) continue
    effective[name] = isPlain(byDefault) && isPlain(value) ? effectiveOptions(byDefault, value) : value
  }
  return effective
}

function asData(value: unknown): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  // JSON has no word for it.
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (typeof value !== 'object') return String(value)
  if (value instanceof Date || value instanceof RegExp || value instanceof URL) return String(value)
  if (Array.isArray(value) || value instanceof Set) return [...value].map(asData)
  if (!isPlain(value)) return `an instance of ${value.constructor.name}`
  return dataOf(value)
}

function dataOf(options: object): Record<string, unknown> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given.map(([name, value]) => [name, asData(value)]))
}

/** Describes one layer. */
export function describeLayer(layer: Layer): LayerDescription {
  const part = chainPartOf(layer)
  const name = part?.name ?? (layer.name || '(anonymous)')
  return part?.options === undefined ? { layer: name } : { layer: name, options: dataOf(part.options()) }
}

/** Describes layers, the outermost first, and what is below them. */
export function describeLayers(layers: readonly Layer[], ground: Dispatcher): LayerDescription[] {
  const described = layers.map(describeLayer)
  const below: unknown = (ground as { describe?: () => unknown }).describe?.()
  return [...described, ...(Array.isArray(below) ? below : [{ layer: ground.constructor.name }])]
}
