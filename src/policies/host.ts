import { checkNumber, checkOptions, show } from './options.ts'
import type { OutcomeKind } from './outcome.ts'

/** A host of a group, as its users give it. */
export interface HostOptions {
  /** Scheme, host and port: `https://10.0.0.7:8443`. */
  readonly origin: string | URL
  /**
   * Its share of the calls, in proportion to the weights of the others; 0: none.
   * @default 1
   */
  readonly weight?: number
  /**
   * The name that its certificate is checked for, where that is not the one in `origin` (an address).
   * @default undefined
   */
  readonly servername?: string | undefined
  /**
   * The `host` header (`:authority`) of calls that bring none of their own.
   * @default the host and port of `origin`
   */
  readonly authority?: string | undefined
}

/** A host as it was given, checked. */
export interface HostSpec {
  readonly origin: string
  readonly weight: number
  readonly servername: string | undefined
  readonly authority: string | undefined
}

const optionNames = ['origin', 'weight', 'servername', 'authority']

// What is none would fail every call to the host, or be read as the name of another one.
function checkAuthority(name: string, value: unknown, mayHavePort: boolean): string | undefined {
  if (value === undefined) return undefined
  const url = typeof value === 'string' && /^[\w.:[\]-]+$/.test(value) ? URL.parse(`http://${value}`) : null
  if (url !== null && (mayHavePort || !(value as string).includes(':'))) return value as string
  throw new TypeError(`${name} must be a host name${mayHavePort ? ' and maybe a port' : ''}, got ${show(value)}`)
}

/**
 * Checks an origin.
 *
 * @throws TypeError for what is none, or more than one.
 */
export function checkOrigin(name: string, origin: unknown): URL {
  const url = typeof origin === 'string' || origin instanceof URL ? URL.parse(origin) : null
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:'
  const hasMore = url?.pathname !== '/' || `${url.search}${url.hash}${url.username}${url.password}` !== ''
  if (url === null || !isHttp || hasMore) {
    throw new TypeError(`${name}: origin must be an http(s) origin such as https://10.0.0.7:8443, got ${show(origin)}`)
  }
  return url
}

function checkHost(name: string, given: HostOptions | string | URL): HostSpec {
  const options: HostOptions = typeof given === 'string' || given instanceof URL ? { origin: given } : given
  checkOptions(name, options, optionNames)
  const { origin, weight = 1 } = options
  return {
    origin: checkOrigin(name, origin).origin,
    weight: checkNumber(`${name}: weight`, weight, { min: 0, max: 1e6 }),
    servername: checkAuthority(`${name}: servername`, options.servername, false),
    authority: checkAuthority(`${name}: authority`, options.authority, true),
  }
}

/**
 * Checks a list of hosts; an origin that stands twice is one host with both weights.
 *
 * @throws TypeError, RangeError for what is no list of hosts, for one host under two names, and where nobody has a weight.
 */
export function checkHosts(name: string, given: unknown): HostSpec[] {
  if (!Array.isArray(given)) throw new TypeError(`${name} must be a list of hosts, got ${show(given)}`)
  const specs = new Map<string, HostSpec>()
  for (const [at, one] of given.entries()) {
    const spec = checkHost(`${name}[${at}]`, one)
    const known = specs.get(spec.origin)
    if (known !== undefined && (known.servername !== spec.servername || known.authority !== spec.authority)) {
      throw new TypeError(
        `${name}[${at}]: ${show(spec.origin)} must have one servername and one authority, got others before`,
      )
    }
    specs.set(spec.origin, known === undefined ? spec : { ...spec, weight: known.weight + spec.weight })
  }
  const found = [...specs.values()]
  if (found.length > 0 && found.every(({ weight }) => weight === 0)) {
    throw new RangeError(`${name}: at least one host must have a weight above 0`)
  }
  return found
}

/**
 * How a host stands: `in` takes calls; `ejected` answered too badly and takes none for a while; `probing` has sat that out
 * and takes one call, which decides; `unhealthy` fails its health checks.
 */
export type HostStanding = 'in' | 'ejected' | 'probing' | 'unhealthy'

/**
 * Why a host stands as it does: a rule that ejected it (`consecutiveFailures`, `brokenBodies`, `successShare`,
 * `failureShare`), a `probe` that failed, or whose time (`lease`) ran out; an ejection whose `time` is over; a probe that
 * went well (`recovered`); its `health` checks; that no more may be ejected, since the group or what is allowed of it has
 * become smaller (`bound`).
 */
export type HostReason =
  | 'consecutiveFailures'
  | 'brokenBodies'
  | 'successShare'
  | 'failureShare'
  | 'probe'
  | 'lease'
  | 'time'
  | 'recovered'
  | 'health'
  | 'bound'

/** One step of a host. */
export interface HostChange {
  /** Its origin. */
  readonly host: string
  readonly from: HostStanding
  readonly to: HostStanding
  readonly reason: HostReason
  /** Milliseconds that an ejection takes; 0 for other steps. */
  readonly ejectedFor: number
}

/** What a health check has found. */
export interface HealthCheckResult {
  readonly passed: boolean
  /** Of the answer; `undefined` where there was none. */
  readonly status: number | undefined
  /** The code or name of the error, where there was one. */
  readonly error: string | undefined
  /** Milliseconds of `performance.now()` when it ended. */
  readonly at: number
}

/** One host of a group, and all that is known of it. */
export class Host {
  readonly origin: string
  spec: HostSpec
  standing: HostStanding = 'in'
  /** What its health checks say; `true` where there are none. */
  isHealthy = true
  /** From which part of its weight slow start lets it have: up to 1. */
  warmth = 1
  /** When it began to take calls, of a host that slow start holds back; -Infinity for the first hosts of a group. */
  warmSince = Number.NEGATIVE_INFINITY
  /** Calls that have not come to their end. */
  inFlight = 0
  /** Milliseconds to a head, as `peakEwma` averages them, at `latencyAt`; 0: nothing is known. */
  latency = 0
  latencyAt = 0
  /** Calls that no head has come for, and since when none has come for any of them. */
  unanswered = 0
  heardAt = 0
  calls = 0
  failures = 0
  /** Failures since the last success. */
  consecutiveFailures = 0
  /** Bodies that broke since the last whole one. */
  brokenBodies = 0
  /** Answers, and failures among them, of the interval under way. */
  intervalCalls = 0
  intervalFailures = 0
  /** How often it was ejected, less what it has made good since. */
  ejections = 0
  ejectedAt = Number.NEGATIVE_INFINITY
  ejectedUntil = 0
  /** Since when it is in again, and has made good nothing. */
  admittedAt = 0
  /** When the next probe may be sent, of a host that is probed; and until when the one under way may take, 0: none is. */
  probeFrom = 0
  probeUntil = 0
  /** Grows with every step: what began before one says nothing after it. */
  epoch = 1
  reason: HostReason | null = null
  /** It belongs to its group. */
  isListed = true
  lastCheck: HealthCheckResult | null = null
  /** When a health check last passed. */
  passedAt = Number.NEGATIVE_INFINITY

  constructor(spec: HostSpec) {
    this.origin = spec.origin
    this.spec = spec
  }

  /** The share of the calls that it is to have now. */
  get weight(): number {
    return this.spec.weight * this.warmth
  }
}

/** What an outcome says of the host that gave it: `true` good, `false` bad, `null` nothing. */
export function speaksFor(kind: OutcomeKind): boolean | null {
  if (kind === 'success' || kind === 'clientError') return true
  if (kind === 'serverError' || kind === 'networkError' || kind === 'timeout') return false
  return null
}
