// `npm run fuzz [-- --frames 200000 --seed N]`: random and hostile HTTP/2 frames against the agent.
import { parseArgs } from 'node:util'
import { fuzz } from './run.ts'

const { values } = parseArgs({
  options: { frames: { type: 'string', default: '200000' }, seed: { type: 'string' }, only: { type: 'string' } },
})
const frames = Number(values.frames)
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
if (!(frames >= 1) || !Number.isInteger(seed)) {
  console.error('fuzz: --frames must be a number of at least 1, --seed a whole number')
  process.exit(1)
}
const mostGrown = 16 * 1024 * 1024

console.log(`seed ${seed}`)
process.on('uncaughtException', (error) => {
  console.error(`seed ${seed}: nobody caught`, error)
  process.exit(1)
})
const started = performance.now()
const result = await fuzz({
  frames,
  seed,
  log: (line) => console.log(line),
  ...(values.only === undefined ? {} : { only: [values.only] }),
})
const seconds = (performance.now() - started) / 1000
console.log(`${result.frames} frames, ${result.calls} calls in ${seconds.toFixed(0)} s; they ended:`)
for (const [code, count] of [...result.ends].sort((one, other) => other[1] - one[1])) {
  console.log(`  ${count.toString().padStart(8)}  ${code}`)
}
const { rss } = process.memoryUsage()
console.log(
  `held beyond the beginning: ${(result.grown / 1024 / 1024).toFixed(1)} MB; resident: ${Math.round(rss / 1024 / 1024)} MB`,
)
if (result.grown > mostGrown) {
  console.error(`fuzz: more than ${mostGrown / 1024 / 1024} MB are held`)
  process.exit(1)
}
