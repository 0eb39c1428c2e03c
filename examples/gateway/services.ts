import { once } from 'node:events'
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type Certificate, devCertificate, type SeededRandom, seededRandom } from 'roundtripper/testing'

/** What a host does to its callers. */
export type Mood = 'well' | 'errors'

// What came of the request that is being served, beside its id.
function told(headers: Http2ServerRequest['headers']): object {
  return { timeLeft: headers['x-request-timeout-ms'], tenant: headers['x-tenant-id'], baggage: headers.baggage }
}

/** One host of a service: an HTTP/2 server over TLS on a port of its own. */
export class ServiceHost {
  readonly name: string
  mood: Mood = 'well'
  /** Requests it was sent so far. */
  requests = 0
  readonly #server: Http2SecureServer
  readonly #random: SeededRandom

  private constructor(name: string, { key, cert }: Certificate, seed: number) {
    this.name = name
    this.#random = seededRandom(seed)
    this.#server = createSecureServer({ key, cert })
    this.#server.on('request', (request, response) => void this.#answer(request, response))
    this.#server.on('sessionError', () => {})
  }

  static async start(name: string, certificate: Certificate, seed: number): Promise<ServiceHost> {
    const host = new ServiceHost(name, certificate, seed)
    host.#server.listen(0, '127.0.0.1')
    await once(host.#server, 'listening')
    return host
  }

  get origin(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async #answer({ url, headers }: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    this.requests++
    await delay(this.#random.integer(2, 6))
    const fails = this.mood === 'errors'
    response.statusCode = fails ? 503 : 200
    response.setHeader('content-type', 'application/json')
    const answer = { host: this.name, path: url, requestId: headers['x-request-id'], ...told(headers) }
    response.end(JSON.stringify(fails ? { ...answer, error: 'out of order' } : answer))
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }
}

/** Three services: `orders` with three hosts, `users` with a big and a small one, `catalog` with one of a new version. */
export interface Services {
  readonly ca: string
  readonly orders: readonly [ServiceHost, ServiceHost, ServiceHost]
  readonly users: readonly [big: ServiceHost, small: ServiceHost]
  readonly catalog: readonly [stable: ServiceHost, canary: ServiceHost]
  all(): ServiceHost[]
  close(): Promise<void>
}

export async function startServices(seed: number): Promise<Services> {
  const certificate = await devCertificate()
  const names = ['orders-1', 'orders-2', 'orders-3', 'users-big', 'users-small', 'catalog-v1', 'catalog-v2']
  const hosts = await Promise.all(names.map((name, at) => ServiceHost.start(name, certificate, seed + at)))
  const [orders1, orders2, orders3, big, small, stable, canary] = hosts as [
    ServiceHost,
    ServiceHost,
    ServiceHost,
    ServiceHost,
    ServiceHost,
    ServiceHost,
    ServiceHost,
  ]
  return {
    ca: certificate.ca,
    orders: [orders1, orders2, orders3],
    users: [big, small],
    catalog: [stable, canary],
    all: () => hosts,
    close: async () => void (await Promise.all(hosts.map((host) => host.close()))),
  }
}
