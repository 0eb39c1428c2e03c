import { longestTimer } from '../policies/options.ts'

/** As much of JSON Schema (draft 2020-12) as the schema of the configuration is made of. */
export interface Schema {
  readonly $schema?: string
  readonly $id?: string
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, Schema>>
  /** What a value has to be, in an error; where the other keywords do not say it. */
  readonly title?: string
  readonly description?: string
  readonly default?: unknown
  readonly type?: 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean'
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly minLength?: number
  readonly pattern?: string
  readonly items?: Schema
  readonly minItems?: number
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly propertyNames?: Schema
  /** A secret: `effective()` and errors do not show it. */
  readonly writeOnly?: boolean
}

/** Milliseconds that a timer can hold. */
export function duration(minimum = 1): Schema {
  return { type: 'number', minimum, maximum: longestTimer }
}

/** A whole number. */
export function whole(minimum: number, maximum?: number): Schema {
  return maximum === undefined ? { type: 'integer', minimum } : { type: 'integer', minimum, maximum }
}

/** A number. */
export function number(minimum: number, maximum?: number): Schema {
  return maximum === undefined ? { type: 'number', minimum } : { type: 'number', minimum, maximum }
}

/** `true` or `false`. */
export const flag: Schema = { type: 'boolean' }

/** A text that is not empty. */
export const text: Schema = { type: 'string', minLength: 1 }

/** A text of which a regular expression holds; `title` says what it is. */
export function textLike(title: string, pattern: string): Schema {
  return { title, type: 'string', pattern }
}

/** One of several words. */
export function choice(...words: readonly string[]): Schema {
  return { type: 'string', enum: words }
}

/** One of several forms. */
export function either(...forms: readonly Schema[]): Schema {
  return { anyOf: forms }
}

/** Something, or `false`, which switches it off. */
export function orFalse(schema: Schema): Schema {
  return either(schema, { const: false })
}

/** A part that stands under `$defs`. */
export function ref(name: string): Schema {
  return { $ref: `#/$defs/${name}` }
}

export function listOf(items: Schema, minItems?: number): Schema {
  return minItems === undefined ? { type: 'array', items } : { type: 'array', items, minItems }
}

/** Options by name, each with its default where there is one. */
export function options(
  properties: Readonly<Record<string, Schema>>,
  defaults: Readonly<Record<string, unknown>> = {},
  required: readonly string[] = [],
): Schema {
  const described = Object.entries(properties).map(([name, schema]) => {
    const byDefault = defaults[name]
    return [name, byDefault === undefined ? schema : { ...schema, default: byDefault }]
  })
  const schema: Schema = {
    type: 'object',
    properties: Object.fromEntries(described),
    additionalProperties: false,
  }
  return required.length === 0 ? schema : { ...schema, required }
}
