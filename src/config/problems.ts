import { ConfigError, type ConfigProblem } from './config-error.ts'
import { keyOf, type Path, textOf } from './path.ts'

/** Collects what is wrong, one problem for each path: the first that was found says it best. */
export class Problems {
  readonly #found = new Map<string, ConfigProblem>()
  /** Paths of problems, and of all that is around them. */
  readonly #around = new Set<string>()

  add(path: Path, message: string): void {
    const key = keyOf(path)
    if (this.#found.has(key)) return
    this.#found.set(key, { path: textOf(path), message })
    for (let length = path.length; length >= 0; length--) this.#around.add(keyOf(path.slice(0, length)))
  }

  /** Whether something is wrong at a path itself. */
  has(path: Path): boolean {
    return this.#found.has(keyOf(path))
  }

  /** Whether something is wrong at a path, or below it. */
  isWithin(path: Path): boolean {
    return this.#around.has(keyOf(path))
  }

  /** Throws a `ConfigError` with all of them, unless there are none. */
  throwIfAny(source: string): void {
    if (this.#found.size > 0) throw new ConfigError(source, [...this.#found.values()])
  }
}
