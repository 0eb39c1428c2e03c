import { expect, it } from 'vitest'
import { interleave } from './interleaved.ts'

it('5,000 interleaved calls: none goes out with the context of another one, and nothing beyond the list', async () => {
  const { seed, mistakes, unseen, happened } = await interleave(5000, 100)
  console.log(`seed ${seed}: ${JSON.stringify(happened)}`)
  expect(mistakes, `seed ${seed}`).toEqual([])
  expect(unseen).toBe(0)
  const { 'came to an origin on the list': listed = 0, 'came to another origin': others = 0 } = happened
  expect(listed + others, 'requests share connections').toBeGreaterThan(4 * (happened.connections as number))
  for (const [what, least] of Object.entries({
    'sent again': 500,
    'came to another origin': 500,
    'redirect, same': 200,
    'redirect, listed': 200,
    'redirect, other': 200,
    records: 2000,
  })) {
    expect(happened[what], what).toBeGreaterThan(least)
  }
}, 60_000)
