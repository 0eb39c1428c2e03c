import { createHistogram } from 'node:perf_hooks'

/** What the callers of one service counted. */
export class Tally {
  /** Calls that came up, whether they are over or not. */
  calls = 0
  ok = 0
  failed = 0
  /** Attempts after the first. */
  retries = 0
  /** Milliseconds spent on calls that failed. */
  failedMs = 0
  /** Of the last answer. */
  protocol: string | undefined = undefined
  // In microseconds; a fixed size, however long the demo runs.
  readonly #latencies = createHistogram({ lowest: 1, highest: 600_000_000, figures: 3 })

  get done(): number {
    return this.ok + this.failed
  }

  /** Counts a call that is over, `ms` milliseconds after it came up. */
  end(ok: boolean, ms: number): void {
    if (ok) this.ok++
    else {
      this.failed++
      this.failedMs += ms
    }
    this.#latencies.record(Math.max(1, Math.round(ms * 1_000)))
  }

  /** Milliseconds within which this many percent of the calls were over; `undefined` where none is. */
  percentile(percent: number): number | undefined {
    return this.done === 0 ? undefined : this.#latencies.percentile(percent) / 1_000
  }

  /** Adds what another tally has counted. */
  add(other: Tally): void {
    this.calls += other.calls
    this.ok += other.ok
    this.failed += other.failed
    this.retries += other.retries
    this.failedMs += other.failedMs
    this.protocol = other.protocol ?? this.protocol
    this.#latencies.add(other.#latencies)
  }
}

/** The sum of some tallies. */
export function sumOf(tallies: Iterable<Tally>): Tally {
  const sum = new Tally()
  for (const tally of tallies) sum.add(tally)
  return sum
}
