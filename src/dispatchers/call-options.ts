import { longestTimer } from '../policies/options.ts'
import { type Priority, priorities } from '../policies/policy.ts'
import { show } from './show.ts'

/**
 * What a caller may say of one call: `undici.request(url, { dispatcher, resilience: { ... } })`, or `resilience` in the
 * `init` of a fetch of the kit. Wrong options fail the call with an `InvalidRequestError` before anything is sent.
 */
export interface CallOptions {
  /**
   * The request may be repeated although its method is not idempotent.
   * @default false
   */
  readonly idempotent?: boolean
  /**
   * The low-cardinality form of the URL's path (`/users/{id}`), for span names and `url.template`.
   * @default undefined
   */
  readonly urlTemplate?: string
  /**
   * Milliseconds for the whole call up to the response head, queues and backoffs included, in place of what a
   * `deadline()` of the chain says, be it longer or shorter; `false`: none. It needs no `deadline()`.
   * @default what the chain says
   */
  readonly deadline?: number | false
  /**
   * Milliseconds for each attempt up to its response head, in place of what an `attemptTimeout()` of the chain says, be
   * it longer or shorter; `false`: none. It needs no `attemptTimeout()`.
   * @default what the chain says
   */
  readonly attemptTimeout?: number | false
  /**
   * How much the call matters where not all can be served: `bulkhead()` and `rateLimit()` let critical calls pass those
   * that wait, and give up sheddable ones first; `adaptiveLimit()` refuses sheddable ones first, critical ones last.
   * @default 'normal'
   */
  readonly priority?: Priority
}

type Check = (value: unknown) => string | null

function duration(value: unknown): string | null {
  if (value === false || (typeof value === 'number' && value >= 1 && value <= longestTimer)) return null
  return `a number of milliseconds from 1 to ${longestTimer}, or false`
}

// What each option must be; `null` where it is.
const checks: { readonly [name in keyof Required<CallOptions>]: Check } = {
  idempotent: (value) => (typeof value === 'boolean' ? null : 'true or false'),
  urlTemplate: (value) => (typeof value === 'string' ? null : 'a string'),
  deadline: duration,
  attemptTimeout: duration,
  priority: (value) => (isPriority(value) ? null : `one of ${priorities.map(show).join(', ')}`),
}
const known: ReadonlyMap<string, Check> = new Map(Object.entries(checks))

function isPriority(value: unknown): value is Priority {
  return priorities.includes(value as Priority)
}

/** What is wrong with a call's options, or `null`. */
export function callOptionsProblem(resilience: unknown): string | null {
  if (typeof resilience !== 'object' || resilience === null) {
    return `resilience must be an object of options, got ${show(resilience)}`
  }
  for (const name of Object.keys(resilience)) {
    const check = known.get(name)
    // A mark that is misspelt would be no mark, and nobody would know.
    if (check === undefined) {
      return `resilience: unknown option ${show(name)}; known are ${[...known.keys()].join(', ')}`
    }
    const value: unknown = (resilience as Record<string, unknown>)[name]
    const expected = value === undefined ? null : check(value)
    if (expected !== null) return `resilience: ${name} must be ${expected}, got ${show(value)}`
  }
  return null
}

/** Where a priority stands in {@link priorities}. */
export function rankOf(priority: Priority = 'normal'): number {
  return priorities.indexOf(priority)
}
