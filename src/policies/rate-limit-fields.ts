import type { IncomingHttpHeaders } from 'node:http'

// What servers say of their limits. Read are, in this order, the fields of draft-ietf-httpapi-ratelimit-headers-11
// (structured), those of its versions 07 and 00 to 06, and the X-RateLimit fields that many had before. Of several forms
// the first that says anything counts; what does not parse says nothing.

/** One limit of a server's. Times are milliseconds. */
export interface ServerLimit {
  readonly name: string
  /** Calls left until the reset; `undefined` where only the policy was told. */
  readonly remaining: number | undefined
  /** Milliseconds to the reset. */
  readonly reset: number | undefined
  /** What the policy allows in a window, where it is told. */
  readonly quota: number | undefined
  readonly window: number | undefined
}

const none: readonly ServerLimit[] = []
const longestField = 1024
const mostItems = 8

type Field = string | string[] | undefined

// Several fields of one name are one list.
function textOf(field: Field): string | undefined {
  const text = Array.isArray(field) ? field.join(', ') : field
  return text === undefined || text.length > longestField ? undefined : text
}

// RFC 9651: an item that is a string or a token, and its parameters.
const itemName = /"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"|([A-Za-z*][\w!#$%&'*+.^`|~:/-]*)/y
const itemParameter =
  /[ ]*;[ ]*([a-z*][a-z0-9_.*-]*)(?:=("(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"|:[A-Za-z0-9+/=]*:|\?[01]|@?-?\d{1,15}(?:\.\d{1,3})?|%"[\x20\x21\x23-\x7e]*"|[A-Za-z*][\w!#$%&'*+.^`|~:/-]*))?/y
const comma = /[ \t]*,[ \t]*/y
const blank = /[ \t]*/y

interface Item {
  readonly name: string
  readonly parameters: ReadonlyMap<string, string>
}

/** The items of a list; `null` where it is none: then nothing of it counts. */
function itemsOf(text: string): Item[] | null {
  const items: Item[] = []
  let at = 0
  const next = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found !== null) at = pattern.lastIndex
    return found
  }
  next(blank)
  for (;;) {
    const named = next(itemName)
    if (named === null || items.length === mostItems) return null
    const parameters = new Map<string, string>()
    for (let found = next(itemParameter); found !== null; found = next(itemParameter)) {
      parameters.set(String(found[1]), found[2] ?? '?1')
    }
    items.push({ name: named[1] ?? String(named[2]), parameters })
    next(blank)
    if (at === text.length) return items
    if (next(comma) === null) return null
  }
}

/** A whole number that is not negative; `undefined` for everything else. */
function countOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000
}

function readStructured(limits: string | undefined, policies: string | undefined): readonly ServerLimit[] {
  const told = limits === undefined ? [] : (itemsOf(limits) ?? [])
  const known = policies === undefined ? [] : (itemsOf(policies) ?? [])
  const policyOf = new Map(known.map((item) => [item.name, item.parameters]))
  const isOfCalls = ({ name }: Item) => (policyOf.get(name)?.get('qu') ?? '"requests"') === '"requests"'
  const limitOf = ({ name, parameters }: Item): ServerLimit => {
    const policy = policyOf.get(name)
    return {
      name,
      remaining: countOf(parameters.get('r')),
      reset: milliseconds(countOf(parameters.get('t'))),
      quota: countOf(policy?.get('q')),
      window: milliseconds(countOf(policy?.get('w'))),
    }
  }
  const found = told.filter(isOfCalls).map(limitOf)
  const read = found.filter(({ remaining }) => remaining !== undefined)
  const others = known.filter((item) => isOfCalls(item) && !read.some(({ name }) => name === item.name)).map(limitOf)
  const announced = others
    .map((limit) => ({ ...limit, remaining: undefined, reset: undefined }))
    .filter(({ quota, window }) => quota !== undefined && quota > 0 && window !== undefined && window > 0)
  return [...read, ...announced]
}

function counted(remaining: number | undefined, reset: number | undefined): readonly ServerLimit[] {
  if (remaining === undefined || reset === undefined) return none
  return [{ name: '', remaining, reset, quota: undefined, window: undefined }]
}

// Version 07: `limit=100, remaining=50, reset=30`.
function readDictionary(text: string): readonly ServerLimit[] {
  const members = new Map<string, string>()
  for (const part of text.split(',')) {
    const [, key, value] = /^[ \t]*([a-z*][a-z0-9_.*-]*)=(\d{1,15})[ \t]*$/.exec(part) ?? []
    if (key === undefined || value === undefined) return none
    members.set(key, value)
  }
  return counted(countOf(members.get('remaining')), milliseconds(countOf(members.get('reset'))))
}

// X-RateLimit-Reset is a number of seconds, or a time in seconds since 1970: nobody waits for thirty years.
const earliestTime = 1e9

function readX(remaining: string | undefined, reset: string | undefined, epochMs: number): readonly ServerLimit[] {
  const seconds = countOf(reset)
  if (seconds === undefined) return none
  const wait = seconds < earliestTime ? seconds * 1000 : Math.max(0, seconds * 1000 - epochMs)
  return counted(countOf(remaining), wait)
}

/** Whether a response head can tell of limits at all. Asked of every response: most have none of these fields. */
export function mayTellLimits(headers: IncomingHttpHeaders): boolean {
  return (
    headers.ratelimit !== undefined ||
    headers['ratelimit-policy'] !== undefined ||
    headers['ratelimit-remaining'] !== undefined ||
    headers['x-ratelimit-remaining'] !== undefined
  )
}

/**
 * The limits that a response head tells of.
 *
 * @param epochMs the time now, in milliseconds since 1970
 */
export function readServerLimits(headers: IncomingHttpHeaders, epochMs: number): readonly ServerLimit[] {
  const limits = textOf(headers.ratelimit as Field)
  const policies = textOf(headers['ratelimit-policy'] as Field)
  if (limits !== undefined || policies !== undefined) {
    const found = readStructured(limits, policies)
    if (found.length > 0) return found
    const older = limits === undefined ? none : readDictionary(limits)
    if (older.length > 0) return older
  }
  const remaining = textOf(headers['ratelimit-remaining'] as Field)
  if (remaining !== undefined) {
    const reset = countOf(textOf(headers['ratelimit-reset'] as Field))
    const found = counted(countOf(remaining), milliseconds(reset))
    if (found.length > 0) return found
  }
  const xRemaining = textOf(headers['x-ratelimit-remaining'] as Field)
  if (xRemaining === undefined) return none
  return readX(xRemaining, textOf(headers['x-ratelimit-reset'] as Field), epochMs)
}
