import type { Host } from './host.ts'

/** What a picker may know of the call it chooses a host for. */
export interface PickedCall {
  /** Whether the call, in an earlier attempt or in one that is under way, was sent to this host. */
  hasTried(host: Host): boolean
  /** What its host is chosen by, where calls that are alike go to the same one; `undefined` where they do not. */
  readonly key: string | undefined
}

/** Chooses a host for each call. */
export interface Picker {
  /** The hosts that may be chosen, or their weights, have changed. */
  update(hosts: readonly Host[]): void
  /** One of them: one that the call has not tried, if there is one. `null`: there are none. */
  pick(call: PickedCall): Host | null
}

/** Of a few hosts, one that has not been tried, beginning with that at `from`; that one, where all have been. */
export function firstUntried(hosts: readonly Host[], from: number, call: PickedCall): Host | null {
  const { length } = hosts
  for (let step = 0; step < length; step++) {
    const host = hosts[(from + step) % length] as Host
    if (host.weight > 0 && !call.hasTried(host)) return host
  }
  return hosts[from % length] ?? null
}
