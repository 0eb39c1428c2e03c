import type { Lane } from './lanes.ts'
import { type LaneName, laneNames, type PhaseName, type Service } from './phases.ts'
import { type Column, count, milliseconds, seconds, tableLines } from './table.ts'
import { sumOf, Tally } from './tally.ts'
import type { ByServer, ServerCounts } from './upstreams.ts'

type PerPhase<T> = Record<PhaseName, T>
type PerLane<T> = Record<LaneName, T>

const columns: readonly Column[] = [
  { title: '', align: 'left' },
  { title: 'bare', align: 'right' },
  { title: 'chain', align: 'right' },
  { title: 'counted by', align: 'left' },
]

/** All that was counted, lane by lane and phase by phase: by the callers, and by the servers of `orders`. */
export class Report {
  readonly #calls: PerLane<PerPhase<Record<Service, Tally>>> = { bare: perPhase(tallies), chain: perPhase(tallies) }
  readonly #requests: PerLane<PerPhase<number>> = { bare: perPhase(() => 0), chain: perPhase(() => 0) }

  /** Adds what the callers of a lane counted in a phase. */
  addCalls(lane: LaneName, phase: PhaseName, counted: Readonly<Record<Service, Tally>>): void {
    this.#calls[lane][phase].orders.add(counted.orders)
    this.#calls[lane][phase].users.add(counted.users)
  }

  /** Adds what came to the servers of `orders` in a phase: requests, and connections that they reset at once. */
  addServers(phase: PhaseName, before: ByServer<ServerCounts>, after: ByServer<ServerCounts>): void {
    for (const lane of laneNames) {
      this.#requests[lane][phase] += arrivals(after[lane].orders) - arrivals(before[lane].orders)
    }
  }

  /** What the chain changed, and what that cost. */
  lines(lanes: readonly Lane[]): string[] {
    const row = (what: string, figure: (lane: LaneName) => string, by: 'callers' | 'servers') => {
      return [what, ...laneNames.map(figure), by]
    }
    const during = (lane: LaneName, service: Service, ...phases: PhaseName[]) =>
      sumOf(phases.map((phase) => this.#calls[lane][phase][service]))
    const requests = (phase: PhaseName) => (lane: LaneName) => count(this.#requests[lane][phase])
    const heldUp = (name: LaneName) => lanes.find((lane) => lane.name === name)!.heldUp
    const failed = (lane: LaneName) => failures(during(lane, 'orders', '30 % errors'))
    const lost = (lane: LaneName) => seconds(during(lane, 'orders', 'outage', 'recovery').failedMs)
    const neighbour = (lane: LaneName) => milliseconds(during(lane, 'users', 'outage', 'recovery').percentile(99))
    return tableLines(columns, [
      row('30 % errors: failed calls to orders', failed, 'callers'),
      row('30 % errors: requests to orders', requests('30 % errors'), 'servers'),
      row('outage: requests, and tries to connect', requests('outage'), 'servers'),
      row('outage and after: time lost on failed calls', lost, 'callers'),
      row('outage and after: p99 of users, never down', neighbour, 'callers'),
      row('calls that found all callers busy', (lane) => count(heldUp(lane)), 'callers'),
    ])
  }
}

function failures({ failed, done }: Tally): string {
  return `${count(failed)} of ${count(done)}`
}

function arrivals({ requests, connectionsReset }: ServerCounts): number {
  return requests + connectionsReset
}

function tallies(): Record<Service, Tally> {
  return { orders: new Tally(), users: new Tally() }
}

function perPhase<T>(make: () => T): PerPhase<T> {
  return { healthy: make(), '30 % errors': make(), outage: make(), recovery: make() }
}
