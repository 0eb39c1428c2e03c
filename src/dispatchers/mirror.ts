import pLimit from 'p-limit'
import type { Dispatcher } from 'undici'
import { MirrorTally } from '../policies/mirror-tally.ts'
import { checkDuration, checkFunction, checkNumber, checkOptions, show } from '../policies/options.ts'
import { PerOrigin } from '../policies/per-origin.ts'
import type { Permit } from '../policies/policy.ts'
import type { Stage } from './call-plan.ts'
import { type ChainBuilder, layerOf } from './chain-part.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { decide, decisionOf } from './decisions.ts'
import { effectiveOptions } from './describe.ts'
import type { CallScope } from './exchange.ts'
import { guardOver, withEdge } from './guard.ts'
import type { GuardedCall } from './guarded-call.ts'
import { isCopy, isFull, MirroredCall, type MirrorPlan, type MirrorResult } from './mirrored-call.ts'
import { replayDefaults } from './replay.ts'
import { describeTarget, type PreparedTarget, prepareTarget, type Target } from './target.ts'
import { TargetDispatches } from './target-dispatches.ts'
import { isToken } from './validate.ts'

/** Options of {@link mirror}. */
export interface MirrorOptions {
  /** Where copies go: an origin, through the layers below; layers over what is below; or another dispatcher. */
  readonly to: Target
  /**
   * The share of calls that are copied, from 0 to 1.
   * @default 1
   */
  readonly share?: number | undefined
  /**
   * Methods whose calls are copied. By default those that are safe (RFC 9110 §9.2.1, and QUERY): a copy of any other acts a
   * second time.
   * @default ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY']
   */
  readonly methods?: readonly string[] | undefined
  /**
   * How many copies may be under way at once, whatever their origin.
   * @default 32
   */
  readonly concurrency?: number | undefined
  /**
   * How many may wait for that. Beyond it none are sent: `dropped` counts them.
   * @default 64
   */
  readonly queue?: number | undefined
  /**
   * Milliseconds for a copy, from its dispatch to the end of its answer.
   * @default 10_000
   */
  readonly timeout?: number | undefined
  /**
   * Bytes of a request body that are kept for its copy. Of a call with a longer one there is no copy. Strings count for
   * nothing: they are shared.
   * @default 1_048_576
   */
  readonly bodyLimit?: number | undefined
  /**
   * The header that tells a copy from a call; its value is 1. `false`: none.
   * @default 'x-mirrored'
   */
  readonly mark?: string | false | undefined
  /**
   * Told of each call and its copy when both are over.
   * @default none
   */
  readonly onResult?: ((result: MirrorResult) => void) | undefined
  /**
   * Gives a number from 0, 1 excluded.
   * @default Math.random
   */
  readonly random?: (() => number) | undefined
}

/** Defaults of {@link mirror}. */
export const mirrorDefaults = Object.freeze({
  share: 1,
  methods: Object.freeze(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY']),
  concurrency: 32,
  queue: 64,
  timeout: 10_000,
  bodyLimit: replayDefaults.perBody,
  mark: 'x-mirrored',
} as const)

/** What the copies of the calls to one origin have come to. */
export interface MirrorView {
  /** Copies sent so far. */
  readonly mirrored: number
  /** Copies not sent: too many were waiting, or the body was too long, or not read to its end. */
  readonly dropped: number
  /** Copies that got no whole answer. */
  readonly failed: number
  /** Copies whose outcome is of the same kind as that of their original. */
  readonly same: number
  /** Copies whose outcome is of another. */
  readonly different: number
  /** Copies that wait, or are under way. */
  readonly inUse: number
}

/** The layer that {@link mirror} makes. */
export type MirrorLayer = ControlledLayer<MirrorOptions, MirrorView>

export type { MirrorResult }

const optionNames = ['to', ...Object.keys(mirrorDefaults), 'onResult', 'random']

function checkMethods(given: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(given)) throw new TypeError(`mirror: methods must be an array of methods, got ${show(given)}`)
  for (const method of given) {
    if (!isToken(method) || method === 'CONNECT') {
      throw new TypeError(`mirror: methods must hold methods such as GET, and not CONNECT, got ${show(method)}`)
    }
  }
  return new Set(given)
}

function checkMark(mark: string | false): string | false {
  if (mark === false || isToken(mark)) return mark
  throw new TypeError(`mirror: mark must be the name of a header, or false, got ${show(mark)}`)
}

type Settings = MirrorPlan & {
  readonly to: Target
  readonly share: number
  readonly methods: ReadonlySet<string>
  readonly random: () => number
}

// What onResult throws would otherwise warn with every copy.
const warned = new WeakSet<object>()

function warnOnce(onResult: object, error: unknown): void {
  if (warned.has(onResult)) return
  warned.add(onResult)
  process.emitWarning(`The onResult given to mirror() threw: ${error}`, {
    type: 'RoundtripperWarning',
    code: 'ROUNDTRIPPER_MIRROR',
  })
}

