import { type Context, propagation } from '@opentelemetry/api'
import type { ScopedOptions } from '../dispatchers/exchange.ts'
import { replaceHeaders } from '../dispatchers/headers.ts'

/** A request's headers, in one of undici's three forms. */
export type RequestHeaders = NonNullable<ScopedOptions['headers']>

// Kept between calls: propagators are set once a process, and their fields do not change.
let knownFields: readonly string[] = []
let fieldSet: ReadonlySet<string> = new Set()
let fieldsOfTrace: ReadonlySet<string> = fieldSet

/** The header names (lower case) that what was injected takes the place of. */
function replacedBy(carrier: Readonly<Record<string, string>>): ReadonlySet<string> {
  const now = propagation.fields()
  if (now.length !== knownFields.length || now.some((name, at) => name !== knownFields[at])) {
    knownFields = now
    fieldSet = new Set(now.map((name) => name.toLowerCase()))
    fieldsOfTrace = new Set([...fieldSet].filter((name) => name !== 'baggage'))
  }
  // The context decides which trace a request belongs to, the caller's old `tracestate` included; baggage is no part of
  // that, and what the caller wrote goes out unless the context has its own.
  return 'baggage' in carrier ? fieldSet : fieldsOfTrace
}

function areHeaders(headers: RequestHeaders): boolean {
  return typeof headers === 'object' && !(Array.isArray(headers) && headers.length % 2 !== 0)
}

function isEmpty(carrier: object): boolean {
  for (const _name in carrier) return false
  return true
}

/**
 * Headers that carry `context` (`traceparent` and its siblings) in place of any they carried before; `null` where they
 * stay as they are.
 */
export function injectedHeaders(context: Context, headers: ScopedOptions['headers']): RequestHeaders | null {
  const carrier: Record<string, string> = {}
  propagation.inject(context, carrier)
  if (isEmpty(carrier)) return null
  // Most calls bring no headers of their own.
  if (headers === null || headers === undefined) return carrier
  if (!areHeaders(headers)) return null
  try {
    return replaceHeaders(headers, replacedBy(carrier), carrier)
  } catch {
    // What is no list of headers is left as it is, for the check at the edge to explain.
    return null
  }
}
