// Heads and responses that a fallback gave. Every real response pays one look-up for it, in fetch.
const marked = new WeakSet<object>()

/** Notes of a response head, or of a response, that it came from a fallback. */
export function markFallback(headersOrResponse: object): void {
  marked.add(headersOrResponse)
}

/**
 * Whether an answer came from a `fallback()`: a value, a function, or another upstream.
 *
 * Takes a `Response` of a fetch made by `createFetch` or `installFetch` (not a `clone()` of one), or what `undici.request`
 * resolves with. A layer above `fallback()` that makes new headers (undici's `cache`, `decompress`) takes the mark away.
 */
export function isFallback(response: Response | { readonly headers: unknown }): boolean {
  if (marked.has(response)) return true
  const { headers } = response
  return typeof headers === 'object' && headers !== null && marked.has(headers)
}
