import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { ConfigError, fromConfig } from 'roundtripper/config'
import { expect } from 'vitest'
import { type Path, textOf } from '../../src/config/path.ts'
import { schema } from '../../src/config/schema.ts'
import type { Schema } from '../../src/config/schema-parts.ts'
import { formsOf, schemasAt } from '../../src/config/schema-walk.ts'
import { everything } from './fixtures.ts'

/** Whether a schema takes a value; written here anew, so that it is no word of the validator itself. */
export function accepts(given: Schema, value: unknown): boolean {
  return formsOf(given).some((form) => acceptsForm(form, value))
}

function acceptsForm(form: Schema, value: unknown): boolean {
  if ('const' in form) return value === form.const
  switch (form.type) {
    case 'boolean':
      return typeof value === 'boolean'
    case 'integer':
    case 'number':
      return typeof value === 'number' && acceptsNumber(form, value)
    case 'string':
      return typeof value === 'string' && acceptsText(form, value)
    case 'array': {
      const { items, minItems = 0 } = form
      return Array.isArray(value) && value.length >= minItems && value.every((item) => accepts(items as Schema, item))
    }
    default:
      return typeof value === 'object' && value !== null && !Array.isArray(value) && acceptsRecord(form, value)
  }
}

function acceptsNumber(form: Schema, value: number): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = form
  if (!Number.isFinite(value) || (form.type === 'integer' && !Number.isInteger(value))) return false
  if (minimum !== undefined && value < minimum) return false
  if (maximum !== undefined && value > maximum) return false
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) return false
  return exclusiveMaximum === undefined || value < exclusiveMaximum
}

function acceptsText({ enum: words, pattern, minLength = 0 }: Schema, value: string): boolean {
  if (words !== undefined && !words.includes(value)) return false
  return value.length >= minLength && (pattern === undefined || new RegExp(pattern, 'u').test(value))
}

function acceptsRecord(form: Schema, value: object): boolean {
  const { properties = {}, additionalProperties, propertyNames, required = [] } = form
  if (required.some((name) => !Object.hasOwn(value, name))) return false
  return Object.entries(value).every(([name, own]) => {
    if (['__proto__', 'constructor', 'prototype'].includes(name)) return false
    if (propertyNames !== undefined && !accepts(propertyNames, name)) return false
    if (Object.hasOwn(properties, name)) return accepts(properties[name] as Schema, own)
    return typeof additionalProperties === 'object' && accepts(additionalProperties, own)
  })
}

/** The paths of all values of a configuration, its own included. */
export function pathsIn(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  const below = Array.isArray(value) ? [...value.entries()] : Object.entries(value)
  return [path, ...below.flatMap(([step, own]) => pathsIn(own, [...path, step]))]
}

function replaced(whole: unknown, path: Path, value: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined) return value
  const copy = (Array.isArray(whole) ? [...whole] : { ...(whole as object) }) as Record<string | number, unknown>
  const inner = replaced((whole as Record<string | number, unknown>)[step], rest, value)
  Object.defineProperty(copy, step, { value: inner, enumerable: true, writable: true, configurable: true })
  return copy
}

const paths = pathsIn(everything)
const odd = fc.constantFrom<unknown>(
  ...[null, true, false, 0, -0, -1, 0.5, 1, 1e300, -1e300, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 53],
  ...[
    '',
    ' ',
    '0',
    'true',
    'false',
    'null',
    '__proto__',
    'http://',
    '\u0000',
    '\ud800',
    [],
    [[]],
    {},
    [null],
    { a: 1 },
  ],
)
const names = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', ''),
  fc.string({ unit: 'binary' }),
)
const anything = fc.oneof(odd, fc.jsonValue(), fc.dictionary(names, odd))

/** One value of a good configuration put in the place of another one; `wrong` as the schema has it. */
const wrongValue = fc
  .tuple(fc.constantFrom(...paths), anything)
  .filter(([, value]) => !JSON.stringify(value ?? null).includes('${'))
  .filter(([path, value]) => !schemasAt(path).some((one) => accepts(one, value)))

const places = paths.filter((path) =>
  schemasAt(path)
    .flatMap(formsOf)
    .some(({ properties }) => properties !== undefined),
)
const objects = places.filter((path) => {
  const value = path.reduce<unknown>((at, step) => (at as Record<string | number, unknown>)[step], everything)
  return typeof value === 'object' && !Array.isArray(value)
})
const unknownName = fc
  .tuple(fc.constantFrom(...objects), names, odd)
  .filter(([path, name]) => schemasAt([...path, name]).length === 0)

