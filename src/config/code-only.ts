/** Options that are functions, or objects of a class: no data can say them. */
export const codeOnly: ReadonlyMap<string, readonly string[]> = new Map([
  ['canary', ['random']],
  ['mirror', ['onResult', 'random']],
  ['tracing', ['tracerProvider', 'urlTemplate']],
  ['logging', ['logger']],
  ['fallback', ['respond', 'on']],
  ['rateLimit', ['key', 'store']],
  ['retry', ['retryOn', 'random', 'now']],
  ['hedge', []],
  ['balance', ['random', 'onHostChange']],
  ['circuitBreaker', ['now', 'random', 'onStateChange', 'onEvent']],
  ['bulkhead', []],
  ['adaptiveLimit', ['random']],
  ['backoff', ['random']],
  ['dnsHosts', ['resolver']],
])
