import { bounded, isSpare, type LimitAlgorithm, type LimitSettings, type WindowSummary } from './limit-algorithm.ts'

const warmup = 10

/** A mean that forgets: of the first ten values all count alike, later ones by 2 / (window + 1). */
export class ExponentialAverage {
  value = 0
  readonly #factor: number
  #count = 0

  constructor(window: number) {
    this.#factor = 2 / (window + 1)
  }

  add(value: number): void {
    this.#count++
    this.value += (value - this.value) * (this.#count <= warmup ? 1 / this.#count : this.#factor)
  }
}

// The defaults of Netflix.
const longWindow = 600
const tolerance = 1.5
const queue = 4
const smoothing = 0.2
const smallestGradient = 0.5
// Where the long mean is more than twice the present, a crowd has gone: it forgets faster then.
const recoveryFactor = 0.95

/**
 * Compares the time to the head with its own mean over a long while: the limit shrinks with their ratio, and grows by a
 * small queue. After Netflix's `Gradient2Limit` (concurrency-limits), its formula and defaults. What lasts becomes the
 * measure: under a crowd that does not end, the limit rises slowly to its ceiling.
 */
export class Gradient2Limit implements LimitAlgorithm {
  readonly settleTime = 0
  readonly #long = new ExponentialAverage(longWindow)
  #settings: LimitSettings
  #limit: number

  constructor(initialLimit: number, settings: LimitSettings) {
    this.#settings = settings
    this.#limit = bounded(initialLimit, settings)
  }

  get limit(): number {
    return this.#limit
  }

  get baseline(): number {
    return this.#long.value
  }

  step({ rtt, inUse }: WindowSummary): void {
    // Everything was dropped: there is no time to compare.
    if (rtt === 0) return
    const limit = this.#limit
    this.#long.add(rtt)
    const long = this.#long.value
    if (long / rtt > 2) this.#long.value *= recoveryFactor
    if (isSpare(inUse, limit)) return
    const gradient = Math.max(smallestGradient, Math.min(1, (tolerance * long) / rtt))
    this.#limit = bounded(limit * (1 - smoothing) + (limit * gradient + queue) * smoothing, this.#settings)
  }

  configure(settings: LimitSettings): void {
    this.#settings = settings
    this.#limit = bounded(this.#limit, settings)
  }
}
