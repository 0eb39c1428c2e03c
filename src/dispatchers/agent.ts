import { constants } from 'node:buffer'
import { Dispatcher, errors, type Pool } from 'undici'
import { type AgentOptions, readOptions } from './agent-options.ts'
import { assertHandler } from './assert-handler.ts'
import { assertCallback, settleWith } from './callbacks.ts'
import { ConnectionBudget } from './connection-budget.ts'
import { connectorOf } from './connector.ts'
import { Origin, type OriginContext } from './origin.ts'
import type { OriginStats } from './origin-stats.ts'

export { type AgentOptions, agentDefaults } from './agent-options.ts'
export type { OriginStats } from './origin-stats.ts'

/** Beyond as many origins, those without a connection are forgotten. */
const fewOrigins = 1000
const sweepFrom = 64
/** Ways to write an origin that are remembered. */
const mostSpellings = 4096

/** The pool under a chain, made by {@link createAgent}. */
export class PoolAgent extends Dispatcher {
  // TypeScript's private: what undici's compose() makes of a dispatcher is a Proxy, and a #field cannot be read through one.
  private readonly context: OriginContext
  /** Whether all below is undici's and the kit's own: nobody has given a factory that could put a chain there. */
  readonly isPlain: boolean
  private readonly maxOrigins: number
  private readonly allowH2: boolean
  private readonly http1Origins: ReadonlySet<string>
  private readonly limits: { readonly webSocket: object; readonly eventSource: object }
  // By what the caller gave, so that a call costs one look-up.
  private readonly byGiven = new Map<unknown, Origin>()
  private readonly origins = new Map<string, Origin>()
  private sweepAt = sweepFrom
  private closing: Promise<void> | null = null
  private destroying: Promise<void> | null = null

  constructor(options: AgentOptions) {
    super()
    const { given, pool, http1, http1Origins, findProxy } = readOptions(options)
    this.http1Origins = http1Origins
    if (given.factory != null && typeof given.factory !== 'function') {
      throw new errors.InvalidArgumentError('factory must be a function.')
    }
    const maxOrigins = given.maxOrigins ?? Number.POSITIVE_INFINITY
    if (typeof maxOrigins !== 'number' || Number.isNaN(maxOrigins) || maxOrigins <= 0) {
      throw new errors.InvalidArgumentError('maxOrigins must be a number greater than 0')
    }
    this.maxOrigins = maxOrigins
    this.isPlain = given.factory == null
    this.allowH2 = given.allowH2 !== false
    const { webSocket = {}, eventSource = {} } = given as { webSocket?: object; eventSource?: object }
    this.limits = { webSocket, eventSource }
    const budget = new ConnectionBudget(given.maxConnections as number, given.acquireTimeout as number, () => {
      for (const origin of this.origins.values()) if (origin.evict()) return
    })
    this.context = {
      agent: this,
      options: given,
      pool,
      http1: http1 as Pool.Options,
      connect: connectorOf(given),
      findProxy,
      budget,
      redirect: (origin, servername, opts, handler) =>
        this.originOf(origin.url, servername, origin.allowH2).dispatch(opts, handler),
    }
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    assertHandler(handler)
    try {
      if (typeof opts !== 'object' || opts === null) throw new errors.InvalidArgumentError('opts must be an object.')
      const { dispatcher, servername, allowH2 } = opts as {
        dispatcher?: unknown
        servername?: string
        allowH2?: boolean
      }
      if (dispatcher) {
        throw new errors.InvalidArgumentError(
          'opts.dispatcher is not supported by instance methods. Pass opts.dispatcher to the top-level undici functions or call the dispatcher instance method directly.',
        )
      }
      if (this.destroying !== null) throw new errors.ClientDestroyedError()
      if (this.closing !== null) throw new errors.ClientClosedError()
      const usual = !servername && (allowH2 == null || allowH2 === this.allowH2)
      const known = usual ? this.byGiven.get(opts.origin) : this.ofName(opts.origin, servername, allowH2)
      if (known !== undefined) return known.dispatch(opts, handler)
      const url = urlOf(opts.origin)
      const mayH2 = (allowH2 ?? this.allowH2) !== false && !this.http1Origins.has(url.origin)
      const origin = this.originOf(url, servername || null, mayH2)
      if (usual && typeof opts.origin === 'string') {
        if (this.byGiven.size >= mostSpellings) this.byGiven.clear()
        this.byGiven.set(opts.origin, origin)
      }
      return origin.dispatch(opts, handler)
    } catch (error) {
      handler.onResponseError?.(null as never, error as Error)
      return false
    }
  }

