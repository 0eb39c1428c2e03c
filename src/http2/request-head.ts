import { stringify } from 'node:querystring'
import { type Dispatcher, errors } from 'undici'

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
// RFC 9110 §5.5 field values: visible characters, space, tab, obs-text.
const wrongValue = /[^\t\x20-\x7e\x80-\xff]/
const wrongPath = /[^\u0021-\u00ff]/
const digits = /^\d+$/

// What a header name asks for beyond being a token.
const plain = 0
const host = 1
const contentLength = 2
const unsupported = 3
const dropped = 4
const te = 5
const contentType = 6
const cookie = 7
const connection = 8

interface KnownName {
  readonly lower: string
  readonly kind: number
}

const kinds: Readonly<Record<string, number>> = {
  __proto__: null as never,
  host,
  'content-length': contentLength,
  expect: unsupported,
  // Headers of one HTTP/1.1 connection: RFC 9113 §8.2.2 wants them left out.
  connection,
  'http2-settings': dropped,
  'keep-alive': dropped,
  'proxy-connection': dropped,
  'transfer-encoding': dropped,
  upgrade: dropped,
  te,
  'content-type': contentType,
  cookie,
}

// The names a service sends are few; a bounded map spares the pattern and the lower case for each.
const knownNames = new Map<unknown, KnownName>()
const mostKnownNames = 512

function learnName(name: unknown): KnownName {
  if (typeof name !== 'string' || !tokenPattern.test(name)) throw new errors.InvalidArgumentError('invalid header key')
  const lower = name.toLowerCase()
  const known = { lower, kind: kinds[lower] ?? plain }
  if (knownNames.size >= mostKnownNames) knownNames.clear()
  knownNames.set(name, known)
  return known
}

function oneValue(name: string, value: unknown): string {
  if (typeof value === 'object' && value !== null) throw new errors.InvalidArgumentError(`invalid ${name} header`)
  const text = typeof value === 'string' ? value : value === null ? '' : `${value as string}`
  if (wrongValue.test(text)) throw new errors.InvalidArgumentError(`invalid ${name} header`)
  return text
}

// What node:http2 counts of a head, and how much of it it sends (`maxSendHeaderBlockLength`). More, where it is allowed, ends
// the sessions of servers that take less.
const mostBytes = 65_536
const bytesBefore = 17
const bytesBeside = 12

/** The head of one request, as node:http2 takes it: a flat list of names in lower case and values. */
export class RequestHead {
  /** Begins with `:method`, `:authority`, `:scheme` and `:path`, in this order. */
  readonly list: string[]
  host: string | null = null
  /** What the caller's `content-length` header says, or -1. It is sent only where it is right. */
  declaredLength = -1
  hasContentType = false
  // Names given twice, in whatever case, become one header: node:http2 refuses a second of many.
  private mayRepeat = false
  // Names that a `connection` header makes headers of this connection.
  private nominated: string[] | null = null

  constructor(opts: Dispatcher.DispatchOptions, authority: string, scheme: string) {
    this.list = [':method', checkMethod(opts.method), ':authority', authority, ':scheme', scheme, ':path', pathOf(opts)]
    const { headers } = opts
    if (headers !== null && headers !== undefined) this.addAll(headers)
    if (this.host !== null) this.list[3] = this.host
    if (this.nominated !== null) this.dropNominated(this.nominated)
  }

