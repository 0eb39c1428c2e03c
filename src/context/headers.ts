import { checkOptions, show, withoutUndefined } from '../policies/options.ts'
import { readBaggage } from './baggage.ts'
import { isName, isPriority, RequestContext } from './request-context.ts'
import { readTraceparent, readTracestate } from './trace-headers.ts'

/** Parts of a context as they are sent and received; `trace` is `traceparent` and `tracestate`. */
export type ContextField = 'requestId' | 'trace' | 'baggage' | 'deadline' | 'priority' | 'tenant'

/** All parts of a context. */
export const contextFieldNames: readonly ContextField[] = [
  'requestId',
  'trace',
  'baggage',
  'deadline',
  'priority',
  'tenant',
]

/** The headers that no standard names. Those of W3C Trace Context and W3C Baggage are called what they are called. */
export interface ContextHeaderNames {
  /** The id of the request. @default 'x-request-id' */
  readonly requestId: string
  /**
   * Whole milliseconds that are left (Envoy has `x-envoy-expected-rq-timeout-ms` for it); a header called `grpc-timeout` is
   * written and read in gRPC's form, a number and its unit.
   * @default 'x-request-timeout-ms'
   */
  readonly deadline: string
  /** `critical`, `normal` or `sheddable`. @default 'x-request-priority' */
  readonly priority: string
  /** Whom the request is for. @default 'x-tenant-id' */
  readonly tenant: string
}

/** Headers of a context, unless told otherwise. */
export const contextHeaderNames: ContextHeaderNames = Object.freeze({
  requestId: 'x-request-id',
  deadline: 'x-request-timeout-ms',
  priority: 'x-request-priority',
  tenant: 'x-tenant-id',
})

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const ofStandards = ['traceparent', 'tracestate', 'baggage']

/** Names in lower case, the defaults for those that are not given. */
export function checkHeaderNames(option: string, given: Partial<ContextHeaderNames> | undefined): ContextHeaderNames {
  if (given === undefined) return contextHeaderNames
  checkOptions(option, given, Object.keys(contextHeaderNames))
  const names: Record<string, unknown> = { ...contextHeaderNames, ...withoutUndefined(given) }
  const taken = new Set(ofStandards)
  for (const [field, header] of Object.entries(names)) {
    if (typeof header !== 'string' || !token.test(header)) {
      throw new TypeError(`${option}: ${field} must be the name of a header, got ${show(header)}`)
    }
    const lower = header.toLowerCase()
    if (taken.has(lower)) throw new TypeError(`${option}: ${field} must be a header of its own, got ${show(header)}`)
    taken.add(lower)
    names[field] = lower
  }
  return names as unknown as ContextHeaderNames
}

/** A list of fields; `undefined` gives `byDefault`. */
export function checkFields(option: string, given: unknown, byDefault: readonly ContextField[]): Set<ContextField> {
  if (given === undefined) return new Set(byDefault)
  if (!Array.isArray(given)) throw new TypeError(`${option} must be an array of fields, got ${show(given)}`)
  for (const field of given) {
    if (!contextFieldNames.includes(field)) {
      throw new TypeError(`${option}: unknown field ${show(field)}; known are ${contextFieldNames.join(', ')}`)
    }
  }
  return new Set(given as ContextField[])
}

const grpcTimeout = 'grpc-timeout'
const wholeMilliseconds = /^\d{1,12}$/
const mostMilliseconds = 999_999_999_999
// gRPC over HTTP/2, "Timeout".
const grpcForm = /^(\d{1,8})([HMSmun])$/
const millisecondsOf: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }
const mostOfGrpc = 99_999_999

/** The milliseconds that a header gives, or `undefined` for what is no time. */
export function readTimeout(name: string, value: string): number | undefined {
  if (name !== grpcTimeout) return wholeMilliseconds.test(value) ? Number(value) : undefined
  const found = grpcForm.exec(value)
  return found === null ? undefined : Number(found[1]) * (millisecondsOf[found[2] as string] as number)
}

/** A time that is left, rounded down, but never to nothing: what is sent still has a moment. */
export function wholeTimeout(milliseconds: number): number {
  return Math.max(1, Math.floor(milliseconds))
}

/** Whole milliseconds, as a header says them. */
export function writeTimeout(name: string, whole: number): string {
  if (name !== grpcTimeout) return String(Math.min(whole, mostMilliseconds))
  if (whole <= mostOfGrpc) return `${whole}m`
  return `${Math.min(mostOfGrpc, Math.floor(whole / 1000))}S`
}

/** Headers as a server has received them: names in lower case. */
export type ReceivedHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** What comes several times is one value only where it is a list. */
function single(headers: ReceivedHeaders, name: string): string | undefined {
  const value = headers[name]
  if (typeof value === 'string') return value
  return Array.isArray(value) && value.length === 1 ? String(value[0]) : undefined
}

function list(headers: ReceivedHeaders, name: string): string | undefined {
  const value = headers[name]
  if (typeof value === 'string') return value
  return Array.isArray(value) ? value.join(',') : undefined
}

/** What is taken from the headers of a request that comes in. */
export interface Trusted {
  readonly fields: ReadonlySet<ContextField>
  readonly names: ContextHeaderNames
}

/** The context that headers give. What is not asked for, and what is not valid, is not there. */
export function readContext(headers: ReceivedHeaders, { fields, names }: Trusted): RequestContext {
  const read = <T>(field: ContextField, value: string | undefined, from: (value: string) => T | undefined) =>
    value !== undefined && fields.has(field) ? from(value) : undefined
  const timeout = read('deadline', single(headers, names.deadline), (value) => readTimeout(names.deadline, value))
  return new RequestContext(
    {
      requestId: read('requestId', single(headers, names.requestId), (value) => (isName(value) ? value : undefined)),
      traceparent: read('trace', single(headers, 'traceparent'), readTraceparent),
      tracestate: read('trace', list(headers, 'tracestate'), readTracestate),
      baggage: read('baggage', list(headers, 'baggage'), readBaggage),
      priority: read('priority', single(headers, names.priority), (value) => (isPriority(value) ? value : undefined)),
      tenant: read('tenant', single(headers, names.tenant), (value) => (isName(value) ? value : undefined)),
    },
    timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeout,
  )
}
