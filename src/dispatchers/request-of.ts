import type { RetryRequest } from '../policies/retry.ts'
import type { ScopedOptions } from './exchange.ts'
import { eachHeader } from './headers.ts'

/** A request as functions of the user's are shown it: header names in lower case. */
export function requestOf(opts: ScopedOptions, origin: string): RetryRequest {
  const headers: Record<string, string | readonly string[] | undefined> = {}
  eachHeader(opts.headers, (name, value) => {
    if (value !== null && value !== undefined) headers[name.toLowerCase()] = Array.isArray(value) ? value : `${value}`
  })
  return { method: opts.method, origin, path: opts.path, headers }
}