  private addAll(headers: NonNullable<Dispatcher.DispatchOptions['headers']>): void {
    if (Array.isArray(headers)) {
      if (headers.length % 2 !== 0) throw new errors.InvalidArgumentError('headers array must be even')
      this.mayRepeat = true
      for (let at = 0; at < headers.length; at += 2) this.add(headers[at], headers[at + 1])
    } else if (typeof headers !== 'object') {
      throw new errors.InvalidArgumentError('headers must be an object or an array')
    } else if (typeof (headers as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function') {
      this.mayRepeat = true
      for (const pair of headers as Iterable<unknown>) {
        if (!Array.isArray(pair) || pair.length !== 2) {
          throw new errors.InvalidArgumentError('headers must be in key-value pair format')
        }
        this.add(pair[0], pair[1])
      }
    } else {
      for (const name of Object.keys(headers)) this.add(name, (headers as Record<string, unknown>)[name])
    }
  }

  /** Adds one header, checked. */
  add(name: unknown, value: unknown): void {
    if (value === undefined) return
    const { lower, kind } = knownNames.get(name) ?? learnName(name)
    if (lower !== name) this.mayRepeat = true
    if (kind !== plain) {
      this.addSpecial(lower, kind, value)
      return
    }
    if (Array.isArray(value)) {
      if (value.length > 0) this.put(lower, value.map((one) => oneValue(lower, one)).join(', '))
    } else {
      this.put(lower, oneValue(lower, value))
    }
  }

  private addSpecial(name: string, kind: number, value: unknown): void {
    if (kind === dropped) return
    if (kind === connection) {
      const names = oneValue(name, Array.isArray(value) ? value.join(',') : value)
      for (const one of names.toLowerCase().split(',')) {
        const nominated = one.trim()
        // `te: trailers` is a header of HTTP/2 as well.
        if (nominated !== '' && nominated !== 'te') this.nominated = [...(this.nominated ?? []), nominated]
      }
      return
    }
    if (kind === unsupported) throw new errors.NotSupportedError('expect header not supported')
    if (kind === cookie) {
      // Crumbs of a cookie stay apart (RFC 9113 §8.2.3).
      for (const crumb of Array.isArray(value) ? value : [value]) this.list.push(name, oneValue(name, crumb))
      return
    }
    if (kind === te) {
      if (
        oneValue(name, Array.isArray(value) ? value.join(', ') : value)
          .trim()
          .toLowerCase() === 'trailers'
      ) {
        this.put(name, 'trailers')
      }
      return
    }
    if (Array.isArray(value) && kind !== contentType) throw new errors.InvalidArgumentError(`invalid ${name} header`)
    const text = oneValue(name, Array.isArray(value) ? value.join(', ') : value)
    if (kind === host) {
      if (this.host !== null) throw new errors.InvalidArgumentError('duplicate host header')
      this.host = text
    } else if (kind === contentLength) {
      if (this.declaredLength !== -1) throw new errors.InvalidArgumentError('duplicate content-length header')
      if (!digits.test(text)) throw new errors.InvalidArgumentError('invalid content-length header')
      this.declaredLength = Number.parseInt(text, 10)
    } else {
      this.hasContentType = true
      this.put(name, text)
    }
  }

  private dropNominated(names: readonly string[]): void {
    const { list } = this
    for (let at = list.length - 2; at >= 8; at -= 2) {
      if (names.includes(list[at] as string)) list.splice(at, 2)
    }
    if (names.includes('content-type')) this.hasContentType = false
  }

  /** Takes the place of a header, whatever the caller gave. */
  replace(name: string, value: string): void {
    const at = this.list.indexOf(name, 8)
    if (at === -1) this.list.push(name, value)
    else this.list[at + 1] = value
  }

  /** Whether it is more than a session sends. */
  get isTooLarge(): boolean {
    const { list } = this
    let size = bytesBefore
    for (let at = 0; at < list.length; at += 2) {
      size += bytesBeside + (list[at] as string).length + (list[at + 1] as string).length
    }
    return size > mostBytes
  }

  private put(name: string, value: string): void {
    const { list } = this
    if (this.mayRepeat) {
      for (let at = 8; at < list.length; at += 2) {
        if (list[at] !== name) continue
        list[at + 1] = `${list[at + 1]}, ${value}`
        return
      }
    }
    list.push(name, value)
  }
}

function checkMethod(method: unknown): string {
  if (method === 'GET' || method === 'POST') return method
  if (typeof method !== 'string') throw new errors.InvalidArgumentError('method must be a string')
  if (!tokenPattern.test(method)) throw new errors.InvalidArgumentError('invalid request method')
  return method
}

function pathOf({ path, query }: Dispatcher.DispatchOptions): string {
  if (typeof path !== 'string') throw new errors.InvalidArgumentError('path must be a string')
  if (path.charCodeAt(0) !== 47 && !path.startsWith('http://') && !path.startsWith('https://')) {
    throw new errors.InvalidArgumentError('path must be an absolute URL or start with a slash')
  }
  if (wrongPath.test(path)) throw new errors.InvalidArgumentError('invalid request path')
  if (!query) return path
  if (path.includes('?') || path.includes('#')) {
    throw new errors.InvalidArgumentError('Query params cannot be passed when url already contains "?" or "#".')
  }
  const text = stringify(query)
  return text === '' ? path : `${path}?${text}`
}

/** Refuses the rest of a request's options as undici does. */
export function checkRequestOptions(opts: Dispatcher.DispatchOptions): void {
  const { headersTimeout, bodyTimeout, reset, expectContinue } = opts
  if (headersTimeout != null && (!Number.isFinite(headersTimeout) || headersTimeout < 0)) {
    throw new errors.InvalidArgumentError('invalid headersTimeout')
  }
  if (bodyTimeout != null && (!Number.isFinite(bodyTimeout) || bodyTimeout < 0)) {
    throw new errors.InvalidArgumentError('invalid bodyTimeout')
  }
  if (reset != null && typeof reset !== 'boolean') throw new errors.InvalidArgumentError('invalid reset')
  if (expectContinue != null && typeof expectContinue !== 'boolean') {
    throw new errors.InvalidArgumentError('invalid expectContinue')
  }
  const gone = opts as { throwOnError?: unknown; maxRedirections?: unknown }
  if (gone.throwOnError != null) throw new errors.InvalidArgumentError('invalid throwOnError')
  if (gone.maxRedirections != null && gone.maxRedirections !== 0) {
    throw new errors.InvalidArgumentError('maxRedirections is not supported, use the redirect interceptor')
  }
}
