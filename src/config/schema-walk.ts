import type { Path } from './path.ts'
import { schema as root } from './schema.ts'
import type { Schema } from './schema-parts.ts'

/** The forms that a schema allows: references followed, alternatives apart. */
export function formsOf(given: Schema): readonly Schema[] {
  if (given.$ref !== undefined) return formsOf(root.$defs?.[given.$ref.slice('#/$defs/'.length)] as Schema)
  return given.anyOf === undefined ? [given] : given.anyOf.flatMap(formsOf)
}

function below(form: Schema, step: string | number): Schema | undefined {
  if (typeof step === 'number') return form.items
  const { properties = {}, additionalProperties } = form
  if (Object.hasOwn(properties, step)) return properties[step]
  return typeof additionalProperties === 'object' ? additionalProperties : undefined
}

/** What may stand at a path, before references and alternatives are looked into; empty: there is no such place. */
export function schemasAt(path: Path): readonly Schema[] {
  let found: readonly Schema[] = [root]
  for (const step of path) {
    found = found.flatMap(formsOf).flatMap((form) => below(form, step) ?? [])
  }
  return found
}

/** Names of the options that may stand at a path. */
export function namesAt(path: Path): readonly string[] {
  return schemasAt(path)
    .flatMap(formsOf)
    .flatMap(({ properties = {} }) => Object.keys(properties))
}

function isMarkedSecret(given: Schema): boolean {
  if (given.writeOnly === true) return true
  if (given.anyOf?.some((form) => isMarkedSecret(form))) return true
  return false
}

/** Whether what stands at a path must not be shown. */
export function isSecret(path: Path): boolean {
  for (let length = path.length; length > 0; length--) {
    if (schemasAt(path.slice(0, length)).some(isMarkedSecret)) return true
  }
  return false
}

function rangeOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Schema): string {
  if (exclusiveMinimum !== undefined) return ` above ${exclusiveMinimum} and below ${exclusiveMaximum}`
  if (minimum === undefined) return ''
  return maximum === undefined ? ` of at least ${minimum}` : ` from ${minimum} to ${maximum}`
}

function textOfForm(form: Schema): string {
  if (form.title !== undefined) return form.title
  if ('const' in form) return JSON.stringify(form.const)
  if (form.enum !== undefined) return `one of ${form.enum.map((word) => JSON.stringify(word)).join(', ')}`
  switch (form.type) {
    case 'boolean':
      return 'true or false'
    case 'integer':
      return `a whole number${rangeOf(form)}`
    case 'number':
      return `a number${rangeOf(form)}`
    case 'string':
      return form.minLength === undefined ? 'a string' : 'a string that is not empty'
    case 'array':
      return form.minItems === undefined ? 'a list' : `a list of at least ${form.minItems}`
    default:
      return form.properties === undefined ? 'an object' : 'an object of options'
  }
}

/** What a value has to be, in words. */
export function wordsFor(given: Schema): string {
  if (given.title !== undefined) return given.title
  const words = [...new Set(formsOf(given).map(textOfForm))]
  return words.length === 1 ? (words[0] as string) : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
