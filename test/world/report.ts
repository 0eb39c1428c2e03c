import { type CallRecord, isGood } from './load.ts'

/** What the calls of one stretch of time came to. */
export interface Report {
  /** Calls that began in it. */
  readonly calls: number
  /** Those a second that were answered well (2xx or 3xx) while their caller waited. */
  readonly goodput: number
  /** Milliseconds of the good ones, from call to end. */
  readonly p50: number
  readonly p99: number
  /** All calls by what became of them. */
  readonly results: ReadonlyMap<number | string, number>
}

/** The value below which a share of the sorted values lie; `NaN` of none. */
export function quantile(sorted: readonly number[] | Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

/** Sums up the calls that began from `from` up to `to`, milliseconds of the virtual clock. */
export function report(records: readonly CallRecord[], from: number, to: number): Report {
  const inside = records.filter(({ at }) => at >= from && at < to)
  const results = new Map<number | string, number>()
  for (const { result } of inside) results.set(result, (results.get(result) ?? 0) + 1)
  const took = Float64Array.from(
    inside.filter(({ result }) => isGood(result)),
    (call) => call.took,
  ).sort()
  return {
    calls: inside.length,
    goodput: (1000 * took.length) / (to - from),
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    results,
  }
}
