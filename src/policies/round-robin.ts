import type { Host } from './host.ts'
import { firstUntried, type PickedCall, type Picker } from './picker.ts'

/** Each host in its turn; one that slow start holds back, in as many of its turns as its share has it. */
export class RoundRobin implements Picker {
  private hosts: readonly Host[] = []
  private at = -1
  private turns = 0

  update(hosts: readonly Host[]): void {
    this.hosts = hosts
  }

  pick(call: PickedCall): Host | null {
    const { hosts } = this
    if (hosts.length === 0) return null
    this.at = (this.at + 1) % hosts.length
    if (this.at === 0) this.turns++
    const host = hosts[this.at] as Host
    if (host.warmth < 1 && this.turns % Math.round(1 / host.warmth) !== 0) return firstUntried(hosts, this.at + 1, call)
    return call.hasTried(host) ? firstUntried(hosts, this.at, call) : host
  }
}
