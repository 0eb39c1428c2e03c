// What the scenarios have in common: a fault with a time before and a time after it, the same callers for every chain, and
// what they got.
import { type Layer, type StandardOptions, standard } from '../../../src/index.ts'
import { type SeededRandom, seededRandom } from '../../../src/testing/index.ts'
import { type CallRecord, type Report, report } from '../world.ts'

/** A chain to play a scenario with. */
export interface Variant {
  readonly name: string
  /** Makes its layers anew; chance comes from `random`. */
  readonly layers: (random: SeededRandom) => readonly Layer[]
}

/** Something that operators fear. Durations are milliseconds. */
export interface Scenario {
  /** The name of its plot's file. */
  readonly name: string
  readonly title: string
  /** When the fault begins, when it is mended, and when the callers stop. */
  readonly from: number
  readonly to: number
  readonly until: number
  /** Chains besides those that every scenario is played with. */
  readonly others: readonly Variant[]
  /** Plays it; times of the records are those since the callers began. */
  readonly play: (variant: Variant, seed: number) => Promise<readonly CallRecord[]>
}

/** How long the callers call before anything counts: an adaptive limit begins low. */
export const warmUp = 10_000

/** `standard()` without spans, its chance from outside. */
export function standardWith({ next: random }: SeededRandom, options: StandardOptions = {}): Layer[] {
  const { adaptiveLimit, circuitBreaker, retry, ...others } = options
  return standard({
    tracing: false,
    retry: { random, ...retry },
    circuitBreaker: { random, ...circuitBreaker },
    ...(adaptiveLimit && { adaptiveLimit: { random, ...adaptiveLimit } }),
    ...others,
  })
}

export const bare: Variant = { name: 'bare', layers: () => [] }
export const ready: Variant = { name: '`standard()`', layers: (random) => standardWith(random) }
/** What `standard()` would be with an adaptive limit in it. */
export const limited: Variant = {
  name: '`standard()`, `adaptiveLimit`',
  layers: (random) => standardWith(random, { adaptiveLimit: {} }),
}

// #region best
const fitting: StandardOptions = {
  deadline: 1_000, // what callers wait
  attemptTimeout: 900, // and not a third of it: see below
  adaptiveLimit: { minLimit: 20 }, // what the server bears on a bad day
  circuitBreaker: { openFor: 1_000, openForFactor: 2, openForMax: 5_000, openForJitter: 0.2 },
  retry: { budget: { share: 0.3 }, backoff: { initialDelay: 25 } },
}
// #endregion

/** One chain for all four, of somebody who knows what callers wait, and what the server has left and can bear. */
export const best: Variant = { name: 'best chain', layers: (random) => standardWith(random, fitting) }

/** What became of a scenario with one chain. */
export interface Played {
  readonly variant: string
  readonly before: Report
  readonly during: Report
  readonly after: Report
  readonly whole: Report
  /** Seconds from the mending until goodput was back for good; `null`: it never was. */
  readonly recovery: number | null
  /** Good answers in each second. */
  readonly seconds: readonly number[]
}

// Of the goodput before the fault; three seconds on average, since callers come at random.
const isBack = 0.9
const smooth = 3

function perSecond(records: readonly CallRecord[], length: number): number[] {
  return Array.from({ length: length / 1000 }, (_, second) => {
    return report(records, second * 1000, (second + 1) * 1000).goodput
  })
}

function recovery({ from, to }: Scenario, seconds: readonly number[]): number | null {
  const mean = (begin: number, end: number) =>
    seconds.slice(begin, end).reduce((sum, one) => sum + one, 0) / (end - begin)
  const before = mean(warmUp / 1000, from / 1000)
  const mended = to / 1000
  // The last time that it was low counts.
  let back = seconds.length
  while (back - smooth >= mended && mean(back - smooth, back) >= isBack * before) back--
  return back === seconds.length ? null : Math.max(0, back - smooth + 1 - mended)
}

/** Plays a scenario with one chain, and sums up what its callers got. */
export async function playWith(scenario: Scenario, variant: Variant, seed: number): Promise<Played> {
  const { from, to, until } = scenario
  // What counts is when an answer was there.
  const records = (await scenario.play(variant, seed)).map((call) => ({ ...call, at: call.at + call.took }))
  const seconds = perSecond(records, until)
  return {
    variant: variant.name,
    before: report(records, warmUp, from),
    during: report(records, from, to),
    after: report(records, to, until),
    whole: report(records, warmUp, until),
    recovery: recovery(scenario, seconds),
    seconds,
  }
}

/** All chains that a scenario is played with. */
export function variantsOf({ others }: Scenario): readonly Variant[] {
  return [bare, ...others, ready, limited, best]
}

/** Streams of chance that do not depend on each other: callers and work are the same for every chain. */
export function chances(seed: number): { callers: SeededRandom; work: SeededRandom; chain: SeededRandom } {
  return { callers: seededRandom(seed), work: seededRandom(seed + 1), chain: seededRandom(seed + 2) }
}
