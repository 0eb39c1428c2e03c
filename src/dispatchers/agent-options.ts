import type { Agent } from 'undici'
import type { SessionPoolOptions } from '../http2/pool.ts'
import { checkNumber, checkOptions } from '../policies/options.ts'
import { type FindProxy, type ProxyOptions, readProxy } from './proxy-options.ts'

/** Defaults of {@link createAgent}. */
export const agentDefaults = {
  /** Milliseconds an idle connection is kept. */
  keepAliveTimeout: 60_000,
  /** Connections to one origin. */
  connections: 256,
  /** Milliseconds a connection may take to be made. */
  connectTimeout: 10_000,
  /** Milliseconds a call waits for a connection. */
  acquireTimeout: 30_000,
  /** Milliseconds without a word from the server before it is asked whether it is there. */
  pingInterval: 2_000,
  /** Milliseconds the server has to answer. */
  pingTimeout: 2_000,
  /** Streams on one HTTP/2 session. */
  maxConcurrentStreams: 100,
} as const

/**
 * Options of undici's `Agent`, all of them, with the kit's defaults: HTTP/2 offered first through ALPN with HTTP/1.1 as
 * fallback, idle connections kept 60 s, 256 connections an origin.
 */
export interface AgentOptions extends Agent.Options {
  /**
   * Milliseconds an idle connection is kept, HTTP/2 sessions included. `maxIdleTime` is another name for it.
   * @default 60_000
   */
  readonly keepAliveTimeout?: number
  /**
   * Milliseconds an idle connection is kept, HTTP/2 sessions included.
   * @default 60_000
   */
  readonly maxIdleTime?: number
  /**
   * Most connections to one origin; calls beyond them wait inside the agent. `maxConnectionsPerOrigin` is another name for it.
   * @default 256
   */
  readonly connections?: number
  /**
   * Most connections to one origin; calls beyond them wait inside the agent.
   * @default 256
   */
  readonly maxConnectionsPerOrigin?: number
  /**
   * Most connections to all origins together. Where they are used up, one that is idle is closed for a new one.
   * @default Infinity
   */
  readonly maxConnections?: number
  /**
   * Milliseconds a call waits for a connection or a free stream before it fails with `AcquireTimeoutError`; 0 for no
   * bound. Over HTTP/1.1 it bounds the wait for a place among `maxConnections` only.
   * @default 30_000
   */
  readonly acquireTimeout?: number
  /**
   * Milliseconds a connection may take to be made; 0 for no bound.
   * @default 10_000
   */
  readonly connectTimeout?: number
  /**
   * Milliseconds after which an HTTP/2 session takes no new request, and closes when those under way are done.
   * @default Infinity
   */
  readonly maxConnectionAge?: number
  /**
   * Milliseconds without a word from an HTTP/2 server, while requests wait for it, before a PING asks whether it is there; 0
   * never asks. A server that answers and stays silent is asked again after four times as long.
   * @default 2_000
   */
  readonly pingInterval?: number
  /**
   * Milliseconds a server has to answer a PING before its session is given up.
   * @default 2_000
   */
  readonly pingTimeout?: number
  /**
   * Most streams on one HTTP/2 session; fewer where the server says so.
   * @default 100
   */
  readonly maxConcurrentStreams?: number
  /**
   * Bytes a server may send on one HTTP/2 stream before they are read.
   * @default 262_144
   */
  readonly initialWindowSize?: number
  /**
   * Bytes a server may send on one HTTP/2 session before they are read.
   * @default 524_288
   */
  readonly connectionWindowSize?: number
  /**
   * HTTP/2 through ALPN; `false` speaks HTTP/1.1 only.
   * @default true
   */
  readonly allowH2?: boolean
  /**
   * Origins, such as `https://old.example.com`, that are spoken to in HTTP/1.1 only.
   * @default []
   */
  readonly http1Origins?: readonly string[]
  /**
   * HTTP/2 by prior knowledge on `http:` origins.
   * @default false
   */
  readonly useH2c?: boolean
  /**
   * The proxy: `'env'` takes it from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (lower case first), as they are when
   * the agent is made; a URL or an object names it; `false` is none. Hosts of this machine are never reached through one of `'env'`.
   * With a `connect` function or a `socketPath`, which make connections themselves, the default is `false`.
   * @default 'env'
   */
  readonly proxy?: 'env' | false | string | URL | ProxyOptions
}

const knownOptions = [
  'acquireTimeout',
  'allowH2',
  'autoSelectFamily',
  'autoSelectFamilyAttemptTimeout',
  'bodyTimeout',
  'clientTtl',
  'connect',
  'connectTimeout',
  'connectionWindowSize',
  'connections',
  'eventSource',
  'factory',
  'h2Options',
  'headersTimeout',
  'http1Origins',
  'initialWindowSize',
  'keepAliveMaxTimeout',
  'keepAliveTimeout',
  'keepAliveTimeoutThreshold',
  'localAddress',
  'maxCachedSessions',
  'maxConcurrentStreams',
  'maxConnectionAge',
  'maxConnections',
  'maxConnectionsPerOrigin',
  'maxHeaderSize',
  'maxIdleTime',
  'maxOrigins',
  'maxRequestsPerClient',
  'maxResponseSize',
  'pingInterval',
  'pingTimeout',
  'pipelining',
  'proxy',
  'socketPath',
  'strictContentLength',
  'tls',
  'useH2c',
  'useMilo',
  'webSocket',
] as const

// Those that undici's pool would not know, or would read in another way.
const ownOptions: ReadonlySet<string> = new Set([
  'acquireTimeout',
  'connect',
  'factory',
  'http1Origins',
  'maxConnectionAge',
  'maxConnections',
  'maxConnectionsPerOrigin',
  'maxIdleTime',
  'maxOrigins',
  'pingInterval',
  'pingTimeout',
  'proxy',
  'tls',
])

