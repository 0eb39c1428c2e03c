import type { Host } from './host.ts'
import { type PickedCall, withWeight } from './picker.ts'

/**
 * Draws hosts in proportion to their weights, in constant time.
 *
 * Source: A. J. Walker's alias method, as M. D. Vose builds its tables: IEEE Transactions on Software Engineering 17 (1991).
 */
export class WeightedDraw {
  hosts: readonly Host[] = []
  /** The sum of all weights. */
  total = 0
  private readonly random: () => number
  /** Of each host's equal share of the draws, the part that is its own, and who has the rest. */
  private own = new Float64Array(0)
  private other = new Uint32Array(0)

  constructor(random: () => number) {
    this.random = random
  }

  update(given: readonly Host[]): void {
    const hosts = withWeight(given)
    const { length } = hosts
    this.hosts = hosts
    this.own = new Float64Array(length).fill(1)
    this.other = new Uint32Array(length)
    this.total = hosts.reduce((sum, { weight }) => sum + weight, 0)
    const shares = hosts.map(({ weight }) => (weight * length) / this.total)
    const small: number[] = []
    const large: number[] = []
    for (const [at, share] of shares.entries()) (share < 1 ? small : large).push(at)
    while (small.length > 0 && large.length > 0) {
      const poor = small.pop() as number
      const rich = large.pop() as number
      this.own[poor] = shares[poor] as number
      this.other[poor] = rich
      const left = (shares[rich] as number) + (shares[poor] as number) - 1
      shares[rich] = left
      ;(left < 1 ? small : large).push(rich)
    }
  }

  /** One of them; `null` where there are none. */
  draw(): Host | null {
    const { hosts, own, other } = this
    const { length } = hosts
    if (length === 0) return null
    const drawn = this.random() * length
    const at = Math.floor(drawn)
    // The part after the point is as much by chance as the one before.
    return hosts[drawn - at < (own[at] as number) ? at : (other[at] as number)] as Host
  }

  /** One that the call has not tried, by the weights of those; by the weights of all, where it has tried them all. */
  drawFor(call: PickedCall): Host | null {
    const host = this.draw()
    return host === null || !call.hasTried(host) ? host : this.drawUntried(call, host)
  }

  /** Another one that the call has not tried, whatever its weight. */
  another(host: Host, call: PickedCall): Host | null {
    const { hosts } = this
    const { length } = hosts
    const from = Math.floor(this.random() * length)
    for (let step = 0; step < length; step++) {
      const one = hosts[(from + step) % length] as Host
      if (one !== host && !call.hasTried(one)) return one
    }
    return null
  }

  private drawUntried(call: PickedCall, tried: Host): Host {
    const { hosts } = this
    let sum = 0
    for (const host of hosts) if (!call.hasTried(host)) sum += host.weight
    let rest = this.random() * sum
    let last = tried
    for (const host of hosts) {
      if (call.hasTried(host)) continue
      last = host
      rest -= host.weight
      if (rest < 0) return host
    }
    return last
  }
}
