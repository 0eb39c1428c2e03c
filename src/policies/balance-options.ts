import { type BalanceAlgorithm, checkPicker } from './balance-algorithm.ts'
import { checkEjection, type EjectionOptions, ejectionDefaults } from './ejection-options.ts'
import { checkHealth, type HealthOptions, type HealthSettings } from './health-options.ts'
import {
  checkHosts,
  type HealthCheckResult,
  type Host,
  type HostChange,
  type HostReason,
  type HostSpec,
  type HostStanding,
} from './host.ts'
import type { GroupSettings } from './host-group.ts'
import { type HostFunction, type HostList, type HostSource, isLookedUp, nameOfSource } from './host-source.ts'
import { checkDuration, checkFunction, checkNumber, checkOptions, withoutUndefined } from './options.ts'
import { OutlierEjection } from './outlier-ejection.ts'
import type { RetryRequest } from './retry.ts'
import { checkSlowStart, type SlowStartOptions } from './slow-start.ts'

export type { BalanceAlgorithm }

/** A group of hosts: options of `balance()`. */
export interface BalanceOptions {
  /** Who serves the group: a list, a function that looks them up, or a source such as `dnsHosts()`. */
  readonly hosts: HostList | HostFunction | HostSource
  /**
   * The name of the group, in errors.
   * @default the first host's origin, or the name of the source or function
   */
  readonly name?: string
  /**
   * Milliseconds after which hosts are looked up again, where the answer itself does not say; not for a list.
   * @default 30_000
   */
  readonly refresh?: number
  /**
   * How a host is chosen for each call.
   * @default 'peakEwma'
   */
  readonly algorithm?: BalanceAlgorithm
  /**
   * For `consistentHash`, which needs it: what calls that belong on the same host have in common, such as a user's id. A call
   * for which it gives `undefined`, or throws, goes to a host by chance.
   */
  readonly key?: (request: RetryRequest) => string | undefined
  /**
   * For `consistentHash`: up to how many times its share of the calls under way a host may have; above 1. The nearer to 1, the more
   * even, and the more calls go to another host than that of their key.
   * @default 1.25
   */
  readonly loadFactor?: number
  /**
   * For `peakEwma`: milliseconds in which what is remembered of a host's latency falls to a third (1/e).
   * @default 10_000
   */
  readonly decayTime?: number
  /**
   * When a host that answers badly gets no calls for a while; `false`: never.
   * @default {}
   */
  readonly ejection?: EjectionOptions | false
  /**
   * Asks the hosts by itself how they are; `false`: does not.
   * @default false
   */
  readonly health?: HealthOptions | false
  /**
   * The share of hosts that must be able to take calls. Where fewer are, all are called, however they stand: few hosts that
   * get the calls of all would fail too. 0: never.
   * @default 0.5
   */
  readonly panicThreshold?: number
  /**
   * How a host that is new, or comes back, grows into its full share: in so many milliseconds, or more exactly; 0: it has
   * it at once.
   * @default 10_000
   */
  readonly slowStart?: number | SlowStartOptions
  /**
   * Told of every change in how a host stands; what it throws is thrown again on a stack of its own.
   * @default undefined
   */
  readonly onHostChange?: ((change: HostChange) => void) | undefined
  /**
   * Chance, from 0 to below 1; for tests.
   * @default Math.random
   */
  readonly random?: () => number
}

/** Defaults of {@link BalanceOptions}. */
export const balanceDefaults = {
  refresh: 30_000,
  algorithm: 'peakEwma',
  loadFactor: 1.25,
  decayTime: 10_000,
  ejection: ejectionDefaults,
  health: false,
  panicThreshold: 0.5,
  slowStart: 10_000,
} as const

const optionNames = [
  'hosts',
  'name',
  'refresh',
  'algorithm',
  'key',
  'loadFactor',
  'decayTime',
  'ejection',
  'panicThreshold',
  'slowStart',
  'random',
  'health',
  'onHostChange',
]

/** Options of `balance()`, checked. */
export interface CheckedBalance extends GroupSettings {
  readonly name: string
  readonly hosts: readonly HostSpec[] | HostFunction | HostSource
  readonly refresh: number
  readonly health: HealthSettings | null
  readonly key: BalanceOptions['key']
}

function nameOf(hosts: CheckedBalance['hosts']): string {
  return isLookedUp(hosts) ? nameOfSource(hosts) : (hosts[0]?.origin ?? 'no hosts')
}

/** Checks options of `balance()`. */
export function checkBalance(options: BalanceOptions): CheckedBalance {
  checkOptions('balance', options, optionNames)
  const given = { ...balanceDefaults, ...withoutUndefined(options) }
  const { panicThreshold, slowStart, refresh } = given
  const { ejection = {}, health = false, random = Math.random, onHostChange } = options
  const hosts = isLookedUp(options.hosts) ? options.hosts : checkHosts('balance: hosts', options.hosts)
  return {
    hosts,
    name: options.name ?? nameOf(hosts),
    refresh: checkDuration('balance: refresh', refresh),
    key: options.key,
    picker: checkPicker(given),
    ejection: ejection === false ? null : new OutlierEjection(checkEjection('balance: ejection', ejection)),
    panicThreshold: checkNumber('balance: panicThreshold', panicThreshold, { min: 0, max: 1 }),
    health: health === false ? null : checkHealth('balance: health', health),
    isChecked: health !== false,
    random,
    onHostChange: onHostChange === undefined ? undefined : checkFunction('balance: onHostChange', onHostChange),
    slowStart: checkSlowStart('balance: slowStart', slowStart),
  }
}

/** How a host of a group stands. */
export interface HostView {
  readonly standing: HostStanding
  /** The share of the calls that it is to have now, in proportion to the others. */
  readonly weight: number
  /** Calls that have not come to their end. */
  readonly inFlight: number
  /** Calls sent to it so far. */
  readonly calls: number
  /** Those of them that failed. */
  readonly failures: number
  /** How often it was ejected, less what it has made good since. */
  readonly ejections: number
  /** Why it stands as it does; `null`: it has never stood otherwise. */
  readonly reason: HostReason | null
  /** Milliseconds that are left of its ejection; 0 where there is none. */
  readonly ejectedFor: number
  /** What its health checks say; `true` where there are none, or none has said otherwise. */
  readonly isHealthy: boolean
  /** Its last health check; `null`: none has ended. */
  readonly lastCheck: HealthCheckResult | null
}

/** A host as `state()` tells of it. `now`: milliseconds of `performance.now()`. */
export function viewOf(host: Host, now: number): HostView {
  const { standing, weight, inFlight, calls, failures, ejections, reason, isHealthy, lastCheck } = host
  const ejectedFor = standing === 'ejected' ? Math.max(0, host.ejectedUntil - now) : 0
  return { standing, weight, inFlight, calls, failures, ejections, reason, ejectedFor, isHealthy, lastCheck }
}