  // The hosts of a group behind one name come with it in every call, their origins spelled as keys are.
  private ofName(origin: unknown, servername: string | undefined, allowH2: boolean | undefined): Origin | undefined {
    if (!servername || allowH2 != null || !this.allowH2 || typeof origin !== 'string') return undefined
    return this.origins.get(`${origin}|${servername}`)
  }

  private originOf(url: URL, servername: string | null, allowH2: boolean): Origin {
    const key = `${url.origin}${servername === null ? '' : `|${servername}`}${allowH2 ? '' : '#http1-only'}`
    const found = this.origins.get(key)
    if (found !== undefined) return found
    if (this.origins.size >= Math.min(this.sweepAt, this.maxOrigins)) this.forgetUnused()
    if (this.origins.size >= this.maxOrigins) throw new errors.MaxOriginsReachedError()
    const made = new Origin(this.context, url, servername, allowH2)
    this.origins.set(key, made)
    return made
  }

  private forgetUnused(): void {
    for (const [key, origin] of this.origins) {
      if (!origin.isUnused) continue
      this.origins.delete(key)
      void origin.close()
    }
    this.byGiven.clear()
    this.sweepAt = Math.max(fewOrigins, 2 * this.origins.size)
  }

  get closed(): boolean {
    return this.closing !== null
  }

  get destroyed(): boolean {
    return this.destroying !== null
  }

  /** The limits for undici's `WebSocket`. */
  get webSocketOptions(): { maxFragments: number; maxPayloadSize: number } {
    const { maxFragments = 131_072, maxPayloadSize = 128 * 1024 * 1024 } = this.limits.webSocket as Record<
      string,
      number
    >
    return { maxFragments, maxPayloadSize }
  }

  /** The limits for undici's `EventSource`. */
  get eventSourceOptions(): { maxEventSize: number } {
    const { maxEventSize = constants.MAX_STRING_LENGTH } = this.limits.eventSource as Record<string, number>
    return { maxEventSize }
  }

  /** What each origin's connections do at the moment. */
  get stats(): Record<string, OriginStats> {
    const stats: Record<string, OriginStats> = {}
    for (const [key, origin] of this.origins) if (!origin.isUnused) stats[key] = origin.stats
    return stats
  }

  /** Takes no new call, lets those under way come to their end, then closes all connections. */
  override close(): Promise<void>
  override close(callback: () => void): void
  override close(callback?: () => void): Promise<void> | undefined {
    assertCallback(callback)
    if (this.destroying !== null && this.closing === null) {
      return settleWith(Promise.reject<void>(new errors.ClientDestroyedError()), callback)
    }
    this.closing ??= this.closeAll()
    return settleWith(this.closing, callback)
  }

  private async closeAll(): Promise<void> {
    await Promise.all([...this.origins.values()].map((origin) => origin.close()))
    await this.destroy()
  }

  /** Fails every call under way at once with `error` and closes all connections. */
  override destroy(): Promise<void>
  override destroy(error: Error | null): Promise<void>
  override destroy(callback: () => void): void
  override destroy(error: Error | null, callback: () => void): void
  override destroy(error?: Error | null | (() => void), callback?: () => void): Promise<void> | undefined {
    const done = typeof error === 'function' ? error : callback
    assertCallback(done)
    const reason = typeof error === 'function' || !error ? new errors.ClientDestroyedError() : error
    if (this.destroying === null) {
      // Known before a consumer hears of it, who may send again at once.
      let destroyed!: (all: Promise<void>) => void
      this.destroying = new Promise((resolve) => {
        destroyed = resolve
      })
      this.context.budget.close()
      destroyed(Promise.all([...this.origins.values()].map((origin) => origin.destroy(reason))).then(() => {}))
    }
    return settleWith(this.destroying, done)
  }
}

function urlOf(given: unknown): URL {
  if (!given || (typeof given !== 'string' && !(given instanceof URL))) {
    throw new errors.InvalidArgumentError('opts.origin must be a non-empty string or URL.')
  }
  const url = URL.parse(String(given))
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new errors.InvalidArgumentError('Invalid URL protocol: the URL must start with `http:` or `https:`.')
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') throw new errors.InvalidArgumentError('invalid url')
  return url
}

/**
 * The pool under a chain: HTTP/2 offered first through ALPN, with HTTP/1.1 as fallback. HTTP/2 is served by sessions of
 * the kit's own, HTTP/1.1 by undici's pools. What the server provably never took is sent again by the agent itself.
 *
 * @throws RangeError, TypeError for options that are out of range; undici's `InvalidArgumentError` for its own.
 */
export function createAgent(options: AgentOptions = {}): PoolAgent {
  return new PoolAgent(options)
}
