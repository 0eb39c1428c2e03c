import { bounded, isSpare, type LimitAlgorithm, type LimitSettings, type WindowSummary } from './limit-algorithm.ts'

/** How a {@link VegasLimit} moves, each by the limit it stands at. */
export interface VegasSteps {
  /** With fewer calls than this in the server's queue the limit rises. */
  readonly alpha: (limit: number) => number
  /** With more than this it falls. */
  readonly beta: (limit: number) => number
  /** With no more than this it rises by beta at once. */
  readonly threshold: (limit: number) => number
  readonly increase: (limit: number) => number
  readonly decrease: (limit: number) => number
}

function logarithm(limit: number): number {
  return Math.max(1, Math.floor(Math.log10(limit)))
}

// A twentieth, so that a large limit has moved as soon as a small one; of small ones the steps are Netflix's.
function stride(limit: number): number {
  return Math.max(logarithm(limit), 0.05 * limit)
}

/** Alpha and beta are the tenth and the fifth of the limit that Netflix's comment names, with less for a small one. */
export const vegasSteps: VegasSteps = {
  alpha: (limit) => Math.max(2, 0.1 * limit),
  beta: (limit) => Math.max(3, 0.2 * limit),
  threshold: logarithm,
  increase: (limit) => limit + stride(limit),
  decrease: (limit) => limit - stride(limit),
}

// In windows. After the first few, to mend a baseline that was taken from a crowd.
const firstProbe = 3
const probeInterval = 120
const probeAfterSpeedUp = 4
// A probe costs refusals: where there are none without it, it waits for so many times the interval.
const postponement = 3
// Below 1 minus beta's share, so that a probe finds the queue that the limit itself allows drained.
const probeShare = 0.7
// A time to the head that falls by more than 0.15 with less under way had a queue in it; one that is faster by a
// fifth is no chance.
const same = 0.85
const faster = 0.8
// Where demand is that much below the limit, it is demand that counts.
const slack = 1.25

/**
 * Estimates how many of the calls under way wait in the server's queue, by how much longer they take than in a server
 * without one: `limit * (1 - baseline / rtt)`; the limit rises while that is short and falls while it is long. After
 * Netflix's `VegasLimit` (concurrency-limits), which took it from TCP Vegas (Brakmo and Peterson, 1995).
 *
 * It differs in how it learns the baseline. Netflix takes the least mean of a window, which chance makes too small, and now
 * and then the present one, which has a queue in it. Here a baseline is measured by a probe: windows with 0.7 of what is
 * in use, and with less, until the time does not fall any more. And where it does not fall while the limit comes down, the
 * server has become slower: that is the new baseline.
 */
export class VegasLimit implements LimitAlgorithm {
  readonly #random: () => number
  readonly #steps: VegasSteps
  #settings: LimitSettings
  #estimate: number
  #baseline = 0
  #settleTime = 0
  // How many calls a probe leaves; 0 without one.
  #probe = 0
  // Before it: what was answered a millisecond, and the time to the head.
  #throughput = 0
  #rttBefore = 0
  #windowsToProbe = firstProbe
  #postponed = false
  // Calls under way when the limit began to fall, 0 while it does not, and the longest time to the head since.
  #fallingFrom = 0
  #fallingRtt = 0

  constructor(initialLimit: number, settings: LimitSettings, random: () => number, steps: VegasSteps = vegasSteps) {
    this.#settings = settings
    this.#estimate = bounded(initialLimit, settings)
    this.#random = random
    this.#steps = steps
  }

  get limit(): number {
    return this.#probe === 0 ? this.#estimate : this.#probe
  }

  get baseline(): number {
    return this.#baseline
  }

  get settleTime(): number {
    return this.#settleTime
  }

