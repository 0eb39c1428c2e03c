import { checkNumber, checkOptions } from './options.ts'
import type { Policy } from './policy.ts'

/** Options of a per-origin map. */
export interface PerOriginOptions {
  /**
   * How many origins are remembered; beyond it the least recently used one without work in flight is forgotten.
   * @default 1000
   */
  readonly maxOrigins?: number
}

/** What a per-origin map does unless told otherwise. */
export const perOriginDefaults = Object.freeze({ maxOrigins: 1000 })

/** What can live in a per-origin map: it says when it may be forgotten. */
export interface Forgettable {
  /** Whether nothing is in flight and nothing of weight would be lost. */
  readonly idle: boolean
}

// At how many busy values a new one looks, on average, for one to forget; the map outgrows its bound by no more than this part.
const looks = 64

/**
 * One value per origin, made when first asked for. Bounded, but never at the cost of work in flight: while every value
 * is busy the map grows beyond its bound, and shrinks again as new origins come.
 */
export class PerOrigin<T extends Forgettable> implements Iterable<[origin: string, value: T]> {
  readonly #create: (origin: string) => T
  readonly #maxOrigins: number
  // In order of use, the least recent first.
  readonly #values = new Map<string, T>()
  // While there are fewer than this, none is looked for that could be forgotten.
  #lookAt = 0
  // Most programs call one origin many times in a row: for them this is one comparison.
  #lastOrigin: string | null = null
  #lastValue: T | null = null

  constructor(create: (origin: string) => T, options: PerOriginOptions = {}) {
    checkOptions('perOrigin', options, Object.keys(perOriginDefaults))
    this.#create = create
    this.#maxOrigins = checkNumber('maxOrigins', options.maxOrigins ?? perOriginDefaults.maxOrigins, {
      min: 1,
      integer: true,
    })
  }

  /** How many origins are remembered. */
  get size(): number {
    return this.#values.size
  }

  /** The value of an origin, made now if it is new. */
  get(origin: string): T {
    if (origin === this.#lastOrigin) return this.#lastValue as T
    let value = this.#values.get(origin)
    if (value === undefined) {
      value = this.#create(origin)
      this.#makeRoom()
    } else {
      this.#values.delete(origin)
    }
    this.#values.set(origin, value)
    this.#lastOrigin = origin
    this.#lastValue = value
    return value
  }

  /** The value of an origin that is remembered; looking does not count as use. */
  peek(origin: string): T | undefined {
    return this.#values.get(origin)
  }

  /** All that is remembered, the least recently used first. */
  [Symbol.iterator](): Iterator<[origin: string, value: T]> {
    return this.#values.entries()
  }

  #makeRoom(): void {
    const { size } = this.#values
    let excess = size - this.#maxOrigins + 1
    if (excess <= 0 || size < this.#lookAt) return
    this.#lookAt = 0
    for (const [origin, value] of this.#values) {
      if (!value.idle) continue
      this.#values.delete(origin)
      if (--excess === 0) return
    }
    // All that are left are busy. Of thousands, not every new origin looks at each of them again.
    this.#lookAt = this.#values.size + 1 + Math.floor(this.#values.size / looks)
  }
}

/** A policy of one instance per origin, which can be looked at. */
export interface PerOriginPolicy<T extends Policy & Forgettable> extends Policy {
  readonly name: string
  readonly origins: PerOrigin<T>
}

/** Gives each origin a policy of its own, so that the state of one never touches another. */
export function perOrigin<T extends Policy & Forgettable>(
  name: string,
  create: (origin: string) => T,
  options?: PerOriginOptions,
): PerOriginPolicy<T> {
  const origins = new PerOrigin(create, options)
  return { name, origins, acquire: (scope) => origins.get(scope.origin).acquire(scope) }
}
