import { Blob } from 'node:buffer'
import { type ParsedUrlQueryInput, stringify } from 'node:querystring'
import { types } from 'node:util'
import { type Dispatcher, FormData } from 'undici'
import { InvalidRequestError } from '../policies/errors.ts'
import { callOptionsProblem } from './call-options.ts'
import { eachHeader } from './headers.ts'
import { redactPath } from './redact.ts'
import { show } from './show.ts'

// Why the kit checks what undici checks as well: undici does so inside a pool's new connection, and a request that is
// refused there, the first one on a cold agent, leaves the pool waiting for a drain that never comes: every later call
// hangs. And with a check of our own the error can say what would be right.

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
// RFC 9110 §5.5 field values: visible characters, space, tab, obs-text.
const valuePattern = /[^\t\x20-\x7e\x80-\xff]/
const pathPattern = /[^\u0021-\u00ff]/
const digitsPattern = /^\d+$/
const openBracket = /^\[[^\]]*$/

// What a header name asks for beyond being a token.
const plain = 0
const once = 1
const contentLength = 2
const unsupported = 3
const connectionSpecific = 4
const connection = 5
type NameClass = 0 | 1 | 2 | 3 | 4 | 5

/**
 * Headers that belong to one HTTP/1.1 connection and must not reach an HTTP/2 session (RFC 9113 §8.2.2). `connection`
 * is not among them: undici reads it and never passes it on to HTTP/2.
 */
export const connectionHeaders: ReadonlySet<string> = new Set([
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])

function classOf(name: string): NameClass {
  const lower = name.toLowerCase()
  if (lower === 'host') return once
  if (lower === 'content-length') return contentLength
  if (lower === 'expect') return unsupported
  if (lower === 'connection') return connection
  return connectionHeaders.has(lower) ? connectionSpecific : plain
}

// The names a service sends are few; a bounded map spares the pattern for each.
const knownNames = new Map<string, NameClass>()
const mostKnownNames = 512

/** The class of a header name, or `undefined` where it is not a token. */
function nameClass(name: unknown): NameClass | undefined {
  const known = knownNames.get(name as string)
  if (known !== undefined) return known
  if (typeof name !== 'string' || !tokenPattern.test(name)) return undefined
  if (knownNames.size >= mostKnownNames) knownNames.clear()
  const found = classOf(name)
  knownNames.set(name, found)
  return found
}

/** Whether a text can be the name of a header: a token (RFC 9110 §5.6.2). */
export function isToken(name: unknown): name is string {
  return nameClass(name) !== undefined
}

// Messages end up in logs and spans.
function showPath(path: string): string {
  return show(redactPath(path))
}

