import type { EventEmitter } from 'node:events'
import { Socket } from 'node:net'
import { type Dispatcher, errors, Pool } from 'undici'
import { SessionPool, type SessionPoolOptions, type SessionPoolOwner } from '../http2/pool.ts'
import { trailersProblem } from '../http2/request-trailers.ts'
import type { PooledSession } from '../http2/session.ts'
import { AcquireTimeoutError } from '../policies/errors.ts'
import type { AgentOptions } from './agent-options.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import { putBackHeaders } from './connection-headers.ts'
import type { Connector, ConnectorOptions } from './connector.ts'
import { forwardedOptions } from './forwarded.ts'
import { type OriginStats, statsOf, statsOfHttp1 } from './origin-stats.ts'
import type { FindProxy, HttpProxy } from './proxy-options.ts'

/** What the origins of one agent share. */
export interface OriginContext {
  readonly options: AgentOptions
  readonly pool: SessionPoolOptions
  readonly http1: Pool.Options
  readonly connect: Connector
  readonly findProxy: FindProxy
  readonly budget: ConnectionBudget
  /** Told what happens to connections. */
  readonly agent: Dispatcher
  redirect(
    origin: Origin,
    servername: string,
    opts: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean
}

type Alpn = { readonly alpnProtocol?: string | false | null }
// How long a server that wanted HTTP/1.1 is asked for nothing else.
const http1Period = 300_000

// TLS's word for: none of the protocols that were offered.
const noHttp1 = 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'

type Settled = (error: Error | null, socket: Socket | null) => void

/**
 * One origin of an agent. What it speaks is decided by ALPN with its first connection and asked again with each new one:
 * HTTP/2 is served by sessions of the kit's own, HTTP/1.1 by a pool of undici's.
 */
export class Origin implements SessionPoolOwner {
  readonly url: URL
  readonly servername: string | null
  protocol: '1.1' | '2' | undefined
  readonly http2: SessionPool
  private readonly proxy: HttpProxy | null
  private readonly context: OriginContext
  readonly allowH2: boolean
  private http1: Dispatcher | null = null
  /** undici's own, for what it alone can do: upgrade and CONNECT. */
  private upgrades: Dispatcher | null = null
  // Pools that only finish what they have.
  private readonly closing = new Map<Dispatcher, Promise<void>>()
  // Connections that turned out to speak HTTP/1.1, until the pool asks for one.
  private readonly parked: Socket[] = []
  private whenSettled: (() => void) | null = null
  private destroyed = false
  private http1Until = 0
  // Connections on their way.
  private readonly coming = new Set<Socket>()

  constructor(context: OriginContext, url: URL, servername: string | null, allowH2: boolean) {
    this.context = context
    this.url = url
    this.servername = servername
    this.allowH2 = allowH2
    this.proxy = context.findProxy(url)
    this.http2 = new SessionPool(this, url, servername, context.pool)
    this.protocol = this.firstProtocol()
  }

  // What is spoken before a connection has told.
  private firstProtocol(): OriginStats['protocol'] {
    const { connect, useH2c } = this.context.options
    if (!this.allowH2) return '1.1'
    // A connect function of the user's own may speak HTTP/2 wherever it likes.
    if (this.url.protocol === 'https:' || typeof connect === 'function') return undefined
    return useH2c === true ? '2' : '1.1'
  }

  get isProven(): boolean {
    return this.protocol === '2'
  }

  get isHttp1Only(): boolean {
    return this.http1Until > 0
  }

  dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const isTunnel = opts.upgrade || opts.method === 'CONNECT'
    if (this.http1Until > 0 && performance.now() > this.http1Until) this.offerHttp2Again()
    if (this.protocol === '1.1') {
      const problem = trailersProblem(opts, this.url.origin)
      if (problem !== null) throw problem
      if (this.proxy === null || this.url.protocol === 'https:') return this.ofHttp1().dispatch(opts, handler)
      if (!isTunnel) return this.ofHttp1().dispatch(forwardedOptions(opts, this.url, this.proxy), handler)
    }
    if (isTunnel) {
      this.upgrades ??= this.makePool(true)
      return this.upgrades.dispatch(opts, handler)
    }
    return this.http2.dispatch(opts, handler)
  }

  redirect(servername: string, opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.context.redirect(this, servername, opts, handler)
  }

