import type { Host } from './host.ts'
import type { OutcomeKind } from './outcome.ts'

/** What a picker may know of the call it chooses a host for. */
export interface PickedCall {
  /** Whether it was sent to any host before. */
  readonly isAgain: boolean
  /** Whether the call, in an earlier attempt or in one that is under way, was sent to this host. */
  hasTried(host: Host): boolean
  /** What its host is chosen by, where calls that are alike go to the same one; `undefined` where they do not. */
  readonly key: string | undefined
}

/** Chooses a host for each call. */
export interface Picker {
  /** The hosts that may be chosen, or their weights, have changed. Those without a weight are in the list, and never chosen. */
  update(hosts: readonly Host[]): void
  /** One of them: one that the call has not tried, if there is one. `null`: there are none. */
  pick(call: PickedCall, now: number): Host | null
  /** A call is sent to a host, chosen by this picker or not. `host.inFlight` counts it already. */
  began?(host: Host): void
  /** What became of a call to a host is known, `took` milliseconds after it was sent. */
  answered?(host: Host, kind: OutcomeKind, took: number, now: number): void
  /** A call to a host has come to its end. `host.inFlight` does not count it any more. */
  ended?(host: Host): void
}

/** The hosts that are to have a share at all. */
export function withWeight(hosts: readonly Host[]): readonly Host[] {
  return hosts.every(({ weight }) => weight > 0) ? hosts : hosts.filter(({ weight }) => weight > 0)
}
