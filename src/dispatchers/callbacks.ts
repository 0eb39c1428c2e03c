import { errors } from 'undici'
import { show } from '../policies/options.ts'

/** Refuses what close() and destroy() could not call back. */
export function assertCallback(callback: unknown): void {
  if (callback !== undefined && typeof callback !== 'function') {
    throw new errors.InvalidArgumentError(`callback must be a function, got ${show(callback)}`)
  }
}

/** The promise, or where there is a callback, a call of that once it is settled: as undici's dispatchers answer. */
export function settleWith(promise: Promise<void>, callback: (() => void) | undefined): Promise<void> | undefined {
  if (callback === undefined) return promise
  const done = callback as (error: Error | null, data: null) => void
  // Not from the promise's own callbacks, where an error that `done` throws would be a rejection.
  promise.then(
    () => queueMicrotask(() => done(null, null)),
    (error: Error) => queueMicrotask(() => done(error, null)),
  )
  return undefined
}
