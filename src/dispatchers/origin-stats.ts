import type { Dispatcher } from 'undici'
import type { SessionPool } from '../http2/pool.ts'

/** What is known of the connections to one origin. */
export interface OriginStats {
  /** What the origin speaks; `undefined` until the first connection. */
  readonly protocol: '1.1' | '2' | undefined
  /** Connections that are open. */
  readonly sessions: number
  /** Requests under way. */
  readonly streams: number
  /** Connections without a request. */
  readonly idle: number
  /** Requests that wait for a connection. */
  readonly queued: number
  // The names that undici's own agent has for these.
  readonly connected: number
  readonly free: number
  readonly pending: number
  readonly running: number
  readonly size: number
}

interface Http1Stats {
  readonly connected: number | boolean
  readonly free?: number
  readonly pending: number
  readonly queued?: number
  readonly running: number
}

/** What undici's pool says of itself. */
export function statsOfHttp1(pool: Dispatcher | null) {
  const stats = (pool as { stats?: Http1Stats } | null)?.stats
  const connected = Number(stats?.connected ?? 0)
  const running = stats?.running ?? 0
  const queued = (stats?.pending ?? 0) + (stats?.queued ?? 0)
  return { connected, running, queued, free: stats?.free ?? connected - running, size: running + queued }
}

/** What the connections to an origin do at the moment. */
export function statsOf(protocol: OriginStats['protocol'], http1: Dispatcher | null, http2: SessionPool): OriginStats {
  const one = statsOfHttp1(http1)
  const sessions = one.connected + http2.sessions.length + http2.retiring.size
  const streams = one.running + http2.streams
  const idle = one.free + http2.idle
  const queued = one.queued + http2.waiting.length
  return {
    protocol,
    sessions,
    streams,
    idle,
    queued,
    connected: sessions,
    free: idle,
    pending: queued,
    running: streams,
    size: streams + queued,
  }
}
