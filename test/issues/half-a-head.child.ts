// Run by half-a-head.test.ts, with a collector that can be called.
import { fuzz } from '../fuzz/run.ts'

for (const seed of [1, 3, 4]) await fuzz({ frames: 30_000, seed, only: ['CONTINUATION flood'] })
console.log('survived')
