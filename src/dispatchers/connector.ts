import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import { type AgentOptions, agentDefaults } from './agent-options.ts'
import { notePeer } from './peers.ts'
import type { HttpProxy } from './proxy-options.ts'
import { addressOf, openTunnel } from './tunnel.ts'

export type Connector = buildConnector.connector
export type ConnectorOptions = Parameters<Connector>[0] & {
  host?: string
  allowH2?: boolean
  /** The proxy on the way. */
  proxy?: HttpProxy | null
  /** Its requests are sent to the proxy itself, not through a tunnel. */
  forwarded?: boolean
}

function noteConnections(connect: Connector): Connector {
  return function connectAndNote(options: ConnectorOptions, callback) {
    return connect(options, (...result) => {
      const [error, socket] = result
      // `host` holds the port, so this is the origin as the call names it.
      if (error === null && socket?.destroyed === false)
        notePeer(`${options.protocol}//${options.host}`, socket as Socket)
      callback(...result)
    })
  }
}

/** What makes the agent's connections, and notes them for as long as they are open. */
export function connectorOf(options: AgentOptions): Connector {
  const given = options.connect
  if (typeof given === 'function') return noteConnections(given)
  const timeout = options.connectTimeout ?? agentDefaults.connectTimeout
  const build = (allowH2: boolean) =>
    buildConnector({
      ...(options as { tls?: object }).tls,
      timeout,
      ...(options.maxCachedSessions == null ? null : { maxCachedSessions: options.maxCachedSessions }),
      ...(options.socketPath == null ? null : { socketPath: options.socketPath }),
      ...(options.useH2c === true && allowH2 ? { useH2c: true } : null),
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
  const viaProxy = proxyConnector(options, (given as { timeout?: number } | undefined)?.timeout ?? timeout)
  return noteConnections((connection: ConnectorOptions, callback) => {
    const direct = connection.allowH2 === false ? http1 : both
    if (connection.proxy == null) return direct(connection, callback)
    return viaProxy(connection, connection.proxy, direct, callback)
  })
}

type ViaProxy = (
  connection: ConnectorOptions,
  proxy: HttpProxy,
  direct: Connector,
  callback: Parameters<Connector>[1],
) => unknown

function proxyConnector(options: AgentOptions, timeout: number): ViaProxy {
  // One for each proxy: it keeps the TLS sessions.
  const known = new Map<HttpProxy, Connector>()
  const toProxy = (proxy: HttpProxy): Connector => {
    const made =
      known.get(proxy) ?? buildConnector({ timeout, ...proxy.tls, allowH2: false } as buildConnector.BuildOptions)
    known.set(proxy, made)
    return made
  }
  return (connection, proxy, direct, callback) => {
    const plain = connection.protocol !== 'https:'
    const settle = callback as (error: Error | null, socket: Socket | null) => void
    if (connection.forwarded === true) {
      return toProxy(proxy)(addressOf(proxy, connection), callback)
    }
    const parts = { toProxy: toProxy(proxy), secure: plain ? null : direct, timeout }
    return openTunnel(proxy, connection, parts, (error, socket) => {
      if (plain && socket !== null && options.useH2c === true && connection.allowH2 !== false) {
        ;(socket as Socket & { alpnProtocol?: string }).alpnProtocol = 'h2'
      }
      settle(error, socket)
    })
  }
}
