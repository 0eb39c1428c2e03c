import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type Settings } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { lane, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import { CallList } from './call-list.ts'
import { sessionError } from './failures.ts'
import { nativeOf } from './held-session.ts'
import type { SessionPool } from './pool.ts'

/** The other end of a connection. */
export interface Peer {
  readonly alpn: string
  readonly address: string | undefined
  readonly port: number | undefined
}

/** Numbers of one session. */
export interface SessionOptions {
  readonly maxConcurrentStreams: number
  readonly initialWindowSize: number
  readonly connectionWindowSize: number
  readonly maxHeaderSize: number | undefined
  readonly maxIdleTime: number
  readonly maxConnectionAge: number
  readonly pingInterval: number
  readonly pingTimeout: number
}

// Node counts what waits to be sent towards a session's memory (10 MB by default), and above it refuses the heads of
// answers. What waits is bounded by the callers and their bodies.
const maxSessionMemory = 1024
const mostHeaderPairs = 2000
const longestInterval = 300_000
const mostExtensions = 5
// What has come while this process was busy, or its clock jumped, is read first.
const turnsToRead = 10
// A peer that is gone does not close its side.
const closeTimeout = 1_000

class Alarm implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  onTimer: () => void
  constructor(onTimer: () => void) {
    this.onTimer = onTimer
  }
}

function ignore(): void {}

function destroyForgotten(stream: ClientHttp2Stream): void {
  stream.on('error', ignore)
  process.nextTick(() => stream.destroy())
}

/** One connection that speaks HTTP/2, and what the pool has to know of it. Its timer entry is the watch for silence. */
export class PooledSession implements TimerEntry {
  readonly raw: ClientHttp2Session
  readonly socket: Socket
  readonly peer: Peer
  readonly calls = new CallList()
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  /** Streams that are open, or are being reset. */
  open = 0
  /** Streams that may be open; one until the server has sent its settings. */
  limit = 1
  hasSettings = false
  /** It takes no new stream. */
  retired = false
  /** The last stream that the server took, once a GOAWAY has come. */
  lastTaken = Number.POSITIVE_INFINITY
  goawayCode = -1
  /** What outlives the streams that do not end well. */
  native: object | undefined = undefined
  /** Something has come since the watch last looked. */
  heard = true
  /** It has brought the head of an answer. */
  answered = false
  /** Resolves when the connection is closed for good: its socket may be later than the session. */
  readonly whenClosed: Promise<void>
  private readonly pool: SessionPool
  private readonly idleLane: TimerLane
  private readonly idle: Alarm
  private readonly age: Alarm | null
  private goodbye: Alarm | null = null
  error: Error | null = null
  private refed = true
  private pinged = false
  private interval: number
  private extensions = 0
  private written = 0
  private gone = false

