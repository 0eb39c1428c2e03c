import { types } from 'node:util'
import { Headers } from 'undici'
import { getHeadersList } from 'undici/lib/web/fetch/headers.js'

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
// What a header value must not hold within (the web standard's rule, wider than RFC 9110's); all above is no byte.
const badValuePattern = /[\0\r\n\u0100-\uffff]/
// Spaces, tabs and line breaks at both ends are taken off.
const outerSpacePattern = /^[\t\n\r ]+|[\t\n\r ]+$/g

/** Names that fetch itself looks for, each a bit of {@link HeaderFields.known}. */
export const field = {
  accept: 1,
  'accept-encoding': 2,
  'accept-language': 4,
  authorization: 8,
  'cache-control': 16,
  'content-length': 32,
  'content-type': 64,
  cookie: 128,
  host: 256,
  'if-match': 512,
  'if-modified-since': 1024,
  'if-none-match': 2048,
  'if-range': 4096,
  'if-unmodified-since': 8192,
  origin: 16_384,
  pragma: 32_768,
  'proxy-authorization': 65_536,
  range: 131_072,
  referer: 262_144,
  'sec-fetch-mode': 524_288,
  'user-agent': 1_048_576,
  'content-encoding': 2_097_152,
  'content-language': 4_194_304,
  'content-location': 8_388_608,
} as const

export type KnownField = keyof typeof field

const conditional =
  field['if-match'] |
  field['if-modified-since'] |
  field['if-none-match'] |
  field['if-range'] |
  field['if-unmodified-since']

interface FieldName {
  readonly lower: string
  readonly bit: number
}

// The names a service sends are few; a bounded map spares the pattern and the lower case for each.
const fieldNames = new Map<string, FieldName>()
const mostFieldNames = 512

function fieldName(name: string): FieldName | undefined {
  const known = fieldNames.get(name)
  if (known !== undefined) return known
  if (!tokenPattern.test(name)) return undefined
  if (fieldNames.size >= mostFieldNames) fieldNames.clear()
  const lower = name.toLowerCase()
  const found = { lower, bit: Object.hasOwn(field, lower) ? field[lower as KnownField] : 0 }
  fieldNames.set(name, found)
  return found
}

function trimmed(value: string): string {
  const first = value.charCodeAt(0)
  const last = value.charCodeAt(value.length - 1)
  return first > 32 && last > 32 ? value : value.replace(outerSpacePattern, '')
}

/** The headers of a request, in order, each name once and as the caller wrote it. */
export class HeaderFields {
  /** The bits of {@link field} that are there. */
  known = 0
  private readonly lower: string[] = []
  private readonly names: string[] = []
  private readonly values: string[] = []

  get hasCondition(): boolean {
    return (this.known & conditional) !== 0
  }

  has(name: KnownField): boolean {
    return (this.known & field[name]) !== 0
  }

  /** Adds a header as the caller gave it; `false` where name or value are none. */
  add(name: string, value: string): boolean {
    const found = fieldName(name)
    if (found === undefined) return false
    const text = trimmed(value)
    if (badValuePattern.test(text)) return false
    const { lower, bit } = found
    const at = bit !== 0 && (this.known & bit) === 0 ? -1 : this.lower.indexOf(lower)
    if (at === -1) {
      this.known |= bit
      this.lower.push(lower)
      this.names.push(name)
      this.values.push(text)
    } else {
      this.values[at] += (lower === 'cookie' ? '; ' : ', ') + text
    }
    return true
  }

  delete(name: KnownField): void {
    if (!this.has(name)) return
    const at = this.lower.indexOf(name)
    this.known &= ~field[name]
    this.lower.splice(at, 1)
    this.names.splice(at, 1)
    this.values.splice(at, 1)
  }

  clear(): void {
    this.known = 0
    this.lower.length = 0
    this.names.length = 0
    this.values.length = 0
  }

  /** As a dispatcher takes them. */
  toObject(): Record<string, string> {
    const headers: Record<string, string> = {}
    const { names, values } = this
    for (let at = 0; at < names.length; at++) {
      const name = names[at] as string
      const value = values[at] as string
      // It is a token like any other, and a plain assignment would lose it.
      if (name === '__proto__') Object.defineProperty(headers, name, { ...plainProperty, value })
      else headers[name] = value
    }
    return headers
  }
}

const plainProperty = { writable: true, enumerable: true, configurable: true }

/**
 * Reads what a caller gave as headers: `Headers` of any fetch, pairs, or an object. Returns `false` for what is none: its
 * error is undici's to give. What can be iterated only once must have become a list before.
 */
export function readHeaders(given: unknown, into: HeaderFields): boolean {
  if (given === null || (typeof given !== 'object' && typeof given !== 'function')) return false
  const iterator = (given as { [Symbol.iterator]?: unknown })[Symbol.iterator]
  if (typeof iterator !== 'function') return readObject(given as Record<string, unknown>, into)
  // Names in the case they were given; its iterator has them in lower case only.
  if (iterator === Headers.prototype.entries && given instanceof Headers) {
    return readPairs(getHeadersList(given).entriesList, into)
  }
  return readPairs(given as Iterable<unknown>, into)
}

function readObject(given: Record<string, unknown>, into: HeaderFields): boolean {
  const onlyEnumerable = types.isProxy(given)
  for (const name of Reflect.ownKeys(given)) {
    if (onlyEnumerable && !Object.prototype.propertyIsEnumerable.call(given, name)) continue
    if (typeof name === 'symbol') return false
    const value = given[name]
    if (typeof value === 'symbol' || !into.add(name, typeof value === 'string' ? value : String(value))) return false
  }
  return true
}

function readPairs(given: Iterable<unknown>, into: HeaderFields): boolean {
  for (const pair of given) {
    if (!isObject(pair) || typeof (pair as Partial<Iterable<unknown>>)[Symbol.iterator] !== 'function') return false
    const [name, value, ...more] = [...(pair as Iterable<unknown>), absent, absent]
    if (value === absent || more.length > 2 || typeof name === 'symbol' || typeof value === 'symbol') return false
    if (!into.add(String(name), String(value))) return false
  }
  return true
}

// So that a pair of one can be told from one whose second half is undefined.
const absent = {}

function isObject(value: unknown): value is object {
  return value !== null && (typeof value === 'object' || typeof value === 'function')
}

/** Headers that can be read more than once: a generator of pairs becomes a list. */
export function steadyHeaders(given: unknown): unknown {
  if (!isObject(given) || Array.isArray(given) || given instanceof Headers) return given
  if (typeof (given as Partial<Iterable<unknown>>)[Symbol.iterator] !== 'function') return given
  return [...(given as Iterable<unknown>)]
}
