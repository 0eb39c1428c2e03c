import { expect, it } from 'vitest'
import { interleave } from './interleaved.ts'

it('100,000 interleaved calls: none goes out with the context of another one, and nothing beyond the list', async () => {
  const { seed, mistakes, unseen, happened } = await interleave(100_000, 200)
  console.log(`seed ${seed}: ${JSON.stringify(happened)}`)
  expect(mistakes, `seed ${seed}`).toEqual([])
  expect(unseen).toBe(0)
  expect(happened['sent again']).toBeGreaterThan(10_000)
  expect(happened['came to another origin']).toBeGreaterThan(10_000)
}, 600_000)
