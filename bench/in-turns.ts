import type { BenchClient } from './processes.ts'

export interface Course {
  readonly rounds: number
  readonly calls: number
  /** How many processes of each variant, one after the other, share the rounds. */
  readonly processes: number
  /** Rounds of each process that are not counted: until then the compiler is at work. */
  readonly warmUps: number
}

/** What each variant's process gives for each round. They take turns, round by round. */
export async function inTurns<Name extends string, Result>(
  names: readonly Name[],
  start: (name: Name) => Promise<BenchClient<Result>>,
  { rounds, calls, processes, warmUps }: Course,
): Promise<Record<Name, Result[]>> {
  const results = Object.fromEntries(names.map((name) => [name, [] as Result[]])) as Record<Name, Result[]>
  for (let set = 0; set < processes; set++) {
    const clients = {} as Record<Name, BenchClient<Result>>
    for (const name of names) clients[name] = await start(name)
    for (let warm = 0; warm < warmUps; warm++) for (const name of names) await clients[name].round(calls)
    const share = Math.floor(rounds / processes) + (set < rounds % processes ? 1 : 0)
    for (let at = 0; at < share; at++) {
      // Each goes first in turn, so that a drift of the machine falls on all.
      for (let turn = 0; turn < names.length; turn++) {
        const name = names[(at + turn) % names.length] as Name
        results[name].push(await clients[name].round(calls))
      }
    }
    await Promise.all(names.map((name) => clients[name].stop()))
  }
  return results
}
