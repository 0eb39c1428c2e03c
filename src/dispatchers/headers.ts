import type { Dispatcher } from 'undici'

type GivenHeaders = Dispatcher.DispatchOptions['headers']
type HeaderValue = string | readonly string[] | number | null | undefined

const noNames: ReadonlySet<string> = new Set()

function isPairs(headers: object): headers is Iterable<[string, HeaderValue]> {
  if (typeof headers !== 'object') return false
  return typeof (headers as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function'
}

/**
 * Calls `visit` for every header that has a value, whichever of undici's three forms they are in: an object, a flat
 * array, pairs.
 *
 * @throws TypeError for what is none of these.
 */
export function eachHeader(headers: GivenHeaders, visit: (name: string, value: HeaderValue) => void): void {
  if (headers === null || headers === undefined) return
  if (Array.isArray(headers)) {
    for (let i = 0; i + 1 < headers.length; i += 2) {
      if (headers[i + 1] !== undefined) visit(headers[i] as string, headers[i + 1] as HeaderValue)
    }
  } else if (isPairs(headers)) {
    for (const pair of headers) {
      if (!Array.isArray(pair) || pair.length !== 2) throw new TypeError('a header is no pair of name and value')
      if (pair[1] !== undefined) visit(pair[0], pair[1])
    }
  } else {
    for (const name in headers) {
      if (headers[name] !== undefined) visit(name, headers[name] as HeaderValue)
    }
  }
}

/** The value of the first header called `name` (given in lower case), or `undefined`. */
export function headerOf(headers: GivenHeaders, name: string): HeaderValue {
  let found: HeaderValue
  eachHeader(headers, (given, value) => {
    if (found === undefined && given.length === name.length && given.toLowerCase() === name) found = value
  })
  return found
}

function isCalled(given: unknown, name: string): boolean {
  return given === name || (typeof given === 'string' && given.length === name.length && given.toLowerCase() === name)
}

function joined(before: string | undefined, value: HeaderValue): string {
  const text = (Array.isArray(value) ? value.join(', ') : `${value ?? ''}`).trim()
  return before === undefined ? text : `${before}, ${text}`
}

/**
 * All values of the header called `name` (given in lower case) as one, in the way of RFC 9110 §5.3; `undefined` where
 * there is none, and for headers that the check at the edge has yet to refuse.
 */
export function fieldOf(headers: GivenHeaders, name: string): string | undefined {
  if (headers === null || headers === undefined) return undefined
  let found: string | undefined
  try {
    if (Array.isArray(headers)) {
      for (let at = 0; at + 1 < headers.length; at += 2) {
        const value = headers[at + 1] as HeaderValue
        if (value !== undefined && isCalled(headers[at], name)) found = joined(found, value)
      }
    } else if (isPairs(headers)) {
      for (const [given, value] of headers)
        if (value !== undefined && isCalled(given, name)) found = joined(found, value)
    } else {
      for (const given in headers) {
        if (isCalled(given, name) && headers[given] !== undefined) found = joined(found, headers[given])
      }
    }
  } catch {
    return undefined
  }
  return found
}

/**
 * A copy of the headers with those in `names` (lower case) taken out and `added` put in. Flat arrays stay flat, so that
 * repeated headers keep their order; the other forms become an object or pairs as they were.
 */
export function replaceHeaders(
  headers: GivenHeaders,
  names: ReadonlySet<string>,
  added: Readonly<Record<string, string>>,
): NonNullable<GivenHeaders> {
  if (headers !== null && headers !== undefined && !Array.isArray(headers) && !isPairs(headers)) {
    const copy: Record<string, string | string[] | undefined> = {}
    for (const name in headers) {
      if (!names.has(name.toLowerCase())) copy[name] = headers[name] as string | string[] | undefined
    }
    return Object.assign(copy, added)
  }
  const flat: string[] = []
  eachHeader(headers, (name, value) => {
    if (!names.has(name.toLowerCase())) flat.push(name, value as string)
  })
  for (const name in added) flat.push(name, added[name] as string)
  return flat
}

/** The headers with one more (given in lower case); as they are where it is among them. */
export function withHeader(headers: GivenHeaders, name: string, value: string): NonNullable<GivenHeaders> {
  if (headers === null || headers === undefined) return { [name]: value }
  if (Array.isArray(headers) || isPairs(headers)) {
    return headerOf(headers, name) === undefined ? replaceHeaders(headers, noNames, { [name]: value }) : headers
  }
  for (const given in headers) {
    if (given.length === name.length && given.toLowerCase() === name && headers[given] !== undefined) return headers
  }
  return { ...headers, [name]: value }
}

// As the entries of a Map, or what a generator makes.
function areReadOnce(headers: GivenHeaders): boolean {
  return typeof headers === 'object' && headers !== null && typeof (headers as { next?: unknown }).next === 'function'
}

function throwing(error: unknown): Iterable<never> {
  return {
    [Symbol.iterator](): never {
      throw error
    },
  }
}

/** Options whose headers can be read as often as the layers need to: each check, each attempt. */
export function withSteadyHeaders<Options extends { readonly headers?: GivenHeaders }>(opts: Options): Options {
  const { headers } = opts
  if (!areReadOnce(headers) || !isPairs(headers as object)) return opts
  let pairs: Iterable<unknown>
  try {
    // No array: that would be a flat list of names and values.
    pairs = new Set(headers as Iterable<unknown>)
  } catch (error) {
    // For the check at the edge to explain.
    pairs = throwing(error)
  }
  return { ...opts, headers: pairs as GivenHeaders }
}
