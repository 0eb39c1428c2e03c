import { checkNumber } from './options.ts'

// Buckets whose bounds grow by a fixed factor, so that whatever falls into one is known to within the same relative
// error: DDSketch (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error
// Guarantees", VLDB 2019, section 2). A bucket with the index i holds what is above growth^(i-1) and at most growth^i.

/** What an estimate may be off by, as a share of the exact value. */
export const quantileAccuracy = 0.02

const growth = (1 + quantileAccuracy) / (1 - quantileAccuracy)
const logOfGrowth = Math.log(growth)
const shortest = 1
const longest = 600_000
const bucketCount = Math.ceil(Math.log(longest) / logOfGrowth) + 1

// As Finagle's WindowedPercentileHistogram has them: three slices of ten seconds, the oldest of which falls out whole.
const sliceCount = 3
const sliceLength = 10_000

/** How far back durations are counted, in milliseconds: at most this, at least two thirds of it. */
export const quantileWindow = sliceCount * sliceLength

function bucketOf(duration: number): number {
  if (!(duration > shortest)) return 0
  return Math.min(bucketCount - 1, Math.ceil(Math.log(duration) / logOfGrowth))
}

/** What stands for all of a bucket: as far from its lower bound as from its upper one, as a share of either. */
function middleOf(bucket: number): number {
  return bucket === 0 ? shortest : (2 * growth ** bucket) / (growth + 1)
}

/**
 * Estimates quantiles of the durations of the last 30 s, in milliseconds, to within {@link quantileAccuracy} of the exact
 * value. Durations below 1 ms count as 1 ms, those above 600 s as 600 s. What it takes is fixed: four counts for each of
 * some 330 buckets, and none before the first duration.
 */
export class LatencyQuantiles {
  // Counts of each slice, one after the other, and after them those of all together.
  #counts: Uint32Array | null = null
  readonly #samples = new Float64Array(sliceCount)
  #total = 0
  #slice = Number.NEGATIVE_INFINITY
  // Where the current slice lies, and until when it is that.
  #at = 0
  #sliceEnds = Number.NEGATIVE_INFINITY

  /** How many durations are counted, as of the last `add` or `advance`. */
  get samples(): number {
    return this.#total
  }

  /** Counts one duration. `now` is in milliseconds of any steady clock. */
  add(duration: number, now: number): void {
    if (now >= this.#sliceEnds) this.advance(now)
    this.#counts ??= new Uint32Array((sliceCount + 1) * bucketCount)
    const at = this.#at
    const bucket = bucketOf(duration)
    this.#counts[at * bucketCount + bucket]!++
    this.#counts[sliceCount * bucketCount + bucket]!++
    this.#samples[at]!++
    this.#total++
  }

  /** Drops what has become too old. */
  advance(now: number): void {
    const slice = Math.floor(now / sliceLength)
    const from = Math.max(this.#slice + 1, slice - sliceCount + 1)
    for (let gone = from; gone <= slice; gone++) this.#drop(this.#place(gone))
    if (slice <= this.#slice) return
    this.#slice = slice
    this.#at = this.#place(slice)
    this.#sliceEnds = (slice + 1) * sliceLength
  }

  /**
   * The duration that the given share of all durations does not exceed.
   *
   * @param share from 0 to 1
   * @returns milliseconds; `NaN` where nothing is counted
   */
  quantile(share: number): number {
    checkNumber('share', share, { min: 0, max: 1 })
    const counts = this.#counts
    if (counts === null || this.#total === 0) return Number.NaN
    // The rank that DDSketch gives a quantile: of 0 the least, of 1 the greatest.
    const rank = share * (this.#total - 1)
    let below = 0
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      below += counts[sliceCount * bucketCount + bucket] as number
      if (below > rank) return middleOf(bucket)
    }
    return longest
  }

  #place(slice: number): number {
    return ((slice % sliceCount) + sliceCount) % sliceCount
  }

  #drop(at: number): void {
    const counts = this.#counts
    const dropped = this.#samples[at] as number
    if (counts === null || dropped === 0) return
    this.#samples[at] = 0
    this.#total -= dropped
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      counts[sliceCount * bucketCount + bucket]! -= counts[at * bucketCount + bucket] as number
      counts[at * bucketCount + bucket] = 0
    }
  }
}
