import type { EjectionSettings } from './ejection-options.ts'
import type { Host } from './host.ts'

/** Why a host is to be ejected, as the rules have it. */
export type EjectionRule = 'consecutiveFailures' | 'brokenBodies' | 'successShare' | 'failureShare'

/** A host that one of the rules over an interval finds bad. */
export interface Outlier {
  readonly host: Host
  readonly rule: EjectionRule
}

const nobody: readonly Outlier[] = []

const shareOf = ({ intervalCalls, intervalFailures }: Host) => (intervalCalls - intervalFailures) / intervalCalls

/**
 * The least share of good answers that is no outlier: so many standard deviations below the mean. The deviation is that of
 * all of the hosts, not an estimate from a sample (Envoy, `DetectorImpl::successRateEjectionThreshold`).
 */
export function leastShare(shares: readonly number[], deviations: number): number {
  const mean = shares.reduce((sum, one) => sum + one, 0) / shares.length
  const variance = shares.reduce((sum, one) => sum + (one - mean) ** 2, 0) / shares.length
  return mean - deviations * Math.sqrt(variance)
}

/**
 * Decides which hosts of a group are ejected, and for how long: Envoy's outlier detection, with its defaults but for the
 * share that may be ejected (Envoy, "Outlier detection", `config.cluster.v3.OutlierDetection`).
 */
export class OutlierEjection {
  readonly settings: EjectionSettings

  constructor(settings: EjectionSettings) {
    this.settings = settings
  }

  /** How many of so many hosts may be ejected at once. */
  most(hosts: number): number {
    return Math.max(1, Math.floor(hosts * this.settings.maxEjected))
  }

  /** Notes an answer; says which rule, if any, has the host ejected now. */
  judge(host: Host, isGood: boolean): EjectionRule | null {
    host.intervalCalls++
    if (isGood) {
      host.consecutiveFailures = 0
      return null
    }
    host.intervalFailures++
    return this.isRun(++host.consecutiveFailures) ? 'consecutiveFailures' : null
  }

  /** Notes a body that broke off after a good head: where every body does, such heads would hide it from any run of failures. */
  judgeBroken(host: Host): EjectionRule | null {
    return this.isRun(++host.brokenBodies) ? 'brokenBodies' : null
  }

  private isRun(length: number): boolean {
    const { consecutiveFailures } = this.settings
    return consecutiveFailures !== false && length >= consecutiveFailures
  }

  /** Of hosts that are in, those that the interval which has just ended shows to be bad. */
  outliers(hosts: readonly Host[]): readonly Outlier[] {
    const { successShare, failureShare } = this.settings
    let found = nobody
    if (successShare !== false) {
      const { deviations, minimumCalls, minimumHosts } = successShare
      const compared = hosts.filter(({ intervalCalls }) => intervalCalls >= minimumCalls)
      if (compared.length >= minimumHosts) {
        const least = leastShare(compared.map(shareOf), deviations)
        const low = compared.filter((host) => shareOf(host) < least)
        found = low.map((host) => ({ host, rule: 'successShare' }))
      }
    }
    if (failureShare !== false) {
      const { share, minimumCalls, minimumHosts } = failureShare
      const judged = hosts.filter(({ intervalCalls }) => intervalCalls >= minimumCalls)
      if (judged.length >= minimumHosts) {
        const bad = judged.filter(({ intervalCalls, intervalFailures }) => intervalFailures / intervalCalls >= share)
        found = [...found, ...bad.map((host): Outlier => ({ host, rule: 'failureShare' }))]
      }
    }
    return found
  }

  /**
   * How often a host counts as ejected, from the next time on: no more often than its time can grow, so that it can make
   * that good again (Envoy, `DetectorImpl::ejectHost`).
   */
  countAfter(ejections: number): number {
    const { ejectionTime, maxEjectionTime } = this.settings
    return ejections * ejectionTime < maxEjectionTime + ejectionTime ? ejections + 1 : ejections
  }

  /** Milliseconds of an ejection. `chance`: from 0 to below 1. */
  timeOf(ejections: number, chance: number): number {
    const { ejectionTime, maxEjectionTime, jitter } = this.settings
    return Math.min(ejectionTime * ejections, maxEjectionTime) * (1 + jitter * chance)
  }
}
