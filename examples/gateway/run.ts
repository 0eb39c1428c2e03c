import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type SeededRandom, seededRandom } from 'roundtripper/testing'
import { type GatewayChain, gatewayChain } from './chain.ts'
import { gatewayServer } from './gateway.ts'
import { HostTable } from './hosts.ts'
import { type Called, callFor } from './load.ts'
import type { GatewayPhase } from './phases.ts'
import { type Services, startServices } from './services.ts'

/** The gateway and the services behind it, all in this process. */
export class Gateway {
  readonly services: Services
  readonly parts: GatewayChain
  readonly table: HostTable
  readonly #server: Server
  readonly #random: SeededRandom

  private constructor(services: Services, random: SeededRandom) {
    this.services = services
    this.parts = gatewayChain(services, random.next)
    this.table = new HostTable(services, this.parts)
    this.#server = gatewayServer(this.parts.chain)
    this.#random = random
  }

  /** Starts the services, and the gateway on a port; 0: any that is free. */
  static async start(seed: number, port = 0): Promise<Gateway> {
    const gateway = new Gateway(await startServices(seed), seededRandom(seed))
    gateway.#server.listen(port, '127.0.0.1')
    await once(gateway.#server, 'listening')
    return gateway
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Calls it through one phase. The table counts from its beginning on. */
  async play({ mood, duration }: GatewayPhase, signal?: AbortSignal): Promise<Called> {
    this.services.orders[2].mood = mood
    this.table.turn()
    return callFor(duration, this.url, this.#random, signal)
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
    await this.parts.chain.close()
    await this.services.close()
  }
}
