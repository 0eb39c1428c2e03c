// What a log of frames says of the calls that were lost.
import type { LoggedConnection } from './frame-proxy.ts'
import type { Failure } from './task.ts'

const refusedStream = 7

function wasNotTaken({ goaways, resets }: LoggedConnection, stream: number): boolean {
  const last = goaways.at(-1)
  return (last !== undefined && stream > last) || resets.get(stream) === refusedStream
}

/** The ids that went out again though the server had not said that it did not take them. */
export function sentTwice(log: readonly LoggedConnection[]): string[] {
  const taken = new Map<string, number>()
  for (const connection of log) {
    for (const [stream, id] of connection.ids) {
      if (!wasNotTaken(connection, stream)) taken.set(id, (taken.get(id) ?? 0) + 1)
    }
  }
  return [...taken].filter(([, count]) => count > 1).map(([id]) => id)
}

function find(log: readonly LoggedConnection[], { id, sent }: Failure): LoggedConnection | string {
  if (sent === undefined) return 'none: it never went out'
  const connection = log.findLast((one) => one.port === sent.port)
  if (connection === undefined) return 'none: no such connection'
  if ((connection.ids.get(sent.stream) ?? id) !== id) return 'none: another call has its stream'
  if (wasNotTaken(connection, sent.stream)) return 'none: the server said that it did not take it'
  return connection
}

/**
 * Why a POST that failed could not go out again: the server had taken its stream, by its GOAWAY or because it reset it, or
 * the connection ended without one. Begins with "none" where the log gives no such reason.
 */
export function whyLost(log: readonly LoggedConnection[], failure: Failure): string {
  const connection = find(log, failure)
  if (typeof connection === 'string') return connection
  const { goaways, resets, ended } = connection
  const code = resets.get(failure.sent!.stream)
  if (code !== undefined) return `reset with code ${code}`
  if (goaways.length > 0) return 'taken, by the GOAWAY'
  return ended ? 'connection lost without GOAWAY' : 'none: its connection is there'
}

/** Why a GET that failed could not go out again: its answer had begun, or its last connection had never answered any call. */
export function whyGetLost(log: readonly LoggedConnection[], failure: Failure): string {
  const connection = find(log, failure)
  if (typeof connection === 'string') return connection
  if (connection.heads.has(failure.sent!.stream)) return 'its answer had begun'
  return connection.heads.size === 0 ? 'its connection had never answered' : 'none: it could have gone out again'
}

/** How often each reason is given; and those that are none. */
export function reasonsOf(failures: readonly Failure[], why: (failure: Failure) => string) {
  const counts = new Map<string, number>()
  for (const failure of failures) counts.set(why(failure), (counts.get(why(failure)) ?? 0) + 1)
  return { counts: Object.fromEntries(counts), none: [...counts.keys()].filter((reason) => reason.startsWith('none')) }
}
