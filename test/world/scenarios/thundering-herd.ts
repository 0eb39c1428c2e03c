// Thundering herd after recovery. A server is down for 20 s, and everybody tries again and again. When it comes back its
// caches are cold: it is five times as slow as usual, until it has served a while, and all who waited are there at once.
// Who has waited too long leaves, and comes again; the work that was done for them is lost.
//
// Google's SRE book, chapter 22 ("Slow Startup and Cold Caching", and how to bring a service back: by letting in a little).
// AWS Builders' Library, "Timeouts, retries, and backoff with jitter", on clients that come back together.
import { compose } from '../../../src/index.ts'
import { exponential, inWorld, ModelServer, OpenLoop } from '../world.ts'
import { chances, type Scenario } from './scenario.ts'

// 20 workers of 40 ms serve 500 a second, and 100 of them when all caches are cold. The queue holds two seconds' work.
const workers = 20
const meanTime = 40
const coldness = 4
/** Requests that were worked on until what is cold has halved. */
const halfWarm = 1_500
const rate = 300
const patience = 1_000
const pause = 1_000
const tries = 8
const queue = 1_000

export const thunderingHerd: Scenario = {
  name: 'thundering-herd',
  title: 'Thundering herd after recovery',
  from: 30_000,
  to: 50_000,
  until: 100_000,
  others: [],
  play: (variant, seed) =>
    inWorld(async (clock) => {
      const { callers, work, chain } = chances(seed)
      let workedSince = Number.POSITIVE_INFINITY
      const serviceTime = () => {
        const cold = workedSince === Number.POSITIVE_INFINITY ? 0 : 2 ** (-workedSince++ / halfWarm)
        return exponential(work, meanTime * (1 + coldness * cold))
      }
      const server = new ModelServer({ clock, workers, queue, serviceTime })
      const dispatcher = compose(server, ...variant.layers(chain))
      const began = clock.now
      const load = new OpenLoop({ clock, random: callers, dispatcher, patience, tries, pause, rate })
      await clock.run(thunderingHerd.from)
      server.outage = 'refuse'
      await clock.run(thunderingHerd.to - thunderingHerd.from)
      workedSince = 0
      server.outage = null
      await clock.run(thunderingHerd.until - thunderingHerd.to)
      load.stop()
      await clock.run(120_000)
      return load.records.map((call) => ({ ...call, at: call.at - began }))
    }),
}
