import { type Column, tableLines } from '../demo/table.ts'
import type { GatewayChain } from './chain.ts'
import type { ServiceHost, Services } from './services.ts'

const columns: readonly Column[] = [
  { title: 'host', align: 'left', width: 11 },
  { title: 'calls', align: 'right', width: 6 },
  { title: 'share', align: 'right', width: 6 },
  { title: 'failed', align: 'right' },
  { title: '', align: 'left', width: 8 },
]

interface Counted {
  readonly calls: number
  readonly failures: number
  /** How the host stands, or which variant it is. */
  readonly standing: string
}

const none: Counted = { calls: 0, failures: 0, standing: 'in' }

/** What the hosts have had since the last time somebody asked: of each service a row for each host. */
export class HostTable {
  readonly #services: Services
  readonly #parts: GatewayChain
  #before = new Map<ServiceHost, Counted>()

  constructor(services: Services, parts: GatewayChain) {
    this.#services = services
    this.#parts = parts
  }

  /** The rows since the last `turn`. */
  lines(): string[] {
    const { orders, users, catalog } = this.#services
    const now = this.#count()
    const rows = [orders, users, catalog].flatMap((hosts) => {
      const since = hosts.map((host) => difference(now.get(host) ?? none, this.#before.get(host) ?? none))
      const all = since.reduce((sum, { calls }) => sum + calls, 0)
      return since.map(({ calls, failures, standing }, at) => {
        const share = all === 0 ? '-' : `${Math.round((100 * calls) / all)} %`
        return [(hosts[at] as ServiceHost).name, `${calls}`, share, `${failures}`, standing]
      })
    })
    return tableLines(columns, rows)
  }

  /** Begins to count anew. */
  turn(): void {
    this.#before = this.#count()
  }

  #count(): Map<ServiceHost, Counted> {
    const { orders, users, catalog } = this.#services
    const counted = new Map<ServiceHost, Counted>()
    const groups = { ...this.#parts.orders.state(), ...this.#parts.users.state() }
    for (const host of [...orders, ...users]) counted.set(host, groups[host.origin] ?? none)
    const variants = this.#parts.catalog.state()['http://gateway'] ?? {}
    counted.set(catalog[0], { ...none, ...variants.stable, standing: 'stable' })
    counted.set(catalog[1], { ...none, ...variants.next, standing: 'next' })
    return counted
  }
}

function difference(now: Counted, before: Counted): Counted {
  return { ...now, calls: now.calls - before.calls, failures: now.failures - before.failures }
}
