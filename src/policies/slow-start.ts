import { checkDuration, checkNumber, checkOptions } from './options.ts'

/** How a host that is new, or comes back, grows into its share. */
export interface SlowStartOptions {
  /**
   * Milliseconds until it has its full share.
   * @default 10_000
   */
  readonly duration?: number
  /**
   * The part of its share that it has at first.
   * @default 0.1
   */
  readonly minWeight?: number
  /**
   * How its share grows: 1 evenly; above 1 fast at first and slower later, below 1 the other way round.
   * @default 1
   */
  readonly aggression?: number
}

/** Defaults of {@link SlowStartOptions}. */
export const slowStartDefaults = { duration: 10_000, minWeight: 0.1, aggression: 1 } as const

/** Checks options of slow start: milliseconds, or more; `null`: there is none. */
export function checkSlowStart(name: string, given: number | SlowStartOptions): Required<SlowStartOptions> | null {
  if (given === 0) return null
  if (typeof given === 'number') return { ...slowStartDefaults, duration: checkDuration(name, given) }
  checkOptions(name, given, Object.keys(slowStartDefaults))
  const settings = { ...slowStartDefaults, ...given }
  checkDuration(`${name}: duration`, settings.duration)
  checkNumber(`${name}: minWeight`, settings.minWeight, { min: 0.001, max: 1 })
  checkNumber(`${name}: aggression`, settings.aggression, { min: 0.01, max: 100 })
  return settings
}

/**
 * The part of its share that a host has `elapsed` milliseconds after it came.
 *
 * Source: Envoy's slow start mode, max(min weight, (elapsed/window)^(1/aggression)).
 */
export function warmthAt(elapsed: number, { duration, minWeight, aggression }: Required<SlowStartOptions>): number {
  if (elapsed >= duration) return 1
  return Math.max(minWeight, (elapsed / duration) ** (1 / aggression))
}
