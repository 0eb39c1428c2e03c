import type { CheckedBalance } from '../policies/balance-options.ts'
import { HostLookup } from '../policies/host-lookup.ts'
import { isLookedUp } from '../policies/host-source.ts'
import { show } from '../policies/options.ts'
import type { Balancing } from './balanced-call.ts'

/** Has a group's hosts come from where its options say, from now on. */
export function followHosts(balancing: Balancing, { name, refresh, hosts }: CheckedBalance): void {
  const { group, lookup } = balancing
  if (lookup !== null) {
    if (lookup.source === hosts) {
      lookup.update({ name, refresh })
      return
    }
    balancing.lookup = null
    lookup.close()
  }
  if (!isLookedUp(hosts)) {
    group.setHosts(hosts, performance.now())
    return
  }
  balancing.lookup = new HostLookup(hosts, { name, refresh }, group.hosts.length > 0, {
    found: (specs, now) => group.setHosts(specs, now),
    failed: (error) => warnStale(balancing.name, error),
  })
}

function warnStale(name: string, error: unknown): void {
  process.emitWarning(
    `The hosts of ${name} could not be looked up, and those known before are used on: ${error instanceof Error ? error : show(error)}`,
    { type: 'RoundtripperWarning', code: 'ROUNDTRIPPER_HOSTS_STALE' },
  )
}
