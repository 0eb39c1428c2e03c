import { expect, it } from 'vitest'
import { schema } from '../../src/config/schema.ts'
import { formsOf } from '../../src/config/schema-walk.ts'
import { everything, problemsOf } from './fixtures.ts'
import { accepts, fuzz, pathsIn } from './fuzz.ts'

it('the configuration that is mutated is good, and names every option', () => {
  expect(problemsOf(everything)).toEqual([])
  expect(accepts(schema, everything)).toBe(true)
  const named = new Set(pathsIn(everything).map((path) => path.at(-1)))
  const options = Object.values({ ...schema.$defs, '': schema }).flatMap((part) =>
    formsOf(part).flatMap(({ properties = {} }) => Object.keys(properties)),
  )
  expect(options.filter((name) => !named.has(name))).toEqual([])
})

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)

it(`random configurations are made, or refused in words (SEED=${seed})`, () => fuzz(seed, 300), 60_000)
