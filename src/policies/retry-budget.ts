import { checkBoolean, checkNumber, checkOptions } from './options.ts'
import { PerOrigin } from './per-origin.ts'
import type { Scope } from './policy.ts'
import { SlidingWindow } from './sliding-window.ts'

/** How the budget of one origin stands. */
export interface RetryBudgetView {
  /** How many more sends it would allow now, each on top of a call's first. */
  readonly left: number
  /** Sends it allowed so far. */
  readonly granted: number
  /** Sends it refused so far. */
  readonly refused: number
  /** Sends it would have refused, had it not run in shadow. */
  readonly shadowRefused: number
}

/**
 * Bounds what retries and hedges add to the traffic of an origin. One budget can be given to several layers, also of
 * several chains. `retryBudget()` and `retryThrottle()` make one; one of your own needs these methods, must not throw
 * and must not take long: they are called for every call.
 */
export interface RetryBudget {
  /**
   * A call goes on to the transport, or to a queue, for the first time; one that is refused before does not count. Once a
   * call, however often it is sent and however many layers share the budget, and once more for each other origin that a
   * redirect takes it to.
   *
   * @param now milliseconds of `performance.now()`
   */
  deposit(scope: Pick<Scope, 'origin'>, now: number): void
  /**
   * An attempt is over: well, or with a failure that another attempt could mend, or with the server's word not to try
   * again. Not told of what says nothing about the server: aborts, refusals by the kit, hedges that lost.
   */
  record(scope: Pick<Scope, 'origin'>, failed: boolean): void
  /**
   * Asks for one more send; `true` takes it. Asked last, when everything else has said yes, and before any wait.
   *
   * @param now milliseconds of `performance.now()`
   */
  withdraw(scope: Pick<Scope, 'origin' | 'note'>, now: number): boolean
  /** How the budget of an origin stands; `undefined` if it does not know it. */
  view?(origin: string, now: number): RetryBudgetView | undefined
}

/** A budget that can be read and changed while it runs. */
export interface ControlledBudget<Options extends object> extends RetryBudget {
  /**
   * Takes over the given options, and keeps the others; holds from the next decision on.
   *
   * @throws RangeError, TypeError for options that are out of range; then nothing has been changed.
   */
  update(options: Partial<Options>): void
  view(origin: string, now: number): RetryBudgetView | undefined
  /** How the budgets of all origins stand now. */
  state(): Readonly<Record<string, RetryBudgetView>>
}

/** Counts what a budget of one origin answered, and leaves a refusal on the scope. */
export class BudgetAnswers {
  granted = 0
  refused = 0
  shadowRefused = 0

  /** What `withdraw` returns where the budget itself says `allowed`. */
  give(allowed: boolean, shadow: boolean, scope: Pick<Scope, 'note'>): boolean {
    if (allowed) this.granted++
    else if (shadow) {
      this.shadowRefused++
      scope.note('retry.budget.shadow', 'exhausted')
    } else {
      this.refused++
      scope.note('retry.budget', 'exhausted')
    }
    return allowed || shadow
  }
}

/** Options of {@link retryBudget}. */
export interface RetryBudgetOptions {
  /**
   * What may be sent again, as a share of the calls in the window, from 0 to 1000.
   * @default 0.2
   */
  readonly share?: number
  /**
   * How far back calls and repeats are counted, in milliseconds, from 1000 to 60 000.
   * @default 10_000
   */
  readonly window?: number
  /**
   * What may be sent again besides, however little traffic there is: so many a second, averaged over the window.
   * @default 10
   */
  readonly minPerSecond?: number
  /**
   * Refuses nothing: only counts and notes what it would have refused.
   * @default false
   */
  readonly shadow?: boolean
}

/** What a retry budget does unless told otherwise: the values of Finagle and Linkerd. */
export const retryBudgetDefaults = Object.freeze({ share: 0.2, window: 10_000, minPerSecond: 10, shadow: false })

type Settings = Required<RetryBudgetOptions>

function checkBudget(options: RetryBudgetOptions): Settings {
  checkOptions('retryBudget', options, Object.keys(retryBudgetDefaults))
  const { share, window, minPerSecond, shadow } = retryBudgetDefaults
  return {
    share: checkNumber('retryBudget: share', options.share ?? share, { min: 0, max: 1000 }),
    window: checkNumber('retryBudget: window', options.window ?? window, { min: 1000, max: 60_000 }),
    minPerSecond: checkNumber('retryBudget: minPerSecond', options.minPerSecond ?? minPerSecond, { min: 0 }),
    shadow: checkBoolean('retryBudget: shadow', options.shadow ?? shadow),
  }
}

