// Metastable overload. For ten seconds the server has half of its workers. Callers who wait in vain try once more, and the
// server, which does not notice that they have gone, works for those who left. When it has all workers again, what it is
// asked, everything twice, is more than it can do; so all are late, so all ask twice: what began it is over, and it goes
// on.
//
// N. Bronson, A. Aghayev, A. Charapko, T. Zhu, "Metastable Failures in Distributed Systems", HotOS 2021, whose first
// example is that of retries. Google's SRE book, chapter 22, on queues and on deadlines of work that nobody waits for.
import { compose } from '../../../src/index.ts'
import { exponential, inWorld, ModelServer, OpenLoop } from '../world.ts'
import { chances, type Scenario } from './scenario.ts'

// 30 workers of 100 ms serve 300 a second.
const workers = 30
const meanTime = 100
const rate = 240
const patience = 1_000
const tries = 2

export const metastableOverload: Scenario = {
  name: 'metastable-overload',
  title: 'Metastable overload',
  from: 30_000,
  to: 40_000,
  until: 80_000,
  others: [],
  play: (variant, seed) =>
    inWorld(async (clock) => {
      const { callers, work, chain } = chances(seed)
      const server = new ModelServer({ clock, workers, serviceTime: () => exponential(work, meanTime) })
      const dispatcher = compose(server, ...variant.layers(chain))
      const began = clock.now
      const load = new OpenLoop({ clock, random: callers, dispatcher, patience, tries, rate })
      await clock.run(metastableOverload.from)
      server.setWorkers(workers / 2)
      await clock.run(metastableOverload.to - metastableOverload.from)
      server.setWorkers(workers)
      await clock.run(metastableOverload.until - metastableOverload.to)
      load.stop()
      await clock.run(60_000)
      return load.records.map((call) => ({ ...call, at: call.at - began }))
    }),
}
