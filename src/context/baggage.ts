import { show } from '../policies/options.ts'
import { withoutOws } from './ows.ts'

/** Entries by key, decoded. */
export type Baggage = Readonly<Record<string, string>>

/** What has to be propagated (W3C Baggage, "Limits"), and all that is. */
const mostMembers = 64
const mostBytes = 8192

// W3C Baggage, "Definition": a token of RFC 9110 §5.6.2, and octets without spaces, quotes, comma, semicolon, backslash.
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const octets = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/

// What a baggage is written as: as it came, properties included, or as it was encoded. Nobody can make an entry here but by
// the two functions below.
const written = new WeakMap<Baggage, string>()

/** The header of a baggage that one of this module's functions has made. */
export function headerOfBaggage(baggage: Baggage): string {
  return written.get(baggage) as string
}

/** Whether a baggage is one of this module's, and checked. */
export function isCheckedBaggage(given: unknown): given is Baggage {
  return typeof given === 'object' && given !== null && written.has(given as Baggage)
}

function made(entries: Iterable<readonly [string, string]>, header: string): Baggage {
  // A key may be what a header said, and so "__proto__".
  const baggage: Record<string, string> = Object.create(null)
  for (const [key, value] of entries) baggage[key] = value
  Object.freeze(baggage)
  written.set(baggage, header)
  return baggage
}

/** Octets that are no UTF-8 become U+FFFD ("value"). */
function decoded(value: string): string {
  if (!value.includes('%')) return value
  try {
    return decodeURIComponent(value)
  } catch {
    const bytes = value.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
    return Buffer.from(bytes, 'latin1').toString()
  }
}

interface Member {
  readonly key: string
  readonly value: string
  readonly text: string
}

/** `key=value` as it may stand in a member; `null` for what is none. */
function pairOf(text: string): readonly [key: string, value: string] | null {
  const equals = text.indexOf('=')
  if (equals < 0) return null
  const key = withoutOws(text.slice(0, equals))
  const value = withoutOws(text.slice(equals + 1))
  return token.test(key) && octets.test(value) ? [key, value] : null
}

function memberOf(text: string): Member | null {
  const [first = '', ...others] = text.split(';')
  const pair = pairOf(first)
  if (pair === null) return null
  const properties: string[] = []
  for (const one of others) {
    const bare = withoutOws(one)
    const property = token.test(bare) ? bare : pairOf(one)?.join('=')
    if (property === undefined) return null
    properties.push(`;${property}`)
  }
  const [key, value] = pair
  return { key, value: decoded(value), text: `${key}=${value}${properties.join('')}` }
}

/**
 * The baggage that a header gives, or `undefined` where none of its members is valid. A member that is not, or that is
 * beyond the limits, is left out, whole.
 */
export function readBaggage(header: string): Baggage | undefined {
  const members: Member[] = []
  let bytes = -1
  for (const text of header.split(',')) {
    const member = memberOf(text)
    if (member === null || bytes + 1 + member.text.length > mostBytes) continue
    bytes += 1 + member.text.length
    members.push(member)
    if (members.length === mostMembers) break
  }
  if (members.length === 0) return undefined
  const entries = members.map(({ key, value }) => [key, value] as const)
  return made(entries, members.map(({ text }) => text).join(','))
}

/**
 * A baggage of entries that somebody gives.
 *
 * @throws TypeError for keys that are no tokens and values that are no text; RangeError beyond the limits.
 */
export function checkBaggage(option: string, given: unknown): Baggage | undefined {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TypeError(`${option} must be an object of texts by key, got ${show(given)}`)
  }
  const entries = Object.entries(given as Record<string, unknown>)
  const members: string[] = []
  for (const [key, value] of entries) {
    if (!token.test(key)) throw new TypeError(`${option}: a key must be a token (RFC 9110 §5.6.2), got ${show(key)}`)
    if (typeof value !== 'string') throw new TypeError(`${option}: ${key} must be a text, got ${show(value)}`)
    members.push(`${key}=${encodeURIComponent(value.toWellFormed())}`)
  }
  const header = members.join(',')
  if (members.length > mostMembers || header.length > mostBytes) {
    throw new RangeError(
      `${option} must be at most ${mostMembers} entries of ${mostBytes} bytes as a header, got ${members.length} of ${header.length}`,
    )
  }
  return members.length === 0 ? undefined : made(entries as [string, string][], header)
}
