import { checkDuration, checkNumber, checkOptions, show, withoutUndefined } from './options.ts'

/** Judges the answer to a health check, by its status and headers; `true`: the host is well. */
export type ExpectHealth = (status: number, headers: Readonly<Record<string, string | string[] | undefined>>) => boolean

/** How a group asks its hosts how they are. */
export interface HealthOptions {
  /** What is asked for, with GET: `/healthz`. */
  readonly path: string
  /**
   * Milliseconds from the end of a check to the next one, give or take a tenth; the first comes within as long.
   * @default 10_000
   */
  readonly interval?: number
  /**
   * Milliseconds for a check, the body of its answer included.
   * @default 2_000
   */
  readonly timeout?: number
  /**
   * Checks in a row that must pass before a host that was not well takes calls again.
   * @default 2
   */
  readonly healthyThreshold?: number
  /**
   * Checks in a row that must fail before a host takes no more calls.
   * @default 3
   */
  readonly unhealthyThreshold?: number
  /**
   * Statuses that pass, or a function that judges.
   * @default 200 to 299
   */
  readonly expect?: readonly number[] | ExpectHealth
  /**
   * Checks under way at once.
   * @default 8
   */
  readonly concurrency?: number
  /**
   * Headers of the checks.
   * @default {}
   */
  readonly headers?: Readonly<Record<string, string>>
}

/** Options of health checks, checked. */
export interface HealthSettings extends Required<Omit<HealthOptions, 'expect'>> {
  readonly expect: ExpectHealth
}

/** Defaults of {@link HealthOptions}. */
export const healthDefaults = Object.freeze({
  interval: 10_000,
  timeout: 2_000,
  healthyThreshold: 2,
  unhealthyThreshold: 3,
  concurrency: 8,
  headers: Object.freeze({}) as Readonly<Record<string, string>>,
})

const optionNames = ['path', 'expect', ...Object.keys(healthDefaults)]
const count = { min: 1, integer: true }

// RFC 9110 §5.6.2 (token) and §5.5 (field values).
const isName = /^[!#$%&'*+\-.^_`|~\w]+$/
const isValue = /^[\t\x20-\x7e\x80-\xff]*$/
const isPath = /^\/[\x21-\x7e]*$/

const isGood: ExpectHealth = (status) => status >= 200 && status < 300

function checkExpect(name: string, expect: HealthOptions['expect']): ExpectHealth {
  if (expect === undefined) return isGood
  if (typeof expect === 'function') return expect
  if (!Array.isArray(expect))
    throw new TypeError(`${name} must be a list of statuses or a function, got ${show(expect)}`)
  const statuses = new Set(expect.map((one: unknown) => checkNumber(name, one, { min: 200, max: 599, integer: true })))
  if (statuses.size === 0) throw new RangeError(`${name} must name at least one status`)
  return (status) => statuses.has(status)
}

function checkHeaders(name: string, headers: unknown): Readonly<Record<string, string>> {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    throw new TypeError(`${name} must be an object of names and values, got ${show(headers)}`)
  }
  for (const [field, value] of Object.entries(headers)) {
    if (typeof value !== 'string') throw new TypeError(`${name}: ${field} must be a string, got ${show(value)}`)
    // Or else every check would fail, and every host would be ill.
    if (!isName.test(field) || !isValue.test(value)) {
      throw new TypeError(`${name}: ${show(field)} with the value ${show(value)} is no header`)
    }
  }
  return { ...headers }
}

/** Checks options of health checks. */
export function checkHealth(name: string, options: HealthOptions): HealthSettings {
  checkOptions(name, options, optionNames)
  const given = { ...healthDefaults, ...withoutUndefined(options) }
  const { path } = options
  if (typeof path !== 'string' || !isPath.test(path)) {
    throw new TypeError(`${name}: path must be a path such as /healthz, got ${show(path)}`)
  }
  return {
    path,
    interval: checkDuration(`${name}: interval`, given.interval),
    timeout: checkDuration(`${name}: timeout`, given.timeout),
    healthyThreshold: checkNumber(`${name}: healthyThreshold`, given.healthyThreshold, count),
    unhealthyThreshold: checkNumber(`${name}: unhealthyThreshold`, given.unhealthyThreshold, count),
    expect: checkExpect(`${name}: expect`, options.expect),
    concurrency: checkNumber(`${name}: concurrency`, given.concurrency, count),
    headers: checkHeaders(`${name}: headers`, given.headers),
  }
}
