// Runs every example once, without a URL, each for at most a minute: an example that no longer runs is a broken page.
// Where ROUNDTRIPPER_COUNTS names a file, a line "passed failed skipped label" is added to it for each.
import { spawnSync } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { listExamples } from './example-programs.ts'

const longestMs = 60_000
const examples = listExamples()
// The demo runs until it is stopped; `npm run demo -- --once` is its bounded run.
examples.delete('demo')
if (examples.size === 0) {
  console.error('examples/ holds no program yet')
  process.exit(1)
}

for (const [name, program] of examples) {
  console.log(`\n--- ${name}`)
  const run = spawnSync(process.execPath, [program], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: longestMs,
    killSignal: 'SIGKILL',
  })
  const passed = run.status === 0
  if (!passed) {
    const how =
      run.error?.code === 'ETIMEDOUT' ? `ran for over ${longestMs} ms` : `ended with ${run.status ?? run.signal}`
    console.error(`--- ${name} failed: ${how}`)
    process.exitCode = 1
  }
  if (process.env.ROUNDTRIPPER_COUNTS) {
    appendFileSync(process.env.ROUNDTRIPPER_COUNTS, `${passed ? '1 0' : '0 1'} 0 example ${name}\n`)
  }
}
