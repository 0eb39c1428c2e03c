// The subpath, not the package's main module: that one puts URLPattern among the globals where there is none.
import { URLPattern } from 'urlpattern-polyfill/urlpattern'

/** What a piece of a pattern stands for: text, one segment (`:name`), anything (`*`), a regular expression. */
type PieceKind = 'text' | 'segment' | 'anything' | 'regexp'
type Modifier = '' | '?' | '*' | '+'

/** A piece of a pattern, as the URL Pattern standard calls a part. */
interface Piece {
  readonly kind: PieceKind
  readonly prefix: string
  /** The text, or the source of the regular expression. */
  readonly value: string
  readonly suffix: string
  readonly modifier: Modifier
}

type Component = 'pathname' | 'hostname'

const nameRest = /\u200c|\u200d|[$_\p{ID_Continue}]/u
// RFC 3986 §2.3: encoded or not, they are the same.
const unreserved = /[\w.~-]/
const encoded = /%[0-9a-f]{2}/gi

/** Text of a path with each character written in one way: RFC 3986 §6.2.2.1 and §6.2.2.2. */
export function normalEncoding(text: string): string {
  return text.replace(encoded, (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
    return unreserved.test(character) ? character : triplet.toUpperCase()
  })
}

/** Reads what URLPattern has found to be right: nothing is checked again. */
class PieceReader {
  readonly pieces: Piece[] = []
  private readonly source: string
  private readonly prefixes: string
  private at = 0
  private text = ''

  constructor(source: string, prefixes: string) {
    this.source = source
    this.prefixes = prefixes
  }

  read(): readonly Piece[] {
    const { source } = this
    while (this.at < source.length) {
      const character = source[this.at] as string
      if (character === '{') this.readBraces()
      else if (this.isGroup()) this.readGroup()
      else this.text += this.readCharacter()
    }
    this.endText()
    return this.pieces
  }

  private isGroup(): boolean {
    const character = this.source[this.at]
    return character === ':' || character === '(' || character === '*'
  }

  private readCharacter(): string {
    if (this.source[this.at] === '\\') this.at++
    return this.source[this.at++] as string
  }

  private endText(): void {
    if (this.text !== '') this.add('text', '', this.text, '', '')
    this.text = ''
  }

  private add(kind: PieceKind, prefix: string, value: string, suffix: string, modifier: Modifier): void {
    const [before, inside, after] = [prefix, kind === 'text' ? value : '', suffix].map(normalEncoding)
    this.pieces.push({
      kind,
      prefix: before as string,
      value: kind === 'text' ? (inside as string) : value,
      suffix: after as string,
      modifier,
    })
  }

  // A slash right before a group is its prefix, unless it is escaped: with a modifier it comes and goes with it.
  private readGroup(): void {
    const isPrefixed =
      this.text !== '' && this.prefixes.includes(this.text.at(-1) as string) && this.source[this.at - 2] !== '\\'
    const prefix = isPrefixed ? (this.text.at(-1) as string) : ''
    if (isPrefixed) this.text = this.text.slice(0, -1)
    this.endText()
    const [kind, value] = this.readMatcher()
    this.add(kind, prefix, value, '', this.readModifier())
  }

  private readBraces(): void {
    this.at++
    let prefix = ''
    let suffix = ''
    let group: [PieceKind, string] | null = null
    while (this.source[this.at] !== '}') {
      if (this.isGroup()) group = this.readMatcher()
      else if (group === null) prefix += this.readCharacter()
      else suffix += this.readCharacter()
    }
    this.at++
    const modifier = this.readModifier()
    if (group === null && modifier === '') {
      this.text += prefix
      return
    }
    this.endText()
    if (group !== null) this.add(group[0], prefix, group[1], suffix, modifier)
    else this.add('text', '', prefix, '', modifier)
  }

  private readMatcher(): [PieceKind, string] {
    const { source } = this
    let isNamed = false
    if (source[this.at] === ':') {
      isNamed = true
      this.at += 2
      while (this.at < source.length && nameRest.test(source[this.at] as string)) this.at++
    }
    if (source[this.at] === '(') {
      const regexp = this.readRegExp()
      return regexp === '.*' ? ['anything', ''] : ['regexp', regexp]
    }
    if (isNamed) return ['segment', '']
    this.at++
    return ['anything', '']
  }

  private readRegExp(): string {
    const { source } = this
    const start = ++this.at
    for (let depth = 1; ; this.at++) {
      if (source[this.at] === '\\') this.at++
      else if (source[this.at] === '(') depth++
      else if (source[this.at] === ')' && --depth === 0) break
    }
    return source.slice(start, this.at++)
  }

  private readModifier(): Modifier {
    const character = this.source[this.at]
    if (character !== '?' && character !== '*' && character !== '+') return ''
    this.at++
    return character
  }
}

function escaped(text: string): string {
  return text.replace(/[.+*?^${}()[\]|/\\]/g, '\\$&')
}

/** A pattern of the URL Pattern standard for one component of a URL. */
export class UrlPattern {
  readonly pieces: readonly Piece[]
  private readonly delimiter: string
  // Of a table of a thousand routes there are half a million pairs to compare.
  private readonly key: string
  private readonly start: string
  private readonly finish: string
  private automaton: Automaton | null = null

