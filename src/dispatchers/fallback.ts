import { Dispatcher } from 'undici'
import { checkFunction, checkNumber, checkOptions } from '../policies/options.ts'
import type { Outcome } from '../policies/outcome.ts'
import { PerOrigin } from '../policies/per-origin.ts'
import { CallPlan } from './call-plan.ts'
import { type ChainBuilder, layerOf } from './chain-part.ts'
import type { ControlledLayer } from './controlled-layer.ts'
import { effectiveOptions } from './describe.ts'
import { type FallbackAnswer, PreparedAnswer } from './fallback-answer.ts'
import {
  type FallbackFunction,
  FallbackLevel,
  type FallbackPlan,
  type FallbackSource,
  type FallbackTally,
} from './fallback-call.ts'
import { withEdge } from './guard.ts'
import { repeatDispatch } from './repeat-layer.ts'
import { replayDefaults } from './replay.ts'
import { checkOrigin, dispatchOf } from './target.ts'

/** Options of {@link fallback}: exactly one of `value`, `respond` and `upstream`. */
export interface FallbackOptions {
  /** An answer that takes the place of the failure. */
  readonly value?: FallbackAnswer
  /**
   * Makes an answer, from the failed outcome and the request; may be async. With `undefined`, or where it throws or
   * rejects, the caller gets the failure as it was.
   */
  readonly respond?: FallbackFunction
  /**
   * Where the request is sent instead: another origin, through the layers below, or another dispatcher. Only what may be
   * repeated goes there, or what provably never reached the first one.
   */
  readonly upstream?: Dispatcher | string | URL
  /**
   * Says of an outcome whether to fall back; `undefined` leaves it to the default. It is not asked about what the caller
   * did (aborts, invalid requests, a closed dispatcher). If it throws, the default holds.
   * @default every outcome but a status below 400, and 4xx but 429
   */
  readonly on?: ((outcome: Outcome) => boolean | undefined) | undefined
  /**
   * Bytes of a streamed request body that are recorded so that it can be sent to the `upstream`.
   * @default 1_048_576
   */
  readonly replayLimit?: number
}

/** Defaults of {@link fallback}. */
export const fallbackDefaults = { replayLimit: replayDefaults.perBody } as const

/** What fallback has come to for one origin. */
export interface FallbackView {
  /** Calls that something else answered. */
  readonly served: number
  /** Calls that failed all the same: nothing took the place of their outcome. */
  readonly failed: number
}

/** The layer that {@link fallback} makes. */
export type FallbackLayer = ControlledLayer<FallbackOptions, FallbackView>

export type { FallbackAnswer, FallbackFunction }

const sources = ['value', 'respond', 'upstream'] as const

function sourceOf(options: FallbackOptions): FallbackSource {
  const given = sources.filter((name) => options[name] !== undefined)
  if (given.length !== 1) {
    const found = given.length === 0 ? 'none' : given.join(' and ')
    throw new TypeError(`fallback: expects exactly one of value, respond and upstream, got ${found}`)
  }
  const { value, respond, upstream } = options
  if (value !== undefined) return { kind: 'value', answer: new PreparedAnswer('fallback: value', value) }
  if (respond !== undefined) return { kind: 'function', respond: checkFunction('fallback: respond', respond) }
  if (upstream instanceof Dispatcher || typeof (upstream as Partial<Dispatcher>).dispatch === 'function') {
    const dispatcher = upstream as Dispatcher
    return { kind: 'upstream', dispatch: dispatchOf(dispatcher), origin: null }
  }
  const origin = checkOrigin('fallback: upstream', upstream, 'an http(s) origin or a Dispatcher')
  return { kind: 'upstream', dispatch: null, origin }
}

function checkFallback(options: FallbackOptions): Pick<FallbackPlan, 'source' | 'replayLimit' | 'on'> {
  checkOptions('fallback', options, [...sources, 'on', 'replayLimit'])
  const { on, replayLimit = fallbackDefaults.replayLimit } = options
  if (on !== undefined) checkFunction('fallback: on', on)
  checkNumber('fallback: replayLimit', replayLimit, { min: 0, integer: true })
  return { source: sourceOf(options), replayLimit, on }
}

class Counted {
  readonly idle = true
  served = 0
  failed = 0
}

class Tally implements FallbackTally {
  readonly origins = new PerOrigin(() => new Counted())

  served(origin: string): void {
    this.origins.get(origin).served++
  }

  failed(origin: string): void {
    this.origins.get(origin).failed++
  }
}

/**
 * Answers in the place of a call that failed, or was refused, after everything below had its say: with a value, with what
 * a function makes, or with the answer of another upstream. {@link isFallback} tells such an answer from a real one. Never
 * where the caller aborted, or sent what is invalid; never for an upgrade or CONNECT; never once bytes of a response have
 * reached the caller.
 *
 * Where nothing can take its place (the function says `undefined` or fails, the other upstream gives no response) the
 * caller gets the failure as it was, a response with its body. Place it below `tracing()` and `logging()`, above
 * `deadline()`, `retry()` and `hedge()`.
 *
 * @throws RangeError, TypeError for options that are out of range, and for none or several of the three.
 */
export function fallback(options: FallbackOptions): FallbackLayer {
  let current = options
  const tally = new Tally()
  const falling: FallbackPlan = { ...checkFallback(options), tally }
  const build: ChainBuilder = (stages, inner, keeper) =>
    repeatDispatch('fallback', new FallbackLevel(new CallPlan(stages, inner, keeper), falling))
  const layer = layerOf(
    { name: 'fallback', build, options: () => effectiveOptions(fallbackDefaults, current) },
    (dispatch) => build([], withEdge(dispatch), null),
  )
  const update = (changes: Partial<FallbackOptions>) => {
    const { value, respond, upstream, ...kept } = current
    const isReplaced = sources.some((name) => changes[name] !== undefined)
    const next: FallbackOptions = { ...(isReplaced ? kept : current), ...changes }
    Object.assign(falling, checkFallback(next))
    current = next
  }
  const state = () => {
    const views: Record<string, FallbackView> = {}
    for (const [origin, { served, failed }] of tally.origins) views[origin] = { served, failed }
    return views
  }
  return Object.assign(layer, { update, state })
}
