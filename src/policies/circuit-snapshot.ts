import type { ForcedState } from './circuit-options.ts'
import { checkNumber, longestTimer, show } from './options.ts'
import type { WindowSlice } from './sliding-window.ts'

/**
 * How one circuit stands, to be taken over by another process: times are milliseconds from now. A half-open circuit is
 * told as one whose open time is over, because probes cannot be handed on.
 */
export interface CircuitSnapshot {
  readonly state: 'closed' | 'open'
  /** What somebody has forced it to; `null`: nothing. */
  readonly forced: ForcedState | null
  /** What is left of its open time. */
  readonly openFor: number
  /** How long a probe after it may take. */
  readonly probeFor: number
  /** How often it has opened since it was last closed. */
  readonly openings: number
  /** Failures in a row. */
  readonly consecutiveFailures: number
  /** A window of time: its slices, the oldest first. */
  readonly slices?: readonly WindowSlice[]
  /** A window of calls, the oldest first: for each 0, or 1 failed, 2 slow, 3 both. */
  readonly marks?: readonly number[]
}

/** How all circuits of a layer stand. */
export interface CircuitBreakerSnapshot {
  readonly version: 1
  /** What all circuits are forced to, those to come included; left out where it is nothing. */
  readonly forced?: ForcedState
  readonly origins: Readonly<Record<string, CircuitSnapshot>>
}

const forcedStates: readonly unknown[] = [null, 'open', 'closed', 'disabled']
// The longest open time, lengthened by as much again.
const longest = 2 * longestTimer
const mostMarks = 1_000_000
// More than any ring has.
const mostSlices = 1000

function checkObject(what: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${what} must be an object, got ${show(value)}`)
  }
  return value as Record<string, unknown>
}

function checkOneOf<T>(what: string, value: unknown, known: readonly T[]): T {
  if (!known.includes(value as T)) {
    throw new TypeError(`${what} must be one of ${known.map(show).join(', ')}, got ${show(value)}`)
  }
  return value as T
}

function checkList<T>(what: string, value: unknown, most: number, item: (what: string, value: unknown) => T): T[] {
  if (!Array.isArray(value)) throw new TypeError(`${what} must be an array, got ${show(value)}`)
  if (value.length > most) throw new RangeError(`${what} must hold at most ${most} values, got ${value.length}`)
  return value.map((one, at) => item(`${what}[${at}]`, one))
}

const whole = { min: 0, max: 2 ** 32 - 1, integer: true }

function checkSlice(what: string, value: unknown): WindowSlice {
  const { age, calls, failures, slow } = checkObject(what, value)
  const counted = checkNumber(`${what}.calls`, calls, whole)
  return {
    age: checkNumber(`${what}.age`, age, { min: 0 }),
    calls: counted,
    failures: checkNumber(`${what}.failures`, failures, { ...whole, max: counted }),
    slow: checkNumber(`${what}.slow`, slow, { ...whole, max: counted }),
  }
}

function checkSlices(what: string, value: unknown): WindowSlice[] {
  const slices = checkList(what, value, mostSlices, checkSlice)
  // They may all fall into one.
  const calls = slices.reduce((sum, slice) => sum + slice.calls, 0)
  checkNumber(`${what}: calls in all`, calls, whole)
  return slices
}

function checkCircuit(what: string, value: unknown): CircuitSnapshot {
  const given = checkObject(what, value)
  const { slices, marks } = given
  return {
    state: checkOneOf(`${what}.state`, given.state, ['closed', 'open'] as const),
    forced: checkOneOf(`${what}.forced`, given.forced, forcedStates) as ForcedState | null,
    openFor: checkNumber(`${what}.openFor`, given.openFor, { min: 0, max: longest }),
    probeFor: checkNumber(`${what}.probeFor`, given.probeFor, { min: 0, max: longest }),
    openings: checkNumber(`${what}.openings`, given.openings, whole),
    consecutiveFailures: checkNumber(`${what}.consecutiveFailures`, given.consecutiveFailures, whole),
    ...(slices === undefined ? {} : { slices: checkSlices(`${what}.slices`, slices) }),
    ...(marks === undefined
      ? {}
      : {
          marks: checkList(`${what}.marks`, marks, mostMarks, (name, mark) =>
            checkNumber(name, mark, { ...whole, max: 3 }),
          ),
        }),
  }
}

/** Throws a `TypeError` or `RangeError` that names what is wrong in a snapshot that came from somewhere. */
export function checkSnapshot(value: unknown): CircuitBreakerSnapshot {
  const { version, forced, origins } = checkObject('circuitBreaker: snapshot', value)
  checkOneOf('circuitBreaker: snapshot.version', version, [1])
  const given = Object.entries(checkObject('circuitBreaker: snapshot.origins', origins))
  const checked = given.map(([origin, one]) => [origin, checkCircuit(`snapshot.origins[${show(origin)}]`, one)])
  const snapshot = { version: 1, origins: Object.fromEntries(checked) } as const
  if (forced === undefined || forced === null) return snapshot
  return { ...snapshot, forced: checkOneOf('circuitBreaker: snapshot.forced', forced, forcedStates) as ForcedState }
}
