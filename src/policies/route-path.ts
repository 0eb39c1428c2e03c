import { normalEncoding } from './route-pattern.ts'

const plain = 0
// Not as a URL parser would leave it (the path percent-encode set of the URL standard, and a backslash).
const odd = 1
const percent = 2
const end = 3
const separator = 4

const classes = new Uint8Array(256)
classes.fill(odd, 0, 0x21)
classes.fill(odd, 0x80)
for (const character of '"<>\\^`{}\x7f') classes[character.charCodeAt(0)] = odd
classes['%'.charCodeAt(0)] = percent
for (const character of '?#') classes[character.charCodeAt(0)] = end
classes['/'.charCodeAt(0)] = separator

const slash = 0x2f
const dot = 0x2e

/** The hash of a segment, so that a lookup needs no text of its own. */
export function hashOf(text: string): number {
  let hash = 0
  for (let at = 0; at < text.length; at++) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0
  return hash & mask
}

// V8 keeps such numbers without an object.
const mask = 0x3fffffff

function hexOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  return code >= 0x41 && code <= 0x46 ? code - 0x37 : -1
}

/**
 * A path as a URL parser leaves it: without query and fragment, dot segments (`%2e` is a dot) taken out, a backslash
 * made a slash, and what has to be percent-encoded encoded. Beyond that each character is written in one way: RFC 3986
 * §6.2.2. Slashes, double and last ones too, and case stay. Empty where there is none (CONNECT).
 */
export function normalPath(given: string): string {
  const isPath = given.startsWith('/') || given.startsWith('\\')
  // The authority that CONNECT asks for could be read as a URL, too.
  const url = isPath || /^https?:/i.test(given) ? URL.parse(isPath ? `http://h${given}` : given) : null
  return url === null ? '' : normalEncoding(url.pathname)
}

/** A path, cut into segments without making texts of them. Used again for each lookup. */
export class PathCut {
  path = ''
  /** Where the path ends, and a query may begin. */
  end = 0
  /** How many segments it has; only as many as asked for are noted. */
  count = 0
  readonly starts: Int32Array
  readonly ends: Int32Array
  readonly hashes: Int32Array

  constructor(depth: number) {
    this.starts = new Int32Array(depth)
    this.ends = new Int32Array(depth)
    this.hashes = new Int32Array(depth)
  }

  /** The path, without what comes after it. */
  get whole(): string {
    return this.end === this.path.length ? this.path : this.path.slice(0, this.end)
  }

  read(given: unknown): void {
    this.path = typeof given === 'string' ? given : ''
    if (this.path.charCodeAt(0) === slash && this.cut(false)) return
    this.path = normalPath(this.path)
    this.cut(true)
  }

  /** Whether the path was as a URL parser would leave it. */
  private cut(isNormal: boolean): boolean {
    const { path } = this
    const { length } = path
    const table = classes
    this.count = 0
    this.end = length
    if (length === 0) return true
    let hash = 0
    let start = 1
    for (let at = 1; at < length; at++) {
      const code = path.charCodeAt(at)
      const found = code < 256 ? (table[code] as number) : odd
      if (found === plain) {
        hash = (Math.imul(hash, 31) + code) | 0
      } else if (found === separator) {
        if (!this.add(start, at, hash) && !isNormal) return false
        hash = 0
        start = at + 1
      } else if (isNormal || (found === percent && this.isNormalEscape(at))) {
        hash = (Math.imul(hash, 31) + code) | 0
      } else if (found === end) {
        this.end = at
        break
      } else {
        return false
      }
    }
    return this.add(start, this.end, hash) || isNormal
  }

  /** Notes a segment; whether it is none of dots. */
  private add(start: number, end: number, hash: number): boolean {
    const { count } = this
    if (count < this.starts.length) {
      this.starts[count] = start
      this.ends[count] = end
      this.hashes[count] = hash & mask
    }
    this.count++
    const length = end - start
    if (length === 0 || length > 2 || this.path.charCodeAt(start) !== dot) return true
    return length === 2 && this.path.charCodeAt(start + 1) !== dot
  }

  /** Whether the percent sign at `at` begins an escape in capitals of what has to be escaped. */
  private isNormalEscape(at: number): boolean {
    const high = hexOf(this.path.charCodeAt(at + 1))
    const low = hexOf(this.path.charCodeAt(at + 2))
    if (high < 0 || low < 0) return false
    const code = high * 16 + low
    const isLetter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
    const isDigit = code >= 0x30 && code <= 0x39
    return !isLetter && !isDigit && code !== 0x2d && code !== dot && code !== 0x5f && code !== 0x7e
  }
}
