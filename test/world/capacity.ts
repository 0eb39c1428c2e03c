// A server whose capacity changes, under more calls than it can serve: what a limit makes of it, against the best fixed one.
import { adaptiveLimit, bulkhead, compose, type Layer, type LimitAlgorithmName } from '../../src/index.ts'
import { type SeededRandom, seededRandom } from '../../src/testing/index.ts'
import { exponential, inWorld, logNormal, ModelServer, OpenLoop, type Report, report } from './world.ts'

/** What the server is like in one phase. */
interface Phase {
  readonly workers: number
  /** Times the usual time for a request. */
  readonly slowness: number
}

export interface CapacityScenario {
  readonly name: string
  readonly phases: readonly [Phase, Phase, Phase]
  /** Draws the time that a request takes, around 40 ms. */
  readonly serviceTime: (random: SeededRandom) => number
}

const meanTime = 40
// Of what the server can do at its best.
const usualLoad = 1.5
/** Milliseconds of a phase; its first part is the change, and is judged on its own. */
export const phaseLength = 30_000
export const changeLength = 10_000
/** What callers wait for an answer. */
const patience = 2_000

const sigma = 0.5
const serviceTimes = {
  constant: () => meanTime,
  'log-normal': (random: SeededRandom) => logNormal(random, meanTime * Math.exp(-(sigma ** 2) / 2), sigma),
  exponential: (random: SeededRandom) => exponential(random, meanTime),
}

/** How long requests take, by the name of the distribution. */
export type ServiceTime = keyof typeof serviceTimes

const changes: Readonly<Record<string, CapacityScenario['phases']>> = {
  'half the workers (20, 10, 20)': [
    { workers: 20, slowness: 1 },
    { workers: 10, slowness: 1 },
    { workers: 20, slowness: 1 },
  ],
  'twice the workers (20, 40, 20)': [
    { workers: 20, slowness: 1 },
    { workers: 40, slowness: 1 },
    { workers: 20, slowness: 1 },
  ],
  'half as fast (20 workers)': [
    { workers: 20, slowness: 1 },
    { workers: 20, slowness: 2 },
    { workers: 20, slowness: 1 },
  ],
  'few workers (6, 3, 6)': [
    { workers: 6, slowness: 1 },
    { workers: 3, slowness: 1 },
    { workers: 6, slowness: 1 },
  ],
}

export const scenarios: readonly CapacityScenario[] = Object.entries(changes).flatMap(([change, phases]) =>
  Object.entries(serviceTimes).map(([kind, serviceTime]) => ({ name: `${change}, ${kind}`, phases, serviceTime })),
)

/** What became of one phase: its change, and the rest. */
export interface PhaseReport {
  readonly change: Report
  readonly steady: Report
}

/** Plays a scenario with one layer over the server, at a share of what it can serve at its best. */
export function play(
  { phases, serviceTime }: CapacityScenario,
  limit: () => Layer | null,
  share = usualLoad,
): Promise<PhaseReport[]> {
  return inWorld(async (clock) => {
    const work = seededRandom(11)
    let slowness = 1
    const [{ workers }] = phases
    const server = new ModelServer({ clock, workers, serviceTime: () => slowness * serviceTime(work) })
    const capacity = (1000 / meanTime) * Math.max(...phases.map((phase) => phase.workers / phase.slowness))
    const load = new OpenLoop({
      clock,
      random: seededRandom(12),
      dispatcher: compose(server, limit()),
      patience,
      rate: share * capacity,
    })
    const began = clock.now
    for (const phase of phases) {
      slowness = phase.slowness
      server.setWorkers(phase.workers)
      await clock.run(phaseLength)
    }
    load.stop()
    await clock.run(patience)
    return phases.map((_phase, at) => {
      const from = began + at * phaseLength
      return {
        change: report(load.records, from, from + changeLength),
        steady: report(load.records, from + changeLength, from + phaseLength),
      }
    })
  })
}

/** The best that a fixed limit does in one phase: the goodput of the best, and the p99 of those within 1 % of it. */
export interface Best {
  readonly goodput: number
  readonly p99: number
  readonly limit: number
}

/** Limits to try, as shares of the most workers. */
const manyShares: readonly number[] = [0.5, 0.55, 0.6, 0.7, 0.85, 1, 1.1, 1.2, 1.35, 1.5, 2]

/** Finds the best fixed limit for each phase. */
export async function bestFixed(scenario: CapacityScenario, shares = manyShares): Promise<Best[]> {
  const most = Math.max(...scenario.phases.map(({ workers }) => workers))
  const played: { limit: number; phases: PhaseReport[] }[] = []
  for (const limit of new Set(shares.map((share) => Math.round(share * most)))) {
    played.push({ limit, phases: await play(scenario, () => bulkhead({ limit, queue: 0 })) })
  }
  return scenario.phases.map((_phase, at) => {
    const all = played.map(({ limit, phases }) => ({ limit, ...(phases[at] as PhaseReport).steady }))
    const goodput = Math.max(...all.map((one) => one.goodput))
    const good = all.filter((one) => one.goodput >= 0.99 * goodput)
    const { limit, p99 } = good.reduce((best, one) => (one.p99 < best.p99 ? one : best))
    return { goodput, p99, limit }
  })
}

/** The same server all along, and calls of which it could serve more: what a limit takes from those that have none. */
export async function compareBelow(kind: ServiceTime, share: number): Promise<[goodput: number, p99: number]> {
  const phase: Phase = { workers: 20, slowness: 1 }
  const scenario = { name: kind, phases: [phase, phase, phase], serviceTime: serviceTimes[kind] } as const
  const limited = await play(scenario, () => adaptiveLimit({ random: seededRandom(13).next }), share)
  const bare = await play(scenario, () => null, share)
  const [own, theirs] = [limited, bare].map((phases) => (phases.at(-1) as PhaseReport).steady) as [Report, Report]
  return [own.goodput / theirs.goodput, own.p99 / theirs.p99]
}

/** One phase of an adaptive limit beside the best fixed one, as ratios. */
export interface Comparison {
  readonly goodput: number
  readonly p99: number
  /** Of the ten seconds from the change on. */
  readonly goodputOfChange: number
  readonly p99OfChange: number
}

/** Compares an algorithm with the best fixed limits. */
export async function compare(
  scenario: CapacityScenario,
  algorithm: LimitAlgorithmName,
  best: readonly Best[],
): Promise<Comparison[]> {
  // AIMD is told what is slow; the others have to find out.
  const limit = () => adaptiveLimit({ algorithm, slowAfter: 3 * meanTime, random: seededRandom(13).next })
  const phases = await play(scenario, limit)
  return phases.map(({ change, steady }, at) => {
    const { goodput, p99 } = best[at] as Best
    return {
      goodput: steady.goodput / goodput,
      p99: steady.p99 / p99,
      goodputOfChange: change.goodput / goodput,
      p99OfChange: change.p99 / p99,
    }
  })
}
