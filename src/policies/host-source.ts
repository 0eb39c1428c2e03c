import type { HostOptions } from './host.ts'
import { show } from './options.ts'

/** A list of hosts, each an origin or {@link HostOptions}. */
export type HostList = readonly (string | URL | HostOptions)[]

/** A list of hosts that holds for a time of its own. */
export interface FoundHosts {
  readonly hosts: HostList
  /**
   * Milliseconds after which it is looked up again.
   * @default the group's `refresh`
   */
  readonly ttl?: number | undefined
}

/** What a look-up of hosts answers with. */
export type HostAnswer = HostList | FoundHosts

/** A function that looks hosts up. One that throws or rejects has failed: what was known before is used on. */
export type HostFunction = () => HostAnswer | PromiseLike<HostAnswer>

/** Where hosts can be looked up: such as `dnsHosts()`. */
export interface HostSource {
  /** What it looks for, in errors. */
  readonly name?: string | undefined
  /** Looks them up. One look-up runs at a time, unless it takes more than 10 s. */
  readonly resolve: HostFunction
}

/** Whether hosts are to be looked up, and are not given as a list. */
export function isLookedUp(hosts: unknown): hosts is HostFunction | HostSource {
  if (typeof hosts === 'function') return true
  return typeof (hosts as Partial<HostSource> | null | undefined)?.resolve === 'function'
}

/** What is looked for, as errors name it. */
export function nameOfSource({ name }: HostFunction | HostSource): string {
  // A function has the name of the option that it was given as, if no other.
  return name === undefined || name === '' || name === 'hosts' ? 'a group' : name
}

/** An answer in its longer form. */
export function foundIn(answer: HostAnswer): FoundHosts {
  if (Array.isArray(answer)) return { hosts: answer }
  if (typeof answer === 'object' && answer !== null && 'hosts' in answer) return answer
  throw new TypeError(`a look-up of hosts must answer with a list of hosts, got ${show(answer)}`)
}