function checkHeaderValue(name: string, value: unknown): string | null {
  if (typeof value === 'string') {
    // Control characters are legal in no header, and in a log they would be an attack: only the name is shown.
    return valuePattern.test(value)
      ? `header ${show(name)} has a value with a character that is not allowed (allowed: tab, and U+0020 to U+00FF but U+007F)`
      : null
  }
  if (value === null || (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol'))
    return null
  return `header ${show(name)} must be a string or an array of strings, got ${show(value)}`
}

function checkConnection(value: unknown): string | null {
  const options = Array.isArray(value) ? [] : `${value ?? ''}`.split(',')
  if (options.length > 0 && options.every((option) => tokenPattern.test(option.trim()))) return null
  return `header "connection" must be names of connection options, such as "close", got ${show(value)}`
}

function checkValues(name: string, value: unknown): string | null {
  if (!Array.isArray(value)) return checkHeaderValue(name, value)
  for (const one of value) {
    const problem = checkHeaderValue(name, one)
    if (problem !== null) return problem
  }
  return null
}

/** Reads all headers once: what is wrong with them, and whether some belong to an HTTP/1.1 connection. */
class HeaderCheck {
  problem: string | null = null
  connectionSpecific = false
  #host = false
  #length = false

  readonly visit = (name: string, value: unknown): void => {
    if (this.problem !== null) return
    const found = nameClass(name)
    if (found === undefined) {
      this.problem = `header name ${show(name)} is not a token (allowed: letters, digits and !#$%&'*+-.^_\`|~)`
      return
    }
    this.problem = checkValues(name, value)
    if (found !== plain && this.problem === null) this.#special(found, name, value)
  }

  #special(found: NameClass, name: string, value: unknown): void {
    if (found === connectionSpecific) {
      this.connectionSpecific = true
    } else if (found === connection) {
      this.problem = checkConnection(value)
    } else if (found === once) {
      if (this.#host) this.problem = 'header "host" must be given once'
      else if (Array.isArray(value)) this.problem = 'header "host" must be one string, got an array'
      else if (openBracket.test(`${value}`))
        this.problem = `header "host" has a bracket that is not closed, got ${show(value)}`
      this.#host = true
    } else if (found === contentLength) {
      if (this.#length) this.problem = 'header "content-length" must be given once'
      else if (!digitsPattern.test(String(value)) || Array.isArray(value)) {
        this.problem = `header "content-length" must be a number of bytes, got ${show(value)}`
      }
      this.#length = true
    } else {
      this.problem = `header ${show(name)} cannot be sent; for HTTP/2 set expectContinue: true on the request`
    }
  }
}

function checkHeaders(headers: Dispatcher.DispatchOptions['headers']): string | boolean {
  if (headers === null || headers === undefined) return false
  if (typeof headers !== 'object') {
    return `headers must be an object, a flat array or pairs of name and value, got ${show(headers)}`
  }
  if (Array.isArray(headers) && headers.length % 2 !== 0) {
    return `headers as a flat array need a value for every name, got ${headers.length} entries`
  }
  const check = new HeaderCheck()
  try {
    eachHeader(headers, check.visit)
  } catch {
    return `headers must be an object, a flat array or pairs of name and value, got ${show(headers)}`
  }
  return check.problem ?? check.connectionSpecific
}

/** A Blob of another package or realm, which undici does not know as one. */
export function isForeignBlob(body: unknown): body is Pick<Blob, 'stream'> {
  if (typeof body !== 'object' || body === null || body instanceof Blob) return false
  const { arrayBuffer, stream } = body as { arrayBuffer?: unknown; stream?: unknown }
  return typeof arrayBuffer === 'function' && typeof stream === 'function'
}

function isBody(body: unknown): boolean {
  if (body === null || body === undefined || typeof body === 'string' || typeof body === 'function') return true
  if (typeof body !== 'object') return false
  if (ArrayBuffer.isView(body) || types.isAnyArrayBuffer(body)) return true
  // It can be iterated, but not over bytes.
  if (types.isMap(body)) return false
  // Before all tags: npm's form-data carries FormData's and is a stream.
  const { pipe, on } = body as { pipe?: unknown; on?: unknown }
  if (typeof pipe === 'function' && typeof on === 'function') return true
  if (body instanceof Blob || body instanceof FormData || body instanceof URLSearchParams) return true
  if ((body as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === 'FormData') return false
  const candidate = body as { [Symbol.asyncIterator]?: unknown; [Symbol.iterator]?: unknown }
  return (
    typeof candidate[Symbol.asyncIterator] === 'function' ||
    typeof candidate[Symbol.iterator] === 'function' ||
    isForeignBlob(body)
  )
}

/** What is wrong with a body, or `null`. `name` is what the caller knows it as. */
export function bodyProblem(body: unknown, name: string): string | null {
  if (isBody(body)) return null
  return `${name} must be a string, bytes, a Blob, undici's FormData, URLSearchParams, a stream, an iterable of bytes or a function that makes one of these, got ${show(body)}`
}

function checkRest(opts: Dispatcher.DispatchOptions): string | null {
  const { headersTimeout, bodyTimeout, reset, expectContinue, upgrade, typeOfService } = opts
  const { servername, resilience } = opts as { servername?: unknown; resilience?: unknown }
  if (resilience !== undefined) {
    const problem = callOptionsProblem(resilience)
    if (problem !== null) return problem
  }
  if (headersTimeout != null && !(Number.isFinite(headersTimeout) && headersTimeout >= 0)) {
    return `headersTimeout must be a number of milliseconds of at least 0, got ${show(headersTimeout)}`
  }
  if (bodyTimeout != null && !(Number.isFinite(bodyTimeout) && bodyTimeout >= 0)) {
    return `bodyTimeout must be a number of milliseconds of at least 0, got ${show(bodyTimeout)}`
  }
  if (reset != null && typeof reset !== 'boolean') return `reset must be true or false, got ${show(reset)}`
  if (expectContinue != null && typeof expectContinue !== 'boolean') {
    return `expectContinue must be true or false, got ${show(expectContinue)}`
  }
  if (upgrade && (typeof upgrade !== 'string' || valuePattern.test(upgrade))) {
    return `upgrade must be the name of a protocol, got ${show(upgrade)}`
  }
  if (typeOfService != null && !(Number.isInteger(typeOfService) && typeOfService >= 0 && typeOfService <= 255)) {
    return `typeOfService must be a whole number from 0 to 255, got ${show(typeOfService)}`
  }
  if (servername != null && typeof servername !== 'string') {
    return `servername must be a host name, got ${show(servername)}`
  }
  const gone = opts as { throwOnError?: unknown; maxRedirections?: unknown }
  if (gone.throwOnError != null) return 'throwOnError is not supported; look at the status of the response'
  if (gone.maxRedirections != null && gone.maxRedirections !== 0) {
    return "maxRedirections is not supported; put undici's redirect interceptor into the chain"
  }
  return null
}

function checkQuery(path: string, query: unknown): string | null {
  if (typeof query !== 'object') return `query must be an object, got ${show(query)}`
  if (path.includes('?') || path.includes('#')) {
    return `query cannot be added to a path that already has one or a fragment, got ${showPath(path)}`
  }
  try {
    stringify(query as ParsedUrlQueryInput)
    return null
  } catch {
    return 'query must hold well-formed text, got a half of a surrogate pair'
  }
}

// The origins a service calls are few: the right ones are known.
const rightOrigins = new Set<unknown>()
const mostRightOrigins = 256

function checkOrigin(given: unknown): string | null {
  if (rightOrigins.has(given)) return null
  const url = typeof given === 'string' ? URL.parse(given) : given instanceof URL ? given : null
  // An origin may hold a password.
  const shown = show(String(given).replace(/^.*@/s, 'REDACTED@'))
  if (url === null && !/^https?:\/\//i.test(String(given))) {
    return `the URL must start with http:// or https://, got origin ${shown}`
  }
  if (url === null) return `origin must be a URL of scheme, host and port, got ${shown}`
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return `the URL must start with http:// or https://, got origin ${shown}`
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return `origin must be scheme, host and port only, and the rest in path, got ${shown}`
  }
  if (typeof given === 'string') {
    if (rightOrigins.size >= mostRightOrigins) rightOrigins.clear()
    rightOrigins.add(given)
  }
  return null
}

function checkLine(opts: Dispatcher.DispatchOptions, origin: string): string | null {
  const { path, method, body } = opts
  // An empty origin is a dispatcher of one origin (a Pool, a Client), which knows its own.
  const wrongOrigin = origin === '' ? null : checkOrigin(opts.origin)
  if (wrongOrigin !== null) return wrongOrigin
  if (typeof path !== 'string') return `path must be a string, got ${show(path)}`
  if (path[0] !== '/' && !path.startsWith('http://') && !path.startsWith('https://') && method !== 'CONNECT') {
    return `path must start with a slash or be an absolute URL, got ${showPath(path)}`
  }
  if (pathPattern.test(path)) {
    return `path must not hold spaces, control characters or characters above U+00FF (percent-encode them), got ${showPath(path)}`
  }
  if (nameClass(method) === undefined) return `method must be a token such as GET, got ${show(method)}`
  const unsendable = bodyProblem(body, 'body')
  if (unsendable !== null) return unsendable
  return opts.query ? checkQuery(path, opts.query) : null
}

/**
 * What is wrong with a request, as an error that names what was given and what is allowed; otherwise whether it carries
 * {@link connectionHeaders}.
 */
export function checkRequest(opts: Dispatcher.DispatchOptions, origin: string): InvalidRequestError | boolean {
  const headers = checkHeaders(opts.headers)
  const problem = checkLine(opts, origin) ?? (typeof headers === 'string' ? headers : checkRest(opts))
  if (problem !== null) return new InvalidRequestError(`Invalid request: ${problem}`, { origin })
  return headers as boolean
}
