import { describe, expect, it } from 'vitest'
import { read } from '../../house/files.ts'
import { scenarios } from './all.ts'
import { costs } from './costs.ts'
import { metastableOverload } from './metastable-overload.ts'
import { playAll, plotFile, scenariosPage, seed, shown, withFigures } from './page.ts'
import { bare, best, limited, type Played, playWith, ready } from './scenario.ts'

// What the best chain must be better by, over all of a scenario; see the page.
const margins: Readonly<Record<string, number>> = {
  'retry-storm': 1.02,
  'slow-dependency': 1.5,
  'thundering-herd': 2,
  'metastable-overload': 2,
}

function find(played: readonly Played[], name: string): Played {
  return played.find(({ variant }) => variant === name) as Played
}

describe.each(scenarios)('$title', (scenario) => {
  it('comes out as its page says, and standard() takes no more than a tenth of bare in any phase', async () => {
    const played = await playAll(scenario)

    const [without, standard, top] = [bare, ready, best].map(({ name }) => find(played, name)) as [
      Played,
      Played,
      Played,
    ]
    for (const phase of ['before', 'during', 'after', 'whole'] as const) {
      expect(standard[phase].goodput, phase).toBeGreaterThanOrEqual(0.9 * without[phase].goodput)
      expect(top[phase].goodput, phase).toBeGreaterThanOrEqual(0.9 * without[phase].goodput)
    }
    expect(top.whole.goodput).toBeGreaterThan((margins[scenario.name] as number) * without.whole.goodput)

    // What the command wrote, in another process, is the same again.
    const { text, svg } = shown(scenario, played)
    const page = read(scenariosPage)
    expect(withFigures(page, scenario.name, text)).toBe(page)
    expect(svg).toBe(read(plotFile(scenario)))
    expect(svg.length).toBeLessThan(40_000)
  }, 120_000)
})

it('shows an overload that does not end by itself, and does with a limit, by another seed too', async () => {
  expect((await playWith(metastableOverload, bare, 2)).recovery).toBeNull()
  expect((await playWith(metastableOverload, ready, 2)).recovery).toBeNull()
  expect((await playWith(metastableOverload, limited, 2)).recovery).toBeLessThan(10)
}, 120_000)

it('tells what it costs as the page does', async () => {
  const page = read(scenariosPage)
  expect(withFigures(page, 'costs', await costs(seed))).toBe(page)
}, 120_000)
