// Runs one vitest project: `node scripts/test.mjs unit|long|e2e|servers|redis [vitest arguments]`.
// Where ROUNDTRIPPER_COUNTS names a file, a line "passed failed skipped label" is added to it for whoever sums them.
import { spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countTests } from '../test/house/counts.ts'

const [project, ...rest] = process.argv.slice(2)
if (project === undefined || !['unit', 'long', 'e2e', 'servers', 'redis'].includes(project)) {
  console.error(`test: the project must be "unit", "long", "e2e", "servers" or "redis", got ${JSON.stringify(project)}`)
  process.exit(1)
}

const countsFile = process.env.ROUNDTRIPPER_COUNTS
const folder = mkdtempSync(join(tmpdir(), 'roundtripper-test-'))
const resultsFile = join(folder, 'results.json')
const reporters = countsFile ? ['--reporter=default', '--reporter=json', `--outputFile.json=${resultsFile}`] : []

const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
const run = spawnSync(process.execPath, [vitest, 'run', '--project', project, ...reporters, ...rest], {
  stdio: 'inherit',
})

if (countsFile && existsSync(resultsFile)) {
  const { passed, failed, skipped } = countTests(JSON.parse(readFileSync(resultsFile, 'utf8')))
  appendFileSync(countsFile, `${passed} ${failed} ${skipped} ${project} tests\n`)
}
rmSync(folder, { recursive: true, force: true })

if (project === 'unit') {
  console.log('Skipped: the end-to-end tests, which need a Jaeger. `npm run test:e2e` starts one and runs them.')
  console.log('Skipped: fetch beside undici on Node 24 and 26, and what calls leave in memory: `npm run test:long`.')
  console.log('Skipped: the tests on a real Redis, where one is installed: `npm run test:redis`.')
  console.log('Skipped: the runs against nginx, nghttpd and Go, where those are installed: `npm run test:servers`.')
}
process.exitCode = run.status ?? 1
