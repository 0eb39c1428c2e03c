import type { Dispatcher } from 'undici'
import { adaptiveLimit } from '../dispatchers/adaptive-limit.ts'
import { attemptTimeout } from '../dispatchers/attempt-timeout.ts'
import { type BalanceOptions, balance } from '../dispatchers/balance.ts'
import { bodyTimeout } from '../dispatchers/body-timeout.ts'
import { bulkhead } from '../dispatchers/bulkhead.ts'
import { canary } from '../dispatchers/canary.ts'
import { chainPartOf } from '../dispatchers/chain-part.ts'
import { checkChain } from '../dispatchers/check-chain.ts'
import { circuitBreaker } from '../dispatchers/circuit-breaker.ts'
import { contextHeaders } from '../dispatchers/context-headers.ts'
import { deadline } from '../dispatchers/deadline.ts'
import { dnsHosts } from '../dispatchers/dns-hosts.ts'
import { fallback } from '../dispatchers/fallback.ts'
import { hedge } from '../dispatchers/hedge.ts'
import { type Logger, logging } from '../dispatchers/logging.ts'
import { mirror } from '../dispatchers/mirror.ts'
import { rateLimit } from '../dispatchers/rate-limit.ts'
import type { Layer } from '../dispatchers/relay.ts'
import { retry } from '../dispatchers/retry.ts'
import { attemptTimeoutWithin, standardDefaults } from '../standard.ts'
import { tracing } from '../tracing/tracing.ts'
import { type Blame, explain, type Hide } from './explain.ts'
import type { Path } from './path.ts'
import type { Problems } from './problems.ts'
import type { References } from './references.ts'

type Options = Readonly<Record<string, unknown>>

/** What a configuration says, checked by the schema as far as no problem is noted. */
export type Layers = Readonly<Record<string, Options | number | false | undefined>>

/** What layers need besides their options. */
export interface Surroundings {
  readonly upstream: string
  readonly hosts: readonly unknown[] | Options | undefined
  readonly logger: Logger | undefined
  readonly hide: Hide
  readonly references: References
}

function hostsOf(given: readonly unknown[] | Options): BalanceOptions['hosts'] {
  if (Array.isArray(given)) return given
  const { dns, ...options } = given as Options
  return dnsHosts(dns as string, options)
}

/** Makes a layer; `refer` gives what an option that names an upstream, or an origin, means. */
type Make = (given: never, surroundings: Surroundings, refer: Refer) => Layer | null

type Refer = (given: string, option: string, ...below: readonly string[]) => string | Dispatcher

function fallbackOf({ upstream, ...given }: { readonly upstream?: string }, refer: Refer): Layer {
  return fallback(upstream === undefined ? given : { ...given, upstream: refer(upstream, 'upstream') })
}

interface Variant {
  readonly weight: number
  readonly to?: string
}

function canaryOf(
  { variants = {}, ...given }: { readonly variants?: Readonly<Record<string, Variant>> },
  refer: Refer,
) {
  const targets = Object.entries(variants).map(([name, { to, ...variant }]) => {
    return [name, to === undefined ? variant : { ...variant, to: refer(to, 'variants', name, 'to') }] as const
  })
  return canary({ ...given, variants: Object.fromEntries(targets) })
}

function mirrorOf({ to, ...given }: { readonly to?: string }, refer: Refer): Layer {
  return mirror({ ...given, to: to === undefined ? (to as never) : refer(to, 'to') })
}

interface GivenBalance {
  readonly key?: { readonly header: string }
}

function balanceOf({ key, ...given }: GivenBalance = {}): Omit<BalanceOptions, 'hosts'> {
  if (key === undefined) return given
  const name = key.header.toLowerCase()
  const keyOf: BalanceOptions['key'] = ({ headers }) => {
    const value = headers[name]
    return typeof value === 'string' ? value : value?.join()
  }
  return { ...given, key: keyOf }
}

// The order of standard(), with balance() where its page wants it.
const factories: readonly (readonly [name: string, isInByDefault: boolean, make: Make])[] = [
  // Outermost, since each of its other variants has a chain of its own.
  ['canary', false, (given: object, _, refer) => canaryOf(given, refer)],
  ['tracing', true, (given: object | undefined) => tracing(given)],
  ['logging', false, (given: object, { logger }) => logging(logger === undefined ? given : { ...given, logger })],
  ['fallback', false, (given: object, _, refer) => fallbackOf(given, refer)],
  ['deadline', true, (given: number | undefined) => deadline(given)],
  ['contextHeaders', false, contextHeaders],
  ['rateLimit', false, rateLimit],
  ['retry', true, (given: object | undefined) => retry(given)],
  ['hedge', false, (given: object) => hedge(given)],
  [
    'balance',
    true,
    (given: GivenBalance | undefined, { hosts, upstream }) =>
      hosts === undefined ? null : balance({ ...balanceOf(given), hosts: hostsOf(hosts), name: upstream }),
  ],
  ['circuitBreaker', true, (given: object | undefined) => circuitBreaker(given)],
  ['bulkhead', true, (given: object | undefined) => bulkhead(given)],
  ['adaptiveLimit', false, (given: object) => adaptiveLimit(given)],
  ['attemptTimeout', true, (given: number | undefined) => attemptTimeout(given)],
  ['bodyTimeout', true, (given: number | undefined) => bodyTimeout(given)],
  // Lowest: it copies what is really sent.
  ['mirror', false, (given: object, _, refer) => mirrorOf(given, refer)],
]

