// The page that shows the scenarios: what of it is written by the command, and its plots.
import { plot } from './plot.ts'
import { type Played, playWith, type Scenario, variantsOf } from './scenario.ts'

export const scenariosPage = 'docs/scenarios.md'
/** Of everything that the page shows, but for the ratios of other seeds. */
export const seed = 1

export const plotFile = ({ name }: Scenario) => `docs/scenarios/${name}.svg`

const number = (value: number) => (Number.isNaN(value) ? '–' : Math.round(value).toLocaleString('en').replace(',', ' '))

function row({ variant, before, during, after, whole, recovery }: Played): string {
  const reports = [before, during, after, whole]
  const cells = reports.map(({ goodput, p99 }) => `${number(goodput)}/s, ${number(p99)}`)
  return `| ${[variant, ...cells, recovery === null ? 'never' : `${recovery} s`].join(' | ')} |`
}

/** One row for each chain. */
export function table(played: readonly Played[]): string {
  return [
    '| goodput, p99 in ms | before | during | after | all of it | back after |',
    '|---|---|---|---|---|---|',
    ...played.map(row),
  ].join('\n')
}

/** Plays a scenario with all its chains. */
export async function playAll(scenario: Scenario, from = seed): Promise<Played[]> {
  const played: Played[] = []
  for (const variant of variantsOf(scenario)) played.push(await playWith(scenario, variant, from))
  return played
}

/** What a scenario's place on the page is to hold, and the text of its plot. */
export function shown(scenario: Scenario, played: readonly Played[]): { readonly text: string; readonly svg: string } {
  const image = `![Good answers a second, by chain](scenarios/${scenario.name}.svg)`
  return { text: `${table(played)}\n\n${image}`, svg: plot(scenario, played) }
}

const begin = (name: string) => `<!-- figures: ${name} (npm run scenarios) -->`
const end = '<!-- /figures -->'

/** The page with a text in the place of this name; throws where there is none. */
export function withFigures(page: string, name: string, text: string): string {
  const from = page.indexOf(begin(name))
  const to = page.indexOf(end, from)
  if (from < 0 || to < 0) throw new Error(`${scenariosPage} has no ${begin(name)} ... ${end}`)
  return `${page.slice(0, from)}${begin(name)}\n\n${text}\n\n${page.slice(to)}`
}
