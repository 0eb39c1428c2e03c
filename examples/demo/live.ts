import type { Lane } from './lanes.ts'
import { type Phase, type Service, services } from './phases.ts'
import type { Screen, Style } from './screen.ts'
import { type Column, count, seconds, tableLines } from './table.ts'

const columns: readonly Column[] = [
  { title: '', align: 'left' },
  { title: 'calls', align: 'right' },
  { title: 'ok', align: 'right', width: 4 },
  { title: 'failed', align: 'right' },
  { title: 'retries', align: 'right' },
  { title: 'breaker', align: 'left', width: 8 },
  { title: 'slots', align: 'right' },
  { title: 'queued', align: 'right' },
  { title: 'p50', align: 'right', width: 5 },
  { title: 'p99', align: 'right', width: 5 },
  { title: 'HTTP', align: 'left' },
]

/** What the columns mean, for whoever sees them for the first time. */
export const legend = [
  'calls: came up in the phase; ok, failed: ended in it; slots: under way now;',
  'queued: waiting for their turn; p50, p99: from coming up to the end, in ms',
]

/** The first lines of a phase. */
export function phaseTitle(screen: Screen, { name, what, look, steps }: Phase): string[] {
  const duration = steps.reduce((sum, [, ms]) => sum + ms, 0)
  const title = `${screen.style('bold', name)} (${seconds(duration)}): ${what}`
  return look === undefined ? [title] : [title, screen.style('dim', look)]
}

/** How the lanes stand in a phase: a row for each lane and service. */
export function phaseTable(screen: Screen, lanes: readonly Lane[]): string[] {
  const rows = lanes.flatMap((lane) => services.map((service) => rowOf(lane, service)))
  const style = (padded: string, row: number, column: number) => {
    const found = styleOf(padded.trim(), row, columns[column]!.title)
    return found === undefined ? padded : screen.style(found, padded)
  }
  return tableLines(columns, rows, { gap: screen.width < 90 ? 1 : 2, style })
}

function rowOf(lane: Lane, service: Service): string[] {
  const tally = lane.tallies[service]
  const { breaker, slots, queued } = lane.view(service)
  return [
    `${lane.name.padEnd(5)} ${service}`,
    count(tally.calls),
    count(tally.ok),
    count(tally.failed),
    breaker === undefined ? '-' : count(tally.retries),
    breaker ?? '-',
    count(slots),
    count(queued),
    whole(tally.percentile(50)),
    whole(tally.percentile(99)),
    tally.protocol ?? '-',
  ]
}

function whole(value: number | undefined): string {
  return value === undefined ? '-' : count(value)
}

function styleOf(cell: string, row: number, title: string): Style | undefined {
  if (row < 0) return 'dim'
  if (cell.startsWith('chain')) return 'cyan'
  if (cell === 'closed') return 'green'
  if (cell === 'halfOpen') return 'yellow'
  const isBad = cell === 'open' || (title === 'failed' && cell !== '0')
  return isBad ? 'red' : undefined
}