  /** @throws TypeError for what is no pattern. */
  constructor(component: Component, source: string) {
    const canonical = new URLPattern({ [component]: source })[component]
    this.delimiter = component === 'pathname' ? '/' : '.'
    this.pieces = new PieceReader(canonical, component === 'pathname' ? '/' : '').read()
    this.key = JSON.stringify(this.pieces)
    const [first] = this.pieces
    const last = this.pieces.at(-1)
    this.start = first === undefined || first.modifier !== '' ? '' : first.kind === 'text' ? first.value : first.prefix
    this.finish = last === undefined || last.modifier !== '' ? '' : last.kind === 'text' ? last.value : last.suffix
  }

  /** The text, where it is nothing else. */
  get text(): string | null {
    if (this.pieces.length === 0) return ''
    const [piece] = this.pieces
    return this.pieces.length === 1 && piece?.kind === 'text' && piece.modifier === '' ? piece.value : null
  }

  /** How many characters it names. */
  get literalLength(): number {
    return this.pieces.reduce(
      (sum, { kind, prefix, value, suffix }) =>
        sum + prefix.length + suffix.length + (kind === 'text' ? value.length : 0),
      0,
    )
  }

  toRegExp(): RegExp {
    return new RegExp(`^${this.pieces.map((piece) => this.sourceOf(piece)).join('')}$`, 'u')
  }

  private sourceOf({ kind, prefix, value, suffix, modifier }: Piece): string {
    const inside =
      kind === 'text'
        ? escaped(value)
        : kind === 'segment'
          ? `[^${escaped(this.delimiter)}]+?`
          : kind === 'anything'
            ? '.*'
            : `(?:${value})`
    return `(?:${escaped(prefix)}${inside}${escaped(suffix)})${modifier}`
  }

  /**
   * Whether some text matches both. Exact but for regular expressions: of these only equal ones are known to meet.
   */
  meets(other: UrlPattern): boolean {
    if (this.key === other.key) return true
    if (!this.start.startsWith(other.start) && !other.start.startsWith(this.start)) return false
    if (!this.finish.endsWith(other.finish) && !other.finish.endsWith(this.finish)) return false
    return meet(this.asAutomaton(), other.asAutomaton())
  }

  private asAutomaton(): Automaton {
    this.automaton ??= new Automaton(this.pieces, this.delimiter)
    return this.automaton
  }
}

// What a step takes: the code of a character, or one of these.
const nothing = -1
const anyCharacter = -2
const anyButDelimiter = -3
const regularExpression = -4

interface Step {
  readonly label: number
  readonly to: number
  /** The source of a regular expression, which stands for itself. */
  readonly regexp: string
}

/** The states of a pattern, and the steps between them. */
class Automaton {
  readonly steps: Step[][] = [[]]
  /** Where a text that matches ends. */
  readonly end: number
  readonly delimiter: number

  constructor(pieces: readonly Piece[], delimiter: string) {
    this.delimiter = delimiter.charCodeAt(0)
    let at = 0
    for (const piece of pieces) at = this.addPiece(at, piece)
    this.end = at
  }

  private addState(): number {
    return this.steps.push([]) - 1
  }

  private addStep(from: number, label: number, to: number, regexp = ''): void {
    ;(this.steps[from] as Step[]).push({ label, to, regexp })
  }

  private addText(from: number, text: string): number {
    let at = from
    for (let index = 0; index < text.length; index++) {
      const next = this.addState()
      this.addStep(at, text.charCodeAt(index), next)
      at = next
    }
    return at
  }

  private addPiece(from: number, { kind, prefix, value, suffix, modifier }: Piece): number {
    const start = this.addState()
    this.addStep(from, nothing, start)
    const before = this.addText(start, kind === 'text' ? value : prefix)
    let at = before
    if (kind !== 'text') {
      at = this.addState()
      if (kind === 'regexp') this.addStep(before, regularExpression, at, value)
      else this.addStep(before, kind === 'segment' ? anyButDelimiter : nothing, at)
      if (kind !== 'regexp') this.addStep(at, kind === 'segment' ? anyButDelimiter : anyCharacter, at)
    }
    const end = this.addText(at, suffix)
    const after = this.addState()
    this.addStep(end, nothing, after)
    if (modifier === '*' || modifier === '+') this.addStep(end, nothing, start)
    if (modifier === '*' || modifier === '?') this.addStep(start, nothing, after)
    return after
  }
}

function fits(step: Step, otherStep: Step, delimiter: number): boolean {
  const { label: one } = step
  const { label: other } = otherStep
  if (one === other) return one !== nothing && step.regexp === otherStep.regexp
  if (one === nothing || other === nothing || one === regularExpression || other === regularExpression) return false
  if (one === anyCharacter || other === anyCharacter) return true
  if (one === anyButDelimiter) return other !== delimiter
  return other === anyButDelimiter && one !== delimiter
}

/** Whether both come to their ends by the same text: goes through the pairs of states that some text leads to. */
function meet(one: Automaton, other: Automaton): boolean {
  const width = other.steps.length
  const seen = new Uint8Array(one.steps.length * width)
  const open = [0]
  const reach = (pair: number) => {
    if (seen[pair] === 1) return
    seen[pair] = 1
    open.push(pair)
  }
  for (let pair = open.pop(); pair !== undefined; pair = open.pop()) {
    const at = Math.floor(pair / width)
    const otherAt = pair % width
    if (at === one.end && otherAt === other.end) return true
    for (const step of one.steps[at] as Step[]) {
      if (step.label === nothing) reach(step.to * width + otherAt)
      for (const otherStep of other.steps[otherAt] as Step[]) {
        if (fits(step, otherStep, one.delimiter)) reach(step.to * width + otherStep.to)
      }
    }
    for (const { label, to } of other.steps[otherAt] as Step[]) if (label === nothing) reach(at * width + to)
  }
  return false
}
