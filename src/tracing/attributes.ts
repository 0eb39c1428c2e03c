import type { Attributes, Span } from '@opentelemetry/api'
import type { CallScope, ScopedOptions } from '../dispatchers/exchange.ts'
import { redactedUrl } from '../dispatchers/redact.ts'
import { type Outcome, statusOfError } from '../policies/outcome.ts'

// RFC 9110, PATCH (RFC 5789) and QUERY: what the semantic conventions know as methods.
const standardMethods: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'QUERY',
  'TRACE',
])

// The conventions want this variable to take the place of the whole list.
function knownMethods(): ReadonlySet<string> {
  const given = process.env.OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS
  if (!given) return standardMethods
  return new Set(given.split(',').map((name) => name.trim()))
}

interface Method {
  /** For the span's name. */
  readonly name: string
  /** For `http.request.method`. */
  readonly value: string
  /** For `http.request.method_original`, where it differs. */
  readonly original: string | undefined
}

const methods = new Map<string, Method>()
const mostMethods = 64

function canonical(given: string): string {
  const known = knownMethods()
  if (known.has(given)) return given
  const upper = given.toUpperCase()
  return known.has(upper) ? upper : '_OTHER'
}

/** A request's method as the semantic conventions want it: unknown ones are `_OTHER`, and `HTTP` in the span's name. */
export function methodOf(given: string): Method {
  const found = methods.get(given)
  if (found !== undefined) return found
  // Whatever a caller gave, the check at the edge has yet to see it.
  const text = String(given)
  const value = canonical(text)
  const method = {
    name: value === '_OTHER' ? 'HTTP' : value,
    value,
    original: value === text ? undefined : text,
  }
  if (methods.size >= mostMethods) methods.clear()
  methods.set(given, method)
  return method
}

interface Server {
  readonly address: string
  readonly port: number | undefined
}

let lastOrigin = ''
let lastServer: Server = { address: '', port: undefined }

function serverOf(origin: string): Server {
  if (origin === lastOrigin) return lastServer
  const url = URL.parse(origin)
  const defaultPort = url?.protocol === 'https:' ? 443 : 80
  lastServer = {
    // Brackets belong to the URL, not to the address.
    address: url?.hostname.replace(/^\[|\]$/g, '') ?? '',
    port: url === null ? undefined : url.port === '' ? defaultPort : Number(url.port),
  }
  lastOrigin = origin
  return lastServer
}

/** What is known of an attempt when its span starts, so that samplers see it. `number` counts from 1. */
export function requestAttributes(
  scope: CallScope,
  opts: ScopedOptions,
  template: string | undefined,
  number: number,
): Attributes {
  const method = methodOf(opts.method)
  const server = serverOf(scope.origin)
  const attributes: Attributes = {
    'http.request.method': method.value,
    'url.full': redactedUrl(scope.origin, opts),
  }
  if (server.address !== '') attributes['server.address'] = server.address
  if (server.port !== undefined) attributes['server.port'] = server.port
  if (method.original !== undefined) attributes['http.request.method_original'] = method.original
  if (template !== undefined) attributes['url.template'] = template
  if (number > 1) attributes['http.request.resend_count'] = number - 1
  if (scope.backoffBefore > 0) attributes['roundtripper.backoff_ms'] = scope.backoffBefore
  return attributes
}

// Given to the span one by one: an object of them would be made for it to take apart again.

/** Gives a span what policies left. */
export function setNotes(span: Span, notes: CallScope['notes']): void {
  if (notes === null) return
  for (const [name, value] of notes) span.setAttribute(`roundtripper.${name}`, value)
}

/**
 * Gives a span what is known of its attempt when that is over. `queuedBefore` is what its call had waited before it was
 * forked.
 */
export function setEnd(span: Span, scope: CallScope, { status, headers }: Outcome, queuedBefore: number): void {
  setNotes(span, scope.notes)
  const { route } = scope.exchange
  if (route !== undefined) span.setAttribute('roundtripper.route', route)
  if (scope.host !== undefined) span.setAttribute('roundtripper.balance.host', scope.host)
  if (status !== undefined) span.setAttribute('http.response.status_code', status)
  const { protocol, peer } = scope
  if (protocol !== undefined) span.setAttribute('network.protocol.version', protocol)
  if (peer?.address !== undefined) {
    span.setAttribute('network.peer.address', peer.address)
    if (peer.port !== undefined) span.setAttribute('network.peer.port', peer.port)
  }
  const queuedMs = queuedBefore + scope.queuedMs
  if (queuedMs > 0) span.setAttribute('roundtripper.queued_ms', queuedMs)
  const retryAfter = headers?.['retry-after']
  if (typeof retryAfter === 'string') span.setAttribute('roundtripper.retry_after', retryAfter)
}

/** `error.type` of an outcome; `undefined` for one that leaves the span's status unset. */
export function errorTypeOf({ kind, status, error, phase }: Outcome): string | undefined {
  if (kind === 'success') return undefined
  // A caller that does not want the rest of an error page has still had an error.
  if (kind === 'cancelled') return status !== undefined && status >= 400 ? String(status) : undefined
  if (status !== undefined && (phase !== 'body' || statusOfError(error) !== undefined)) {
    return status >= 400 ? String(status) : kind
  }
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  if (typeof code === 'string') return code
  return typeof name === 'string' && name !== 'Error' ? name : '_OTHER'
}
