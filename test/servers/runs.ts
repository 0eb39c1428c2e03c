// The runs that all servers are given: 20,000 calls of 100 callers.
import { reasonsOf } from './reasons.ts'
import type { Report, Task } from './task.ts'

export const calls = 20_000
export const callers = 100
/** Milliseconds: what takes longer has not settled. */
export const within = 90_000
/** Milliseconds in which every single call has to settle, also on a machine that does other things. */
export const bound = 20_000

export function taskFor(port: number, ca: string, method: Task['method'], more: Partial<Task> = {}): Task {
  return { origin: `https://127.0.0.1:${port}`, ca, path: '/', answer: '', method, calls, callers, within, ...more }
}

/** The ids that a server got more than once. */
export function moreThanOnce(seen: ReadonlyMap<string, number>): string[] {
  return [...seen].filter(([, count]) => count > 1).map(([id]) => id)
}

/** A report without what differs from run to run, for one comparison. */
export function summary({ ok, failures, unsettled, slowest, protocol }: Report) {
  return {
    ok,
    failures: reasonsOf(failures, ({ code, message }) => `${code} ${message}`.trim()).counts,
    unsettled: unsettled.length,
    inTime: slowest < bound,
    protocol,
  }
}

export const allWell = { ok: calls, failures: {}, unsettled: 0, inTime: true, protocol: 'HTTP/2' }
