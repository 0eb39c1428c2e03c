// Plays the four scenarios, and writes the tables and plots of docs/scenarios.md: `npm run scenarios`. Seeded: the same
// again on every machine.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from '../../house/files.ts'
import { scenarios } from './all.ts'
import { costs } from './costs.ts'
import { playAll, plotFile, scenariosPage, seed, shown, table, withFigures } from './page.ts'
import { bare, best, limited, type Played, ready } from './scenario.ts'

// Those that the table of ratios is of, besides the page's own.
const otherSeeds = [2, 3]
const shownRatios = [bare, ready, limited, best]

function find(played: readonly Played[], name: string): Played {
  return played.find(({ variant }) => variant === name) as Played
}

/** The least ratio of goodput to bare, and for each seed when it was back. */
function summed(runs: readonly (readonly Played[])[], name: string): string {
  const ratios = runs.map((run) => find(run, name).whole.goodput / find(run, bare.name).whole.goodput)
  const back = runs.map((run) => find(run, name).recovery ?? 'never')
  return `${Math.min(...ratios).toFixed(2)} (${back.join(', ')})`
}

let page = readFileSync(join(root, scenariosPage), 'utf8')
const ratios: string[] = []
for (const scenario of scenarios) {
  const played = await playAll(scenario)
  console.log(`${scenario.title}\n${table(played)}\n`)
  const { text, svg } = shown(scenario, played)
  page = withFigures(page, scenario.name, text)
  const file = join(root, plotFile(scenario))
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, svg)
  const runs = [played]
  for (const other of otherSeeds) runs.push(await playAll(scenario, other))
  const cells = shownRatios.map(({ name }) => summed(runs, name))
  ratios.push(`| ${scenario.title} | ${cells.join(' | ')} |`)
}
const head = `| scenario | ${shownRatios.map(({ name }) => name).join(' | ')} |`
page = withFigures(page, 'ratios', [head, '|---|---|---|---|---|', ...ratios].join('\n'))
console.log(`${head}\n${ratios.join('\n')}`)
page = withFigures(page, 'costs', await costs(seed))
writeFileSync(join(root, scenariosPage), page)
console.log(`wrote ${scenariosPage}`)
