import { wholeTimeout, writeTimeout } from '../context/headers.ts'
import type { Exchange, ScopedOptions } from './exchange.ts'
import { replaceHeaders } from './headers.ts'

/** Headers that a layer has put into a request, and where they may go, travel on the options beside the scope. */
export const kCarried: unique symbol = Symbol('roundtripper.carried')

/** Which origins may get the headers of a layer. */
export interface CarriedRule {
  allows(origin: string): boolean
}

/** What one layer has added to a request. The caller's own headers are never among it. */
export interface Carried {
  readonly rule: CarriedRule
  /** Names in lower case. */
  readonly names: readonly string[]
  /** What a layer further out has added. */
  readonly before: Carried | null
  /** The header that says how much time is left; `null` where the layer says nothing of it. */
  readonly timeHeader: string | null
  /** What it says, in whole milliseconds; 0 where it is not there. */
  readonly timeout: number
}

interface CarryingOptions extends ScopedOptions {
  [kCarried]?: Carried | null
}

/** What was added to a request by layers above; `null`: nothing. */
export function carriedBy(opts: ScopedOptions): Carried | null {
  return (opts as CarryingOptions)[kCarried] ?? null
}

/** A copy of the options with other headers, and a note of what was added to them. */
export function withCarried(
  opts: ScopedOptions,
  headers: NonNullable<ScopedOptions['headers']>,
  carried: Carried | null,
): ScopedOptions {
  // Step by step: a literal with spread and symbol is five times slower on options that have one already.
  const copy = { ...opts }
  carryOn(copy, headers, carried)
  return copy
}

/** The same on options that are nobody else's. */
export function carryOn(
  opts: CarryingOptions,
  headers: NonNullable<ScopedOptions['headers']>,
  carried: Carried | null,
): void {
  opts.headers = headers
  opts[kCarried] = carried
}

/**
 * The options of a dispatch to `origin`, in the place of the origin that the call was for: without those headers that
 * `contextHeaders()` has added and that may not go there. The caller's own stay.
 */
export function withoutCarried<Options extends ScopedOptions>(opts: Options, origin: string): Options {
  const all = carriedBy(opts)
  if (all === null) return opts
  const unwanted = new Set<string>()
  let kept: Carried | null = null
  for (let one: Carried | null = all; one !== null; one = one.before) {
    if (one.rule.allows(origin)) kept = { ...one, before: kept }
    else for (const name of one.names) unwanted.add(name)
  }
  if (unwanted.size === 0) return opts
  return withCarried(opts, replaceHeaders(opts.headers, unwanted, {}), kept) as Options
}

/**
 * The options of a request that is about to be sent, with the time that is left to it now: it may have waited, or be a later
 * attempt, or be bounded by a layer that whoever wrote the header could not know of.
 */
export function withTimeLeft(opts: ScopedOptions, exchange: Exchange): ScopedOptions {
  let one = carriedBy(opts)
  if (one === null || exchange.deadlineAt === Number.POSITIVE_INFINITY) return opts
  const timeout = wholeTimeout(exchange.deadlineAt - exchange.now())
  let { headers } = opts
  for (; one !== null; one = one.before) {
    const { timeHeader } = one
    if (timeHeader === null || one.timeout === timeout) continue
    headers = replaceHeaders(headers, new Set([timeHeader]), { [timeHeader]: writeTimeout(timeHeader, timeout) })
  }
  return headers === opts.headers ? opts : ({ ...opts, headers } as ScopedOptions)
}

/** The options of a request that several callers share: nobody's time is that of all. */
export function withoutTimeLeft(opts: ScopedOptions): ScopedOptions {
  const names = new Set<string>()
  let kept: Carried | null = null
  for (let one = carriedBy(opts); one !== null; one = one.before) {
    if (one.timeHeader !== null && one.timeout > 0) names.add(one.timeHeader)
    kept = { ...one, timeout: 0, before: kept }
  }
  return names.size === 0 ? opts : withCarried(opts, replaceHeaders(opts.headers, names, {}), kept)
}
