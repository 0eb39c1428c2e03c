// The two services, once for each lane: a process of its own, so that the callers' CPU is theirs alone. It does what
// the messages of upstreams.ts say, and ends when they stop.
import type { ServerResponse } from 'node:http'
import { createSecureServer, type Http2SecureServer, type Http2ServerResponse } from 'node:http2'
import { createServer as createHttp1Server, type Server as Http1Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type Certificate, type SeededRandom, seededRandom } from 'roundtripper/testing'
import { type Behaviour, errorShare, type LaneName, laneNames, type Service, services } from './phases.ts'

/** What one server has seen since it started. */
export interface ServerCounts {
  readonly requests: number
  readonly connections: number
  /** Connections it reset as soon as they were made. */
  readonly connectionsReset: number
}

export type ToServers =
  | { readonly type: 'start'; readonly certificate: Certificate; readonly seed: number }
  | { readonly type: 'behave'; readonly behaviour: Behaviour }
  | { readonly type: 'count' }

export type ByServer<T> = Readonly<Record<LaneName, Readonly<Record<Service, T>>>>
export type FromServers =
  | { readonly type: 'started'; readonly ports: ByServer<number> }
  | { readonly type: 'counted'; readonly counts: ByServer<ServerCounts> }

class Server {
  behaviour: Behaviour = 'well'
  requests = 0
  connections = 0
  connectionsReset = 0
  readonly #server: Http2SecureServer | Http1Server
  readonly #sockets = new Set<Socket>()
  // Of the same seed for both lanes, so that neither is luckier.
  readonly #failures: SeededRandom
  readonly #delays: SeededRandom

  constructor(service: Service, { key, cert }: Certificate, seed: number) {
    this.#failures = seededRandom(seed)
    this.#delays = seededRandom(seed)
    // A program meets both kinds: HTTP/2 with HTTP/1.1 as fallback, and HTTP/1.1 alone.
    this.#server =
      service === 'orders' ? createSecureServer({ key, cert, allowHTTP1: true }) : createHttp1Server({ key, cert })
    this.#server.on('connection', (socket: Socket) => this.#connected(socket))
    this.#server.on('request', (request, response) => void this.#answer(request, response))
    this.#server.on('sessionError', () => {})
  }

  get counts(): ServerCounts {
    const { requests, connections, connectionsReset } = this
    return { requests, connections, connectionsReset }
  }

  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, '127.0.0.1', () => resolve((this.#server.address() as AddressInfo).port))
    })
  }

  behave(behaviour: Behaviour): void {
    this.behaviour = behaviour
    if (behaviour !== 'resets') return
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  #connected(socket: Socket): void {
    this.connections++
    if (this.behaviour === 'resets') {
      this.connectionsReset++
      socket.resetAndDestroy()
      return
    }
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
  }

  async #answer(
    { url }: { readonly url?: string | undefined },
    response: ServerResponse | Http2ServerResponse,
  ): Promise<void> {
    this.requests++
    if (this.behaviour === 'hangs') return
    const fails = this.behaviour === 'errors' && this.#failures.chance(errorShare)
    await delay(this.#delays.integer(4, 12))
    response.statusCode = fails ? 503 : 200
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(fails ? { error: 'overloaded' } : { path: url }))
  }
}

async function byServer<T>(make: (lane: LaneName, service: Service) => T | Promise<T>): Promise<ByServer<T>> {
  const lanes = laneNames.map(async (lane) => {
    const each = services.map(async (service) => [service, await make(lane, service)] as const)
    return [lane, Object.fromEntries(await Promise.all(each))] as const
  })
  return Object.fromEntries(await Promise.all(lanes)) as ByServer<T>
}

let servers: ByServer<Server>

async function obey(message: ToServers): Promise<FromServers> {
  if (message.type === 'start') {
    servers = await byServer((_, service) => new Server(service, message.certificate, message.seed))
    return { type: 'started', ports: await byServer((lane, service) => servers[lane][service].listen()) }
  }
  if (message.type === 'behave') for (const lane of laneNames) servers[lane].orders.behave(message.behaviour)
  return { type: 'counted', counts: await byServer((lane, service) => servers[lane][service].counts) }
}

process.on('message', async (message: ToServers) => {
  process.send!(await obey(message))
})
process.on('disconnect', () => process.exit())
// A Ctrl-C in a terminal goes to both processes; the callers end this one when they are done.
process.on('SIGINT', () => {})
