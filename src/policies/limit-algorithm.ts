/** What one window of calls came to. */
export interface WindowSummary {
  /** The mean time to the response head, in milliseconds; 0 where all calls were dropped. */
  readonly rtt: number
  /** The most calls that were under way at once. */
  readonly inUse: number
  /** Whether a call was refused. */
  readonly refused: boolean
  /** Whether more calls were dropped than may happen by chance. */
  readonly dropped: boolean
}

/** Between which values a limit moves, and what counts as slow. */
export interface LimitSettings {
  readonly minLimit: number
  readonly maxLimit: number
  /** Milliseconds to the head from which on AIMD takes a window for dropped. */
  readonly slowAfter: number
}

/**
 * Works a limit out, window by window. Reads no clock. The limit may hold a fraction, which counts for the next step only.
 */
export interface LimitAlgorithm {
  /** How many calls may be under way at once. */
  readonly limit: number
  /** The time to the head that it takes for that of a server with nothing to wait for, in milliseconds; 0 where it has none. */
  readonly baseline: number
  /** For how many milliseconds after the last step samples still tell of the limit before it. */
  readonly settleTime: number
  /** Moves the limit. */
  step(window: WindowSummary): void
  /** Takes over other settings; the limit is within their bounds afterwards. */
  configure(settings: LimitSettings): void
}

/** `limit`, or the bound that it is beyond. */
export function bounded(limit: number, { minLimit, maxLimit }: Omit<LimitSettings, 'slowAfter'>): number {
  return Math.min(maxLimit, Math.max(minLimit, limit))
}

/** Whether so little of a limit was used that the window cannot tell whether a larger one would do harm. */
export function isSpare(inUse: number, limit: number): boolean {
  return inUse * 2 < limit
}
