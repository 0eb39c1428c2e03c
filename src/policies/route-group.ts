import type { CheckedRule, HeaderRule } from './route-rule.ts'

/** A rule, and its place in the order in which rules are asked. */
export interface RankedRule extends CheckedRule {
  readonly rank: number
}

/** Reads a header of a request: its values, joined by a comma and a space; `undefined` where it has none. */
export type ReadHeader<Headers> = (headers: Headers, name: string) => string | undefined

/** What is looked for, and what has been found. Used again for each lookup. */
export interface RouteQuery {
  readonly method: string
  /** The rank of what has been found; `Infinity` for nothing. */
  best: number
  found: RankedRule | null
  /** What {@link ReadHeader} gives of the request. */
  header(name: string): string | undefined
}

// Fewer are gone through as quickly.
const mostInTurn = 4

/** By one method, or one value of a header, those rules that ask for it. */
interface Index {
  /** `null`: by method. */
  readonly header: string | null
  readonly groups: ReadonlyMap<string, RouteGroup>
  /** The rules that ask for something else. */
  readonly others: RouteGroup
}

/** Rules with the same pattern, told apart by the rest of what they ask. */
export class RouteGroup {
  best = Number.POSITIVE_INFINITY
  private rules: RankedRule[] = []
  private index: Index | null = null

  add(rule: RankedRule): void {
    this.rules.push(rule)
    this.best = Math.min(this.best, rule.rank)
  }

  /** All rules have been added. `known`: what they all ask for, since it was an index that led here. */
  seal(known: readonly (string | null)[] = []): void {
    this.rules.sort((one, other) => one.rank - other.rank)
    if (this.rules.length <= mostInTurn) return
    this.index = indexOf(this.rules, known)
    if (this.index !== null) this.rules = []
  }

  find(query: RouteQuery): void {
    if (this.best >= query.best) return
    const { index, rules } = this
    if (index === null) {
      for (let at = 0; at < rules.length; at++) {
        const rule = rules[at] as RankedRule
        if (rule.rank >= query.best) return
        if (!fits(rule, query)) continue
        query.best = rule.rank
        query.found = rule
        return
      }
      return
    }
    const value = index.header === null ? query.method : query.header(index.header)
    if (value !== undefined) index.groups.get(value)?.find(query)
    index.others.find(query)
  }
}

/** What a rule asks for by one exact value, or a few. */
function keysOf(rule: CheckedRule, header: string | null): readonly string[] {
  if (header === null) return rule.methods ?? []
  const wanted = rule.headers.find(({ name }) => name === header)?.wanted
  return typeof wanted === 'string' ? [wanted] : []
}

function indexOf(rules: readonly RankedRule[], known: readonly (string | null)[]): Index | null {
  const counts = new Map<string | null, Set<string>>()
  for (const rule of rules) {
    for (const header of [null, ...rule.headers.map(({ name }) => name)]) {
      if (known.includes(header)) continue
      const keys = counts.get(header) ?? new Set()
      for (const key of keysOf(rule, header)) keys.add(key)
      counts.set(header, keys)
    }
  }
  const [best] = [...counts].sort(([, one], [, other]) => other.size - one.size)
  // One value tells nobody apart.
  if (best === undefined || best[1].size < 2) return null
  const [header] = best
  const groups = new Map<string, RouteGroup>()
  const others = new RouteGroup()
  for (const rule of rules) {
    const keys = keysOf(rule, header)
    if (keys.length === 0) others.add(rule)
    for (const key of keys) {
      const group = groups.get(key) ?? new RouteGroup()
      group.add(rule)
      groups.set(key, group)
    }
  }
  for (const group of groups.values()) group.seal([...known, header])
  others.seal(known)
  return { header, groups, others }
}

function fits(rule: CheckedRule, query: RouteQuery): boolean {
  const { methods, headers, contentType } = rule
  if (methods !== null && !methods.includes(query.method)) return false
  for (let at = 0; at < headers.length; at++) if (!headerFits(headers[at] as HeaderRule, query)) return false
  return contentType === null || mediaTypeFits(contentType, query.header('content-type'))
}

function headerFits({ name, wanted }: HeaderRule, query: RouteQuery): boolean {
  const value = query.header(name)
  if (typeof wanted === 'string') return value === wanted
  if (typeof wanted === 'boolean') return wanted === (value !== undefined)
  return value !== undefined && wanted.test(value)
}

/** Whether a `content-type` is of the media type that a route asks for. */
export function mediaTypeFits(wanted: string, given: string | undefined): boolean {
  if (given === undefined) return false
  const semicolon = given.indexOf(';')
  const type = (semicolon < 0 ? given : given.slice(0, semicolon)).trim().toLowerCase()
  if (wanted === '*/*') return type.includes('/')
  return wanted.endsWith('/*') ? type.startsWith(wanted.slice(0, -1)) : type === wanted
}
