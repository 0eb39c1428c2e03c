import type { Host } from './host.ts'
import { firstUntried, type PickedCall, type Picker } from './picker.ts'

/** Each host in its turn. */
export class RoundRobin implements Picker {
  private hosts: readonly Host[] = []
  private at = -1

  update(hosts: readonly Host[]): void {
    this.hosts = hosts
  }

  pick(call: PickedCall): Host | null {
    const { hosts } = this
    if (hosts.length === 0) return null
    this.at = (this.at + 1) % hosts.length
    const host = hosts[this.at] as Host
    return call.hasTried(host) ? firstUntried(hosts, this.at, call) : host
  }
}