  configure(settings: LimitSettings): void {
    this.#settings = settings
    this.#estimate = bounded(this.#estimate, settings)
    if (this.#probe > 0) this.#probe = bounded(this.#probe, settings)
  }

  step(window: WindowSummary): void {
    this.#settleTime = 0
    const { rtt } = window
    if (rtt === 0) {
      this.#endProbe()
      this.#move(window)
    } else if (this.#probe > 0) {
      this.#goOnProbing(rtt)
    } else if (--this.#windowsToProbe <= 0) {
      this.#beginProbe(window)
    } else if (this.#baseline === 0) {
      this.#baseline = rtt
    } else {
      if (rtt < faster * this.#baseline) this.#speedUp(rtt)
      this.#move(window)
    }
  }

  #beginProbe({ rtt, inUse, refused }: WindowSummary): void {
    if (isSpare(inUse, this.#estimate)) {
      // Nothing of ours waits there: this is the time without a queue.
      this.#baseline = rtt
      this.#endProbe()
    } else if (!refused && !this.#postponed) {
      this.#postponed = true
      this.#windowsToProbe = postponement * probeInterval
    } else {
      // Of the limit more may be left than anybody has used.
      this.#throughput = Math.min(inUse, this.#estimate) / rtt
      this.#lower(rtt, Math.min(inUse, this.#estimate))
    }
  }

  #lower(rtt: number, from: number): void {
    this.#probe = bounded(probeShare * from, this.#settings)
    this.#rttBefore = rtt
    this.#settleTime = 2 * rtt
  }

  #goOnProbing(rtt: number): void {
    this.#baseline = rtt
    const drains = rtt < same * this.#rttBefore && this.#probe > this.#settings.minLimit
    if (drains) {
      this.#lower(rtt, this.#probe)
    } else {
      // By Little's law: what is under way where nothing waits. What was beyond that, and beta, waited.
      const enough = this.#throughput * rtt + this.#steps.beta(this.#estimate)
      this.#estimate = bounded(Math.min(this.#estimate, enough), this.#settings)
      this.#endProbe()
    }
    // What is measured next began under the probe's limit.
    this.#settleTime = Math.max(this.#settleTime, rtt)
  }

  #endProbe(): void {
    this.#probe = 0
    this.#postponed = false
    this.#fallingFrom = 0
    // Not all clients of a server at the same time.
    this.#windowsToProbe = Math.ceil(probeInterval * (0.5 + 0.5 * this.#random()))
  }

  #speedUp(rtt: number): void {
    this.#baseline += 0.5 * (rtt - this.#baseline)
    this.#windowsToProbe = Math.min(this.#windowsToProbe, probeAfterSpeedUp)
    this.#fallingFrom = 0
  }

  #move({ rtt, inUse, dropped }: WindowSummary): void {
    const estimate = this.#estimate
    const { alpha, beta, threshold, increase, decrease } = this.#steps
    let next = estimate
    if (dropped) {
      next = decrease(estimate)
    } else if (!isSpare(inUse, estimate)) {
      const used = Math.min(estimate, inUse)
      const queue = Math.ceil(used * (1 - this.#baseline / rtt))
      if (queue <= threshold(estimate)) next = estimate + beta(estimate)
      else if (queue < alpha(estimate)) next = increase(estimate)
      else if (queue > beta(estimate) && !this.#isSlower(rtt, used)) next = decrease(Math.min(estimate, slack * used))
    }
    if (next > estimate) this.#fallingFrom = 0
    this.#estimate = bounded(next, this.#settings)
  }

  // A queue gets shorter as the limit falls. Where the time to the head does not, there is none.
  #isSlower(rtt: number, used: number): boolean {
    if (this.#fallingFrom === 0) {
      this.#fallingFrom = used
      this.#fallingRtt = rtt
      return false
    }
    this.#fallingRtt = Math.max(rtt, this.#fallingRtt)
    if (used > probeShare * this.#fallingFrom) return false
    const slower = rtt > same * this.#fallingRtt
    if (slower) this.#baseline = rtt
    this.#fallingFrom = slower ? 0 : used
    this.#fallingRtt = rtt
    return slower
  }
}
