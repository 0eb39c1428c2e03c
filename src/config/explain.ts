import type { Path } from './path.ts'
import type { Problems } from './problems.ts'
import { schemasAt, wordsFor } from './schema-walk.ts'

/** Which options a factory was given, and where they stand. */
export interface Blame {
  readonly layer: string
  /** Where its option stands; `undefined`: the layer itself. */
  pathOf(option: string | undefined): Path
}

// What the errors of factories call parts of an option.
const otherNames: ReadonlyMap<string, string> = new Map([
  ['retryBudget', 'budget'],
  ['dnsHosts', 'hosts'],
])

function isPlace(path: Path): boolean {
  return schemasAt(path).length > 0
}

/** The steps that a word of an error names, below a place: `backoff.maxDelay`, `hosts[0]`; none where it is no option. */
function stepsOf(word: string, at: Path): readonly (string | number)[] {
  const steps = [...word.matchAll(/\w+/g)].map(([step]) => (/^\d/.test(step) ? Number(step) : step))
  return isPlace([...at, ...steps]) ? steps : []
}

/** Splits what a factory says into the place that it names first, below a layer, and the rest. */
function split(told: string, at: Path): { readonly steps: Path; readonly rest: string } {
  let steps: Path = []
  let rest = told
  for (let found = /^([\w.[\]]+): /.exec(rest); found !== null; found = /^([\w.[\]]+): /.exec(rest)) {
    const [prefix, word = ''] = found
    const more = stepsOf(otherNames.get(word) ?? word, [...at, ...steps])
    if (more.length === 0) break
    steps = [...steps, ...more]
    rest = rest.slice(prefix.length)
  }
  const [subject = '', word = ''] = /^([\w.[\]]+) /.exec(rest) ?? []
  const more = stepsOf(word, [...at, ...steps])
  if (more.length > 0 && rest.startsWith('must ', subject.length)) rest = rest.slice(subject.length)
  return { steps: [...steps, ...more], rest }
}

/** Takes out of a message what must not be told. */
export type Hide = (message: string, path: Path) => string

/**
 * Notes what a factory threw, at the path of the option that it names. Factories write `layer: option must be ..., got ...`.
 */
export function explain(error: unknown, blame: Blame, upstream: Path, hide: Hide, problems: Problems): void {
  const message = error instanceof Error ? error.message : 'could not be made'
  const told = message.startsWith(`${blame.layer}: `) ? message.slice(blame.layer.length + 2) : message
  // The hosts of a group stand beside its other options.
  const isAboutHosts = blame.layer === 'balance' && /^(?:hosts|dnsHosts)\b/.test(told)
  const { steps, rest } = split(told, isAboutHosts ? upstream : blame.pathOf(undefined))
  const [option] = steps
  const base = isAboutHosts ? upstream : blame.pathOf(typeof option === 'string' ? option : undefined)
  const path = [...base, ...steps]
  if (rest.endsWith(', got undefined')) {
    problems.add(path, `is missing: it must be ${schemasAt(path).map(wordsFor).join(' or ')}`)
  } else problems.add(path, hide(rest, path))
}
