import { bounded, isSpare, type LimitAlgorithm, type LimitSettings, type WindowSummary } from './limit-algorithm.ts'

const backoffRatio = 0.9

/**
 * Additive increase, multiplicative decrease: one more while nothing is dropped, a tenth less when something is. After
 * Netflix's `AIMDLimit` (concurrency-limits), which took it from TCP (Chiu and Jain, "Analysis of the Increase and Decrease
 * Algorithms for Congestion Avoidance in Computer Networks", 1989). It sees a crowd only by what is dropped or slow.
 */
export class AimdLimit implements LimitAlgorithm {
  readonly baseline = 0
  readonly settleTime = 0
  #settings: LimitSettings
  #limit: number

  constructor(initialLimit: number, settings: LimitSettings) {
    this.#settings = settings
    this.#limit = bounded(initialLimit, settings)
  }

  get limit(): number {
    return this.#limit
  }

  step({ rtt, inUse, dropped }: WindowSummary): void {
    const limit = this.#limit
    if (dropped || rtt > this.#settings.slowAfter)
      this.#limit = bounded(Math.floor(limit * backoffRatio), this.#settings)
    else if (!isSpare(inUse, limit)) this.#limit = bounded(limit + 1, this.#settings)
  }

  configure(settings: LimitSettings): void {
    this.#settings = settings
    this.#limit = bounded(this.#limit, settings)
  }
}
