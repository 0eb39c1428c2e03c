import type { Dispatcher } from 'undici'
import { checkFunction, checkOptions, show } from '../policies/options.ts'
import { isFailure, type Outcome } from '../policies/outcome.ts'
import { PerOrigin } from '../policies/per-origin.ts'
import type { Permit } from '../policies/policy.ts'
import type { RetryRequest } from '../policies/retry.ts'
import { checkWeights, TrafficSplit, type Weighted } from '../policies/traffic-split.ts'
import type { CallKeeper, Stage } from './call-plan.ts'
import { type ChainBuilder, type ChainTarget, layerOf } from './chain-part.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { decide, decisionOf } from './decisions.ts'
import { markEdged } from './edge.ts'
import { type CallScope, type ScopedOptions, scopeOf } from './exchange.ts'
import { guardOver, withEdge } from './guard.ts'
import { headerOf } from './headers.ts'
import { callOf } from './hop.ts'
import { originOf } from './origin-of.ts'
import { requestOf } from './request-of.ts'
import { describeTarget, elsewhere, type PreparedTarget, prepareTarget, type Target } from './target.ts'
import { TargetDispatches } from './target-dispatches.ts'
import { isToken } from './validate.ts'

/** One of the variants of a {@link canary}. */
export interface CanaryVariant {
  /** Its share of the calls is this, of the sum of all weights; 0: only calls that ask for it by header. */
  readonly weight: number
  /**
   * Where its calls go.
   * @default on, through the layers below, to the origin that the call names; in an update: where they went before
   */
  readonly to?: Target
}

/**
 * By what a call keeps its variant: a request header, a cookie, or whatever a function reads from the request. Where it finds
 * nothing, or throws, chance decides.
 */
export type CanaryKey =
  | ((request: RetryRequest) => string | undefined)
  | { readonly header: string }
  | { readonly cookie: string }

/** Options of {@link canary}. */
export interface CanaryOptions {
  /** The variants by name. The first is the one that calls are expected to get: of the others logs and spans tell. */
  readonly variants: Readonly<Record<string, CanaryVariant>>
  /**
   * A request header whose value names the variant, whatever the weights; a value that names none is passed over.
   * @default none
   */
  readonly header?: string | undefined
  /**
   * By what a call keeps its variant.
   * @default nothing: chance decides for each call
   */
  readonly by?: CanaryKey | undefined
  /**
   * Gives a number from 0, 1 excluded.
   * @default Math.random
   */
  readonly random?: (() => number) | undefined
}

/** What one variant has come to. Below a `retry()` or `hedge()` attempts are counted, else calls. */
export interface CanaryVariantView {
  readonly weight: number
  /** Sent to it so far. */
  readonly calls: number
  /** How many of them failed: 5xx, network errors and timeouts, what a circuit breaker counts. */
  readonly failures: number
  /** How many are under way. */
  readonly inUse: number
}

/** The variants of a {@link canary}, by name. */
export type CanaryView = Readonly<Record<string, CanaryVariantView>>

/** The layer that {@link canary} makes. */
export type CanaryLayer = ControlledLayer<CanaryOptions, CanaryView>

/** What one variant has come to at one origin; the permit of all its calls. */
class Tally implements Permit {
  calls = 0
  failures = 0
  inUse = 0

  get idle(): boolean {
    return this.inUse === 0
  }

  settle({ kind }: Outcome): void {
    this.inUse--
    if (isFailure(kind)) this.failures++
  }
}

type Tallies = PerOrigin<Tally>

/** One variant, and the stage that counts its calls. */
class Variant implements Weighted, Stage {
  readonly name: string
  readonly weight: number
  readonly to: Target | undefined
  /** `null`: on through the layers below, as the call says. */
  readonly target: PreparedTarget | null
  readonly tallies: Tallies
  /** Whether logs and spans tell of it. */
  private readonly isTold: boolean

  constructor(name: string, { weight, to }: CanaryVariant, isTold: boolean, before: Variant | undefined) {
    this.name = name
    this.weight = weight
    this.isTold = isTold
    this.to = to ?? before?.to
    this.tallies = before?.tallies ?? new PerOrigin(() => new Tally())
    if (this.to === undefined) this.target = null
    else if (this.to === before?.to) this.target = before.target
    else this.target = prepareTarget(`canary: variants.${name}.to`, this.to)
  }

