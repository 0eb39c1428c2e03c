// Slow dependency. A service with a hundred workers asks one of two others for each of its requests: nine times the one,
// once the other. The other becomes slow, by 30 s. Its few requests hold worker after worker, until all hundred wait for it, and nothing
// is left for the nine in ten that it has no part in.
//
// Google's SRE book, chapter 22 ("Bimodal latency", and why deadlines far beyond the usual time are dangerous). AWS Builders'
// Library, "Timeouts, retries, and backoff with jitter", on resources that calls without timeouts hold.
import { Dispatcher } from 'undici'
import { compose } from '../../../src/index.ts'
import { ModelService } from '../model-service.ts'
import { exponential, inWorld, ModelServer, OpenLoop } from '../world.ts'
import { chances, type Scenario } from './scenario.ts'

const fast = 'http://fast.test'
const slow = 'http://slow.test'
const workers = 100
const queue = 200
const rate = 400
const patience = 2_000
const meanTime = 50
const slowTime = 30_000
/** Every tenth request needs the one that becomes slow. */
const period = 10

/** Two upstreams behind one dispatcher, by origin. */
class Upstreams extends Dispatcher {
  private readonly servers: Readonly<Record<string, Dispatcher>>

  constructor(servers: Readonly<Record<string, Dispatcher>>) {
    super()
    this.servers = servers
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return (this.servers[String(opts.origin)] as Dispatcher).dispatch(opts, handler)
  }
}

export const slowDependency: Scenario = {
  name: 'slow-dependency',
  title: 'Slow dependency',
  from: 30_000,
  to: 90_000,
  until: 130_000,
  others: [],
  play: (variant, seed) =>
    inWorld(async (clock) => {
      const { callers, work, chain } = chances(seed)
      let time = meanTime
      const upstream = (serviceTime: () => number) => new ModelServer({ clock, workers: 2_000, serviceTime })
      const upstreams = new Upstreams({
        [fast]: upstream(() => exponential(work, meanTime)),
        [slow]: upstream(() => exponential(work, time)),
      })
      const calls = compose(upstreams, ...variant.layers(chain))
      const dispatcher = new ModelService({ workers, queue, calls })
      const began = clock.now
      const request = (number: number) =>
        ({ origin: number % period === 0 ? slow : fast, path: '/', method: 'GET' }) as const
      const load = new OpenLoop({ clock, random: callers, dispatcher, patience, rate, request })
      await clock.run(slowDependency.from)
      time = slowTime
      await clock.run(slowDependency.to - slowDependency.from)
      time = meanTime
      await clock.run(slowDependency.until - slowDependency.to)
      load.stop()
      await clock.run(120_000)
      return load.records.map((call) => ({ ...call, at: call.at - began }))
    }),
}
