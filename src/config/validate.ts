import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js'
import { show } from '../policies/options.ts'
import { codeOnly } from './code-only.ts'
import type { Expanded } from './environment.ts'
import { loadAjv } from './load-ajv.ts'
import { nearest } from './nearest.ts'
import { keyOf, type Path } from './path.ts'
import type { Problems } from './problems.ts'
import { schema } from './schema.ts'
import { isSecret, namesAt, schemasAt, wordsFor } from './schema-walk.ts'

const longestShown = 80

/** A value as an error tells it: nothing of what the environment said, and no secret. */
export function shownAt(path: Path, value: unknown, templates: Expanded['templates']): string {
  const template = templates.get(keyOf(path))
  if (template !== undefined) return `the value of ${show(template)}`
  if (typeof value === 'string' && isSecret(path)) return 'what is not shown, as it may be a secret'
  if (typeof value !== 'string' || value.length <= longestShown) return show(value)
  return show(`${value.slice(0, longestShown)}...`)
}

let compiled: ValidateFunction | undefined

function validator(): ValidateFunction {
  compiled ??= new (loadAjv())({ allErrors: true, strict: true }).compile(schema)
  return compiled
}

/** Where a JSON Pointer leads to, in this value. */
function pathOf(pointer: string, root: unknown): Path {
  const path: (string | number)[] = []
  let at = root
  for (const step of pointer.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    path.push(Array.isArray(at) ? Number(name) : name)
    at = (at as Record<string, unknown>)[name]
  }
  return path
}

function unknownMessage(path: Path, name: string): string {
  const known = [...new Set(namesAt(path))]
  const layer = path.at(-1)
  // An upstream may be called as a layer is.
  const isLayer = typeof layer === 'string' && (path[0] !== 'upstreams' || path.length > 2)
  if (isLayer && codeOnly.get(layer)?.includes(name)) {
    return `cannot be given as data: it is for chains that are made in code, ${layer}({ ${name} })`
  }
  const meant = nearest(name, known)
  const listed = `known are ${known.join(', ')}`
  return meant === undefined ? `is no option; ${listed}` : `is no option; did you mean ${meant}? ${listed}`
}

/** What only says that a value has none of several forms. */
const aboutForm: ReadonlySet<string> = new Set(['type', 'const', 'enum', 'anyOf'])

/** Values with the right form hold errors of their own; that they have none of the other forms says nothing. */
class Findings {
  private readonly found: { readonly path: Path; readonly message: string | null; readonly isForm: boolean }[] = []
  private readonly around = new Set<string>()

  add(path: Path, message: string | null, isForm: boolean): void {
    this.found.push({ path, message, isForm })
    for (let length = 0; length < path.length; length++) this.around.add(keyOf(path.slice(0, length)))
  }

  *[Symbol.iterator]() {
    for (const { path, message, isForm } of this.found) {
      if (!isForm || !this.around.has(keyOf(path))) yield { path, message }
    }
  }
}

function noteError(findings: Findings, error: ErrorObject, root: unknown): void {
  const { keyword, params } = error
  const path = pathOf(error.instancePath, root)
  if (keyword === 'additionalProperties') {
    const name = params.additionalProperty as string
    findings.add([...path, name], unknownMessage(path, name), false)
  } else if (keyword === 'required') {
    const missing = [...path, params.missingProperty as string]
    findings.add(missing, `is missing: it must be ${schemasAt(missing).map(wordsFor).join(' or ')}`, false)
  } else if (keyword === 'propertyNames') {
    const names = schemasAt(path).flatMap(({ propertyNames }) => propertyNames ?? [])
    findings.add([...path, params.propertyName as string], `must be called ${names.map(wordsFor).join(' or ')}`, false)
  } else if (error.propertyName === undefined) {
    findings.add(path, null, aboutForm.has(keyword))
  }
}

function at(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (value as Record<string | number, unknown>)[step], root)
}

/** Checks a configuration by its schema. */
export function validate({ value: root, templates }: Expanded, problems: Problems): void {
  const check = validator()
  if (check(root)) return
  const findings = new Findings()
  for (const error of check.errors ?? []) noteError(findings, error, root)
  for (const { path, message } of findings) {
    if (message !== null) problems.add(path, message)
    else {
      const wanted = schemasAt(path).map(wordsFor).join(' or ')
      problems.add(path, `must be ${wanted}, got ${shownAt(path, at(root, path), templates)}`)
    }
  }
}