function isOptions(value: unknown): value is Options {
  return typeof value === 'object' && value !== null
}

/** What holds for an upstream: its own word first; options of one layer are laid over those of the defaults. */
function combine(own: Layers, defaults: Layers): Layers {
  const combined: Record<string, Layers[string]> = { ...defaults }
  for (const [name, value] of Object.entries(own)) {
    const before = combined[name]
    combined[name] = isOptions(value) && isOptions(before) ? { ...before, ...value } : value
  }
  // Both send a call again, and multiply: who asks for one of them means it in the place of the other, and not of both.
  if (isOptions(defaults.hedge) && isOptions(defaults.retry)) return withTimes(combined)
  if (isOptions(own.hedge) && own.retry === undefined) combined.retry = false
  else if (isOptions(own.retry) && own.hedge === undefined) combined.hedge = false
  else if (isOptions(combined.hedge)) combined.retry ??= false
  return withTimes(combined)
}

function withTimes(combined: Record<string, Layers[string]>): Layers {
  if (typeof combined.deadline === 'number' && combined.attemptTimeout === undefined) {
    combined.attemptTimeout = attemptTimeoutWithin(combined.deadline)
  }
  return combined
}

/** Where a layer of an upstream is configured. */
function blameFor(name: string, path: Path, own: Layers, defaults: Layers): Blame {
  const [mine, shared] = [own[name], defaults[name]]
  const says = (value: unknown, option: string) => isOptions(value) && Object.hasOwn(value, option)
  return {
    layer: name,
    pathOf: (option) => {
      if (option !== undefined && says(shared, option) && !says(mine, option)) return ['defaults', name]
      return mine === undefined && shared !== undefined ? ['defaults', name] : [...path, name]
    },
  }
}

/** An upstream that is to be made. */
export interface PlannedUpstream {
  /** The outermost first. */
  readonly layers: readonly Layer[]
  /** What they go by, as the configuration says it, its hosts included. */
  readonly given: Options
}

/** Makes the layers of an upstream. What is wrong is noted, and its layer left out. */
export function planUpstream(
  path: Path,
  own: Layers,
  defaults: Layers,
  surroundings: Surroundings,
  problems: Problems,
): PlannedUpstream {
  const combined = combine(own, defaults)
  const layers: Layer[] = []
  for (const [name, isInByDefault, make] of factories) {
    const given = combined[name]
    if (given === false || (given === undefined && !isInByDefault)) continue
    if (problems.isWithin([...path, name]) || problems.isWithin(['defaults', name])) continue
    if (name === 'balance' && problems.isWithin([...path, 'hosts'])) continue
    const blame = blameFor(name, path, own, defaults)
    const refer: Refer = (target, option, ...below) =>
      surroundings.references.target(target, surroundings.upstream, [...blame.pathOf(option), option, ...below])
    try {
      const layer = make(given as never, surroundings, refer)
      if (layer !== null) layers.push(layer)
    } catch (error) {
      explain(error, blame, path, surroundings.hide, problems)
    }
  }
  if (own.balance !== undefined && surroundings.hosts === undefined && !problems.has([...path, 'hosts'])) {
    problems.add([...path, 'balance'], 'needs hosts: without them calls go where their URL says')
  }
  if (checkTimes(path, own, combined, surroundings.hide, problems)) {
    try {
      checkChain(layers.map(chainPartOf))
    } catch (error) {
      problems.add(path, surroundings.hide((error as Error).message, path))
    }
  }
  return { layers, given: { ...combined, hosts: surroundings.hosts } }
}

/** Whether an attempt can time out before its call does. What is told stands where one of both is said, this upstream first. */
function checkTimes(path: Path, own: Layers, combined: Layers, hide: Hide, problems: Problems): boolean {
  const { deadline: whole = standardDefaults.deadline, attemptTimeout: attempt = standardDefaults.attemptTimeout } =
    combined
  if (typeof whole !== 'number' || typeof attempt !== 'number' || whole > attempt) return true
  const placeOf = (name: string) => (own[name] === undefined ? ['defaults', name] : [...path, name])
  const [longer, shorter] = [placeOf('deadline'), placeOf('attemptTimeout')]
  if (problems.isWithin(longer) || problems.isWithin(shorter)) return false
  const shown = (value: number, at: Path) => hide(`, got ${value}`, at).slice(', got '.length)
  const isLonger = combined.deadline !== undefined && (own.deadline !== undefined || own.attemptTimeout === undefined)
  const message = isLonger
    ? `must be longer than attemptTimeout, which is ${shown(attempt, shorter)}, got ${whole}`
    : `must be shorter than deadline, which is ${shown(whole, longer)}, got ${attempt}`
  const told = isLonger ? longer : shorter
  problems.add(told, hide(message, told))
  return false
}
