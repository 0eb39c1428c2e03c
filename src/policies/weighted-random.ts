import type { Host } from './host.ts'
import type { PickedCall, Picker } from './picker.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** A host by chance, each as often as its weight says. */
export class WeightedRandom implements Picker {
  private readonly draws: WeightedDraw

  constructor(random: () => number) {
    this.draws = new WeightedDraw(random)
  }

  update(hosts: readonly Host[]): void {
    this.draws.update(hosts)
  }

  pick(call: PickedCall): Host | null {
    return this.draws.drawFor(call)
  }
}
