import type { Host } from './host.ts'
import { checkDuration, checkNumber, checkOptions } from './options.ts'

/** When a host that answers badly gets no calls for a while. */
export interface EjectionOptions {
  /**
   * Failures in a row that eject a host.
   * @default 5
   */
  readonly consecutiveFailures?: number
  /**
   * Milliseconds of the first ejection; each further one takes as much longer.
   * @default 30_000
   */
  readonly ejectionTime?: number
  /**
   * Milliseconds beyond which an ejection does not grow.
   * @default 300_000
   */
  readonly maxEjectionTime?: number
  /**
   * The share of the hosts that may be ejected at once; one may be in any case.
   * @default 0.5
   */
  readonly maxEjected?: number
}

/** Defaults of {@link EjectionOptions}. */
export const ejectionDefaults = {
  consecutiveFailures: 5,
  ejectionTime: 30_000,
  maxEjectionTime: 300_000,
  maxEjected: 0.5,
} as const

/** Checks options of ejection. */
export function checkEjection(name: string, options: EjectionOptions): Required<EjectionOptions> {
  checkOptions(name, options, Object.keys(ejectionDefaults))
  const settings = { ...ejectionDefaults, ...options }
  checkNumber(`${name}: consecutiveFailures`, settings.consecutiveFailures, { min: 1, integer: true })
  checkDuration(`${name}: ejectionTime`, settings.ejectionTime)
  checkDuration(`${name}: maxEjectionTime`, settings.maxEjectionTime)
  checkNumber(`${name}: maxEjected`, settings.maxEjected, { min: 0, max: 1 })
  return settings
}

/** Decides which hosts of a group are ejected, and for how long. */
export class OutlierEjection {
  readonly settings: Required<EjectionOptions>

  constructor(settings: Required<EjectionOptions>) {
    this.settings = settings
  }

  /** How many of so many hosts may be ejected at once. */
  most(hosts: number): number {
    return Math.max(1, Math.floor(hosts * this.settings.maxEjected))
  }

  /** Notes an answer; says whether the host is to be ejected now. */
  judges(host: Host, isGood: boolean): boolean {
    if (isGood) {
      host.consecutiveFailures = 0
      return false
    }
    return ++host.consecutiveFailures >= this.settings.consecutiveFailures
  }

  /** Milliseconds of the ejection that begins now. */
  timeOf(host: Host): number {
    const { ejectionTime, maxEjectionTime } = this.settings
    return Math.min(ejectionTime * host.ejections, Math.max(ejectionTime, maxEjectionTime))
  }
}
