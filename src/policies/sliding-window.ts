// Calls, failures and slow calls of one slice of time lie side by side.
const width = 3
const sliceCount = 20

/** What one slice of a window holds. */
export interface WindowSlice {
  /** Milliseconds since it began. */
  readonly age: number
  readonly calls: number
  readonly failures: number
  readonly slow: number
}

/**
 * Counts what happened in the last `length` milliseconds: a ring of 20 slices, each of which falls out as a whole. So
 * nothing older than `length` is ever counted, and everything younger than 19/20 of it is. Idle time empties it: slices
 * go by the clock, not by events. Adding and reading cost a few additions, whatever the traffic; there is no timer.
 */
export class SlidingWindow {
  /** Milliseconds. */
  readonly length: number
  readonly #sliceLength: number
  readonly #slices = new Uint32Array(sliceCount * width)
  #slice: number = Number.NEGATIVE_INFINITY
  // Where the current slice lies, and until when it is that: a remainder of times costs as much as all the rest.
  #at = 0
  #sliceEnds: number = Number.NEGATIVE_INFINITY
  #calls = 0
  #failures = 0
  #slow = 0

  /** @param length milliseconds */
  constructor(length: number) {
    this.length = length
    this.#sliceLength = length / sliceCount
  }

  /** Calls counted, as of the last `add` or `advance`. */
  get calls(): number {
    return this.#calls
  }

  /** Failed ones among them. */
  get failures(): number {
    return this.#failures
  }

  /** Slow ones among them. */
  get slow(): number {
    return this.#slow
  }

  /** Counts one call. `now` is in milliseconds of any steady clock. */
  add(now: number, failed: boolean, slow: boolean): void {
    if (now >= this.#sliceEnds) this.advance(now)
    const at = this.#at
    const slices = this.#slices
    this.#calls++
    slices[at]!++
    if (failed) {
      this.#failures++
      slices[at + 1]!++
    }
    if (slow) {
      this.#slow++
      slices[at + 2]!++
    }
  }

  /** Drops what has become too old. */
  advance(now: number): void {
    const slice = Math.floor(now / this.#sliceLength)
    const passed = slice - this.#slice
    if (passed <= 0) return
    if (passed >= sliceCount) this.#clear()
    else for (let gone = this.#slice + 1; gone <= slice; gone++) this.#drop(this.#offset(gone))
    this.#slice = slice
    this.#at = this.#offset(slice)
    this.#sliceEnds = (slice + 1) * this.#sliceLength
  }

  /** What each slice holds, the oldest first, with the milliseconds since it began: older than any call in it. */
  slices(now: number): WindowSlice[] {
    this.advance(now)
    const found: WindowSlice[] = []
    for (let slice = this.#slice - sliceCount + 1; slice <= this.#slice; slice++) {
      const at = this.#offset(slice)
      const [calls = 0, failures = 0, slow = 0] = this.#slices.subarray(at, at + width)
      if (calls > 0) found.push({ age: now - slice * this.#sliceLength, calls, failures, slow })
    }
    return found
  }

  /** Counts what another window held; what is too old by now is left out. */
  addSlice(now: number, { age, calls, failures, slow }: WindowSlice): void {
    this.advance(now)
    // A hair more, so that a slice of this very clock comes back to its place.
    const slice = Math.min(this.#slice, Math.floor((now - age) / this.#sliceLength + 1e-6))
    if (slice <= this.#slice - sliceCount) return
    const at = this.#offset(slice)
    const slices = this.#slices
    this.#calls += calls
    slices[at]! += calls
    this.#failures += failures
    slices[at + 1]! += failures
    this.#slow += slow
    slices[at + 2]! += slow
  }

  #clear(): void {
    if (this.#calls === 0) return
    this.#slices.fill(0)
    this.#calls = 0
    this.#failures = 0
    this.#slow = 0
  }

  #drop(at: number): void {
    const slices = this.#slices
    this.#calls -= slices[at]!
    this.#failures -= slices[at + 1]!
    this.#slow -= slices[at + 2]!
    slices.fill(0, at, at + width)
  }

  #offset(slice: number): number {
    return (((slice % sliceCount) + sliceCount) % sliceCount) * width
  }
}
