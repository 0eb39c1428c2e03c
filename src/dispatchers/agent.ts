import type { Socket } from 'node:net'
import { Agent, buildConnector } from 'undici'
import { checkNumber, checkOptions } from '../policies/options.ts'
import { notePeer } from './peers.ts'

/** Defaults of {@link createAgent}. */
export const agentDefaults = {
  /** Milliseconds an idle connection is kept. */
  keepAliveTimeout: 60_000,
  /** Connections to one origin. */
  connections: 256,
  /** Milliseconds a connection may take to be made. */
  connectTimeout: 10_000,
} as const

/**
 * Options of undici's `Agent`, all of them, with the kit's defaults: HTTP/2 offered first through ALPN with HTTP/1.1 as
 * fallback, idle connections kept 60 s, 256 connections an origin.
 */
export interface AgentOptions extends Agent.Options {
  /**
   * Milliseconds an idle connection is kept, HTTP/2 sessions included.
   * @default 60_000
   */
  readonly keepAliveTimeout?: number
  /**
   * Most connections to one origin; calls beyond them wait inside the agent.
   * @default 256
   */
  readonly connections?: number
  /**
   * Milliseconds a connection may take to be made; 0 for no bound.
   * @default 10_000
   */
  readonly connectTimeout?: number
  /**
   * HTTP/2 through ALPN; `false` speaks HTTP/1.1 only.
   * @default true
   */
  readonly allowH2?: boolean
  /**
   * HTTP/2 by prior knowledge on `http:` origins.
   * @default false
   */
  readonly useH2c?: boolean
}

const knownOptions = [
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
  'initialWindowSize',
  'keepAliveMaxTimeout',
  'keepAliveTimeout',
  'keepAliveTimeoutThreshold',
  'localAddress',
  'maxCachedSessions',
  'maxConcurrentStreams',
  'maxHeaderSize',
  'maxOrigins',
  'maxRequestsPerClient',
  'maxResponseSize',
  'pingInterval',
  'pipelining',
  'socketPath',
  'strictContentLength',
  'tls',
  'useH2c',
  'useMilo',
  'webSocket',
] as const

type Connector = buildConnector.connector
type ConnectorOptions = Parameters<Connector>[0] & { host?: string; allowH2?: boolean }

function noteConnections(connect: Connector): Connector {
  return function connectAndNote(options: ConnectorOptions, callback) {
    return connect(options, (...result) => {
      const [error, socket] = result
      // `host` holds the port, so this is the origin as the call names it.
      if (error === null) notePeer(`${options.protocol}//${options.host}`, socket as Socket)
      callback(...result)
    })
  }
}

function connectorOf(options: AgentOptions): Connector {
  const given = options.connect
  if (typeof given === 'function') return noteConnections(given)
  const build = (allowH2: boolean) =>
    buildConnector({
      ...(options as { tls?: object }).tls,
      timeout: options.connectTimeout ?? agentDefaults.connectTimeout,
      ...(options.maxCachedSessions == null ? null : { maxCachedSessions: options.maxCachedSessions }),
      ...(options.socketPath == null ? null : { socketPath: options.socketPath }),
      ...(options.useH2c === true ? { useH2c: true } : null),
      ...(typeof options.autoSelectFamily === 'boolean'
        ? {
            autoSelectFamily: options.autoSelectFamily,
            autoSelectFamilyAttemptTimeout: options.autoSelectFamilyAttemptTimeout,
          }
        : null),
      // undici offers http/1.1 first, and a server that honours the order of the other side then never speaks HTTP/2.
      preferH2: true,
      ...given,
      allowH2,
    } as buildConnector.BuildOptions)
  const both = build(options.allowH2 !== false)
  const http1 = build(false)
  return noteConnections((connection: ConnectorOptions, callback) =>
    (connection.allowH2 === false ? http1 : both)(connection, callback),
  )
}

/**
 * The pool under a chain: undici's `Agent`, with HTTP/2 offered first through ALPN and HTTP/1.1 as fallback. It notes
 * which protocol and address its connections have, for spans and for headers that must not reach an HTTP/2 session.
 *
 * @throws RangeError, TypeError for options that are out of range; undici's `InvalidArgumentError` for its own.
 */
export function createAgent(options: AgentOptions = {}): Agent {
  checkOptions('createAgent', options, knownOptions)
  const connect: unknown = options.connect ?? {}
  if (typeof connect !== 'object' && typeof connect !== 'function') {
    throw new TypeError(`createAgent: connect must be an object of options or a function, got ${String(connect)}`)
  }
  const connections = options.connections ?? agentDefaults.connections
  checkNumber('createAgent: connections', connections, { min: 1, integer: true })
  const keepAliveTimeout = options.keepAliveTimeout ?? agentDefaults.keepAliveTimeout
  checkNumber('createAgent: keepAliveTimeout', keepAliveTimeout, { min: 1 })
  const connectTimeout = options.connectTimeout ?? agentDefaults.connectTimeout
  checkNumber('createAgent: connectTimeout', connectTimeout, { min: 0 })
  return new Agent({ ...options, connections, keepAliveTimeout, connectTimeout, connect: connectorOf(options) })
}
