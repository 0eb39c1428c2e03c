import { abortPhases } from './plan.ts'
import { serverFaults } from './steps.ts'
import type { Tally } from './tally.ts'

/**
 * A share of all calls that the run must reach, or it has not shown what it is for. (Of a protocol: of the calls that
 * came to a server.)
 */
export interface Floor {
  readonly group: string
  readonly name: string
  readonly share: number
}

const callOptions = ['deadline', 'attemptTimeout', 'priority']
const callerFaults = ['connection refused', 'request body fails', 'consumer throws', 'unread body', 'HEAD']

/** What has to happen often enough. */
export const floors: readonly Floor[] = [
  { group: 'protocol', name: '1.1', share: 0.4 },
  { group: 'protocol', name: '2', share: 0.4 },
  { group: 'calls', name: 'with a body', share: 0.3 },
  ...callOptions.map((name) => ({ group: 'option', name, share: 0.04 })),
  ...abortPhases.map((name) => ({ group: 'abort', name, share: 0.01 })),
  ...[...Object.keys(serverFaults), ...callerFaults].map((name) => ({ group: 'fault', name, share: 0.01 })),
]

function baseOf(tally: Tally, group: string): number {
  if (group !== 'protocol') return tally.get('calls', 'all')
  return tally.entries(group).reduce((sum, [, count]) => sum + count, 0)
}

/** The floors that a run has stayed below, in words. */
export function belowFloors(tally: Tally): string[] {
  return floors.flatMap(({ group, name, share }) => {
    const count = tally.get(group, name)
    const base = baseOf(tally, group)
    if (count >= share * base) return []
    return `${group} ${name}: ${count} of ${base} calls, at least ${share * 100} % are wanted`
  })
}

const groups = [
  'calls',
  'way',
  'form',
  'ending',
  'protocol',
  'body',
  'option',
  'fault',
  'abort',
  'result',
  'layer',
  'held',
]
// Counted by chain, or as such, and not by call.
const absolute = new Set(['form', 'ending', 'layer', 'held'])

/** All counts, one a line. */
export function table(tally: Tally): string[] {
  return groups.flatMap((group) =>
    tally.entries(group).map(([name, count]) => {
      const floor = floors.find((known) => known.group === group && known.name === name)
      const share = absolute.has(group) ? '' : `${((100 * count) / Math.max(1, baseOf(tally, group))).toFixed(1)} %`
      const wanted = floor === undefined ? '' : `(at least ${floor.share * 100} %)`
      return `${group.padEnd(9)} ${name.padEnd(22)} ${String(count).padStart(9)} ${share.padStart(8)}  ${wanted}`.trimEnd()
    }),
  )
}
