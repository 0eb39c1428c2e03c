// Options are checked once, when a layer is made, so that a wrong one is told before anything is sent.

/** A value as an error names it. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}

/** Bounds a number must keep. `integer` also refuses fractions; `Infinity` is allowed only where `max` is `Infinity` and `finite` is off. */
export interface NumberRange {
  readonly min: number
  readonly max?: number
  readonly integer?: boolean
  readonly finite?: boolean
}

function rangeText({ min, max = Number.POSITIVE_INFINITY, integer = false }: NumberRange): string {
  const kind = integer ? 'a whole number' : 'a number'
  return max === Number.POSITIVE_INFINITY ? `${kind} of at least ${min}` : `${kind} from ${min} to ${max}`
}

/** Returns `value`, or throws a `TypeError` (not a number) or `RangeError` (out of range) naming option, value and range. */
export function checkNumber(option: string, value: unknown, range: NumberRange): number {
  if (typeof value !== 'number' || Number.isNaN(value)) {
    throw new TypeError(`${option} must be ${rangeText(range)}, got ${show(value)}`)
  }
  const { min, max = Number.POSITIVE_INFINITY, integer = false, finite = true } = range
  if (
    value < min ||
    value > max ||
    (integer && !Number.isInteger(value) && value !== max) ||
    (finite && !Number.isFinite(value))
  ) {
    throw new RangeError(`${option} must be ${rangeText(range)}, got ${show(value)}`)
  }
  return value
}

/** Milliseconds a timer can hold: beyond them setTimeout fires at once. */
export const longestTimer = 2 ** 31 - 1

/** A duration in milliseconds that a timer can hold. */
export function checkDuration(option: string, value: unknown, min = 1): number {
  return checkNumber(option, value, { min, max: longestTimer })
}

/** Returns `value`, or throws a `TypeError` naming the option and what was given. */
export function checkFunction<T>(option: string, value: T): T {
  if (typeof value !== 'function') throw new TypeError(`${option} must be a function, got ${show(value)}`)
  return value
}

/** Returns `value`, or throws a `TypeError` naming the option and what was given. */
export function checkBoolean(option: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${option} must be true or false, got ${show(value)}`)
  return value
}

/** Refuses anything but an object, and names of options that do not exist. */
export function checkOptions(factory: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    // As compose(agent, retry) would have it: undici calls the factory with its dispatch function.
    const shown = typeof options === 'function' ? `a function; in compose() write ${factory}()` : show(options)
    throw new TypeError(`${factory}: options must be an object, got ${shown}`)
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      throw new TypeError(`${factory}: unknown option ${show(name)}; known are ${known.join(', ')}`)
    }
  }
}

/** The options that say something: one that is `undefined` leaves its default. */
export function withoutUndefined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>
}
