import { checkNumber, checkOptions, show } from './options.ts'
import { type HostRule, hostRuleOf } from './route-host.ts'
import { checkConflicts, inOrder } from './route-order.ts'
import { type PathShape, pathShapeOf } from './route-shape.ts'

/** Which calls a route takes: those for which all of it holds. */
export interface RouteRule {
  /**
   * A pathname as URLPattern has it: `/users/:id`, `/static/*`, `/v:version(\\d+)/*`. The query is no part of it.
   * @default every path
   */
  readonly path?: string
  /**
   * Methods, in capitals as they are sent.
   * @default every method
   */
  readonly methods?: readonly string[]
  /**
   * The host that the call asks for, by its Host header or else by its origin: a name, `*.example.com`, or a hostname as
   * URLPattern has it; and a port, without which any is right.
   * @default every host
   */
  readonly host?: string
  /**
   * Headers by name: the whole value, a regular expression for it, `true` for one that is there, `false` for one that is
   * not.
   * @default none
   */
  readonly headers?: Readonly<Record<string, string | boolean | RegExp>>
  /**
   * Media type of the request: `application/json`, `image/*`. Parameters and case are of no account.
   * @default every media type, and none
   */
  readonly contentType?: string
  /**
   * Routes with a higher one are asked first, however literal the others are.
   * @default 0
   */
  readonly priority?: number
  /**
   * What the route is called in errors, records, spans and `state()`.
   * @default its place in the table: `routes[0]`
   */
  readonly name?: string
}

/** What a route asks of a header. */
export interface HeaderRule {
  /** In lower case. */
  readonly name: string
  readonly wanted: string | boolean | RegExp
}

/** A route that has been checked. */
export interface CheckedRule {
  readonly index: number
  readonly label: string
  readonly isNamed: boolean
  readonly path: PathShape
  readonly methods: readonly string[] | null
  readonly host: HostRule | null
  readonly headers: readonly HeaderRule[]
  /** In lower case. */
  readonly contentType: string | null
  readonly priority: number
}

