import { keyOf, type Path } from './path.ts'
import type { Problems } from './problems.ts'
import { formsOf, schemasAt } from './schema-walk.ts'

/** Values of variables by their names, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A configuration whose variables have got their values. */
export interface Expanded {
  readonly value: unknown
  /** By path, what stood where a variable was: errors tell it in the place of the value, which may be a secret. */
  readonly templates: ReadonlyMap<string, string>
}

// `$${` is `${` itself; `${NAME}`; `${NAME:-fallback}`; and one that is never closed.
const reference = /\$\$\{|\$\{([^}]*)(\}?)/g
const wholeReference = /^\$\{[^}]*\}$/
// A fallback with `${` in it would end at the first `}`, and leave the other one in the text.
const inside = /^([A-Za-z_]\w*)(?::-((?:(?!\$\{).)*))?$/s
const numeral = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

class Expansion {
  readonly templates = new Map<string, string>()
  private readonly env: Environment
  private readonly problems: Problems

  constructor(env: Environment, problems: Problems) {
    this.env = env
    this.problems = problems
  }

  of(value: unknown, path: Path): unknown {
    if (typeof value === 'string') return this.text(value, path)
    if (Array.isArray(value)) return value.map((item, at) => this.of(item, [...path, at]))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, own]) => [name, this.of(own, [...path, name])]))
  }

  private text(given: string, path: Path): unknown {
    if (!given.includes('${') || (path.length === 1 && path[0] === '$schema')) return given
    let hasVariable = false
    const wrong = new Set<string>()
    // What comes from a variable is not looked at again.
    const expanded = given.replace(reference, (_, name: string | undefined, end: string) => {
      if (name === undefined) return '${'
      hasVariable = true
      if (end === '}') return this.valueOf(name, wrong)
      wrong.add(`has a \${ that no } ends; $\${ stands for \${ itself`)
      return ''
    })
    if (!hasVariable) return expanded
    if (wrong.size > 0) this.problems.add(path, [...wrong].join('; '))
    this.templates.set(keyOf(path), given)
    return wholeReference.test(given) ? asWanted(expanded, path) : expanded
  }

  private valueOf(name: string, wrong: Set<string>): string {
    const parts = inside.exec(name)
    if (parts === null) {
      const allowed = `must be \${NAME} or \${NAME:-fallback}, got ${JSON.stringify(`\${${name}}`)}`
      wrong.add(`${allowed}; $\${ stands for \${ itself`)
      return ''
    }
    const [, variable = '', fallback] = parts
    const value = Object.hasOwn(this.env, variable) ? this.env[variable] : undefined
    // As in a shell: `:-` also where it is there, and empty.
    if (fallback !== undefined && (value === undefined || value === '')) return fallback
    if (typeof value === 'string') return value
    wrong.add(`the environment has no variable ${variable}`)
    return ''
  }
}

/** A text that is all of a value, as a number or a truth value where one of these must stand. */
function asWanted(value: string, path: Path): unknown {
  const forms = schemasAt(path).flatMap(formsOf)
  // It switches something off, and is no name of a host, or a header.
  if (value === 'false' && forms.some((form) => form.const === false)) return false
  if (forms.some(({ type }) => type === 'string')) return value
  if (value === 'true') return true
  if (value === 'false') return false
  return numeral.test(value) ? Number(value) : value
}

/** Puts the values of variables into all texts of a configuration. */
export function expand(given: unknown, env: Environment, problems: Problems): Expanded {
  const expansion = new Expansion(env, problems)
  return { value: expansion.of(given, []), templates: expansion.templates }
}
