import { murmur3 } from './murmur3.ts'
import { checkNumber } from './options.ts'
import { rendezvousDraw } from './rendezvous.ts'

/** One of several that share traffic. */
export interface Weighted {
  readonly name: string
  /** Its share is this, of the sum of all weights. 0: it has none. */
  readonly weight: number
}

/**
 * Checks weights that share something; `name` is the option they were given as.
 *
 * @throws RangeError, TypeError for a weight that is no number of at least 0, for none at all, and where all are 0.
 */
export function checkWeights(name: string, variants: readonly Weighted[]): void {
  for (const variant of variants) checkNumber(`${name}.${variant.name}.weight`, variant.weight, { min: 0 })
  if (!variants.some(({ weight }) => weight > 0)) {
    throw new RangeError(
      `${name} must hold one with a weight above 0, got ${variants.length === 0 ? 'none' : 'only 0'}`,
    )
  }
}

/** Chooses one of several by their weights: by chance, or by a key, of which the same one always gets the same. */
export class TrafficSplit<T extends Weighted> {
  private readonly variants: ReadonlyMap<string, T>
  // Those with a weight: where the share of each ends, and what its name is hashed to.
  private readonly sharing: readonly T[]
  private readonly ends: readonly number[]
  private readonly salts: readonly number[]

  /** The weights must have passed {@link checkWeights}. */
  constructor(variants: readonly T[]) {
    this.variants = new Map(variants.map((variant) => [variant.name, variant]))
    this.sharing = variants.filter(({ weight }) => weight > 0)
    const total = this.sharing.reduce((sum, { weight }) => sum + weight, 0)
    let sum = 0
    this.ends = this.sharing.map(({ weight }) => {
      sum += weight
      return sum / total
    })
    this.salts = this.sharing.map(({ name }) => murmur3(name))
  }

  /** The variant of a name, whatever its weight. */
  named(name: string): T | undefined {
    return this.variants.get(name)
  }

  /** All of them. */
  [Symbol.iterator](): Iterator<T> {
    return this.variants.values()
  }

  /** The variant whose share holds `point`, a number from 0 to 1. */
  at(point: number): T {
    const { sharing, ends } = this
    const last = sharing.length - 1
    for (let index = 0; index < last; index++) if (point < (ends[index] as number)) return sharing[index] as T
    return sharing[last] as T
  }

  /**
   * The variant of a key: weighted rendezvous hashing. Each variant draws a number for the key, and the least wins. So nothing
   * hangs on the order of the variants, nor on what their weights were before: processes agree that have the same ones. A
   * weight that grows draws keys to its variant, one that shrinks lets some go, and no key moves between the others.
   */
  of(key: string): T {
    const { sharing, salts } = this
    const hash = murmur3(key)
    let found = sharing[0] as T
    let least = Number.POSITIVE_INFINITY
    for (let index = 0; index < sharing.length; index++) {
      const variant = sharing[index] as T
      const drawn = rendezvousDraw(hash ^ (salts[index] as number), variant.weight)
      if (drawn < least) {
        least = drawn
        found = variant
      }
    }
    return found
  }
}
