import { show } from '../policies/options.ts'
import type { Path } from './path.ts'
import type { Problems } from './problems.ts'

// What JSON.parse makes of these names is an own property; what an assignment would make of them is a change to all objects.
const dangerous: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

// Far beyond any that somebody wrote, and little enough to be checked at once.
const deepest = 24
const mostValues = 100_000

const tooMany = Symbol('too many')

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  // Also an object of another realm.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

class Copy {
  private readonly problems: Problems
  private readonly open = new Set<object>()
  private count = 0

  constructor(problems: Problems) {
    this.problems = problems
  }

  /** A copy of a value; `undefined`: it is none, or wrong. */
  of(value: unknown, path: Path): unknown {
    if (++this.count > mostValues) throw tooMany
    if (typeof value !== 'object' || value === null) {
      if (typeof value !== 'function' && typeof value !== 'symbol' && typeof value !== 'bigint') return value
      return this.wrong(path, `must be plain data, got a ${typeof value}`)
    }
    if (path.length >= deepest) return this.wrong(path, `is more than ${deepest} levels deep`)
    if (this.open.has(value)) return this.wrong(path, 'must not refer back to what it is part of')
    this.open.add(value)
    const copied = Array.isArray(value) ? this.list(value, path) : this.record(value, path)
    this.open.delete(value)
    return copied
  }

  private list(value: readonly unknown[], path: Path): unknown {
    if (value.length > mostValues) throw tooMany
    return Array.from({ length: value.length }, (_, at) => {
      const item = this.read(value, at, [...path, at])
      return item === undefined ? this.wrong([...path, at], 'must be a value, got undefined') : item
    })
  }

  private record(value: object, path: Path): unknown {
    if (!isPlain(value)) return this.wrong(path, `must be plain data, got ${show(value)} of a class`)
    const copied: Record<string, unknown> = {}
    for (const name of Object.keys(value)) {
      if (dangerous.has(name)) {
        this.wrong([...path, name], 'is a name that no configuration may hold')
        continue
      }
      const own = this.read(value, name, [...path, name])
      if (own !== undefined) copied[name] = own
    }
    return copied
  }

  private read(holder: object, name: string | number, path: Path): unknown {
    let value: unknown
    try {
      value = (holder as Record<string | number, unknown>)[name]
    } catch {
      return this.wrong(path, 'could not be read: its getter throws')
    }
    return this.of(value, path)
  }

  private wrong(path: Path, message: string): undefined {
    this.problems.add(path, message)
  }
}

/** What is no record counts as an empty one: what is wrong with it has been told. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

/** A copy of what somebody gave, plain objects and lists all the way down. What is none is told, and left out. */
export function copyPlain(given: unknown, problems: Problems): unknown {
  try {
    return new Copy(problems).of(given, [])
  } catch (error) {
    // A Proxy may throw wherever it is touched.
    problems.add([], error === tooMany ? `must hold no more than ${mostValues} values` : 'could not be read')
    return undefined
  }
}
