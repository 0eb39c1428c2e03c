import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import { type AgentOptions, agentDefaults } from './agent-options.ts'
import { notePeer } from './peers.ts'

export type Connector = buildConnector.connector
export type ConnectorOptions = Parameters<Connector>[0] & { host?: string; allowH2?: boolean }

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

/** What makes the agent's connections, and notes them for as long as they are open. */
export function connectorOf(options: AgentOptions): Connector {
  const given = options.connect
  if (typeof given === 'function') return noteConnections(given)
  const build = (allowH2: boolean) =>
    buildConnector({
      ...(options as { tls?: object }).tls,
      timeout: options.connectTimeout ?? agentDefaults.connectTimeout,
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
  return noteConnections((connection: ConnectorOptions, callback) =>
    (connection.allowH2 === false ? http1 : both)(connection, callback),
  )
}