  acquire(scope: CallScope): Permit {
    if (this.isTold) scope.note('canary', this.name)
    const tally = this.tallies.get(scope.origin)
    tally.calls++
    tally.inUse++
    return tally
  }
}

type KeyOf = (opts: ScopedOptions) => string | undefined

interface Settings {
  readonly split: TrafficSplit<Variant>
  readonly header: string | undefined
  readonly keyOf: KeyOf | undefined
  readonly random: () => number
}

function textOf(opts: ScopedOptions, header: string): string | undefined {
  const value = headerOf(opts.headers, header)
  return typeof value === 'string' ? value : Array.isArray(value) ? value.join('; ') : undefined
}

// RFC 6265 §4.2.1: pairs apart by a semicolon and a space, their values as they are.
function cookieOf(cookies: string | undefined, name: string): string | undefined {
  for (const pair of cookies?.split(';') ?? []) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim()
  }
  return undefined
}

function checkName(option: string, name: unknown): string {
  if (isToken(name)) return name
  throw new TypeError(`${option} must be a name of token characters, got ${show(name)}`)
}

function checkKey(by: CanaryKey): KeyOf {
  if (typeof by === 'function') return (opts) => by(requestOf(opts, originOf(opts)))
  const names = typeof by === 'object' && by !== null ? Object.keys(by) : []
  const [kind] = names
  if (names.length !== 1 || (kind !== 'header' && kind !== 'cookie')) {
    throw new TypeError(`canary: by must be a function, { header } or { cookie }, got ${show(by)}`)
  }
  const name = checkName(`canary: by.${kind}`, (by as Record<string, unknown>)[kind])
  if (kind === 'cookie') return (opts) => cookieOf(textOf(opts, 'cookie'), name)
  const header = name.toLowerCase()
  return (opts) => textOf(opts, header)
}

function checkVariants(given: CanaryOptions['variants'], before: TrafficSplit<Variant> | undefined): Variant[] {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TypeError(`canary: variants must be an object of variants by name, got ${show(given)}`)
  }
  const variants = Object.entries(given).map(([name, variant], at) => {
    checkOptions(`canary: variants.${name}`, variant, ['weight', 'to'])
    return new Variant(name, variant, at > 0, before?.named(name))
  })
  checkWeights('canary: variants', variants)
  return variants
}

function checkCanary(options: CanaryOptions, before?: TrafficSplit<Variant>): Settings {
  checkOptions('canary', options, ['variants', 'header', 'by', 'random'])
  const { header, by, random = Math.random } = options
  const variants = checkVariants(options.variants, before)
  return {
    split: new TrafficSplit(variants),
    header: header === undefined ? undefined : checkName('canary: header', header).toLowerCase(),
    keyOf: by === undefined ? undefined : checkKey(by),
    random: checkFunction('canary: random', random),
  }
}

/** What one canary() has in all its places. */
class Canary {
  settings: Settings

  constructor(settings: Settings) {
    this.settings = settings
  }

  choose(opts: ScopedOptions): Variant {
    const { split, header, keyOf, random } = this.settings
    if (header === undefined && keyOf === undefined) return split.at(random())
    try {
      const named = header === undefined ? undefined : textOf(opts, header)
      const forced = named === undefined ? undefined : split.named(named)
      if (forced !== undefined) return forced
      const key = keyOf?.(opts)
      if (typeof key === 'string' && key !== '') return split.of(key)
    } catch {
      // A function of the user's; or headers that the edge has yet to refuse.
    }
    return split.at(random())
  }
}

/** One place of a canary() in a chain: for each variant, the stages above and its target as one. */
class CanaryPlace {
  private readonly stages: readonly Stage[]
  private readonly inner: Dispatcher['dispatch']
  private readonly keeper: CallKeeper | null
  private readonly targets: TargetDispatches
  private readonly known = new WeakMap<Variant, Dispatcher['dispatch']>()
  // Most calls go to one variant: for them this is one comparison.
  private last: Variant | null = null
  private toLast: Dispatcher['dispatch']

