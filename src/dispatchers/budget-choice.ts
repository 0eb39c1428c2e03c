import { checkFunction, show } from '../policies/options.ts'
import type { Scope } from '../policies/policy.ts'
import {
  type ControlledBudget,
  type RetryBudget,
  type RetryBudgetOptions,
  type RetryBudgetView,
  retryBudget,
} from '../policies/retry-budget.ts'

/** What a layer that sends calls more than once was told about its budget: the option `budget` of `retry()` and `hedge()`. */
export class BudgetChoice {
  readonly #layer: string
  // Made here, and changed here.
  #own: ControlledBudget<RetryBudgetOptions> | null = null
  #current: RetryBudget | null = null

  constructor(layer: string) {
    this.#layer = layer
  }

  /** The budget that an option means: `undefined` one of its own by default, `false` none. Throws where it means none. */
  take(option: RetryBudget | RetryBudgetOptions | false | undefined): RetryBudget | null {
    this.#current = this.#chosen(option)
    return this.#current
  }

  /** The origins it has seen, where it can tell. */
  origins(): readonly string[] {
    const current = this.#current instanceof GivenBudget ? this.#current.budget : this.#current
    const { state } = (current ?? {}) as Partial<ControlledBudget<object>>
    return typeof state === 'function' ? Object.keys(state.call(current)) : []
  }

  #chosen(option: RetryBudget | RetryBudgetOptions | false | undefined): RetryBudget | null {
    if (option === false) return null
    if (isBudget(option)) return given(option)
    if (option !== undefined && (typeof option !== 'object' || option === null)) {
      throw new TypeError(`${this.#layer}: budget must be a budget, options for one, or false, got ${show(option)}`)
    }
    // One that is in use goes on counting.
    if (this.#own !== null && this.#own === this.#current) this.#own.update(option ?? {})
    else this.#own = retryBudget(option)
    return this.#own
  }
}

function isBudget(option: unknown): option is RetryBudget {
  if (typeof option !== 'object' || option === null || !('withdraw' in option)) return false
  const { deposit, record, withdraw } = option as RetryBudget
  checkFunction('budget.deposit', deposit)
  checkFunction('budget.record', record)
  checkFunction('budget.withdraw', withdraw)
  return true
}

/** A budget that somebody gave. One in plain JavaScript may throw, which must not end up in a transport's callback. */
class GivenBudget implements RetryBudget {
  readonly budget: RetryBudget

  constructor(budget: RetryBudget) {
    this.budget = budget
  }

  deposit(scope: Pick<Scope, 'origin'>, now: number): void {
    try {
      this.budget.deposit(scope, now)
    } catch (error) {
      process.emitWarning(error as Error)
    }
  }

  record(scope: Pick<Scope, 'origin'>, failed: boolean): void {
    try {
      this.budget.record(scope, failed)
    } catch (error) {
      process.emitWarning(error as Error)
    }
  }

  /** Not allowed is what does no harm. */
  withdraw(scope: Pick<Scope, 'origin' | 'note'>, now: number): boolean {
    try {
      return this.budget.withdraw(scope, now) === true
    } catch (error) {
      process.emitWarning(error as Error)
      return false
    }
  }

  view(origin: string, now: number): RetryBudgetView | undefined {
    return this.budget.view?.(origin, now)
  }
}

const known = new WeakMap<RetryBudget, GivenBudget>()

// The same for all layers it is given to: by that a call knows that it has been counted.
function given(budget: RetryBudget): GivenBudget {
  let made = known.get(budget)
  if (made === undefined) {
    made = new GivenBudget(budget)
    known.set(budget, made)
  }
  return made
}
