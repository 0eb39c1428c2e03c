// `npm run servers -- --rounds 10`: the four runs against nginx, by createAgent() and by Go's net/http in turn, and a table.
import { parseArgs } from 'node:util'
import { checkNumber } from '../../src/policies/options.ts'
import { startNginx } from './nginx.ts'
import { type Client, goClient, ours, programAt } from './programs.ts'
import { bound, calls, moreThanOnce, taskFor } from './runs.ts'
import type { Report } from './task.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' } } })
const rounds = checkNumber('--rounds', Number(values.rounds), { min: 1, max: 1000, integer: true })

process.env.ROUNDTRIPPER_REQUIRE_SERVERS = '1'
const nginx = await startNginx(programAt('nginx', 'nginx-light or nginx')!)
const clients: Readonly<Record<string, Client>> = { createAgent: ours, Go: goClient(programAt('go', 'golang-go')!) }
const runs = [
  ['GET', 0],
  ['GET', 10],
  ['POST', 0],
  ['POST', 10],
] as const

interface Result extends Report {
  readonly twice: number
}

const results = new Map<string, Result[]>()
for (let round = 1; round <= rounds; round++) {
  for (const [method, reloads] of runs) {
    for (const [name, client] of Object.entries(clients)) {
      nginx.begin(calls, reloads)
      const report = await client(taskFor(nginx.port, nginx.ca, method))
      await nginx.settled()
      const key = `${method}, ${reloads} reloads, ${name}`
      const result = { ...report, twice: moreThanOnce(nginx.seen).length }
      results.set(key, [...(results.get(key) ?? []), result])
      const codes = new Set(report.failures.map(({ code, message }) => `${code} ${message.slice(0, 120)}`.trim()))
      const told = [...codes].slice(0, 3).map((code) => `\n    ${code}`)
      console.log(`round ${round}: ${key}: ${report.ok} ok in ${report.took} ms${told.join('')}`)
    }
  }
}
await nginx.stop()

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const wrong: string[] = []
console.log(`\nof ${calls} calls, over ${rounds} rounds\n`)
console.log('| run | all well | fewest | median | sent twice | never settled | slowest call | median time |')
console.log('|---|---|---|---|---|---|---|---|')
for (const [key, all] of results) {
  const oks = all.map(({ ok }) => ok)
  const unsettled = all.reduce((sum, one) => sum + one.unsettled.length, 0)
  const twice = all.reduce((sum, one) => sum + one.twice, 0)
  const slowest = Math.max(...all.map((one) => one.slowest))
  const took = median(all.map((one) => one.took))
  const well = oks.filter((ok) => ok === calls).length
  console.log(
    `| ${key} | ${well} of ${rounds} | ${Math.min(...oks)} | ${median(oks)} | ${twice} | ${unsettled} | ${slowest} ms | ${took} ms |`,
  )
  if (!key.endsWith('createAgent')) continue
  if (unsettled > 0 || slowest >= bound) wrong.push(`${key}: not every call settled in ${bound} ms`)
  if (key.startsWith('POST') && twice > 0) wrong.push(`${key}: ${twice} were sent twice`)
  if (key !== 'POST, 10 reloads, createAgent' && well < rounds) wrong.push(`${key}: calls were lost`)
}
const medianOf = (name: string) => median(results.get(`POST, 10 reloads, ${name}`)!.map(({ ok }) => ok))
const behind = medianOf('Go') - medianOf('createAgent')
if (behind > 10) wrong.push(`POST, 10 reloads: the median is ${behind} below Go's`)
for (const line of wrong) console.log(`- ${line}`)
console.log(wrong.length === 0 ? '\nservers: as it should be' : `\nservers: ${wrong.length} wrong`)
process.exitCode = wrong.length === 0 ? 0 : 1
