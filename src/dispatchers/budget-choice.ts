import { checkFunction, show } from '../policies/options.ts'
import {
  type ControlledBudget,
  type RetryBudget,
  type RetryBudgetOptions,
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
    const { state } = (this.#current ?? {}) as { state?: unknown }
    return typeof state === 'function' ? Object.keys((this.#current as ControlledBudget<object>).state()) : []
  }

  #chosen(option: RetryBudget | RetryBudgetOptions | false | undefined): RetryBudget | null {
    if (option === false) return null
    if (isBudget(option)) return option
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