  // Connections.

  private open(allowH2: boolean, settled: Settled, isWanted: (() => boolean) | null, forwarded = false): void {
    const { context, url } = this
    const fail = (error: Error) => {
      context.budget.release()
      settled(error, null)
    }
    const grant = () => {
      if (isWanted?.() === false) {
        fail(new errors.InformationalError('nobody waits any longer'))
        return
      }
      const { hostname } = url
      const options = {
        host: url.host,
        hostname: hostname.startsWith('[') ? hostname.slice(1, -1) : hostname,
        protocol: url.protocol,
        port: url.port,
        servername: this.servername,
        localAddress: context.options.localAddress,
        allowH2,
        proxy: this.proxy,
        forwarded,
      } as ConnectorOptions
      let coming: Socket | undefined
      let isDone = false
      try {
        const made: unknown = context.connect(options, ((error: Error | null, socket: Socket | null) => {
          isDone = true
          if (coming !== undefined) this.coming.delete(coming)
          if (error !== null || socket === null) {
            fail(error ?? new errors.SocketError('no connection was made'))
            return
          }
          if (socket.destroyed) {
            // Nothing more would be heard of it.
            fail(new errors.SocketError('the connection was closed as it was made'))
            return
          }
          socket.once('close', () => context.budget.release())
          settled(null, socket)
        }) as Parameters<Connector>[1])
        if (made instanceof Socket && !isDone) {
          coming = made
          this.coming.add(made)
        }
      } catch (error) {
        fail(error as Error)
      }
    }
    const { acquireTimeout, maxConnections } = context.options
    const late = () => {
      const message = `No connection to ${url.origin} was free within ${acquireTimeout} ms: all ${maxConnections} of the agent are in use`
      settled(new AcquireTimeoutError(message, { origin: url.origin }), null)
    }
    // Calls that wait for HTTP/2 have a clock each.
    context.budget.acquire(grant, isWanted === null ? late : null, isWanted)
  }

  connect(): void {
    this.open(
      true,
      (error, socket) => this.onSocket(error, socket),
      () => this.http2.waiting.first !== null,
    )
  }

  private onSocket(error: Error | null, socket: Socket | null): void {
    if (this.destroyed) {
      socket?.destroy()
    } else if (error !== null) {
      const wasWanted = this.http2.waiting.first !== null
      this.http2.connectionFailed(error)
      if (wasWanted) this.tell('connectionError', error)
    } else if (this.isHttp1Only) {
      socket?.destroy()
      this.http2.connecting--
    } else if ((socket as Socket & Alpn).alpnProtocol === 'h2') {
      this.protocol = '2'
      this.http2.connectionMade(socket as Socket)
    } else {
      this.park(socket as Socket)
    }
  }

  private park(socket: Socket): void {
    this.parked.push(socket)
    this.http2.connecting--
    this.goOnOverHttp1()
    // Whom it was made for is gone, or has another: nobody would ever close it.
    setImmediate(() => this.dropParked())
  }

  private goOnOverHttp1(): void {
    this.protocol = '1.1'
    // They go as a call that comes now.
    const dispatch: Dispatcher['dispatch'] = (opts, handler) => this.dispatch(opts, handler)
    for (const call of this.http2.takeWaiting()) call.handOver(dispatch, putBackHeaders(call.opts))
    if (this.http2.active === 0) this.onSettled()
  }

  requireHttp1(): void {
    this.http1Until = performance.now() + http1Period
    for (const session of [...this.http2.sessions]) session.retire()
    this.goOnOverHttp1()
  }

  private ofHttp1(): Dispatcher {
    this.http1 ??= this.makePool(false)
    return this.http1
  }

  private offerHttp2Again(): void {
    this.http1Until = 0
    this.protocol = this.firstProtocol()
    this.dropHttp1()
  }

  private makePool(forUpgrades: boolean): Dispatcher {
    const { context } = this
    const { http1: options } = context
    const connect = ((_connection: ConnectorOptions, callback: Settled) => {
      if (forUpgrades) this.openForUpgrade(callback)
      else this.openForHttp1(callback)
    }) as Connector
    const factory = (context.options.factory ?? ((origin, given) => new Pool(origin, given))) as (
      origin: URL,
      options: object,
    ) => Dispatcher
    const allowH2 = this.allowH2 && (forUpgrades || !this.isHttp1Only)
    const pool = factory(this.url, { ...options, connect, allowH2 })
    return this.relayEvents(pool)
  }

