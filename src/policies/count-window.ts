/**
 * Counts the last `size` calls, however long ago they were. Adding costs the same whatever the size: what the new call
 * pushes out is taken off the sums.
 */
export class CountWindow {
  readonly size: number
  // One byte a call: 1 failed, 2 slow.
  readonly #marks: Uint8Array
  #next = 0
  #calls = 0
  #failures = 0
  #slow = 0

  constructor(size: number) {
    this.size = size
    this.#marks = new Uint8Array(size)
  }

  /** Calls counted, at most `size`. */
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

  /** Counts one call; the time does not matter. */
  add(_now: number, failed: boolean, slow: boolean): void {
    const marks = this.#marks
    const at = this.#next
    if (this.#calls === this.size) {
      const gone = marks[at] as number
      this.#failures -= gone & 1
      this.#slow -= gone >> 1
    } else {
      this.#calls++
    }
    marks[at] = (failed ? 1 : 0) | (slow ? 2 : 0)
    if (failed) this.#failures++
    if (slow) this.#slow++
    this.#next = at + 1 === this.size ? 0 : at + 1
  }

  /** Time changes nothing here. */
  advance(): void {}

  /** What is counted, the oldest first: for each call 0, or 1 failed, 2 slow, 3 both. */
  marks(): number[] {
    const start = this.#calls === this.size ? this.#next : 0
    return Array.from({ length: this.#calls }, (_, at) => this.#marks[(start + at) % this.size] as number)
  }
}
