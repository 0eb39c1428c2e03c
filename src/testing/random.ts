import { checkNumber } from '../policies/options.ts'

/** A source of numbers that gives the same ones again for the same seed. Not for secrets. */
export interface SeededRandom {
  /** Print it with a failing test, and give it to `seededRandom` to get the same run again. */
  readonly seed: number
  /** A number from 0, 1 excluded, with 53 random bits: what `Math.random` gives. Needs no `this`. */
  next(): number
  /** A whole number from `min` to `max`, both included. */
  integer(min: number, max: number): number
  /** One of the items. */
  pick<T>(items: readonly T[]): T
  /** `true` with this probability: never at 0, always at 1. */
  chance(probability: number): boolean
}

const uint32Max = 2 ** 32 - 1

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

/**
 * xoshiro128** 1.1: D. Blackman and S. Vigna, "Scrambled Linear Pseudorandom Number Generators", ACM Transactions on
 * Mathematical Software 47 (2021). Gives whole numbers of 32 bits; the state must not be all zero.
 */
export function xoshiro128StarStar(a: number, b: number, c: number, d: number): () => number {
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotateLeft(d, 11)
    return result
  }
}

/**
 * SplitMix32: the 64-bit SplitMix of G. Steele, D. Lea and C. Flood, "Fast Splittable Pseudorandom Number Generators"
 * (OOPSLA 2014), with the 32-bit finalizer of MurmurHash3. Spreads one seed over the state of the generator.
 */
function splitMix32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x9e3779b9) | 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return z ^ (z >>> 16)
  }
}

/**
 * Makes a {@link SeededRandom}.
 *
 * @param seed a whole number from 0 to 4294967295; drawn by chance if not given
 * @throws TypeError or RangeError for any other seed
 */
export function seededRandom(seed: number = Math.floor(Math.random() * 2 ** 32)): SeededRandom {
  checkNumber('seed', seed, { min: 0, max: uint32Max, integer: true })
  const spread = splitMix32(seed)
  const draw = xoshiro128StarStar(spread(), spread(), spread(), spread())
  const next = () => ((draw() >>> 5) * 2 ** 26 + (draw() >>> 6)) / 2 ** 53
  const integer = (min: number, max: number) => {
    checkNumber('min', min, { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER, integer: true })
    checkNumber('max', max, { min, max: Number.MAX_SAFE_INTEGER, integer: true })
    return min + Math.floor(next() * (max - min + 1))
  }
  return {
    seed,
    next,
    integer,
    pick(items) {
      if (items.length === 0) throw new RangeError('items must hold at least one item, got none')
      return items[integer(0, items.length - 1)]!
    },
    chance: (probability) => next() < checkNumber('probability', probability, { min: 0, max: 1 }),
  }
}