  private openForHttp1(callback: Settled): void {
    for (let socket = this.parked.pop(); socket !== undefined; socket = this.parked.pop()) {
      if (socket.destroyed) continue
      queueMicrotask(() => callback(null, socket as Socket))
      return
    }
    const settled: Settled = (error, socket) => {
      callback(error, socket)
      // It has come to speak HTTP/2: this connection is left to undici, the next call is ours.
      if (!this.isHttp1Only && (socket as Alpn | null)?.alpnProtocol === 'h2') this.leaveHttp1()
    }
    const forwarded = this.url.protocol === 'http:' && this.protocol === '1.1'
    this.open(this.allowH2 && !this.isHttp1Only, settled, null, forwarded)
  }

  // Most servers of both protocols upgrade over HTTP/1.1 only (RFC 8441 is rare).
  private openForUpgrade(callback: Settled): void {
    const speaksH2c = this.url.protocol === 'http:' && this.protocol === '2'
    const settled: Settled = (error, socket) => {
      const { code } = (error ?? {}) as { code?: string }
      if (code === noHttp1 && this.allowH2) this.open(true, callback, null)
      else callback(error, socket)
    }
    this.open(speaksH2c, settled, null)
  }

  private relayEvents(pool: Dispatcher): Dispatcher {
    const emitter = pool as EventEmitter
    for (const event of ['connect', 'disconnect', 'connectionError', 'drain']) {
      emitter.on(event, (_origin: URL, targets: readonly Dispatcher[] = [], error?: Error) =>
        this.tell(event, error, targets),
      )
    }
    return pool
  }

  private tell(event: string, error?: Error, targets: readonly Dispatcher[] = []): void {
    const { agent } = this.context
    ;(agent as EventEmitter).emit(event, this.url, [agent, ...targets], error)
  }

  private leaveHttp1(): void {
    this.protocol = '2'
    this.dropHttp1()
  }

  private dropHttp1(): void {
    const { http1 } = this
    if (http1 === null) return
    this.http1 = null
    const closed = http1.close().then(
      () => void this.closing.delete(http1),
      () => void this.closing.delete(http1),
    )
    this.closing.set(http1, closed)
  }

  // What the sessions tell.

  onConnect(_session: PooledSession): void {
    this.tell('connect')
  }

  onDisconnect(_session: PooledSession, error: Error): void {
    this.tell('disconnect', error)
  }

  onDrain(): void {
    this.tell('drain')
  }

  onIdle(): void {
    this.context.budget.idle()
  }

  onSettled(): void {
    if (this.whenSettled === null || this.http2.active > 0) return
    this.whenSettled()
    this.whenSettled = null
  }

  // The end.

  /** Takes no new call; resolves when those under way are done and all connections are closed. */
  async close(): Promise<void> {
    if (this.http2.active > 0) {
      await new Promise<void>((resolve) => {
        this.whenSettled = resolve
      })
    }
    await Promise.all([this.http2.close(), this.http1?.close(), this.upgrades?.close(), ...this.closing.values()])
    this.dropParked()
  }

  async destroy(error: Error): Promise<void> {
    this.destroyed = true
    this.dropParked()
    for (const socket of this.coming) socket.destroy()
    await Promise.all([
      this.http2.destroy(error),
      ...[this.http1, this.upgrades, ...this.closing.keys()].map((pool) => pool?.destroy(error)),
    ])
  }

  private dropParked(): void {
    for (const socket of this.parked.splice(0)) socket.destroy()
  }

  /** Nothing is under way and no connection open. */
  get isUnused(): boolean {
    const { connected, size } = this.stats
    return connected === 0 && size === 0 && this.http2.connecting === 0
  }

  /** Closes what nobody uses; whether there was anything. */
  evict(): boolean {
    const session = this.http2.sessions.find(({ open }) => open === 0)
    if (session !== undefined) {
      session.retire()
      return true
    }
    const { size, connected } = statsOfHttp1(this.http1)
    if (this.http1 === null || size > 0 || connected === 0) return false
    this.dropHttp1()
    return true
  }

  get stats(): OriginStats {
    return statsOf(this.protocol, this.http1, this.http2)
  }
}
