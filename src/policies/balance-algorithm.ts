import { ConsistentHash } from './consistent-hash.ts'
import { LeastLoaded } from './least-loaded.ts'
import { checkDuration, checkFunction, checkNumber, show } from './options.ts'
import { PeakEwma } from './peak-ewma.ts'
import type { Picker } from './picker.ts'
import { WeightedRandom } from './weighted-random.ts'
import { WeightedRoundRobin } from './weighted-round-robin.ts'

/**
 * How a host is chosen for each call:
 *
 * - `peakEwma`: of two drawn by weight, the one that is likely to answer first, by its latency and its calls under way;
 * - `leastLoaded`: of two drawn by weight, the one with fewer calls under way for its weight;
 * - `roundRobin`: each in its turn, as often as its weight says;
 * - `random`: by chance, as often as its weight says;
 * - `consistentHash`: the same one for the same `key`, as long as it has room.
 */
export type BalanceAlgorithm = 'peakEwma' | 'leastLoaded' | 'roundRobin' | 'random' | 'consistentHash'

/** What algorithms are given, as options of `balance()`. */
interface AlgorithmOptions {
  readonly algorithm: BalanceAlgorithm
  readonly key?: unknown
  readonly loadFactor: number
  readonly decayTime: number
  readonly random?: () => number
}

/** Options that another picker is made for; what this one has learned is lost then. */
export const pickerOptions = ['algorithm', 'loadFactor', 'decayTime', 'random'] as const

type PickerOptions = Required<Pick<AlgorithmOptions, 'random' | 'loadFactor' | 'decayTime'>>

const pickers: Readonly<Record<BalanceAlgorithm, (options: PickerOptions) => Picker>> = {
  peakEwma: ({ random, decayTime }) => new PeakEwma(random, decayTime),
  leastLoaded: ({ random }) => new LeastLoaded(random),
  roundRobin: ({ random }) => new WeightedRoundRobin(random),
  random: ({ random }) => new WeightedRandom(random),
  consistentHash: ({ random, loadFactor }) => new ConsistentHash(random, loadFactor),
}

/** Checks options of `balance()` that say how a host is chosen, and makes what chooses it. */
export function checkPicker(options: AlgorithmOptions): Picker {
  const { algorithm, key, loadFactor, decayTime, random = Math.random } = options
  if (!Object.hasOwn(pickers, algorithm)) {
    throw new TypeError(
      `balance: algorithm must be one of ${Object.keys(pickers).map(show).join(', ')}, got ${show(algorithm)}`,
    )
  }
  if (algorithm === 'consistentHash') {
    if (key === undefined) throw new TypeError('balance: algorithm "consistentHash" needs a key')
    checkFunction('balance: key', key)
  } else if (key !== undefined) {
    throw new TypeError(`balance: a key is for algorithm "consistentHash" only, got one with ${show(algorithm)}`)
  }
  return pickers[algorithm]({
    random: checkFunction('balance: random', random),
    loadFactor: checkNumber('balance: loadFactor', loadFactor, { min: 1.01, max: 100 }),
    decayTime: checkDuration('balance: decayTime', decayTime),
  })
}
