// Retry storm. Two answers in five fail for 20 s, each after as much work as a good one: a bad release on two machines
// in five. The server could bear that. It cannot bear what callers make of it who ask again, at once, what failed or was
// late: their repeats fill it, so that what waits is late, and what is late or turned away is asked again.
//
// Google's SRE book, chapter 22 ("Addressing Cascading Failures", Retries), and chapter 21 ("Handling Overload"): a budget
// of retries per client, a tenth of the requests there. AWS Builders' Library, "Timeouts, retries, and backoff with jitter"
// (M. Brooker): retries are selfish, so AWS bounds them with a token bucket.
import { attemptTimeout, compose, retry } from '../../../src/index.ts'
import { inWorld, logNormal, ModelServer, OpenLoop } from '../world.ts'
import { chances, type Scenario, type Variant } from './scenario.ts'

// 40 workers of 40 ms serve 1,000 a second. The queue holds two seconds of that, which is one more than callers wait.
const workers = 40
const queue = 2_000
const meanTime = 40
const sigma = 0.5
const rate = 720
const patience = 1_000

const naive: Variant = {
  name: 'naive: 250 ms, three retries at once',
  layers: (random) => [retry({ backoff: 0, budget: false, random: random.next }), attemptTimeout(250)],
}

const times = { from: 30_000, to: 50_000, until: 80_000 } as const

/** Plays it with such a share of answers failing while the fault lasts. */
export function playStorm(failing: number): Scenario['play'] {
  return ({ layers }, seed) =>
    inWorld(async (clock) => {
      const { callers, work, chain } = chances(seed)
      const serviceTime = () => logNormal(work, meanTime * Math.exp(-(sigma ** 2) / 2), sigma)
      const server = new ModelServer({ clock, workers, queue, serviceTime })
      const dispatcher = compose(server, ...layers(chain))
      const began = clock.now
      const load = new OpenLoop({ clock, random: callers, dispatcher, patience, rate })
      await clock.run(times.from)
      server.failing = () => work.chance(failing)
      await clock.run(times.to - times.from)
      server.failing = null
      await clock.run(times.until - times.to)
      load.stop()
      await clock.run(60_000)
      return load.records.map((call) => ({ ...call, at: call.at - began }))
    })
}

export const retryStorm: Scenario = {
  name: 'retry-storm',
  title: 'Retry storm',
  ...times,
  others: [naive],
  play: playStorm(0.4),
}
