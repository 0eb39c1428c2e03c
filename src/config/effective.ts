import type { LayerDescription } from '../dispatchers/describe.ts'
import { dnsHostsDefaults } from '../dispatchers/dns-hosts.ts'
import type { Path } from './path.ts'
import { schema } from './schema.ts'
import { isSecret } from './schema-walk.ts'

/** What a configuration has come to, all defaults included. */
export interface EffectiveConfig {
  /** Options of the agent that all upstreams share; `null` where it was given in code. */
  readonly agent: Readonly<Record<string, unknown>> | null
  /** The chain of each upstream, the outermost layer first, and last the agent. */
  readonly upstreams: Readonly<Record<string, readonly LayerDescription[]>>
  /** Which calls go to which upstream. */
  readonly routes: readonly Readonly<Record<string, unknown>>[]
}

const redacted = 'REDACTED'

/** Data without its secrets; `path` is where such data stands in a configuration. */
function withoutSecrets(value: unknown, path: Path): unknown {
  if (typeof value !== 'object' || value === null) {
    // false and null are no secrets: they say that there is none.
    return typeof value === 'string' && isSecret(path) ? redacted : value
  }
  if (Array.isArray(value)) return value.map((item, at) => withoutSecrets(item, [...path, at]))
  return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, withoutSecrets(own, [...path, name])]))
}

/** Options of the agent with what it does where they say nothing. */
export function effectiveAgent(given: object): Readonly<Record<string, unknown>> {
  const byDefault = Object.entries(schema.$defs?.agent?.properties ?? {}).flatMap(([name, option]) =>
    option.default === undefined ? [] : [[name, option.default] as const],
  )
  const options: Record<string, unknown> = { ...Object.fromEntries(byDefault), ...given }
  const shown = withoutSecrets(options, ['agent']) as Record<string, unknown>
  // The word stands for no secret.
  return options.proxy === 'env' ? { ...shown, proxy: 'env' } : shown
}

type Told = Readonly<Record<string, unknown>>

// A chain that calls go on to tells nothing of its name, and a function nothing of the header that it reads.
function withNames(layer: string, options: Told, given: Told, hosts: unknown): Told {
  if (layer === 'balance') {
    const key = given.key === undefined ? {} : { key: given.key }
    // By DNS: all that is known of a function is its name.
    const found = Array.isArray(hosts) ? {} : { hosts: { ...dnsHostsDefaults, ...(hosts as Told) } }
    return { ...options, ...key, ...found }
  }
  if (layer === 'fallback' && given.upstream !== undefined) return { ...options, upstream: given.upstream }
  if (layer === 'mirror') return { ...options, to: given.to }
  return layer === 'canary' ? { ...options, variants: given.variants } : options
}

/** A chain as it tells of itself, without secrets; `given` is what the configuration says of its layers. */
export function effectiveChain(described: readonly LayerDescription[], given: Told): readonly LayerDescription[] {
  return described.map(({ layer, options }) => {
    if (options === undefined) return { layer }
    const told = withNames(layer, options, (given[layer] ?? {}) as Told, given.hosts)
    return { layer, options: withoutSecrets(told, ['defaults', layer]) as Told }
  })
}

/** Routes without what they match secrets by. */
export function effectiveRoutes(routes: readonly object[]): EffectiveConfig['routes'] {
  return withoutSecrets(routes, ['routes']) as EffectiveConfig['routes']
}
