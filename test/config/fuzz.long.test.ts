import { it } from 'vitest'
import { fuzz } from './fuzz.ts'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)

it(`many random configurations are made, or refused in words (SEED=${seed})`, () => fuzz(seed, 2_000), 600_000)