const known = ['path', 'methods', 'host', 'headers', 'contentType', 'priority', 'name', 'to']
const largestPriority = 1_000_000
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const mediaType = /^(?:\*\/\*|[!#$&^_.+\-0-9a-z]+\/(?:\*|[!#$&^_.+\-0-9a-z]+))$/i
const standardMethod = /^(?:connect|delete|get|head|options|patch|post|put|query|trace)$/i

function reasonOf(error: unknown): string {
  return (error as Error).message
}

function pathOf(option: string, given: unknown): PathShape {
  if (typeof given !== 'string') throw new TypeError(`${option} must be a pattern such as "/api/*", got ${show(given)}`)
  try {
    return pathShapeOf(given)
  } catch (error) {
    throw new TypeError(
      `${option} must be a pathname of URLPattern such as "/api/*", got ${show(given)}: ${reasonOf(error)}`,
    )
  }
}

function hostOf(option: string, given: unknown): HostRule {
  const allowed = 'a host such as "api.example.com", "*.example.com" or "*.example.com:8443"'
  if (typeof given !== 'string') throw new TypeError(`${option} must be ${allowed}, got ${show(given)}`)
  try {
    return hostRuleOf(given)
  } catch (error) {
    throw new TypeError(`${option} must be ${allowed}, got ${show(given)}: ${reasonOf(error)}`)
  }
}

function methodsOf(option: string, given: unknown): readonly string[] {
  if (!Array.isArray(given) || given.length === 0) {
    throw new TypeError(
      `${option} must be a list of at least one method, got ${Array.isArray(given) ? '[]' : show(given)}`,
    )
  }
  for (const method of given as readonly unknown[]) {
    if (typeof method !== 'string' || !token.test(method)) {
      throw new TypeError(`${option} must be methods such as "GET", got ${show(method)}`)
    }
    // RFC 9110 §9.1: methods are case-sensitive.
    if (standardMethod.test(method) && method !== method.toUpperCase()) {
      throw new TypeError(`${option} must be methods in capitals, "${method.toUpperCase()}", got ${show(method)}`)
    }
  }
  return [...new Set(given as readonly string[])]
}

function headersOf(option: string, given: unknown): readonly HeaderRule[] {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TypeError(`${option} must be an object of headers, got ${show(given)}`)
  }
  const rules = new Map<string, HeaderRule>()
  for (const [name, wanted] of Object.entries(given as Record<string, unknown>)) {
    if (!token.test(name)) throw new TypeError(`${option} must have names of headers, got ${show(name)}`)
    const lower = name.toLowerCase()
    if (rules.has(lower)) throw new TypeError(`${option} must name a header once, got ${show(name)} again`)
    if (typeof wanted === 'string') rules.set(lower, { name: lower, wanted: wanted.trim() })
    else if (typeof wanted === 'boolean') rules.set(lower, { name: lower, wanted })
    // A copy: g and y would make it remember where it was, and the user's may be changed.
    else if (wanted instanceof RegExp) {
      rules.set(lower, { name: lower, wanted: new RegExp(wanted.source, wanted.flags.replace(/[gy]/g, '')) })
    } else {
      const allowed = 'a value, true (it is there), false (it is not) or a RegExp'
      throw new TypeError(`${option}[${show(name)}] must be ${allowed}, got ${show(wanted)}`)
    }
  }
  return [...rules.values()]
}

function contentTypeOf(option: string, given: unknown): string {
  if (typeof given !== 'string' || !mediaType.test(given)) {
    throw new TypeError(
      `${option} must be a media type without parameters such as "application/json" or "image/*", got ${show(given)}`,
    )
  }
  return given.toLowerCase()
}

function nameOf(option: string, given: unknown): string {
  // That is what a route without a name is called.
  if (typeof given !== 'string' || given === '' || /^routes\[\d+\]$/.test(given)) {
    throw new TypeError(`${option} must be a name, and none such as "routes[0]", got ${show(given)}`)
  }
  return given
}

/** Goes through a table, and keeps what is wrong with it until all has been seen. */
class TableCheck {
  readonly problems: Error[] = []

  /** The option as it was found to be; where it is wrong, or was not given, `byDefault`. */
  take<Given, Made>(given: Given | undefined, check: (given: Given) => Made, byDefault: Made): Made {
    if (given === undefined) return byDefault
    try {
      return check(given)
    } catch (error) {
      this.problems.push(error as Error)
      return byDefault
    }
  }

  end(): void {
    const { problems } = this
    if (problems.length === 0) return
    const ErrorClass = problems.every((problem) => problem instanceof RangeError) ? RangeError : TypeError
    throw new ErrorClass(problems.map(({ message }) => message).join('; '))
  }
}

const everyPath = pathShapeOf('*')

function checkRule(check: TableCheck, option: string, index: number, rule: RouteRule): CheckedRule {
  const { path, methods, host, headers, contentType, priority, name } = rule
  check.take(rule, (given) => checkOptions(option, given, known), undefined)
  const given = check.take<unknown, string | null>(name, (value) => nameOf(`${option}.name`, value), null)
  return {
    index,
    label: given ?? `routes[${index}]`,
    isNamed: given !== null,
    path: check.take<unknown, PathShape>(path, (value) => pathOf(`${option}.path`, value), everyPath),
    methods: check.take<unknown, readonly string[] | null>(
      methods,
      (value) => methodsOf(`${option}.methods`, value),
      null,
    ),
    host: check.take<unknown, HostRule | null>(host, (value) => hostOf(`${option}.host`, value), null),
    headers: check.take<unknown, readonly HeaderRule[]>(headers, (value) => headersOf(`${option}.headers`, value), []),
    contentType: check.take<unknown, string | null>(
      contentType,
      (value) => contentTypeOf(`${option}.contentType`, value),
      null,
    ),
    priority: check.take<unknown, number>(
      priority,
      (value) => checkNumber(`${option}.priority`, value, { min: -largestPriority, max: largestPriority }),
      0,
    ),
  }
}

/** The routes of a table, checked, and what was made of where each goes. */
export interface CheckedTable<Made> {
  readonly rules: readonly CheckedRule[]
  readonly targets: readonly Made[]
}

/**
 * Checks a table of routes; `prepare` is asked for what each goes `to`.
 *
 * @throws TypeError, RangeError that tells all that is wrong with all routes.
 */
export function checkTable<To, Made>(
  layer: string,
  routes: readonly (RouteRule & { readonly to: To })[],
  prepare: (option: string, to: To) => Made,
): CheckedTable<Made> {
  if (!Array.isArray(routes)) throw new TypeError(`${layer}: routes must be a list of routes, got ${show(routes)}`)
  const check = new TableCheck()
  const rules: CheckedRule[] = []
  const sound: CheckedRule[] = []
  const targets: Made[] = []
  const names = new Map<string, number>()
  for (const [index, given] of (routes as readonly unknown[]).entries()) {
    const option = `${layer}: routes[${index}]`
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      check.problems.push(new TypeError(`${option} must be a route { path, ..., to }, got ${show(given)}`))
      continue
    }
    const route = given as RouteRule & { readonly to: To }
    const { length: before } = check.problems
    const rule = checkRule(check, option, index, route)
    rules.push(rule)
    if (check.problems.length === before) sound.push(rule)
    const first = rule.isNamed ? names.get(rule.label) : undefined
    if (first !== undefined) {
      check.problems.push(
        new TypeError(`${option}.name must be its own, got ${show(rule.label)}, which routes[${first}] has`),
      )
    }
    if (rule.isNamed && first === undefined) names.set(rule.label, index)
    try {
      targets.push(prepare(`${option}.to`, route.to))
    } catch (error) {
      check.problems.push(error as Error)
    }
  }
  // So that all that is wrong is told at once.
  if (check.problems.length > 0) check.take(inOrder(sound), (ordered) => checkConflicts(layer, ordered), undefined)
  check.end()
  return { rules, targets }
}
