import { type Context, propagation } from '@opentelemetry/api'
import type { ScopedOptions } from '../dispatchers/exchange.ts'
import { replaceHeaders } from '../dispatchers/headers.ts'

// Kept between calls: propagators are set once a process, and their fields do not change.
let knownFields: readonly string[] = []
let fieldSet: ReadonlySet<string> = new Set()

function fields(): ReadonlySet<string> {
  const now = propagation.fields()
  if (now.length !== knownFields.length || now.some((name, at) => name !== knownFields[at])) {
    knownFields = now
    fieldSet = new Set(now.map((name) => name.toLowerCase()))
  }
  return fieldSet
}

/** Options whose headers carry `context` (`traceparent` and its siblings) in place of any they carried before. */
export function injectContext(context: Context, opts: ScopedOptions): ScopedOptions {
  const carrier: Record<string, string> = {}
  propagation.inject(context, carrier)
  return { ...opts, headers: replaceHeaders(opts.headers, fields(), carrier) }
}
