// Seeds and lengths of their own: ROUNDTRIPPER_SEED, ROUNDTRIPPER_RANDOM_RUNS. The calls are the same in each run unless asked
// for otherwise: what undici's fetch does is found out, not given, and where it depends on luck `plans.ts` has to say so first.
import { expect, it } from 'vitest'
import { transports } from './case.ts'
import { compareAtRandom } from './random.ts'

const runs = Number(process.env.ROUNDTRIPPER_RANDOM_RUNS ?? 300)
const seed = Number(process.env.ROUNDTRIPPER_SEED ?? 2_119_900_201)

it.each(transports)(
  'random calls come to the same with fetch as with undici.fetch (%s)',
  async (transport) => {
    console.log(`test/fetch/conformance: ${runs} random calls over ${transport}, seed ${seed}`)
    expect(await compareAtRandom({ transport, runs, seed })).toBe(runs * 3)
  },
  60_000 + runs * 100,
)
