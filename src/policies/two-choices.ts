import type { Host } from './host.ts'
import type { PickedCall, Picker } from './picker.ts'
import { WeightedDraw } from './weighted-draw.ts'

// How often a second host is drawn by weight: where one has nearly all of it, the first may come each time.
const mostDraws = 4

/**
 * Of two hosts that are drawn by their weights, the better one: the power of two choices. It is nearly as even as the best
 * of all (M. Mitzenmacher, The power of two choices in randomized load balancing, 1996), costs the same for any number of
 * hosts, and many callers that know the same do not all run to the same host.
 */
export abstract class TwoChoices implements Picker {
  protected readonly draws: WeightedDraw

  constructor(random: () => number) {
    this.draws = new WeightedDraw(random)
  }

  /** Whether the second host is so much better that the draw does not count: among hosts that are alike it does. */
  protected abstract isBetter(second: Host, first: Host, now: number): boolean

  update(hosts: readonly Host[]): void {
    this.draws.update(hosts)
  }

  pick(call: PickedCall, now: number): Host | null {
    const first = this.draws.drawFor(call)
    if (first === null) return null
    const second = this.secondTo(first, call)
    return second !== null && this.isBetter(second, first, now) ? second : first
  }

  private secondTo(first: Host, call: PickedCall): Host | null {
    const { draws } = this
    if (draws.hosts.length === 1) return null
    for (let drawn = 0; drawn < mostDraws; drawn++) {
      const second = draws.draw() as Host
      if (second !== first && !call.hasTried(second)) return second
    }
    return draws.another(first, call)
  }
}
