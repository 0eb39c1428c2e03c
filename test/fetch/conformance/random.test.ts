// Seeds and lengths of their own: ROUNDTRIPPER_SEED, ROUNDTRIPPER_RANDOM_RUNS.
import { expect, it } from 'vitest'
import { transports } from './case.ts'
import { compareAtRandom } from './random.ts'

const runs = Number(process.env.ROUNDTRIPPER_RANDOM_RUNS ?? 300)
const seed = Number(process.env.ROUNDTRIPPER_SEED ?? Math.floor(Math.random() * 2 ** 31))

it.each(transports)(
  'random calls come to the same with fetch as with undici.fetch (%s)',
  async (transport) => {
    console.log(`test/fetch/conformance: ${runs} random calls over ${transport}, seed ${seed}`)
    expect(await compareAtRandom({ transport, runs, seed })).toBe(runs * 3)
  },
  60_000 + runs * 100,
)
