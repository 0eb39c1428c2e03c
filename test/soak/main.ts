// `npm run soak [-- --calls N --seed N]`: random calls through random chains against servers that fail in every way, and
// at the end nothing may be left over. `--round N` repeats one round of the run with that seed.
import { parseArgs } from 'node:util'
import { checkNumber } from '../../src/policies/options.ts'
import { table } from './floors.ts'
import { run } from './run.ts'

const defaultCalls = 100_000
const progressEvery = 10_000

const { values } = parseArgs({
  options: { calls: { type: 'string' }, seed: { type: 'string' }, round: { type: 'string' } },
})

function numberOf(option: string, given: string | undefined, max: number): number | undefined {
  return given === undefined ? undefined : checkNumber(`--${option}`, Number(given), { min: 0, max, integer: true })
}

const seed = numberOf('seed', values.seed, 2 ** 32 - 1) ?? Math.floor(Math.random() * 2 ** 32)
const calls = numberOf('calls', values.calls, 1e8) ?? defaultCalls
const round = numberOf('round', values.round, 1e8)
console.log(`soak: seed ${seed}, ${calls} calls${round === undefined ? '' : `, only round ${round}`}`)

let told = 0
const onProgress = (done: number, failures: number) => {
  if (done < told + progressEvery) return
  told = done
  console.log(`soak: ${done} calls, ${failures} failures`)
}
const result = await run({ seed, calls, round, onProgress })
for (const line of table(result.tally)) console.log(line)
const speed = Math.round(result.calls / result.seconds)
console.log(`soak: ${result.calls} calls in ${result.seconds.toFixed(1)} s, ${speed} a second`)
for (const failure of result.failures) console.log(`- ${failure}`)
const again = `(seed ${seed})`
console.log(
  result.failures.length === 0 ? `soak passed ${again}` : `soak failed: ${result.failures.length} failures ${again}`,
)
process.exitCode = result.failures.length === 0 ? 0 : 1
