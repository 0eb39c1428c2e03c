import { checkFunction, checkNumber, checkOptions } from '../policies/options.ts'
import { FanOut } from './fan-out.ts'

/** How many calls `fetchAll` has under way at once by default. */
export const defaultFetchAllConcurrency = 8

/** What `fetch` takes: a URL, a Request, or a pair of one and its init. */
export type FetchInput = string | URL | Request | readonly [input: string | URL | Request, init?: RequestInit]

/** How far a `fetchAll` has come. */
export interface FetchAllProgress {
  /** Calls begun. */
  readonly started: number
  /** Calls that have a response or have failed. */
  readonly done: number
  /** Calls that have failed, out of `done`. */
  readonly failed: number
  /** How many inputs there are; `undefined` where that shows only at their end. */
  readonly total: number | undefined
}

/** What became of one input. A response of any status is `fulfilled`. */
export type FetchAllResult<Input extends FetchInput = FetchInput> =
  | { readonly index: number; readonly input: Input; readonly status: 'fulfilled'; readonly response: Response }
  | { readonly index: number; readonly input: Input; readonly status: 'rejected'; readonly error: unknown }

export interface FetchAllOptions {
  /**
   * Makes the calls.
   * @default globalThis.fetch
   */
  readonly fetch?: typeof globalThis.fetch
  /**
   * How many calls may be under way, or done and not yet taken by the loop; a whole number of at least 1.
   * @default 8
   */
  readonly concurrency?: number
  /** Told after every start and every end of a call. If it throws, nothing more is started and the loop fails with its error. */
  readonly onProgress?: (progress: FetchAllProgress) => void
  /** Stops the whole: nothing more is started, calls under way are aborted and come as `rejected`, then the loop ends. */
  readonly signal?: AbortSignal
}

/**
 * Fetches many inputs, a bounded number at a time, and yields each result as it comes, whichever that is first; `index`
 * is the place of its input. A call that fails is a result (`status: 'rejected'`), never an exception.
 *
 * Nothing starts before the loop asks for the first result, and inputs are read only when one can start, so an endless or
 * slow source is fine. A loop that is slow holds the rest back: an unread response holds a connection. Leaving the
 * loop aborts what is under way and closes the source; the response in hand stays readable.
 *
 * Ends with the error of the source, if that fails, after the results of what had been started.
 *
 * @throws TypeError or RangeError for inputs that are not iterable and for wrong options, at once.
 */
export function fetchAll<Input extends FetchInput>(
  inputs: Iterable<Input> | AsyncIterable<Input>,
  options: FetchAllOptions = {},
): AsyncGenerator<FetchAllResult<Input>, void, undefined> {
  checkOptions('fetchAll', options, ['fetch', 'concurrency', 'onProgress', 'signal'])
  const { fetch = globalThis.fetch, concurrency = defaultFetchAllConcurrency, onProgress, signal } = options
  checkFunction('fetchAll: fetch', fetch)
  checkNumber('fetchAll: concurrency', concurrency, { min: 1, integer: true })
  if (onProgress !== undefined) checkFunction('fetchAll: onProgress', onProgress)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`fetchAll: signal must be an AbortSignal, got ${typeof signal}`)
  }
  // A string is iterable too, letter by letter.
  if (typeof inputs === 'string' || !isIterable(inputs)) {
    throw new TypeError(`fetchAll: inputs must be an iterable of URLs or Requests, got ${typeof inputs}`)
  }
  return new FanOut({ inputs, fetch, concurrency, onProgress, signal }).run()
}

function isIterable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Symbol.iterator in value || Symbol.asyncIterator in value
}