  constructor(pool: SessionPool, socket: Socket, options: SessionOptions) {
    this.pool = pool
    this.socket = socket
    this.peer = {
      alpn: (socket as TLSSocket).alpnProtocol || 'h2c',
      address: socket.remoteAddress,
      port: socket.remotePort,
    }
    this.whenClosed = new Promise((resolve) => {
      socket.once('close', () => resolve())
    })
    // A server that turns the client's certificate down says so after the handshake (TLS 1.3), and node:http2 keeps it to itself.
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('ERR_SSL_') === true) this.error ??= error
    })
    this.interval = options.pingInterval
    this.idleLane = lane(options.maxIdleTime)
    this.idle = new Alarm(() => this.closeIdle())
    this.age = options.maxConnectionAge === Number.POSITIVE_INFINITY ? null : new Alarm(() => this.retire())
    if (this.age !== null) lane(options.maxConnectionAge).add(this.age)
    const settings: Settings = { enablePush: false, initialWindowSize: options.initialWindowSize }
    if (options.maxHeaderSize !== undefined) settings.maxHeaderListSize = options.maxHeaderSize
    this.raw = connect(pool.origin, {
      createConnection: () => socket,
      settings,
      maxSessionMemory,
      maxHeaderListPairs: mostHeaderPairs,
    })
    this.raw
      .on('connect', () => this.onConnect(options.connectionWindowSize))
      .on('remoteSettings', (settings: Settings) => this.onSettings(settings))
      .on('goaway', (code: number, lastStreamId: number) => this.onGoaway(code, lastStreamId))
      .on('error', (error: Error) => {
        this.error ??= error
      })
      // With a listener here node:http2 tells streams of frames that could not be sent.
      .on('frameError', ignore)
      // The head of an answer to a stream that was given up before its reset went out: node:http2 has forgotten it, and
      // makes a new one.
      .on('stream', destroyForgotten)
      .on('close', () => this.onClose())
  }

  get hasRoom(): boolean {
    return this.open < this.limit
  }

  get isLost(): boolean {
    return this.raw.destroyed
  }

  /** What its calls are told when it ends. */
  failure(message: string): Error {
    const said = this.goawayCode > 0 ? `HTTP/2: "GOAWAY" frame received with code ${this.goawayCode}` : message
    return sessionError(this.error?.message ?? said, this.socket, this.error ?? undefined)
  }

  request(head: string[], options: object): ClientHttp2Stream {
    return this.raw.request(head as never, options)
  }

  /** Counts one stream more. */
  take(): void {
    this.open++
    if (this.interval > this.pool.pingInterval) this.watchSooner()
    if (this.open > 1) return
    if (!this.refed) {
      this.refed = true
      this.raw.ref()
    }
    if (this.timerAt === 0 && this.interval > 0) {
      this.heard = true
      this.watch(this.interval)
    }
  }

  /** Counts one stream less. */
  release(): void {
    this.open--
    this.settled()
  }

  /** A stream has left: what waits goes on, or the session rests. */
  settled(): void {
    if (this.pool.waiting.first !== null) this.pool.advance()
    if (this.open > 0 || this.gone) return
    if (this.retired) {
      this.finish()
    } else {
      this.idleLane.add(this.idle)
      if (this.refed) {
        this.refed = false
        this.raw.unref()
      }
      if (this.timerAt !== 0) this.watchLane?.remove(this)
      this.pool.owner.onIdle()
    }
  }

  /** Takes no further stream; closes when those under way are done. */
  retire(): void {
    if (this.retired) return
    this.retired = true
    this.pool.retired(this)
    if (this.open === 0) this.finish()
  }

  /** Holds the process until it is closed. */
  ref(): void {
    this.refed = true
    this.raw.ref()
  }

  private finish(): void {
    this.raw.close()
    if (this.goodbye !== null || this.gone) return
    this.goodbye = new Alarm(() => this.socket.destroy())
    lane(closeTimeout).add(this.goodbye)
  }

  destroy(error?: Error): void {
    if (error !== undefined) this.error ??= error
    this.raw.destroy(error)
    // Without waiting for the peer: it may be gone.
    this.socket.destroy()
  }

  private closeIdle(): void {
    if (this.open > 0 || this.gone) return
    this.retire()
  }

  private onConnect(windowSize: number): void {
    if (this.raw.destroyed) return
    this.native = nativeOf(this.raw)
    // The window of the connection, beside those of its streams.
    this.raw.setLocalWindowSize(windowSize)
    this.pool.connected(this)
  }

  private onSettings(settings: Settings): void {
    this.heard = true
    this.hasSettings = true
    this.limit = Math.min(
      settings.maxConcurrentStreams ?? Number.POSITIVE_INFINITY,
      this.pool.options.maxConcurrentStreams,
    )
    this.pool.settingsChanged(this)
  }

  private onGoaway(code: number, lastStreamId: number): void {
    this.heard = true
    this.goawayCode = code
    this.lastTaken = lastStreamId
    if (code === constants.NGHTTP2_ENHANCE_YOUR_CALM) this.pool.calmDown()
    if (code !== constants.NGHTTP2_NO_ERROR) this.outliveGoaway()
    if (!this.retired) {
      this.retired = true
      this.pool.retired(this)
    }
    if (code === constants.NGHTTP2_HTTP_1_1_REQUIRED) this.pool.owner.requireHttp1()
  }

  // After a GOAWAY with an error node:http2 destroys the session, as its next step. What the server has taken on may still be
  // answered: the session ends when that is done, or when the server ends it.
  private outliveGoaway(): void {
    const { raw } = this
    const destroy = raw.destroy
    raw.destroy = () => {
      raw.destroy = destroy
    }
    process.nextTick(() => {
      raw.destroy = destroy
      if (this.open === 0) this.finish()
    })
  }

  private onClose(): void {
    if (this.gone) return
    this.gone = true
    this.retired = true
    if (this.goodbye !== null && this.goodbye.timerAt !== 0) lane(closeTimeout).remove(this.goodbye)
    if (this.timerAt !== 0) this.watchLane?.remove(this)
    if (this.idle.timerAt !== 0) this.idleLane.remove(this.idle)
    if (this.age !== null && this.age.timerAt !== 0) lane(this.pool.options.maxConnectionAge).remove(this.age)
    if (!this.socket.destroyed) this.socket.destroy()
    this.pool.closed(this, this.error)
  }

  // node:http2 does not always hear of a connection that is gone. While streams wait and nothing comes, the peer is
  // asked; a peer that answers is asked again only after four times as long, since some servers count such questions.

  private watchLane: TimerLane | null = null

  private watch(duration: number): void {
    // Such a connection does not hold the process, and streams wait on it.
    this.watchLane = lane(duration, true)
    this.watchLane.add(this)
  }

  // After a long silence the next question is far off: a new request does not wait so long for a peer that is gone.
  private watchSooner(): void {
    this.interval = this.pool.pingInterval
    if (this.pinged) return
    this.watchLane?.remove(this)
    this.watch(this.interval)
  }

  onTimer(): void {
    if (this.gone) return
    if (this.pinged) {
      this.judgeLater(turnsToRead)
      return
    }
    if (this.open === 0) return
    if (this.heard) {
      this.heard = false
      this.interval = this.pool.pingInterval
      if (this.interval > 0) this.watch(this.interval)
      return
    }
    this.ping()
  }

  private ping(): void {
    this.pinged = true
    this.written = this.socket.bytesWritten
    this.extensions = 0
    try {
      this.raw.ping((error) => {
        if (error !== null || this.gone) return
        this.pinged = false
        this.interval = Math.min(this.interval * 4, longestInterval)
        this.watchLane?.remove(this)
        if (this.open > 0) this.watch(this.interval)
      })
    } catch {
      // It is on its way out.
    }
    this.watch(this.pool.options.pingTimeout)
  }

  private judgeLater(turns: number): void {
    if (this.gone || !this.pinged) return
    if (turns > 0) setImmediate(() => this.judgeLater(turns - 1))
    else this.judge()
  }

  private judge(): void {
    const { bytesWritten } = this.socket
    if (
      this.heard ||
      (bytesWritten !== this.written && this.socket.writableLength > 0 && this.extensions < mostExtensions)
    ) {
      // An upload fills the way out, and the question waits in it.
      if (!this.heard) this.extensions++
      this.heard = false
      this.written = bytesWritten
      this.watch(this.pool.options.pingTimeout)
      return
    }
    this.destroy(sessionError('the server did not answer a PING', this.socket))
  }
}