function checkMirror(options: MirrorOptions, before?: Settings): Settings {
  checkOptions('mirror', options, optionNames)
  const { to, onResult, random = Math.random } = options
  const share = checkNumber('mirror: share', options.share ?? mirrorDefaults.share, { min: 0, max: 1 })
  const methods = checkMethods(options.methods ?? mirrorDefaults.methods)
  const range = { min: 1, integer: true }
  const concurrency = checkNumber('mirror: concurrency', options.concurrency ?? mirrorDefaults.concurrency, range)
  const queue = checkNumber('mirror: queue', options.queue ?? mirrorDefaults.queue, { min: 0, integer: true })
  const timeout = checkDuration('mirror: timeout', options.timeout ?? mirrorDefaults.timeout)
  const bodyRange = { min: 0, integer: true }
  const bodyLimit = checkNumber('mirror: bodyLimit', options.bodyLimit ?? mirrorDefaults.bodyLimit, bodyRange)
  const mark = checkMark(options.mark ?? mirrorDefaults.mark)
  if (onResult !== undefined) checkFunction('mirror: onResult', onResult)
  checkFunction('mirror: random', random)
  const target = before !== undefined && before.to === to ? before.target : prepareTarget('mirror: to', to)
  const limit = before?.limit ?? pLimit(concurrency)
  limit.concurrency = concurrency
  const failed = (error: unknown) => warnOnce(onResult as object, error)
  return { to, target, limit, share, methods, queue, timeout, bodyLimit, mark, onResult, random, failed }
}

/** What one mirror() has in all its places. */
class Mirror {
  settings: Settings
  readonly origins = new PerOrigin(() => new MirrorTally())

  constructor(settings: Settings) {
    this.settings = settings
  }
}

/** Copies calls in one place of a chain. */
class MirrorStage implements Stage {
  readonly name = 'mirror'
  private readonly mirror: Mirror
  private readonly dispatches: TargetDispatches

  constructor(mirror: Mirror, inner: Dispatcher['dispatch']) {
    this.mirror = mirror
    this.dispatches = new TargetDispatches(inner)
    // Now, so that layers which cannot stand over what is below are found out when the chain is made.
    this.dispatches.to(mirror.settings.target)
  }

  acquire(scope: CallScope, call: GuardedCall): Permit | null {
    const { mirror } = this
    const { share, methods, random } = mirror.settings
    if (share === 0 || !methods.has(call.opts.method) || call.opts.upgrade) return null
    const { exchange } = scope
    // Once a call, not for each attempt.
    if (decisionOf(exchange, mirror) !== undefined || isCopy(exchange)) return null
    const isChosen = share === 1 || random() < share
    decide(exchange, mirror, isChosen)
    return isChosen ? this.copy(scope, call) : null
  }

  private copy(scope: CallScope, call: GuardedCall): Permit | null {
    const { settings, origins } = this.mirror
    const tally = origins.get(scope.origin)
    if (isFull(settings)) {
      tally.dropped++
      return null
    }
    let copy: MirroredCall
    try {
      copy = new MirroredCall(settings, tally, scope, call, this.dispatches.to(settings.target as PreparedTarget))
    } catch {
      // Headers that the edge has yet to refuse: no request, and so no copy.
      tally.dropped++
      return null
    }
    copy.begin(call)
    return copy
  }
}

function describe({ target, to }: Settings, given: MirrorOptions): object {
  return { ...effectiveOptions(mirrorDefaults, given), to: describeTarget(target, to) }
}

/**
 * Sends a copy of each call, or of a share of them, to another target, and ignores its answer. To the call nothing
 * changes: the copy is a call of its own, sent after it, and neither its failures nor its slowness are seen by anybody but
 * `state()` and `onResult`. Safe methods only, unless `methods` says otherwise. Once a call, not for each attempt; copies
 * are not copied again.
 *
 * Place it lowest, next to the agent: what stands below it, copies to an origin go through as well.
 *
 * @throws RangeError, TypeError for options that are out of range, and for a target that is none.
 */
export function mirror(options: MirrorOptions): MirrorLayer {
  const mirrored = new Mirror(checkMirror(options))
  let current = options
  const build: ChainBuilder = (stages, inner, keeper) =>
    guardOver([...stages, new MirrorStage(mirrored, inner)], inner, keeper, 'mirror')
  const layer = layerOf({ name: 'mirror', build, options: () => describe(mirrored.settings, current) }, (dispatch) =>
    build([], withEdge(dispatch), null),
  )
  const update = (changes: Partial<MirrorOptions>) => {
    checkOptions('mirror', changes, optionNames)
    const { to = current.to } = changes
    const next = { ...current, ...changes, to }
    mirrored.settings = checkMirror(next, mirrored.settings)
    current = next
  }
  const state = () => {
    const views: Record<string, MirrorView> = {}
    for (const [origin, { mirrored: sent, dropped, failed, same, different, inUse }] of mirrored.origins) {
      views[origin] = { mirrored: sent, dropped, failed, same, different, inUse }
    }
    return views
  }
  return Object.assign(layer, { update, state })
}