interface H2Options {
  readonly maxConcurrentStreams?: number
  readonly initialWindowSize?: number
  readonly connectionWindowSize?: number
  readonly pingInterval?: number
  readonly useH2c?: boolean
}

function aliased(options: AgentOptions, name: keyof AgentOptions, alias: keyof AgentOptions, fallback: number): number {
  const [one, other] = [options[name], options[alias]]
  if (one != null && other != null && one !== other) {
    throw new TypeError(`createAgent: ${name} and ${alias} are two names of one option, got ${one} and ${other}`)
  }
  return (one ?? other ?? fallback) as number
}

function check(
  name: string,
  value: number,
  min: number,
  more: { integer?: boolean; finite?: boolean; max?: number } = {},
): number {
  return checkNumber(`createAgent: ${name}`, value, { min, ...more })
}

function originsOf(given: unknown): ReadonlySet<string> {
  const listed = given ?? []
  if (!Array.isArray(listed))
    throw new TypeError(`createAgent: http1Origins must be an array of origins, got ${typeof given}`)
  return new Set(
    listed.map((one: unknown) => {
      const url = URL.parse(String(one))
      if (url !== null && url.pathname === '/' && url.search === '') return url.origin
      throw new TypeError(
        `createAgent: http1Origins must hold scheme, host and port of origins, got ${JSON.stringify(one)}`,
      )
    }),
  )
}

function proxyOf({ proxy, connect, socketPath }: AgentOptions): FindProxy {
  const own = typeof connect === 'function' ? 'a connect function' : socketPath == null ? null : 'socketPath'
  if (own !== null && proxy != null && proxy !== false) {
    throw new TypeError(`createAgent: proxy and ${own} are two ways to make connections, give one`)
  }
  return readProxy(proxy, own !== null)
}

/** What the parts of an agent are told. */
export interface ReadOptions {
  readonly given: AgentOptions
  readonly pool: SessionPoolOptions
  readonly http1Origins: ReadonlySet<string>
  readonly findProxy: FindProxy
  /** For undici's pools. */
  readonly http1: Record<string, unknown>
}

const forever = { finite: false }
const whole = { integer: true }
// RFC 9113 §6.9.1.
const windowSize = { integer: true, max: 2 ** 31 - 1 }

/** @throws RangeError, TypeError for options that are out of range. */
export function readOptions(given: AgentOptions): ReadOptions {
  checkOptions('createAgent', given, knownOptions)
  const connect: unknown = given.connect ?? {}
  if (typeof connect !== 'object' && typeof connect !== 'function') {
    throw new TypeError(`createAgent: connect must be an object of options or a function, got ${String(connect)}`)
  }
  const own = agentDefaults
  const connections = check(
    'connections',
    aliased(given, 'connections', 'maxConnectionsPerOrigin', own.connections),
    1,
    whole,
  )
  const keepAliveTimeout = check(
    'keepAliveTimeout',
    aliased(given, 'keepAliveTimeout', 'maxIdleTime', own.keepAliveTimeout),
    1,
  )
  const connectTimeout = check('connectTimeout', given.connectTimeout ?? own.connectTimeout, 0)
  const acquireTimeout = check('acquireTimeout', given.acquireTimeout ?? own.acquireTimeout, 0)
  const infinity = Number.POSITIVE_INFINITY
  const maxConnections = check('maxConnections', given.maxConnections ?? infinity, 1, { integer: true, finite: false })
  const h2 = ((given as { h2Options?: H2Options }).h2Options ?? {}) as H2Options
  const pool: SessionPoolOptions = {
    maxConcurrentStreams: check(
      'maxConcurrentStreams',
      h2.maxConcurrentStreams ?? given.maxConcurrentStreams ?? own.maxConcurrentStreams,
      1,
      whole,
    ),
    initialWindowSize: check(
      'initialWindowSize',
      h2.initialWindowSize ?? given.initialWindowSize ?? 262_144,
      1,
      windowSize,
    ),
    connectionWindowSize: check(
      'connectionWindowSize',
      h2.connectionWindowSize ?? given.connectionWindowSize ?? 524_288,
      1,
      windowSize,
    ),
    maxHeaderSize:
      given.maxHeaderSize == null
        ? undefined
        : check('maxHeaderSize', given.maxHeaderSize, 1, { integer: true, max: 2 ** 32 - 1 }),
    maxIdleTime: keepAliveTimeout,
    maxConnectionAge: check('maxConnectionAge', given.maxConnectionAge ?? infinity, 1, forever),
    pingInterval: check('pingInterval', given.pingInterval ?? h2.pingInterval ?? own.pingInterval, 0),
    pingTimeout: check('pingTimeout', given.pingTimeout ?? own.pingTimeout, 1),
    headersTimeout: check('headersTimeout', given.headersTimeout ?? 300_000, 0),
    bodyTimeout: check('bodyTimeout', given.bodyTimeout ?? 300_000, 0),
    acquireTimeout,
    maxConnections: connections,
    maxResponseSize: check('maxResponseSize', given.maxResponseSize ?? -1, -1, whole),
    strictContentLength: given.strictContentLength ?? true,
  }
  const http1: Record<string, unknown> = { connections, keepAliveTimeout, connectTimeout }
  for (const [name, value] of Object.entries(given)) if (!ownOptions.has(name) && value != null) http1[name] ??= value
  return {
    given: { ...given, acquireTimeout, maxConnections, connectTimeout },
    pool,
    http1,
    http1Origins: originsOf(given.http1Origins),
    findProxy: proxyOf(given),
  }
}