// Shares of counts come out a hair below the whole number they mean: 0.29 of 100 is 28.999999999999996.
const hair = 1e-9

/** The budget of one origin. */
class Account {
  readonly answers = new BudgetAnswers()
  readonly #books: ShareBudget
  #length: number
  // A window drops its oldest twentieth at once. Calls are counted over at most the window, and repeats over at least
  // it, so that in no window there are more repeats than its calls allow.
  #calls: SlidingWindow
  #repeats: SlidingWindow

  constructor(books: ShareBudget) {
    this.#books = books
    this.#length = books.settings.window
    this.#calls = new SlidingWindow(this.#length)
    this.#repeats = new SlidingWindow((this.#length * 20) / 19)
  }

  /** Whether nothing was sent again for so long that a new account would allow no more. */
  get idle(): boolean {
    this.#advance(this.#books.latest)
    return this.#repeats.calls === 0
  }

  deposit(now: number): void {
    if (this.#length !== this.#books.settings.window) this.#anew()
    this.#calls.add(now, false, false)
  }

  left(now: number): number {
    this.#advance(now)
    const { share, window, minPerSecond } = this.#books.settings
    const allowed = share * this.#calls.calls + (minPerSecond * window) / 1000
    return Math.max(0, Math.floor(allowed + hair) - this.#repeats.calls)
  }

  withdraw(now: number): boolean {
    const isLeft = this.left(now) > 0
    if (isLeft) this.#repeats.add(now, false, false)
    return isLeft
  }

  #advance(now: number): void {
    if (this.#length !== this.#books.settings.window) this.#anew()
    this.#calls.advance(now)
    this.#repeats.advance(now)
  }

  #anew(): void {
    this.#length = this.#books.settings.window
    this.#calls = new SlidingWindow(this.#length)
    this.#repeats = new SlidingWindow((this.#length * 20) / 19)
  }
}

class ShareBudget implements ControlledBudget<RetryBudgetOptions> {
  settings: Settings
  /** The latest time somebody came with. */
  latest = Number.NEGATIVE_INFINITY
  readonly #accounts = new PerOrigin(() => new Account(this))

  constructor(options: RetryBudgetOptions) {
    this.settings = checkBudget(options)
  }

  deposit({ origin }: Pick<Scope, 'origin'>, now: number): void {
    this.latest = now
    this.#accounts.get(origin).deposit(now)
  }

  record(): void {}

  withdraw(scope: Pick<Scope, 'origin' | 'note'>, now: number): boolean {
    this.latest = now
    const account = this.#accounts.get(scope.origin)
    return account.answers.give(account.withdraw(now), this.settings.shadow, scope)
  }

  update(options: Partial<RetryBudgetOptions>): void {
    this.settings = checkBudget({ ...this.settings, ...options })
  }

  view(origin: string, now: number): RetryBudgetView | undefined {
    const account = this.#accounts.peek(origin)
    if (account === undefined) return undefined
    const { granted, refused, shadowRefused } = account.answers
    return { left: account.left(now), granted, refused, shadowRefused }
  }

  state(): Readonly<Record<string, RetryBudgetView>> {
    return viewsOf(this, this.#accounts, performance.now())
  }
}

/** The views of all origins a budget knows. */
export function viewsOf(
  budget: Required<Pick<RetryBudget, 'view'>>,
  origins: Iterable<readonly [string, unknown]>,
  now: number,
): Readonly<Record<string, RetryBudgetView>> {
  const views: Record<string, RetryBudgetView> = {}
  for (const [origin] of origins) {
    const view = budget.view(origin, now)
    if (view !== undefined) views[origin] = view
  }
  return views
}

/**
 * A budget by share of traffic: within any window no more is sent again than `share` of the calls that were made, plus
 * `minPerSecond` for every second of it, so that a program with little traffic can retry as well. Per origin, and for
 * all layers it is given to together.
 *
 * Source: Finagle's `RetryBudget`, whose values the defaults are (a fifth, 10 s, 10 a second); Linkerd's and tower's are
 * the same. Of Envoy's `retry_budget` it has the share (`budget_percent: 20`), counted over time and not at one moment.
 *
 * @throws RangeError, TypeError for options that are out of range.
 */
export function retryBudget(options: RetryBudgetOptions = {}): ControlledBudget<RetryBudgetOptions> {
  return new ShareBudget(options)
}
