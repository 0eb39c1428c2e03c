import type { ClientHttp2Stream } from 'node:http2'
import { type Dispatcher, errors } from 'undici'

/** Fields that follow a request's body: given at once, or by a function that is called when the body has gone out. */
export type RequestTrailers = Readonly<Record<string, string>> | (() => Readonly<Record<string, string>>)

/** What an agent of `createAgent` takes beside undici's options of a request. */
export interface TrailerOptions {
  /**
   * Fields sent after the body (RFC 9110 §6.5), over HTTP/2 only: a request to a server of HTTP/1.1 fails with
   * `UND_ERR_NOT_SUPPORTED`. Each time the request goes out a function is asked again.
   */
  readonly trailers?: RequestTrailers
}

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const wrongValue = /[^\t\x20-\x7e\x80-\xff]/

// What frames, routes, authenticates or describes a request has to come before its body (RFC 9110 §6.5.1).
const neverTrailers: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'max-forwards',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

function refuse(problem: string): never {
  throw new errors.InvalidArgumentError(`trailers ${problem}`)
}

function checked(given: unknown): Record<string, string> {
  if (typeof given !== 'object' || given === null || Symbol.iterator in given) {
    refuse(`must be an object of names and values, got ${given === null ? 'null' : typeof given}`)
  }
  const fields: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    const lower = name.toLowerCase()
    if (!tokenPattern.test(name)) refuse(`must have tokens as names, got ${JSON.stringify(name.slice(0, 80))}`)
    if (neverTrailers.has(lower) || lower.startsWith('if-')) refuse(`must not hold ${lower}, which belongs in the head`)
    if (lower in fields) refuse(`hold ${lower} twice`)
    if (typeof value !== 'string' || wrongValue.test(value)) {
      refuse(`must have strings without control characters as values, which that of ${lower} is not`)
    }
    fields[lower] = value
  }
  return fields
}

/** The trailers that a request asks for, if any. */
export function trailersOf(opts: Dispatcher.DispatchOptions): RequestTrailers | undefined {
  return (opts as TrailerOptions).trailers ?? undefined
}

/** @throws InvalidArgumentError for trailers that cannot be sent, as far as they are known. */
export function checkTrailers(trailers: RequestTrailers): void {
  if (typeof trailers !== 'function') checked(trailers)
}

/** Sends them, as the stream asks for them. @throws what the caller's function throws, and InvalidArgumentError. */
export function sendTrailers(stream: ClientHttp2Stream, trailers: RequestTrailers): void {
  const fields = checked(typeof trailers === 'function' ? trailers() : trailers)
  if (!stream.destroyed && !stream.closed) stream.sendTrailers(fields)
}

/** Why a request with trailers cannot go to a server of HTTP/1.1, or `null`. */
export function trailersProblem(opts: Dispatcher.DispatchOptions, origin: string): Error | null {
  if (trailersOf(opts) === undefined) return null
  return new errors.NotSupportedError(
    `trailers are sent over HTTP/2 only, and this request to ${origin} goes over HTTP/1.1`,
  )
}
