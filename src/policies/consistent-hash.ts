import type { Host } from './host.ts'
import { mix32 } from './murmur3.ts'
import { type PickedCall, type Picker, withWeight } from './picker.ts'
import { rendezvousDraw } from './rendezvous.ts'
import { WeightedRandom } from './weighted-random.ts'

/** FNV-1a of 32 bits, over the bytes of a text's code units; the upper one of each is left out where it is 0. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    if (unit > 0xff) hash = Math.imul(hash ^ (unit >> 8), 0x01000193)
  }
  return hash >>> 0
}

const slotBits = 14
// How much of a slot's order of hosts is remembered. Where few calls are under way, many hosts are full with one or two.
const remembered = 4
const nobody = -1
const unknown = -2

/**
 * The same host for the same key, as long as it has room: a host has room up to `loadFactor` times its share of the calls
 * under way. A key whose host has none goes to the next one in the key's own order of hosts.
 *
 * Each of 16,384 slots of keys has an order of all hosts by weighted rendezvous hashing. So when a host leaves, only its
 * keys move, to all others by their weights; one that joins, or whose weight grows, gets no more than its share, from all of them. (A
 * ring would need a thousand points for each host to be as even, and weights that are whole; Maglev's table moves keys
 * between hosts that stay.) The first few of an order are worked out when they are asked for, and remembered.
 *
 * Source: V. Mirrokni, M. Thorup and M. Zadimoghaddam, Consistent hashing with bounded loads (2016).
 */
export class ConsistentHash implements Picker {
  private readonly loadFactor: number
  private readonly keyless: WeightedRandom
  private hosts: readonly Host[] = []
  private members: ReadonlySet<Host> = new Set()
  private seeds = new Uint32Array(0)
  /** The first hosts in each slot's order. */
  private readonly orders = new Int32Array(remembered * 2 ** slotBits).fill(unknown)
  private readonly scores = new Float64Array(remembered)
  private totalWeight = 0
  private inFlight = 0

  constructor(random: () => number, loadFactor: number) {
    this.loadFactor = loadFactor
    this.keyless = new WeightedRandom(random)
  }

  update(hosts: readonly Host[]): void {
    this.keyless.update(hosts)
    this.hosts = withWeight(hosts)
    this.members = new Set(this.hosts)
    this.seeds = Uint32Array.from(this.hosts, ({ origin }) => mix32(fnv1a(origin)))
    this.totalWeight = 0
    this.inFlight = 0
    for (const host of this.hosts) {
      this.totalWeight += host.weight
      this.inFlight += host.inFlight
    }
    this.orders.fill(unknown)
  }

  pick(call: PickedCall): Host | null {
    const { key } = call
    if (key === undefined) return this.keyless.pick(call)
    const { hosts } = this
    if (hosts.length === 0) return null
    const slot = mix32(fnv1a(key)) >>> (32 - slotBits)
    const from = remembered * slot
    const { orders } = this
    if (orders[from] === unknown) this.rank(slot)
    for (let rank = 0; rank < remembered; rank++) {
      const host = hosts[orders[from + rank] as number]
      // There are no more.
      if (host === undefined) break
      if (this.hasRoom(host) && !call.hasTried(host)) return host
    }
    // Where all that it has not tried are full, it goes to one of them all the same: one that has failed it is no better.
    return this.firstOf(slot, call, true) ?? this.firstOf(slot, call, false) ?? (hosts[orders[from] as number] as Host)
  }

  began(host: Host): void {
    if (this.members.has(host)) this.inFlight++
  }

  ended(host: Host): void {
    if (this.members.has(host)) this.inFlight--
  }

  private hasRoom({ inFlight, weight }: Host): boolean {
    return inFlight < Math.ceil((this.loadFactor * (this.inFlight + 1) * weight) / this.totalWeight)
  }

  // The least score is first.
  private score(slot: number, at: number): number {
    return rendezvousDraw((this.seeds[at] as number) ^ Math.imul(slot + 1, 0x9e3779b1), (this.hosts[at] as Host).weight)
  }

  private rank(slot: number): void {
    const { hosts, orders, scores } = this
    const from = remembered * slot
    scores.fill(Number.POSITIVE_INFINITY)
    orders.fill(nobody, from, from + remembered)
    for (let at = 0; at < hosts.length; at++) {
      const score = this.score(slot, at)
      let rank = remembered
      while (rank > 0 && score < (scores[rank - 1] as number)) {
        rank--
        if (rank + 1 < remembered) {
          scores[rank + 1] = scores[rank] as number
          orders[from + rank + 1] = orders[from + rank] as number
        }
      }
      if (rank === remembered) continue
      scores[rank] = score
      orders[from + rank] = at
    }
  }

  // The first in a slot's order that the call has not tried; `null`: there is none.
  private firstOf(slot: number, call: PickedCall, withRoom: boolean): Host | null {
    const { hosts } = this
    let found: Host | null = null
    let best = Number.POSITIVE_INFINITY
    for (let at = 0; at < hosts.length; at++) {
      const host = hosts[at] as Host
      if (call.hasTried(host) || (withRoom && !this.hasRoom(host))) continue
      const score = this.score(slot, at)
      if (score >= best) continue
      best = score
      found = host
    }
    return found
  }
}
