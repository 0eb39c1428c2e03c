import { abortPhases } from './plan.ts'
import { serverFaults } from './steps.ts'
import type { Tally } from './tally.ts'

/** A share of all calls that the run must reach, or it has not shown what it is for. */
export interface Floor {
  readonly group: string
  readonly name: string
  readonly share: number
}

const callerFaults = ['connection refused', 'request body fails', 'consumer throws', 'unread body', 'HEAD']

/** What has to happen often enough. */
export const floors: readonly Floor[] = [
  { group: 'protocol', name: '1.1', share: 0.4 },
  { group: 'protocol', name: '2', share: 0.4 },
  { group: 'calls', name: 'with a body', share: 0.3 },
  ...abortPhases.map((name) => ({ group: 'abort', name, share: 0.01 })),
  ...[...Object.keys(serverFaults), ...callerFaults].map((name) => ({ group: 'fault', name, share: 0.01 })),
]

/** The floors that a run has stayed below, in words. */
export function belowFloors(tally: Tally): string[] {
  const all = tally.get('calls', 'all')
  return floors.flatMap(({ group, name, share }) => {
    const count = tally.get(group, name)
    if (count >= share * all) return []
    return `${group} ${name}: ${count} of ${all} calls, at least ${share * 100} % are wanted`
  })
}

const groups = ['calls', 'way', 'form', 'ending', 'protocol', 'body', 'fault', 'abort', 'result', 'layer', 'held']
// Counted by chain, or as such, and not by call.
const absolute = new Set(['form', 'ending', 'layer', 'held'])

/** All counts, one a line; shares are of all calls. */
export function table(tally: Tally): string[] {
  const all = Math.max(1, tally.get('calls', 'all'))
  return groups.flatMap((group) =>
    tally.entries(group).map(([name, count]) => {
      const floor = floors.find((known) => known.group === group && known.name === name)
      const share = absolute.has(group) ? '' : `${((100 * count) / all).toFixed(1)} %`
      const wanted = floor === undefined ? '' : `(at least ${floor.share * 100} %)`
      return `${group.padEnd(9)} ${name.padEnd(22)} ${String(count).padStart(9)} ${share.padStart(8)}  ${wanted}`.trimEnd()
    }),
  )
}
