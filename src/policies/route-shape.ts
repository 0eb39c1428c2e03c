import { UrlPattern } from './route-pattern.ts'

/** A pattern of paths, taken apart for a tree of segments. */
export interface PathShape {
  readonly pattern: UrlPattern
  /** What it begins with: segments of text, `null` for any one segment. */
  readonly segments: readonly (string | null)[]
  /** What comes after them: nothing; at least one segment of any kind; what only the regular expression tells. */
  readonly tail: 'end' | 'rest' | RegExp
  /** How literal it is, segment by segment; the higher numbers are found first. */
  readonly literalness: readonly number[]
}

// Marks in the text of a pattern; no path holds them.
const segmentMark = '\0s'
const restMark = '\0r'
const otherMark = '\0o'

function flat({ pieces }: UrlPattern): string {
  let text = ''
  for (const { kind, prefix, value, suffix, modifier } of pieces) {
    if (modifier !== '' || kind === 'regexp') return text + otherMark
    if (kind === 'text') text += value
    else text += prefix + (kind === 'segment' ? segmentMark : restMark) + suffix
  }
  return text
}

function splitShape(pattern: UrlPattern): Pick<PathShape, 'segments' | 'tail'> {
  const [first, ...rest] = flat(pattern).split('/')
  const segments: (string | null)[] = []
  if (first !== '') return { segments, tail: pattern.toRegExp() }
  for (const [at, text] of rest.entries()) {
    if (text === restMark && at === rest.length - 1) return { segments, tail: 'rest' }
    if (text !== segmentMark && text.includes('\0')) return { segments, tail: pattern.toRegExp() }
    segments.push(text === segmentMark ? null : text)
  }
  return { segments, tail: 'end' }
}

// The weakest group of a segment.
const anything = 0
const named = 1
const regexp = 2
const none = 3

class SegmentRank {
  private literal = 0
  private weakest = none
  private isOptional = false

  addText(length: number): void {
    this.literal += length
  }

  addGroup(group: number): void {
    this.weakest = Math.min(this.weakest, group)
  }

  mayBeMissing(): void {
    this.isOptional = true
  }

  get isWild(): boolean {
    return this.weakest === anything
  }

  /** Text, then partly text and regular expressions (the more text first), then names, then wildcards. */
  get rank(): number {
    const { literal, weakest } = this
    if (weakest === none && !this.isOptional) return 4e6
    if (literal > 0 || weakest === regexp) return 3e6 + literal * 4 + weakest
    return weakest === named ? 2e6 : 1e6
  }
}

// A pattern that ends is more literal than one that goes on, unless a wildcard has taken what goes on.
const ended = 5e6
const endedWild = 0

function literalnessOf({ pieces }: UrlPattern): number[] {
  const segments = [new SegmentRank()]
  const last = () => segments.at(-1) as SegmentRank
  const addText = (text: string) => {
    for (const [at, part] of text.split('/').entries()) {
      if (at > 0) segments.push(new SegmentRank())
      last().addText(part.length)
    }
  }
  for (const { kind, prefix, value, suffix, modifier } of pieces) {
    addText(kind === 'text' ? value : prefix)
    if (modifier !== '') last().mayBeMissing()
    if (modifier === '*' || modifier === '+' || kind === 'anything') last().addGroup(anything)
    else if (kind === 'segment') last().addGroup(named)
    else if (kind === 'regexp') last().addGroup(regexp)
    addText(suffix)
  }
  return [...segments.map(({ rank }) => rank), segments.some(({ isWild }) => isWild) ? endedWild : ended]
}

// URLPattern makes an empty segment, or none, of what is no dot segment yet: `/.:name`.
const dotSegment = /\/(?:\.|%2e){1,2}(?=[/:({*?]|$)/i

/**
 * Takes apart the pattern of a path; `*` stands for every path.
 *
 * @throws TypeError for what is no pattern of paths.
 */
export function pathShapeOf(source: string): PathShape {
  if (!/^[/{(*]/.test(source)) throw new TypeError('must begin with a slash, or be *')
  if (dotSegment.test(source)) throw new TypeError('must have no segment . or ..')
  const pattern = new UrlPattern('pathname', source)
  return { pattern, ...splitShape(pattern), literalness: literalnessOf(pattern) }
}

/** Whether some path matches both. */
export function pathsMeet(one: PathShape, other: PathShape): boolean {
  const [length, otherLength] = [one.segments.length, other.segments.length]
  for (let at = 0; at < Math.min(length, otherLength); at++) {
    const [text, otherText] = [one.segments[at], other.segments[at]]
    if (text !== otherText && text !== null && otherText !== null) return false
  }
  // Among those of equal rank: whatever is not decided by their segments.
  return one.pattern.meets(other.pattern)
}
