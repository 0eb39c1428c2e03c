import { checkBoolean, checkNumber, checkOptions } from './options.ts'
import { PerOrigin } from './per-origin.ts'
import type { Scope } from './policy.ts'
import { BudgetAnswers, type ControlledBudget, type RetryBudgetView, viewsOf } from './retry-budget.ts'

/** Options of {@link retryThrottle}. */
export interface RetryThrottleOptions {
  /**
   * How many tokens an origin begins with and can have, above 0, at most 1000.
   * @default 10
   */
  readonly maxTokens?: number
  /**
   * What a success adds, above 0; a failure takes 1. Counted in thousandths.
   * @default 0.1
   */
  readonly tokenRatio?: number
  /**
   * Refuses nothing: only counts and notes what it would have refused.
   * @default false
   */
  readonly shadow?: boolean
}

/** What a retry throttle does unless told otherwise: the values of the example in gRPC's proposal A6. */
export const retryThrottleDefaults = Object.freeze({ maxTokens: 10, tokenRatio: 0.1, shadow: false })

type Settings = Required<RetryThrottleOptions>

function checkThrottle(options: RetryThrottleOptions): Settings {
  checkOptions('retryThrottle', options, Object.keys(retryThrottleDefaults))
  const { maxTokens, tokenRatio, shadow } = retryThrottleDefaults
  return {
    maxTokens: checkNumber('retryThrottle: maxTokens', options.maxTokens ?? maxTokens, { min: 0.001, max: 1000 }),
    tokenRatio: checkNumber('retryThrottle: tokenRatio', options.tokenRatio ?? tokenRatio, { min: 0.001, max: 1000 }),
    shadow: checkBoolean('retryThrottle: shadow', options.shadow ?? shadow),
  }
}

// In thousandths, as A6 counts: ten times 0.1 is then exactly 1.
const scale = 1000

/** The tokens of one origin. */
class Tokens {
  readonly answers = new BudgetAnswers()
  count: number
  max: number

  constructor({ maxTokens }: Settings) {
    this.max = Math.round(maxTokens * scale)
    this.count = this.max
  }

  /** Whether a new one would be the same. */
  get idle(): boolean {
    return this.count === this.max
  }

  get allows(): boolean {
    return this.count * 2 > this.max
  }

  add(thousandths: number): void {
    this.count = Math.min(this.max, Math.max(0, this.count + thousandths))
  }

  /** Another most: what is there stays the same share of it. */
  resize({ maxTokens }: Settings): void {
    const max = Math.round(maxTokens * scale)
    this.count = Math.round((this.count / this.max) * max)
    this.max = max
  }
}

class TokenBudget implements ControlledBudget<RetryThrottleOptions> {
  #settings: Settings
  #gain: number
  readonly #origins = new PerOrigin(() => new Tokens(this.#settings))

  constructor(options: RetryThrottleOptions) {
    this.#settings = checkThrottle(options)
    this.#gain = Math.round(this.#settings.tokenRatio * scale)
  }

  deposit(): void {}

  record({ origin }: Pick<Scope, 'origin'>, failed: boolean): void {
    this.#origins.get(origin).add(failed ? -scale : this.#gain)
  }

  withdraw(scope: Pick<Scope, 'origin' | 'note'>): boolean {
    const { answers, allows } = this.#origins.get(scope.origin)
    return answers.give(allows, this.#settings.shadow, scope)
  }

  update(options: Partial<RetryThrottleOptions>): void {
    this.#settings = checkThrottle({ ...this.#settings, ...options })
    this.#gain = Math.round(this.#settings.tokenRatio * scale)
    for (const [, tokens] of this.#origins) tokens.resize(this.#settings)
  }

  view(origin: string): RetryBudgetView | undefined {
    const tokens = this.#origins.peek(origin)
    if (tokens === undefined) return undefined
    const { granted, refused, shadowRefused } = tokens.answers
    // As many failures as it bears: each retry that fails takes a token.
    const left = tokens.allows ? Math.ceil((tokens.count * 2 - tokens.max) / (2 * scale)) : 0
    return { left, granted, refused, shadowRefused }
  }

  state(): Readonly<Record<string, RetryBudgetView>> {
    return viewsOf(this, this.#origins, 0)
  }
}

/**
 * A budget by tokens: a failure takes one, a success adds `tokenRatio`, and nothing is sent again while there are half of
 * `maxTokens` or fewer. It knows no time: an origin that fails is asked once a call until enough calls go well. Per
 * origin, and for all layers it is given to together.
 *
 * Source: gRPC proposal A6, "Throttling Retry Attempts and Hedged RPCs".
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function retryThrottle(options: RetryThrottleOptions = {}): ControlledBudget<RetryThrottleOptions> {
  return new TokenBudget(options)
}
