import { AsyncResource } from 'node:async_hooks'
import { isIP, type Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import { lane, type TimerLane } from '../policies/clock.ts'
import { Http2Call } from './call.ts'
import { CallList } from './call-list.ts'
import { PooledSession, type SessionOptions } from './session.ts'

export interface SessionPoolOptions extends SessionOptions {
  readonly headersTimeout: number
  readonly bodyTimeout: number
  readonly acquireTimeout: number
  readonly maxConnections: number
  readonly maxResponseSize: number
  readonly strictContentLength: boolean
}

/** What a pool asks of whoever keeps it. */
export interface SessionPoolOwner {
  /** Whether the origin is known to speak HTTP/2. */
  readonly isProven: boolean
  /** The server wants HTTP/1.1, whatever it speaks. */
  readonly isHttp1Only: boolean
  /** From now on the server is spoken to in HTTP/1.1; takes all that waits. */
  requireHttp1(): void
  /** Takes a request whose `host` header asks for another TLS server name. */
  redirect(servername: string, opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean
  /** Makes a connection, and answers with `connectionMade` or `connectionFailed`. */
  connect(): void
  onConnect(session: PooledSession): void
  onDisconnect(session: PooledSession, error: Error): void
  onDrain(): void
  /** A session has no stream. */
  onIdle(): void
  /** A call has ended. */
  onSettled(): void
}

// A session lives on in the context it was made in, and with it all that the caller keeps there.
const outside = new AsyncResource('roundtripper.SessionPool')
const calmInterval = 60_000

function laneOf(duration: number): TimerLane | null {
  return duration === 0 || duration === Number.POSITIVE_INFINITY ? null : lane(duration)
}

/** The name that TLS asks for, from `host[:port]`; none for an address. */
export function serverNameOf(host: string): string {
  const end = host.startsWith('[') ? host.indexOf(']') : host.indexOf(':')
  const name = host.startsWith('[') ? host.slice(1, end) : end === -1 ? host : host.slice(0, end)
  return isIP(name) === 0 ? name : ''
}

/** The HTTP/2 sessions to one origin, and the calls that wait for one. */
export class SessionPool {
  readonly origin: string
  readonly authority: string
  readonly scheme: string
  readonly servername: string
  readonly options: SessionPoolOptions
  readonly headersLane: TimerLane | null
  readonly bodyLane: TimerLane | null
  readonly acquireLane: TimerLane | null
  /** Those that take streams. */
  readonly sessions: PooledSession[] = []
  /** Those that only finish what is under way. */
  readonly retiring = new Set<PooledSession>()
  readonly waiting = new CallList()
  /** Calls that have not ended. */
  active = 0
  /** Connections being made, the settings of the server included. */
  connecting = 0
  pingInterval: number
  readonly owner: SessionPoolOwner
  private readonly starting = new Set<PooledSession>()
  private lastLimit: number
  private turns = 0
  private needsDrain = false
  private advancing = false

  constructor(owner: SessionPoolOwner, url: URL, servername: string | null, options: SessionPoolOptions) {
    this.owner = owner
    this.origin = url.origin
    this.authority = url.host
    this.scheme = url.protocol.slice(0, -1)
    this.servername = servername ?? serverNameOf(url.host)
    this.options = options
    this.headersLane = laneOf(options.headersTimeout)
    this.bodyLane = laneOf(options.bodyTimeout)
    this.acquireLane = laneOf(options.acquireTimeout)
    this.pingInterval = options.pingInterval
    this.lastLimit = options.maxConcurrentStreams
  }

  /**
   * Sends a request, or lets it wait. `false` where it waits: 'drain' follows.
   *
   * @throws what undici throws for a request that cannot be sent.
   */
  dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const call = new Http2Call(this, opts, handler)
    const { host } = call.head
    // A name that the caller gives for TLS counts before it.
    if (host !== null && this.scheme === 'https' && !(opts as { servername?: string }).servername) {
      const servername = serverNameOf(host)
      if (servername !== this.servername) return this.owner.redirect(servername, opts, handler)
    }
    call.announce()
    this.active++
    call.turn = ++this.turns
    if (this.waiting.first === null) {
      const session = this.findRoom()
      if (session !== null) {
        this.sendOn(session, call)
        return true
      }
    }
    this.waiting.add(call)
    call.waits()
    this.needsDrain = true
    this.grow()
    return false
  }

  get isProven(): boolean {
    return this.owner.isProven
  }

  private findRoom(): PooledSession | null {
    const { sessions } = this
    for (let at = 0; at < sessions.length; at++) {
      const session = sessions[at] as PooledSession
      if (session.open >= session.limit) continue
      // One that never answered may have been turned down by TLS: its calls are told why.
      if (!session.socket.destroyed || !session.answered) return session
      // node:http2 learns of it a turn later, and until then takes requests that go nowhere.
      session.retire()
      at--
    }
    return null
  }

  private sendOn(session: PooledSession, call: Http2Call): void {
    session.take()
    session.calls.add(call)
    call.send(session)
  }

  /** Sends what waits, as far as there is room. */
  advance(): void {
    // A call may end, and with it free another's place, while it is sent.
    if (this.advancing) return
    this.advancing = true
    try {
      for (let call = this.waiting.first; call !== null; call = this.waiting.first) {
        const session = this.findRoom()
        if (session === null) break
        this.waiting.remove(call)
        this.sendOn(session, call)
      }
    } finally {
      this.advancing = false
    }
    if (this.waiting.first !== null) this.grow()
    else this.drained()
  }

  private drained(): void {
    if (!this.needsDrain || this.waiting.first !== null) return
    this.needsDrain = false
    this.owner.onDrain()
  }

  /** A call that nobody took goes out once more, before those that came later. */
  sendAgain(call: Http2Call): void {
    this.waiting.addInTurn(call)
    call.waits()
    this.advance()
  }

  settled(): void {
    this.active--
    this.drained()
    this.owner.onSettled()
  }

  // As many connections as those that wait can use, within the bound.
  private grow(): void {
    if (this.owner.isHttp1Only) {
      this.owner.requireHttp1()
      return
    }
    const { sessions, waiting, options } = this
    // A server that wants no streams now would want none on another connection either.
    for (let at = 0; at < sessions.length; at++) if ((sessions[at] as PooledSession).limit === 0) return
    // One whose settings are still to come may have room for all.
    // The first connection says whether the origin speaks HTTP/2 at all.
    const wanted = this.isProven ? Math.ceil(waiting.length / Math.max(1, this.lastLimit)) : 1
    const coming = this.connecting + this.unsettled()
    const bound = options.maxConnections - this.size
    for (let made = 0; made < Math.min(wanted - coming, bound); made++) {
      this.connecting++
      outside.runInAsyncScope(this.owner.connect, this.owner)
    }
  }

  private unsettled(): number {
    let count = 0
    for (const session of this.sessions) if (!session.hasSettings) count++
    return count
  }

  /** Connections that count against the bound: one that only finishes does not hold up a new one. */
  private get size(): number {
    return this.sessions.length + this.connecting
  }

  /** A connection was made; `connecting` counts it until the session is ready. */
  connectionMade(socket: Socket): void {
    outside.runInAsyncScope(() => {
      this.starting.add(new PooledSession(this, socket, this.options))
    })
  }

  /** No connection: those that wait for it alone fail. */
  connectionFailed(error: Error): void {
    this.connecting--
    if (this.sessions.length > 0 || this.connecting > 0) return
    this.failWaiting(error)
  }

  failWaiting(error: Error): void {
    // Not those that a consumer sends as it hears of it: they get a connection of their own.
    for (const call of this.takeWaiting()) call.fail(error)
  }

  /** Connections are made elsewhere from now on: hands over what waits. */
  takeWaiting(): Http2Call[] {
    const taken: Http2Call[] = []
    for (let call = this.waiting.first; call !== null; call = this.waiting.first) {
      this.waiting.remove(call)
      taken.push(call)
    }
    return taken
  }

  connected(session: PooledSession): void {
    if (!this.starting.delete(session)) return
    this.connecting--
    this.sessions.push(session)
    this.owner.onConnect(session)
    this.advance()
    if (session.open === 0) session.settled()
  }

  settingsChanged(session: PooledSession): void {
    if (session.limit > 0) this.lastLimit = session.limit
    if (this.waiting.first !== null) this.advance()
  }

  retired(session: PooledSession): void {
    const at = this.sessions.indexOf(session)
    if (at !== -1) {
      this.sessions.splice(at, 1)
      this.retiring.add(session)
    }
    if (this.waiting.first !== null) this.advance()
  }

  /** The server wants to be asked less. */
  calmDown(): void {
    if (this.pingInterval > 0) this.pingInterval = Math.max(this.pingInterval, calmInterval)
  }

  closed(session: PooledSession, error: Error | null): void {
    const reason = error ?? session.failure('other side closed')
    if (this.starting.delete(session)) {
      this.connectionFailed(reason)
      return
    }
    const at = this.sessions.indexOf(session)
    if (at !== -1) this.sessions.splice(at, 1)
    this.retiring.delete(session)
    session.whenClosed.then(() => this.owner.onDisconnect(session, reason))
    if (this.waiting.first !== null) this.advance()
  }

  /** Closes its sessions as they come to rest; resolves when they are closed. */
  async close(): Promise<void> {
    const sessions = [...this.sessions, ...this.starting, ...this.retiring]
    for (const session of sessions) {
      session.retire()
      session.ref()
    }
    await Promise.all(sessions.map((session) => session.whenClosed))
  }

  /** Fails every call at once and closes all sessions; resolves when they are closed. */
  async destroy(error: Error): Promise<void> {
    const sessions = [...this.sessions, ...this.retiring, ...this.starting]
    this.failWaiting(error)
    for (const session of sessions) {
      for (let call = session.calls.first; call !== null; call = session.calls.first) call.fail(error)
      session.destroy()
    }
    await Promise.all(sessions.map((session) => session.whenClosed))
  }

  /** Streams that are open. */
  get streams(): number {
    let streams = 0
    for (const session of this.sessions) streams += session.open
    for (const session of this.retiring) streams += session.open
    return streams
  }

  /** Sessions without a stream. */
  get idle(): number {
    let idle = 0
    for (const session of this.sessions) if (session.open === 0) idle++
    return idle
  }
}
