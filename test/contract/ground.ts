// What a chain under test stands on: a real server of one protocol, an agent to it, and the odd layer between.
import { createAgent, PoolAgent } from 'roundtripper'
import { type StepFunction, startServer, type TestServer } from 'roundtripper/testing'
import { Dispatcher } from 'undici'
import { odd } from './odd.ts'

export type Version = '1.1' | '2'

/** The versions as a title names them. */
export const versions: readonly { readonly version: Version; readonly title: string }[] = [
  { version: '1.1', title: 'HTTP/1.1' },
  { version: '2', title: 'HTTP/2' },
]

/** The size of the large body. */
export const largeBytes = 300 * 1024

const large = Buffer.alloc(largeBytes, 'x')

/** A dispatcher that another one lends: closing it leaves the other as it is. */
export class Borrowed extends Dispatcher {
  readonly #dispatch: Dispatcher['dispatch']

  constructor(dispatch: Dispatcher['dispatch']) {
    super()
    this.#dispatch = dispatch
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#dispatch(opts, handler)
  }

  override close(): Promise<void>
  override close(callback: () => void): void
  override close(): Promise<void> {
    return Promise.resolve()
  }

  override destroy(): Promise<void>
  override destroy(error: Error | null): Promise<void>
  override destroy(callback: () => void): void
  override destroy(error: Error | null, callback: () => void): void
  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

/** A server, and what reaches it. */
export class Ground {
  readonly version: Version
  readonly server: TestServer
  /** The transport: what a chain goes over. */
  readonly transport: Dispatcher
  /** Whether undici itself speaks to the server: over HTTP/2 it does not tell of the pieces of a stream. */
  readonly isUndici: boolean
  readonly #owned: Dispatcher
  readonly #arrivals: Map<string, () => void>

  constructor(server: TestServer, version: Version, agent: Dispatcher, arrivals: Map<string, () => void>) {
    this.server = server
    this.version = version
    this.transport = new Borrowed(odd(agent.dispatch.bind(agent)))
    this.isUndici = !(agent instanceof PoolAgent)
    this.#owned = agent
    this.#arrivals = arrivals
  }

  /** Calls back when the server has the request with this path. */
  onArrival(path: string, arrived: () => void): void {
    this.#arrivals.set(path, arrived)
  }

  /** How often the server has seen a path. */
  count(path: string): number {
    return this.server.requests.filter((request) => request.path === path).length
  }

  /** Forgets what has arrived. */
  clear(): void {
    this.server.clear()
    this.#arrivals.clear()
  }

  async close(): Promise<void> {
    // Not destroy(): MockAgent has none, and over HTTP/2 undici's emits an error that nobody can hear on every stream
    // that was given up a moment before.
    await this.#owned.close()
    await this.server.close()
  }
}

function protocolOf(version: Version, secure: boolean): 'h1' | 'h1c' | 'h2' | 'h2c' {
  if (version === '2') return secure ? 'h2' : 'h2c'
  return secure ? 'h1' : 'h1c'
}

function serve(version: Version, arrivals: Map<string, () => void>, secure: boolean): Promise<TestServer> {
  const hang: StepFunction = (request) => {
    setImmediate(() => arrivals.get(request.path)?.())
    return { hang: 'head' }
  }
  return startServer({
    protocol: protocolOf(version, secure),
    respond: {
      '*': { body: 'hello', headers: { 'x-tell': 'told' } },
      '/empty': 204,
      '/unchanged': { status: 304, headers: { etag: '"1"' } },
      '/early': { early: [{ status: 103, headers: { link: '</a>; rel=preload' } }], body: 'hello' },
      '/trailers': { body: 'hello', trailers: { 'x-sum': '5' } },
      '/large': { body: large },
      '/echo': { echo: true },
      '/hang': hang,
      '/hang-body': { body: 'hello hello', hang: 'body' },
      '/reset': { reset: 'before-head' },
      '/cut': { body: 'hello hello', cut: true },
      '/refused': { status: 403, body: 'no' },
      '/tunnel': {
        status: version === '2' ? 200 : 101,
        headers: version === '2' ? {} : { upgrade: 'websocket', connection: 'upgrade' },
      },
    },
  })
}

/** What a ground is like; TLS unless told otherwise. */
export interface GroundOptions {
  readonly secure?: boolean
  readonly agentTo?: (server: TestServer) => Dispatcher
}

/** Opens the ground for one version of HTTP. */
export async function openGround(version: Version, options: GroundOptions = {}): Promise<Ground> {
  const { secure = true } = options
  const arrivals = new Map<string, () => void>()
  const server = await serve(version, arrivals, secure)
  const ownAgent = ({ ca }: TestServer) =>
    createAgent(ca === undefined ? { useH2c: version === '2' } : { connect: { ca } })
  return new Ground(server, version, (options.agentTo ?? ownAgent)(server), arrivals)
}
