// `npm run bench:layers`: what each layer adds to a call that goes well, with no socket anywhere, against three empty
// forwarding layers in the same run.
import { parseArgs } from 'node:util'
import type { LayerRoundResult } from './layer-client.ts'
import { type LayerName, type LayerRow, layerRows } from './layer-rows.ts'
import { startLayerClient } from './processes.ts'
import { median } from './statistics.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '21' },
    calls: { type: 'string', default: '20000' },
    processes: { type: 'string', default: '3' },
    callers: { type: 'string', default: '100' },
    only: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const calls = Number(values.calls)
const processes = Number(values.processes)
const callers = Number(values.callers)

// Rounds not counted: until then the compiler is at work.
const warmUps = 5

const all = Object.keys(layerRows) as LayerName[]
const only = values.only?.split(',')
const names = all.filter((name) => only === undefined || only.some((one) => name.startsWith(one)))

const results = new Map<LayerName, LayerRoundResult[]>(names.map((name) => [name, []]))
for (let set = 0; set < processes; set++) {
  for (const name of names) {
    const client = await startLayerClient({ name, callers })
    for (let warm = 0; warm < warmUps; warm++) await client.round(calls)
    for (let at = 0; at < rounds; at++) results.get(name)?.push(await client.round(calls))
    await client.stop()
  }
}

// Of the whole run: a process compiles its code one way or another, and what all are measured against is one thing.
const bar = median([...results.values()].flat().map(({ empties }) => empties))

const when = callers === 0 ? 'answered before the dispatch returns' : `${callers} calls under way at once`
console.log(`Microseconds of CPU a call, ${when}; ${processes} processes of ${rounds} rounds of ${calls} calls each`)
console.log(`  three empty forwarding layers    ${bar.toFixed(3)}`)
console.log('What a layer adds to its chain, and in three empty layers')
let dear = 0
for (const [name, found] of results) {
  const cost = median(found.map(({ layer }) => layer))
  const without = median(found.map((one) => one.without))
  const { exempt, empties = 3 }: LayerRow = layerRows[name]
  const isDear = cost > (bar * empties) / 3
  if (isDear && exempt === undefined) dear++
  const told = isDear ? `  more than it may${exempt === undefined ? '' : `, but ${exempt}`}` : ''
  console.log(
    `  ${name.padEnd(32)} ${cost.toFixed(3).padStart(6)}  ${(cost / bar).toFixed(2).padStart(5)}  to ${without.toFixed(3)}${told}`,
  )
}
if (dear > 0) process.exitCode = 1
