// One layer of `npm run bench:layers`, in a process of its own: in a program, too, V8 compiles the one chain that is there.
import { compose, type Layer, runWithContext } from 'roundtripper'
import type { Dispatcher } from 'undici'
import { answerRounds } from './answer-rounds.ts'
import { emptyLayer } from './empty-layer.ts'
import { LaterDispatcher } from './later.ts'
import { type LayerName, type LayerRow, layerRows } from './layer-rows.ts'
import { Consumer, StubDispatcher } from './stub.ts'

export interface LayerSetup {
  readonly name: LayerName
  /** Calls that are under way at once; 0: each is answered before its dispatch returns. */
  readonly callers: number
}

/** Microseconds of CPU a call. */
export interface LayerRoundResult {
  /** What three empty layers add to a chain that has one already. */
  readonly empties: number
  /** What the layer adds to its chain. */
  readonly layer: number
  /** The chain without it. */
  readonly without: number
}

const { name, callers } = JSON.parse(process.argv[2] as string) as LayerSetup
const row: LayerRow = layerRows[name]

const later = new LaterDispatcher()
const transport = callers === 0 ? new StubDispatcher() : later
const empty = (dispatch: Dispatcher['dispatch']) => emptyLayer(dispatch)

function chainOf(...layers: readonly Layer[]): Dispatcher['dispatch'] {
  const chain = compose(transport, ...layers)
  return chain.dispatch.bind(chain)
}

function parts(withIt: boolean): Layer[] {
  return row.chain.flatMap((one) => (one === 'it' ? (withIt ? [row.layer()] : []) : [one()]))
}

const dispatches = {
  // One is in both: what compose puts around layers that are not its own is not what an empty one costs.
  oneEmpty: chainOf(...parts(false), empty),
  fourEmpties: chainOf(...parts(false), empty, empty, empty, empty),
  without: chainOf(...parts(false)),
  withIt: chainOf(...parts(true)),
}

// What is under way at once is not the same: deduplicate() would send it once.
const paths = Array.from({ length: 128 }, (_, at) => `/users/${at}`)

function round(dispatch: Dispatcher['dispatch'], calls: number): number {
  const before = process.cpuUsage()
  for (let call = 0; call < calls; ) {
    do {
      const path = paths[call % paths.length] as string
      dispatch({ origin: 'https://api.example.com', path, method: 'GET', headers: null }, new Consumer())
    } while (++call % Math.max(1, callers) !== 0)
    later.answer()
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}

let turn = 0

answerRounds<{ readonly calls: number }, LayerRoundResult>(
  async ({ calls }) => {
    const names = Object.keys(dispatches) as (keyof typeof dispatches)[]
    const costs = {} as Record<keyof typeof dispatches, number>
    // A different one goes first each time, so that none always pays for another's garbage.
    for (let at = 0; at < names.length; at++) {
      const one = names[(at + turn) % names.length] as keyof typeof dispatches
      const { context } = row
      costs[one] =
        context === undefined ? round(dispatches[one], calls) : runWithContext(context, round, dispatches[one], calls)
    }
    turn++
    const { oneEmpty, fourEmpties, without, withIt } = costs
    return { empties: fourEmpties - oneEmpty, layer: withIt - without, without }
  },
  async () => undefined,
)
