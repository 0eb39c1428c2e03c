import { checkDuration, checkNumber, checkOptions, longestTimer, withoutUndefined } from './options.ts'

/** When a host's share of good answers is too far below that of the others: Envoy's success rate rule. */
export interface SuccessShareOptions {
  /**
   * How many standard deviations below the mean of the group a share must lie, at least 0.
   * @default 1.9
   */
  readonly deviations?: number
  /**
   * Calls that a host must have answered in the interval to be compared.
   * @default 100
   */
  readonly minimumCalls?: number
  /**
   * Hosts that must be comparable; with fewer nobody is ejected.
   * @default 5
   */
  readonly minimumHosts?: number
}

/** When a host fails too large a share of its calls, whatever the others do: Envoy's failure percentage rule. */
export interface FailureShareOptions {
  /**
   * The share of failed calls from which on a host is ejected, from 0.001 to 1.
   * @default 0.85
   */
  readonly share?: number
  /**
   * Calls that a host must have answered in the interval to be judged.
   * @default 50
   */
  readonly minimumCalls?: number
  /**
   * Hosts that must have answered as many; with fewer nobody is ejected.
   * @default 5
   */
  readonly minimumHosts?: number
}

/** When a host that answers badly gets no calls for a while. */
export interface EjectionOptions {
  /**
   * Failures in a row that eject a host, and so do as many bodies in a row that break; `false`: none do.
   * @default 5
   */
  readonly consecutiveFailures?: number | false
  /**
   * Milliseconds over which shares are taken, and at whose end they are judged. A host that stays in for so long makes good
   * one ejection.
   * @default 10_000
   */
  readonly interval?: number
  /**
   * Compares the shares of good answers of all hosts; `false`: does not.
   * @default {}
   */
  readonly successShare?: SuccessShareOptions | false
  /**
   * Judges the share of failed calls of each host by itself; `false`: does not.
   * @default false
   */
  readonly failureShare?: FailureShareOptions | false
  /**
   * Milliseconds of the first ejection; each further one takes as much longer. A call that probes a host may take as long.
   * @default 30_000
   */
  readonly ejectionTime?: number
  /**
   * Milliseconds beyond which an ejection does not grow.
   * @default 300_000, or ejectionTime if that is more
   */
  readonly maxEjectionTime?: number
  /**
   * An ejection is lengthened by a random share of itself, up to this one, from 0 to 1: so that hosts that were ejected
   * together do not come back together.
   * @default 0.1
   */
  readonly jitter?: number
  /**
   * The share of the hosts that may be ejected at once, those that are being probed included; one may be in any case.
   * @default 0.5
   */
  readonly maxEjected?: number
}

/** Checked options, with every default filled in. */
export interface EjectionSettings extends Required<EjectionOptions> {
  readonly successShare: Required<SuccessShareOptions> | false
  readonly failureShare: Required<FailureShareOptions> | false
}

/** Defaults of {@link EjectionOptions}. */
export const ejectionDefaults = Object.freeze({
  consecutiveFailures: 5,
  interval: 10_000,
  successShare: Object.freeze({ deviations: 1.9, minimumCalls: 100, minimumHosts: 5 }),
  failureShare: false as const,
  ejectionTime: 30_000,
  maxEjectionTime: 300_000,
  jitter: 0.1,
  maxEjected: 0.5,
})

/** Defaults of {@link FailureShareOptions}. */
export const failureShareDefaults = Object.freeze({ share: 0.85, minimumCalls: 50, minimumHosts: 5 })

const count = { min: 1, integer: true }
const share = { min: 0, max: 1 }

function checkSuccessShare(name: string, options: SuccessShareOptions): Required<SuccessShareOptions> {
  const defaults = ejectionDefaults.successShare
  checkOptions(name, options, Object.keys(defaults))
  const { deviations, minimumCalls, minimumHosts } = { ...defaults, ...withoutUndefined(options) }
  return {
    deviations: checkNumber(`${name}: deviations`, deviations, { min: 0 }),
    minimumCalls: checkNumber(`${name}: minimumCalls`, minimumCalls, count),
    minimumHosts: checkNumber(`${name}: minimumHosts`, minimumHosts, count),
  }
}

function checkFailureShare(name: string, options: FailureShareOptions): Required<FailureShareOptions> {
  checkOptions(name, options, Object.keys(failureShareDefaults))
  const { share: least, minimumCalls, minimumHosts } = { ...failureShareDefaults, ...withoutUndefined(options) }
  return {
    share: checkNumber(`${name}: share`, least, { min: 0.001, max: 1 }),
    minimumCalls: checkNumber(`${name}: minimumCalls`, minimumCalls, count),
    minimumHosts: checkNumber(`${name}: minimumHosts`, minimumHosts, count),
  }
}

/** Checks options of ejection. */
export function checkEjection(name: string, options: EjectionOptions): EjectionSettings {
  checkOptions(name, options, Object.keys(ejectionDefaults))
  const given = { ...ejectionDefaults, ...withoutUndefined(options) }
  const { consecutiveFailures: run, successShare, failureShare } = given
  if (run === false && successShare === false && failureShare === false) {
    throw new TypeError(`${name}: every rule is false, so that nothing ejects a host; write ejection: false`)
  }
  const ejectionTime = checkDuration(`${name}: ejectionTime`, given.ejectionTime)
  const longest = options.maxEjectionTime ?? Math.min(longestTimer, Math.max(ejectionTime, given.maxEjectionTime))
  return {
    consecutiveFailures: run === false ? false : checkNumber(`${name}: consecutiveFailures`, run, count),
    interval: checkDuration(`${name}: interval`, given.interval),
    successShare: successShare === false ? false : checkSuccessShare(`${name}: successShare`, successShare),
    failureShare: failureShare === false ? false : checkFailureShare(`${name}: failureShare`, failureShare),
    ejectionTime,
    maxEjectionTime: checkDuration(`${name}: maxEjectionTime`, longest, ejectionTime),
    jitter: checkNumber(`${name}: jitter`, given.jitter, share),
    maxEjected: checkNumber(`${name}: maxEjected`, given.maxEjected, share),
  }
}
