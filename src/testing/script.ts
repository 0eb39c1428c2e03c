import { checkFunction } from '../policies/options.ts'
import { checkOneOf, checkStep, type Script, type ScriptOptions, type StepFunction, type StepOptions } from './step.ts'

/** What one request gets: a step, or a function that makes it. */
export type Answer = StepOptions | StepFunction

/** The steps of one path, and how far they have been played. */
export class ScriptQueue {
  readonly #steps: readonly Answer[]
  readonly #afterLast: 'repeat' | 'restart' | 'default'
  #next = 0

  constructor(script: Script, { afterLast = 'repeat' }: ScriptOptions = {}) {
    const steps = Array.isArray(script) ? script : [script]
    if (steps.length === 0) throw new RangeError('a script must have at least one step, got none')
    checkOneOf('afterLast', afterLast, ['repeat', 'restart', 'default'])
    this.#steps = steps.map((step) => (typeof step === 'function' ? checkFunction('step', step) : checkStep(step)))
    this.#afterLast = afterLast
  }

  /** The next step; `undefined` where the steps are used up and the default script takes over. */
  take(): Answer | undefined {
    if (this.#next < this.#steps.length) return this.#steps[this.#next++]
    if (this.#afterLast === 'default') return undefined
    if (this.#afterLast === 'repeat') return this.#steps.at(-1)
    this.#next = 1
    return this.#steps[0]
  }
}