  constructor(stages: readonly Stage[], inner: Dispatcher['dispatch'], keeper: CallKeeper | null) {
    this.stages = stages
    this.inner = inner
    this.keeper = keeper
    this.toLast = inner
    this.targets = new TargetDispatches(inner)
  }

  to(variant: Variant): Dispatcher['dispatch'] {
    if (variant === this.last) return this.toLast
    let dispatch = this.known.get(variant)
    if (dispatch === undefined) {
      dispatch = guardOver([...this.stages, variant], this.below(variant), this.keeper, 'canary')
      this.known.set(variant, dispatch)
    }
    this.last = variant
    this.toLast = dispatch
    return dispatch
  }

  private below({ target }: Variant): Dispatcher['dispatch'] {
    if (target === null) return this.inner
    return target.origin === null ? this.targets.to(target) : elsewhere(this.inner, target.origin)
  }
}

// Chosen before the stages above are asked: so one object serves them, the count, and what is next below.
function chooseOver(canary: Canary, place: CanaryPlace): Dispatcher['dispatch'] {
  // Now, so that layers which cannot stand over what is below are found out when the chain is made.
  for (const variant of canary.settings.split) place.to(variant)
  return markEdged(function canaryDispatch(given, handler) {
    const scope = scopeOf(given)
    if (scope === null) {
      const opts = callOf(given)
      return place.to(canary.choose(opts))(opts, handler)
    }
    const { exchange } = scope
    let variant = decisionOf(exchange, canary) as Variant | undefined
    if (variant === undefined) {
      variant = canary.choose(given)
      decide(exchange, canary, variant)
    }
    return place.to(variant)(given, handler)
  })
}

function waysOf({ split }: Settings): ChainTarget[] {
  return Array.from(split, ({ name, target }) => ({
    name: `variants.${name}`,
    layers: target === null ? [] : target.layers,
  }))
}

// An update names variants without saying again where they go.
function describe({ split }: Settings, given: CanaryOptions): object {
  const described = ({ weight, to, target }: Variant) => {
    return { weight, to: target === null ? undefined : describeTarget(target, to) }
  }
  return { ...given, variants: Object.fromEntries(Array.from(split, (variant) => [variant.name, described(variant)])) }
}

/**
 * Shares calls between variants by weight: most to what is known to be good, a few to what is new. A request header can
 * name the variant; a key (a user, a session) keeps its own. The choice is made once a call, and holds for all its
 * attempts.
 *
 * Of the same key every process with the same variants makes the same choice, and where one weight changes, only keys of
 * that variant move: a canary that grows takes keys from the others, and gives none back.
 *
 * `layer.update({ variants })` ramps it up: it replaces the variants, and one that is named without `to` goes where it went
 * before. `layer.state()` counts calls and failures by variant, to compare.
 *
 * @throws RangeError, TypeError for options that are out of range, and for targets that are none.
 */
export function canary(options: CanaryOptions): CanaryLayer {
  const chooser = new Canary(checkCanary(options))
  let current = options
  const build: ChainBuilder = (stages, inner, keeper) => chooseOver(chooser, new CanaryPlace(stages, inner, keeper))
  const layer = layerOf(
    {
      name: 'canary',
      build,
      targets: () => waysOf(chooser.settings),
      options: () => describe(chooser.settings, current),
    },
    (dispatch) => build([], withEdge(dispatch), null),
  )
  const update = (changes: Partial<CanaryOptions>) => {
    checkOptions('canary', changes, ['variants', 'header', 'by', 'random'])
    const { variants = current.variants } = changes
    const next = { ...current, ...changes, variants }
    chooser.settings = checkCanary(next, chooser.settings.split)
    current = next
  }
  const state = () => {
    const variants = [...chooser.settings.split]
    const origins = new Set(variants.flatMap(({ tallies }) => Array.from(tallies, ([origin]) => origin)))
    const viewOf = (origin: string) =>
      variants.map(({ name, weight, tallies }): [string, CanaryVariantView] => {
        const { calls, failures, inUse } = tallies.peek(origin) ?? new Tally()
        return [name, { weight, calls, failures, inUse }]
      })
    return Object.fromEntries(Array.from(origins, (origin) => [origin, Object.fromEntries(viewOf(origin))]))
  }
  return Object.assign(layer, { update, state })
}
