import { belowFloors } from './floors.ts'
import { ProcessState } from './process-state.ts'
import { Round, type RoundContext } from './round.ts'
import { startServers } from './servers.ts'
import { Tally } from './tally.ts'

/** Options of a random run. */
export interface RunOptions {
  readonly seed: number
  readonly calls: number
  /** Runs only this round of the run. */
  readonly round?: number | undefined
  /** Told now and then how far it is. */
  readonly onProgress?: (calls: number, failures: number) => void
}

/** What a random run came to. */
export interface RunResult {
  readonly tally: Tally
  /** What went wrong; nothing, if all is well. */
  readonly failures: readonly string[]
  readonly calls: number
  readonly seconds: number
}

const callsPerRound = 250
const callers = 10
const lanes = 4
const settleWithin = 5_000
// A run that goes wrong in every round needs no thousand reasons.
const enoughFailures = 200

/** Sends random calls through random chains, a chain for each 250 calls, and checks that nothing is left of them. */
export async function run({ seed, calls, round, onProgress }: RunOptions): Promise<RunResult> {
  const began = performance.now()
  const servers = await startServers()
  const state = new ProcessState()
  const tally = new Tally()
  const failures: string[] = []
  const context: RoundContext = { seed, servers, tally, failures, callsPerRound, callers }
  const rounds = Math.ceil(calls / callsPerRound)
  let next = 0
  const lane = async () => {
    while (next < rounds && failures.length < enoughFailures) {
      await new Round(context, next++).run()
      if (next === Math.max(lanes + 1, Math.floor(rounds / 5))) state.warm()
      onProgress?.(tally.get('calls', 'all'), failures.length)
    }
  }
  if (round === undefined) await Promise.all(Array.from({ length: lanes }, lane))
  else await new Round(context, round).run()

  const open = await servers.connectionsAfter(settleWithin)
  if (open > 0) failures.push(`${open} connections are still open at the servers`)
  const { calls: served, played, mistakes } = await servers.report()
  for (const mistake of mistakes) failures.push(`server: ${mistake}`)
  for (const [name, count] of Object.entries(played)) tally.add('fault', name, count)
  for (const [name, count] of Object.entries(served)) tally.add('protocol', name, count)
  failures.push(...(await state.differences(settleWithin)))
  await servers.close()
  if (round === undefined && failures.length === 0) failures.push(...belowFloors(tally))
  return { tally, failures, calls: tally.get('calls', 'all'), seconds: (performance.now() - began) / 1000 }
}