function problemPaths(config: unknown): string[] {
  try {
    void fromConfig(config as never, { env: {} }).destroy()
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    expect(error.errors.length).toBeGreaterThan(0)
    for (const { message } of error.errors) expect(message).toMatch(/^\S/)
    return error.errors.map(({ path }) => path)
  }
}

/** Something at a path, or below it, is told. */
function pointsAt(path: Path, found: readonly string[]): boolean {
  const text = textOf(path)
  return found.some((one) => one.startsWith(text) && /^$|^[.[]/.test(text === '' ? '' : one.slice(text.length)))
}

function valueFor(given: Schema): fc.Arbitrary<unknown> {
  return fc.oneof(...formsOf(given).map(valueForForm))
}

function valueForForm(form: Schema): fc.Arbitrary<unknown> {
  if ('const' in form) return fc.constant(form.const)
  if (form.enum !== undefined) return fc.constantFrom(...form.enum)
  if (form.type === 'boolean') return fc.boolean()
  if (form.type === 'integer' || form.type === 'number') {
    const { minimum = 0.001, maximum = 1e6 } = form
    const max = form.exclusiveMaximum === undefined ? maximum : 0.999
    const { type } = form
    return fc.oneof(
      fc.constantFrom(minimum, max),
      type === 'integer'
        ? fc.maxSafeInteger().map((n) => Math.min(max, Math.max(minimum, Math.abs(n % 1000))))
        : fc.double({ min: minimum, max, noNaN: true }),
    )
  }
  if (form.type === 'string') {
    const samples = [
      'https://10.0.0.7:8443',
      'http://a/',
      'GET',
      '/healthz',
      'x-name',
      'users',
      'http://proxy:3128',
      'text',
      '',
    ]
    return fc.constantFrom(...samples.filter((sample) => acceptsText(form, sample)))
  }
  if (form.type === 'array')
    return fc.array(valueFor(form.items as Schema), { minLength: form.minItems ?? 0, maxLength: 3 })
  const { properties = {}, additionalProperties, propertyNames, required = [] } = form
  if (typeof additionalProperties === 'object') {
    return fc.dictionary(valueFor(propertyNames as Schema) as fc.Arbitrary<string>, valueFor(additionalProperties), {
      maxKeys: 3,
    })
  }
  const values = Object.entries(properties).map(([name, one]) => [name, valueFor(one)] as const)
  return fc.record(Object.fromEntries(values), { requiredKeys: [...required] })
}

const before = Reflect.ownKeys(Object.prototype).map(String)

/** Random configurations: whatever is given, each wrong value is told where it stands, and nothing else happens. */
export function fuzz(seed: number, runs: number): void {
  const parameters = { seed, numRuns: runs }
  fc.assert(
    fc.property(wrongValue, ([path, value]) => {
      expect(pointsAt(path, problemPaths(replaced(everything, path, value)))).toBe(true)
    }),
    parameters,
  )
  fc.assert(
    fc.property(unknownName, ([path, name, value]) => {
      const found = problemPaths(replaced(everything, [...path, name], value))
      expect(found).toContain(textOf([...path, name]))
    }),
    parameters,
  )
  fc.assert(
    fc.property(fc.oneof(anything, fc.anything(), fc.object()), (value) => void problemPaths(value)),
    parameters,
  )
  fc.assert(
    fc.property(fc.tuple(fc.constantFrom(...paths), fc.anything()), ([path, value]) => {
      problemPaths(replaced(everything, path, value))
    }),
    parameters,
  )
  // What the schema takes is made, or refused for how it fits together: in words, at a place that there is.
  fc.assert(
    fc.property(valueFor(schema), (config) => {
      const given = JSON.parse(JSON.stringify(config))
      const known = pathsIn(given).map(textOf)
      for (const path of problemPaths(given)) {
        expect(known.some((one) => path === one || path.startsWith(one))).toBe(true)
      }
      expect(isDeepStrictEqual(given, JSON.parse(JSON.stringify(config)))).toBe(true)
    }),
    parameters,
  )
  expect(Reflect.ownKeys(Object.prototype).map(String)).toEqual(before)
}
