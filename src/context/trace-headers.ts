// The headers of W3C Trace Context, Recommendation of 23 November 2021. What is read here is checked before anybody sees
// it: it comes from outside, and goes out again.

import { withoutOws } from './ows.ts'

const known = /^(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/
const ofAnyVersion = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(?=-|$)/

/**
 * The `traceparent` that a header gives, or `undefined` for what is none (§3.2). One of a higher version becomes one of
 * version 00, with the sampled flag only, which is all that may be known of it (§3.2.4).
 */
export function readTraceparent(value: string): string | undefined {
  const text = value.trim()
  if (text.startsWith('00-')) return text.length === 55 && known.test(text.slice(3)) ? text : undefined
  const found = ofAnyVersion.exec(text)
  if (found === null) return undefined
  const ids = found[2] as string
  const isSampled = (Number.parseInt(ids.slice(-2), 16) & 1) === 1
  return `00-${ids.slice(0, -2)}0${isSampled ? 1 : 0}`
}

/** Most members of a `tracestate` (§3.3.1.1). */
const mostMembers = 32

/** What is propagated of a `tracestate` at least (§3.3.1.5), and here at most. */
const longestState = 512

/** Members above this length go first where a `tracestate` is too long (§3.3.1.5). */
const longMember = 128

// §3.3.1.3.1, §3.3.1.3.2: a key of one vendor, or of a tenant at a vendor; a value that does not end in a space.
const member =
  /^(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/

function shortened(members: string[]): string {
  let length = members.join(',').length
  const drop = (at: number) => {
    length -= (members[at] as string).length + 1
    members.splice(at, 1)
  }
  for (let at = members.length - 1; at >= 0 && length > longestState; at--) {
    if ((members[at] as string).length > longMember) drop(at)
  }
  while (length > longestState) drop(members.length - 1)
  return members.join(',')
}

/**
 * The `tracestate` that a header gives, or `undefined` where it has no member, or one that is not valid: then all of it is
 * left out (§3.3). Members stay in their order; one of more than 512 characters is shortened by whole members.
 */
export function readTracestate(value: string): string | undefined {
  const members: string[] = []
  const keys = new Set<string>()
  for (const part of value.split(',')) {
    // A leading space would be the value's own; before a key, and at the end, it is none's.
    const text = withoutOws(part)
    if (text === '') continue
    if (!member.test(text)) return undefined
    keys.add(text.slice(0, text.indexOf('=')))
    members.push(text)
    if (members.length > mostMembers || keys.size < members.length) return undefined
  }
  return members.length === 0 ? undefined : shortened(members)
}
