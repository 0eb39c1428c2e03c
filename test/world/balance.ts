// A group of modelled servers behind one dispatcher, one of them bad: what each way of choosing a host makes of it.
import { Dispatcher } from 'undici'
import { type BalanceAlgorithm, type BalanceOptions, balance, compose } from '../../src/index.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { inWorld, logNormal, ModelServer, OpenLoop, type Report, report, type VirtualClock } from './world.ts'

export const algorithms: readonly BalanceAlgorithm[] = [
  'peakEwma',
  'leastLoaded',
  'roundRobin',
  'random',
  'consistentHash',
]

/** Several servers, each called by its origin. */
export class ModelHosts extends Dispatcher {
  readonly servers: ReadonlyMap<string, ModelServer>

  constructor(servers: readonly ModelServer[]) {
    super()
    this.servers = new Map(servers.map((server, at) => [`http://host-${at}.test`, server]))
  }

  get origins(): readonly string[] {
    return [...this.servers.keys()]
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const server = this.servers.get(`${opts.origin}`)
    if (server === undefined) throw new Error(`no host ${opts.origin}`)
    return server.dispatch(opts, handler)
  }
}

export const hostCount = 5
/** Calls a second, and milliseconds of work in each on average; the workers of a host could do 500 a second. */
export const rate = 400
const workers = 20
const meanTime = 40
const sigma = 0.5
const users = 2_000

/** Makes hosts that are alike, in a world. */
export function makeHosts(clock: VirtualClock, seed: number): ModelHosts {
  const work = seededRandom(seed)
  const serviceTime = () => logNormal(work, meanTime * Math.exp(-(sigma ** 2) / 2), sigma)
  return new ModelHosts(
    Array.from({ length: hostCount }, () => new ModelServer({ clock, workers, serviceTime, queue: 1000 })),
  )
}

/** A group of them; a call's key is its path. */
export function group(hosts: ModelHosts, algorithm: BalanceAlgorithm, options: Partial<BalanceOptions> = {}) {
  const key = ({ path }: { path: string }) => path
  return balance({
    hosts: hosts.origins,
    algorithm,
    random: seededRandom(7).next,
    ...(algorithm === 'consistentHash' ? { key } : null),
    ...options,
  })
}

/** Calls of so many users at random. */
export function callers(clock: VirtualClock, dispatcher: Dispatcher, seed: number, patience = 5_000): OpenLoop {
  const who = seededRandom(seed + 1)
  return new OpenLoop({
    clock,
    dispatcher,
    patience,
    rate,
    random: seededRandom(seed),
    request: () => ({ origin: 'http://users.test', path: `/user/${who.integer(1, users)}`, method: 'GET' }),
  })
}

/** What is wrong with the first of the hosts. */
export const troubles = {
  none: () => undefined,
  /** Each call takes five times as long. */
  slow: (server: ModelServer) => {
    const { serviceTime } = server
    server.serviceTime = () => 5 * serviceTime()
  },
  /** It answers 500 at once. */
  failing: (server: ModelServer) => {
    server.outage = 500
  },
  /** It takes calls, and answers none. */
  hanging: (server: ModelServer) => {
    server.outage = 'hang'
  },
  /** It refuses connections. */
  dead: (server: ModelServer) => {
    server.outage = 'refuse'
  },
} as const

export type Trouble = keyof typeof troubles

/** What calls came to, while the first host had a trouble. */
export interface Result extends Report {
  /** The part of all attempts that the first host was given. */
  readonly share: number
  /** Attempts that the first host was given. */
  readonly attempts: number
  /** Calls that failed. */
  readonly failed: number
}

/** Plays one: five seconds to get warm, then thirty with the trouble. Without ejection, unless it is asked for. */
export function play(
  algorithm: BalanceAlgorithm,
  trouble: Trouble,
  options: Partial<BalanceOptions> = { ejection: false },
  seed = 1,
): Promise<Result> {
  return inWorld(async (clock) => {
    const hosts = makeHosts(clock, 10 + seed)
    const layer = group(hosts, algorithm, options)
    const load = callers(clock, compose(hosts, layer), 20 + seed)
    await clock.run(5_000)
    const [first] = hosts.origins as [string]
    const counts = () => hosts.origins.map((origin) => layer.state()[origin]?.calls ?? 0)
    troubles[trouble](hosts.servers.get(first) as ModelServer)
    const before = counts()
    const from = clock.now
    await clock.run(30_000)
    load.stop()
    const to = clock.now
    await clock.run(10_000)
    const made = counts().map((count, at) => count - (before[at] as number))
    const attempts = made[0] as number
    const all = made.reduce((sum, one) => sum + one, 0)
    const told = report(load.records, from, to)
    return { ...told, attempts, share: attempts / all, failed: told.calls - (told.results.get(200) ?? 0) }
  })
}

/** The page with the table; `npm run balance` writes it. */
export const balancePage = 'docs/balance.md'

const begin = '<!-- algorithms: written by npm run balance -->'
const end = '<!-- /algorithms -->'

/** The page with a table in its place. */
export function withTable(page: string, made: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${balancePage} has no ${begin} ... ${end}`)
  return `${page.slice(0, from + begin.length)}\n${made}\n${page.slice(to)}`
}

/** The table of the page. */
export async function table(): Promise<string> {
  const rows: string[] = []
  for (const algorithm of algorithms) {
    const alike = await play(algorithm, 'none')
    const slow = await play(algorithm, 'slow')
    const failing = await play(algorithm, 'failing')
    const hanging = await play(algorithm, 'hanging')
    const dead = await play(algorithm, 'dead', {})
    const times = ({ p50, p99 }: Result) => `${p50.toFixed(0)} / ${p99.toFixed(0)}`
    const percent = (share: number) => `${(100 * share).toFixed(1)} %`
    rows.push(
      `| \`${algorithm}\` | ${times(alike)} | ${times(slow)} | ${percent(slow.share)} | ${failing.failed} | ${hanging.failed} | ${dead.attempts}, ${dead.failed} |`,
    )
  }
  const calls = (await play('roundRobin', 'none')).calls
  return [
    `Of ${calls} calls in 30 s, ms from call to end (p50 / p99), and calls that failed:`,
    '',
    '| | all alike | one takes 5 times as long | its share | one fails at once | one hangs | one refuses connections: attempts, failed |',
    '|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}
