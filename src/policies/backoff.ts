import {
  ConstantBackoff,
  DelegateBackoff,
  ExponentialBackoff,
  type GeneratorFn,
  type IBackoffFactory,
  IterableBackoff,
} from 'cockatiel'
import { checkFunction, checkNumber, checkOptions } from './options.ts'

// The sequences are cockatiel's: each step is an immutable object that knows the next. Its jitter is not used, because
// its generators call Math.random themselves, so that no test could repeat a run; and its generators without jitter and
// with full jitter double whatever `exponent` says. ExponentialBackoff takes a generator, so ours go in there.

/** How the waits of one call follow each other. */
export interface Backoff {
  /** The next wait in milliseconds, from 0 to the longest allowed. */
  next(): number
}

/**
 * How a wait is drawn.
 *
 * - `decorrelated`: around the exponential sequence, smoothly spread, so that callers that failed together do not come
 *   back together (Polly's DecorrelatedJitterBackoffV2).
 * - `full`: evenly from 0 to the exponential value (AWS Architecture Blog, "Exponential Backoff And Jitter").
 * - `none`: exactly the exponential value.
 */
export type Jitter = 'decorrelated' | 'full' | 'none'

/** Options of an exponential backoff. */
export interface ExponentialBackoffOptions {
  /**
   * The first wait before jitter, in milliseconds.
   * @default 100
   */
  readonly initialDelay?: number
  /**
   * The longest wait, in milliseconds.
   * @default 5_000
   */
  readonly maxDelay?: number
  /**
   * What each wait is multiplied by to give the next, at least 1.
   * @default 2
   */
  readonly exponent?: number
  /**
   * How a wait is drawn.
   * @default 'decorrelated'
   */
  readonly jitter?: Jitter
  /**
   * A number from 0 (included) to 1 (excluded).
   * @default Math.random
   */
  readonly random?: () => number
}

/**
 * How long to wait before each retry: exponential options, the same number of milliseconds each time, a list (whose last
 * value repeats), or a function of the number of the retry, from 1. What a function gives is brought between 0 and the
 * longest wait; one that throws or gives no number means the longest wait.
 */
export type BackoffOptions = ExponentialBackoffOptions | number | readonly number[] | ((retry: number) => number)

/** What a backoff does unless told otherwise. */
export const backoffDefaults = Object.freeze({
  initialDelay: 100,
  maxDelay: 5_000,
  exponent: 2,
  jitter: 'decorrelated' as Jitter,
})

/** What surrounds a backoff: the bound of the retries it belongs to, and their source of chance. */
export interface BackoffBounds {
  /**
   * No wait may be longer, in milliseconds.
   * @default the backoff's own `maxDelay`
   */
  readonly maxDelay?: number | undefined
  /**
   * A number from 0 (included) to 1 (excluded), where the backoff has none of its own.
   * @default Math.random
   */
  readonly random?: (() => number) | undefined
}

// What a timer can hold.
const longestDelay = 2 ** 31 - 1

/**
 * Checks the options once and returns what begins a sequence for one call.
 *
 * Throws a `TypeError` or `RangeError` that names the option, its value and its range.
 */
export function createBackoff(options: BackoffOptions = {}, bounds: BackoffBounds = {}): () => Backoff {
  const limit = bounds.maxDelay ?? longestDelay
  if (typeof options === 'function') return () => new Sequence(delegate(options, limit), limit)
  if (typeof options === 'number') {
    const constant = new ConstantBackoff(checkNumber('backoff', options, { min: 0, max: limit }))
    return () => new Sequence(constant, limit)
  }
  if (Array.isArray(options)) {
    if (options.length === 0) throw new RangeError('backoff must hold at least one delay, got an empty array')
    const delays = options.map((delay, index) => checkNumber(`backoff[${index}]`, delay, { min: 0, max: limit }))
    const list = new IterableBackoff(delays)
    return () => new Sequence(list, limit)
  }
  return exponential(options as ExponentialBackoffOptions, bounds)
}

function exponential(options: ExponentialBackoffOptions, bounds: BackoffBounds): () => Backoff {
  checkOptions('backoff', options, [...Object.keys(backoffDefaults), 'random'])
  const limit = bounds.maxDelay ?? longestDelay
  const maxDelay = checkNumber('backoff.maxDelay', options.maxDelay ?? Math.min(backoffDefaults.maxDelay, limit), {
    min: 0,
    max: limit,
  })
  const initialDelay = checkNumber(
    'backoff.initialDelay',
    options.initialDelay ?? Math.min(backoffDefaults.initialDelay, maxDelay),
    { min: 0, max: maxDelay },
  )
  const exponent = checkNumber('backoff.exponent', options.exponent ?? backoffDefaults.exponent, { min: 1 })
  const random = checkFunction('backoff.random', options.random ?? bounds.random ?? Math.random)
  const { jitter = backoffDefaults.jitter } = options
  if (!Object.hasOwn(generators, jitter)) {
    throw new TypeError(`backoff.jitter must be one of ${Object.keys(generators).join(', ')}, got ${String(jitter)}`)
  }
  const generator = generators[jitter](random)
  const factory = new ExponentialBackoff<Step>({ generator, maxDelay, initialDelay, exponent })
  return () => new Sequence(factory, maxDelay)
}

/** How many waits there were, and the sum the decorrelated ones had reached. */
interface Step {
  readonly retries: number
  readonly reached: number
}

const first: Step = { retries: 0, reached: 0 }

// From Polly: the first smooths the start of the curve, the second brings the medians to the round values.
const decorrelatedFactor = 4
const decorrelatedScale = 1 / 1.4

const generators: Record<Jitter, (random: () => number) => GeneratorFn<Step>> = {
  none:
    () =>
    ({ retries, reached } = first, { initialDelay, exponent }) => [
      initialDelay * exponent ** retries,
      { retries: retries + 1, reached },
    ],
  full:
    (random) =>
    ({ retries, reached } = first, { initialDelay, exponent, maxDelay }) => [
      random() * Math.min(maxDelay, initialDelay * exponent ** retries),
      { retries: retries + 1, reached },
    ],
  // https://github.com/Polly-Contrib/Polly.Contrib.WaitAndRetry: Backoff.DecorrelatedJitterV2
  decorrelated:
    (random) =>
    ({ retries, reached } = first, { initialDelay, exponent }) => {
      const at = retries + random()
      const next = exponent ** at * Math.tanh(Math.sqrt(decorrelatedFactor * at))
      return [(next - reached) * decorrelatedScale * initialDelay, { retries: retries + 1, reached: next }]
    },
}

function delegate(delayOf: (retry: number) => number, longest: number): IBackoffFactory<undefined> {
  return new DelegateBackoff<undefined, number>((_, retry = 1) => {
    let delay = longest
    try {
      const given = delayOf(retry)
      if (typeof given === 'number') delay = given
    } catch {
      // A mistake in somebody's function must neither end the call nor hurry it.
    }
    return { delay, state: retry + 1 }
  })
}

/** Where one call has come to in a sequence. */
class Sequence implements Backoff {
  #at: IBackoffFactory<undefined>
  readonly #longest: number

  constructor(start: IBackoffFactory<undefined>, longest: number) {
    this.#at = start
    this.#longest = longest
  }

  next(): number {
    const step = this.#at.next(undefined)
    this.#at = step
    const { duration } = step
    if (duration <= 0) return 0
    if (duration < this.#longest) return duration
    // Also for NaN: the powers overflow in the end, and a function may return anything.
    return this.#longest
  }
}
