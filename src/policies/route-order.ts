import { mediaTypeFits } from './route-group.ts'
import { hostsMeet } from './route-host.ts'
import type { CheckedRule, HeaderRule } from './route-rule.ts'
import { pathsMeet } from './route-shape.ts'

function compareLiteralness(one: readonly number[], other: readonly number[]): number {
  const shared = Math.min(one.length, other.length)
  for (let at = 0; at < shared; at++) {
    const difference = (other[at] as number) - (one[at] as number)
    if (difference !== 0) return difference
  }
  // Where one ends the other has ended, too, or has gone on and differs.
  return 0
}

function conditionsOf({ methods, headers, contentType }: CheckedRule): number {
  return headers.length + (methods === null ? 0 : 1) + (contentType === null ? 0 : 1)
}

/** Of the conditions, those that name one value. */
function exactOf({ headers, contentType }: CheckedRule): number {
  const exact = headers.filter(({ wanted }) => typeof wanted === 'string').length
  return contentType === null || contentType.endsWith('*') ? exact : exact + 1
}

/** Negative where `one` is asked first: it has the higher priority, or is more literal. 0: neither is. */
export function compareRules(one: CheckedRule, other: CheckedRule): number {
  return (
    other.priority - one.priority ||
    compareLiteralness(one.path.literalness, other.path.literalness) ||
    (other.host?.literalness ?? 0) - (one.host?.literalness ?? 0) ||
    conditionsOf(other) - conditionsOf(one) ||
    exactOf(other) - exactOf(one)
  )
}

/** The rules in the order in which they are asked. */
export function inOrder(rules: readonly CheckedRule[]): CheckedRule[] {
  return [...rules].sort((one, other) => compareRules(one, other) || one.index - other.index)
}

function valuesMeet(one: HeaderRule['wanted'], other: HeaderRule['wanted']): boolean {
  if (one === false || other === false) return one === other
  if (typeof one === 'string' && typeof other === 'string') return one === other
  if (typeof one === 'string') return other === true || (other as RegExp).test(one)
  return typeof other === 'string' ? valuesMeet(other, one) : true
}

function headersMeet(one: CheckedRule, other: CheckedRule): boolean {
  if (one.headers.length === 0 || other.headers.length === 0) return true
  return one.headers.every(({ name, wanted }) => {
    const found = other.headers.find((header) => header.name === name)
    return found === undefined || valuesMeet(wanted, found.wanted)
  })
}

function mediaTypesMeet(one: string | null, other: string | null): boolean {
  if (one === null || other === null) return true
  const [type, subtype] = one.split('/')
  const [otherType, otherSubtype] = other.split('/')
  if (type === '*' || otherType === '*') return true
  return type === otherType && (subtype === '*' || otherSubtype === '*' || subtype === otherSubtype)
}

// One may ask for a media type, and the other for the header that tells it.
function headerTellsType({ headers }: CheckedRule, contentType: string | null): boolean {
  if (contentType === null) return true
  const wanted = headers.find(({ name }) => name === 'content-type')?.wanted
  return typeof wanted === 'string' ? mediaTypeFits(contentType, wanted) : wanted !== false
}

function methodsMeet(one: CheckedRule['methods'], other: CheckedRule['methods']): boolean {
  return one === null || other === null || one.some((method) => other.includes(method))
}

/** Whether some call fits both. What is cheap to tell apart by comes first. */
export function rulesMeet(one: CheckedRule, other: CheckedRule): boolean {
  return (
    methodsMeet(one.methods, other.methods) &&
    headersMeet(one, other) &&
    mediaTypesMeet(one.contentType, other.contentType) &&
    headerTellsType(one, other.contentType) &&
    headerTellsType(other, one.contentType) &&
    pathsMeet(one.path, other.path) &&
    hostsMeet(one.host, other.host)
  )
}

/** Two routes that are as literal as one another, and fit some call both. */
export interface Conflict {
  readonly one: CheckedRule
  readonly other: CheckedRule
}

/** All conflicts; `ordered` is what {@link inOrder} gives. */
export function conflictsOf(ordered: readonly CheckedRule[]): Conflict[] {
  const conflicts: Conflict[] = []
  let equals: CheckedRule[] = []
  for (const other of ordered) {
    if (equals.length > 0 && compareRules(equals[0] as CheckedRule, other) !== 0) equals = []
    for (const one of equals) if (rulesMeet(one, other)) conflicts.push({ one, other })
    equals.push(other)
  }
  return conflicts.sort((a, b) => a.one.index - b.one.index || a.other.index - b.other.index)
}

const mostShown = 20

function nameOf({ label, index, isNamed }: CheckedRule): string {
  return isNamed ? `${JSON.stringify(label)} (routes[${index}])` : label
}

/** @throws TypeError that names the routes of all conflicts. */
export function checkConflicts(layer: string, ordered: readonly CheckedRule[]): void {
  const conflicts = conflictsOf(ordered)
  if (conflicts.length === 0) return
  const shown = conflicts.slice(0, mostShown).map(({ one, other }) => `${nameOf(one)} and ${nameOf(other)}`)
  const more = conflicts.length > mostShown ? `; and ${conflicts.length - mostShown} more` : ''
  throw new TypeError(
    `${layer}: of these routes both fit the same calls, and none is more literal: ${shown.join('; ')}${more}. Give one of ` +
      'each a higher priority, or a condition that the other does not fit.',
  )
}
