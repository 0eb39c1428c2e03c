// Tables of routes, and a matcher that is slow and plain: each route is tried in turn, by URLPattern.
import { URLPattern } from 'urlpattern-polyfill/urlpattern'
import type { RouteRule } from '../../src/policies/route-rule.ts'
import { checkTable } from '../../src/policies/route-rule.ts'
import { RouteTable } from '../../src/policies/route-table.ts'

export type Headers = Readonly<Record<string, string>>

/** A table as the layer makes it; its headers are in lower case. */
export function tableOf(routes: readonly RouteRule[]): RouteTable<Headers> {
  const { rules } = checkTable(
    'route',
    routes.map((rule) => ({ ...rule, to: null })),
    () => null,
  )
  return new RouteTable<Headers>('route', rules, (headers, name) => headers[name])
}

export interface Call {
  readonly method: string
  readonly origin: string
  readonly path: string
  readonly headers: Headers
}

/** What `find` says, by the name of the route. */
export function labelOf(table: RouteTable<Headers>, { method, origin, path, headers }: Call): string | null {
  return table.find(method, origin, path, headers)?.label ?? null
}

/** A route as it was drawn, so that the plain matcher need not understand its pattern. */
export interface DrawnRoute {
  readonly rule: RouteRule
  /** Segment by segment, the more literal the higher. */
  readonly pathRanks: readonly number[]
  readonly hostRank: number
}

const patterns = new Map<string, URLPattern>()

function patternOf(component: 'pathname' | 'hostname', source: string): URLPattern {
  const key = `${component} ${source}`
  const pattern = patterns.get(key) ?? new URLPattern({ [component]: source })
  patterns.set(key, pattern)
  return pattern
}

function decodeUnreserved(text: string): string {
  let decoded = ''
  for (let at = 0; at < text.length; at++) {
    const triplet = text.slice(at, at + 3)
    if (!/^%[0-9a-f]{2}$/i.test(triplet)) {
      decoded += text[at]
      continue
    }
    const character = decodeURIComponent(Number.parseInt(triplet.slice(1), 16) < 128 ? triplet : '%25')
    decoded += /^[a-z0-9._~-]$/i.test(character) ? character : triplet.toUpperCase()
    at += 2
  }
  return decoded
}

/** RFC 3986 §6.2.2, after what a URL parser does. */
export function pathOf(given: string): string {
  return decodeUnreserved(new URL(`http://h${given}`).pathname)
}

function hostOf({ origin, headers }: Call): { readonly name: string; readonly port: string } {
  const { protocol } = new URL(origin)
  const url = new URL(`${protocol}//${headers.host ?? origin.slice(protocol.length + 2)}`)
  return { name: url.hostname, port: url.port || (protocol === 'https:' ? '443' : '80') }
}

function hostFits(host: string | undefined, call: Call): boolean {
  if (host === undefined) return true
  const { name, port } = hostOf(call)
  const wantedPort = /:\d+$/.exec(host)?.[0] ?? ''
  const pattern = patternOf('hostname', host.slice(0, host.length - wantedPort.length))
  return ['', `:${port}`].includes(wantedPort) && pattern.test({ hostname: name })
}

function headerFits(wanted: string | boolean | RegExp, value: string | undefined): boolean {
  if (typeof wanted === 'boolean') return (value !== undefined) === wanted
  if (value === undefined) return false
  return typeof wanted === 'string' ? value === wanted : wanted.test(value)
}

function mediaTypeFits(wanted: string | undefined, given: string | undefined): boolean {
  if (wanted === undefined) return true
  const [type] = (given ?? '').toLowerCase().split(';')
  const pattern = `^${wanted.toLowerCase().replace(/[.+]/g, '\\$&').replaceAll('*', '[^/]+')}$`
  return new RegExp(pattern).test((type as string).trim())
}

/** Whether a route is for a call. */
export function fitsPlainly({ rule }: DrawnRoute, call: Call): boolean {
  const { path, methods, host, headers = {}, contentType } = rule
  if (path !== undefined && path !== '*') {
    // Both longer by a segment: what follows two slashes at the beginning the polyfill takes for a host.
    const pathname = `/p${pathOf(call.path)}`
    if (!patternOf('pathname', `/p${decodeUnreserved(path)}`).test({ pathname })) return false
  }
  return (
    (methods === undefined || methods.includes(call.method)) &&
    hostFits(host, call) &&
    Object.entries(headers).every(([name, wanted]) => headerFits(wanted, call.headers[name])) &&
    mediaTypeFits(contentType, call.headers['content-type'])
  )
}

function conditions({ methods, headers, contentType }: RouteRule): number {
  return Object.keys(headers ?? {}).length + [methods, contentType].filter((given) => given !== undefined).length
}

function exact({ headers, contentType }: RouteRule): number {
  const values = Object.values(headers ?? {}).filter((wanted) => typeof wanted === 'string').length
  return values + (contentType !== undefined && !contentType.includes('*') ? 1 : 0)
}

/** The order of the page on `route()`, as it says it. */
export function orderPlainly(one: DrawnRoute, other: DrawnRoute): number {
  const priority = (other.rule.priority ?? 0) - (one.rule.priority ?? 0)
  if (priority !== 0) return priority
  for (let at = 0; at < Math.max(one.pathRanks.length, other.pathRanks.length); at++) {
    const difference = (other.pathRanks[at] ?? 0) - (one.pathRanks[at] ?? 0)
    if (difference !== 0) return difference
  }
  return (
    other.hostRank - one.hostRank ||
    conditions(other.rule) - conditions(one.rule) ||
    exact(other.rule) - exact(one.rule)
  )
}

/** The route that takes a call, of all that were drawn. */
export function findPlainly(drawn: readonly DrawnRoute[], call: Call): string | null {
  const fitting = drawn.filter((route) => fitsPlainly(route, call))
  return fitting.sort(orderPlainly)[0]?.rule.name ?? null
}
