// The short form of `npm run fuzz`.
import { expect, it } from 'vitest'
import { fuzz } from './run.ts'

const mostGrown = 16 * 1024 * 1024

it('hostile frames of all kinds are survived, and leave nothing behind (the seed is drawn)', async () => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  console.log(`test/fuzz: seed ${seed}`)
  const result = await fuzz({ frames: 100_000, seed })
  expect(result.ends.get('whole')).toBeGreaterThan(0)
  expect(result.grown).toBeLessThan(mostGrown)
})
