// Plays every scenario of a changing capacity with every algorithm, and writes the table of docs/adaptive-limit.md:
// `npm run adaptive-limit`. Seeded: the same again on every machine.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LimitAlgorithmName } from '../../src/index.ts'
import { root } from '../house/files.ts'
import {
  type Best,
  bestFixed,
  type Comparison,
  changeLength,
  compare,
  compareBelow,
  type ServiceTime,
  scenarios,
} from './capacity.ts'

const page = join(root, 'docs/adaptive-limit.md')
const begin = '<!-- capacity: written by npm run adaptive-limit -->'
const end = '<!-- /capacity -->'
const algorithms: readonly LimitAlgorithmName[] = ['vegas', 'gradient2', 'aimd']

function ratios(phases: readonly Comparison[], of: (phase: Comparison) => number): string {
  return phases.map((phase) => of(phase).toFixed(2)).join(' ')
}

function steady(phases: readonly Comparison[]): string {
  return `${ratios(phases, (phase) => phase.goodput)} / ${ratios(phases, (phase) => phase.p99)}`
}

function changing(phases: readonly Comparison[]): string {
  return `${ratios(phases, (phase) => phase.goodputOfChange)} / ${ratios(phases, (phase) => phase.p99OfChange)}`
}

function fixed(best: readonly Best[]): string {
  return best.map(({ goodput, p99, limit }) => `${goodput.toFixed(0)}/s ${p99.toFixed(0)} ms (${limit})`).join(', ')
}

const rows: string[] = []
const changes: string[] = []
let lowest = Number.POSITIVE_INFINITY
let highest = 0
for (const scenario of scenarios) {
  const best = await bestFixed(scenario)
  const compared: Comparison[][] = []
  for (const algorithm of algorithms) compared.push(await compare(scenario, algorithm, best))
  const [vegas] = compared as [Comparison[]]
  lowest = Math.min(lowest, ...vegas.map(({ goodput }) => goodput))
  highest = Math.max(highest, ...vegas.map(({ p99 }) => p99))
  rows.push(`| ${scenario.name} | ${fixed(best)} | ${compared.map(steady).join(' | ')} |`)
  changes.push(`| ${scenario.name} | ${compared.map(changing).join(' | ')} |`)
  console.log(rows.at(-1))
}

const below: string[] = []
const kinds: readonly ServiceTime[] = ['constant', 'log-normal', 'exponential']
for (const share of [0.6, 0.8, 0.95]) {
  const cells: string[] = []
  for (const kind of kinds) {
    const [goodput, p99] = await compareBelow(kind, share)
    cells.push(`${goodput.toFixed(3)} / ${p99.toFixed(2)}`)
  }
  below.push(`| ${share} | ${cells.join(' | ')} |`)
  console.log(below.at(-1))
}

const table = [
  begin,
  `With Vegas goodput is at least ${lowest.toFixed(2)} of the best fixed limit's, and p99 at most ${highest.toFixed(2)} times.`,
  '',
  '| scenario | best fixed limit | vegas | gradient2 | aimd |',
  '|---|---|---|---|---|',
  ...rows,
  '',
  `The same in the ${changeLength / 1000} s from each change on (the first of them from a cold start), against the best for what comes after it:`,
  '',
  '| scenario | vegas | gradient2 | aimd |',
  '|---|---|---|---|',
  ...changes,
  '',
  'With fewer calls than the server can serve, by share of its capacity: goodput / p99 with Vegas, as ratios to those without a limit.',
  '',
  `| share | ${kinds.join(' | ')} |`,
  '|---|---|---|---|',
  ...below,
  end,
].join('\n')

const text = readFileSync(page, 'utf8')
const [before, rest] = text.split(begin)
const after = rest?.split(end)[1]
if (before === undefined || after === undefined) throw new Error(`${page} has no place for the table`)
writeFileSync(page, before + table + after)
console.log(`wrote ${page}`)
