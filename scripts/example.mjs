// Runs one example: `npm run example -- NAME [URL]`.
import { spawnSync } from 'node:child_process'
import { listExamples } from './example-programs.ts'

const [name, ...rest] = process.argv.slice(2)
const examples = listExamples()
const program = examples.get(name)

if (program === undefined) {
  const wrong = name === undefined ? 'No example named.' : `There is no example ${JSON.stringify(name)}.`
  console.error(`${wrong} Use: npm run example -- NAME [URL], where NAME is one of`)
  for (const known of examples.keys()) console.error(`  ${known}`)
  process.exit(1)
}

// Examples import the kit by its own name, which leads to dist/.
for (const args of [['scripts/build.mjs'], [program, ...rest]]) {
  const run = spawnSync(process.execPath, args, { stdio: 'inherit' })
  if (run.status !== 0) process.exit(run.status ?? 1)
}
