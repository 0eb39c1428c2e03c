// `node test/fetch/conformance/main.ts [--transport h1c] [--area redirects] [--only text] [--subject 'over undici']
// [--concurrency 1] [--json]`: undici's fetch and ours, side by side. `--delegated`: which cases are handed on to undici's
// fetch and should not be.
import { parseArgs } from 'node:util'
import { allAreas } from './areas.ts'
import { type Transport, transports } from './case.ts'
import { wronglyDelegated } from './delegations.ts'
import { runMatrix } from './runner.ts'
import { type SubjectName, subjects } from './subjects.ts'

const { values } = parseArgs({
  options: {
    transport: { type: 'string' },
    area: { type: 'string' },
    only: { type: 'string' },
    subject: { type: 'string' },
    concurrency: { type: 'string', default: '6' },
    json: { type: 'boolean', default: false },
    delegated: { type: 'boolean', default: false },
  },
})

function chosen<T>(name: string, given: T | undefined, all: readonly T[]): readonly T[] {
  if (given === undefined) return all
  if (all.includes(given)) return [given]
  console.error(`conformance: --${name} must be one of ${all.join(', ')}, got ${String(given)}`)
  process.exit(2)
}

const names = chosen(
  'area',
  values.area,
  allAreas.map(({ name }) => name),
)
const areas = allAreas.filter(({ name }) => names.includes(name))
if (values.delegated) {
  const wrong = await wronglyDelegated(areas)
  console.log(values.json ? JSON.stringify(wrong) : wrong.join('\n'))
  process.exit(wrong.length > 0 ? 1 : 0)
}
const started = performance.now()
const result = await runMatrix({
  areas,
  transports: chosen('transport', values.transport as Transport | undefined, transports),
  subject:
    values.subject === undefined
      ? undefined
      : (chosen(
          'subject',
          values.subject,
          subjects.map(({ name }) => name as string),
        )[0] as SubjectName),
  only: values.only,
  concurrency: Number(values.concurrency),
})
if (values.json) {
  process.stdout.write(JSON.stringify({ version: process.version, ...result }))
} else {
  for (const { transport, subject, case: name, path, reference, ours } of result.differences) {
    console.log(`${transport} ${subject}: ${name}\n  at ${path}`)
    console.log(`  undici: ${JSON.stringify(reference)}\n  ours:   ${JSON.stringify(ours)}`)
  }
  for (const text of result.outdated) console.log(`no longer different: ${text}`)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(
    `${result.cases} cases, ${result.compared} comparisons, ${result.differences.length} differences, ${seconds} s; slowest: ${result.slowest}`,
  )
}
// What a failed case left open must not keep the process.
process.exit(result.differences.length + result.outdated.length > 0 ? 1 : 0)
