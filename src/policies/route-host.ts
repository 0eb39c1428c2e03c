import { UrlPattern } from './route-pattern.ts'

/** The hosts a route is for. */
export interface HostRule {
  /** One way of writing it, by which rules for the same hosts are found. */
  readonly key: string
  /** A name in lower case, where it is but one. */
  readonly exact: string | null
  /** `null`: any port. */
  readonly port: string | null
  readonly pattern: UrlPattern | null
  readonly regexp: RegExp | null
  /** How literal it is; 0 is kept for a route that is for any host. */
  readonly literalness: number
}

const withPort = /^(?<name>.*[^:\\]):(?<port>\d{1,5})$/

// The dot of the root says nothing: `example.com.` is the same host.
function withoutRoot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name
}

function exactName(given: string): string | null {
  // An address of IPv6 has colons, which would be names to a pattern.
  if (given.startsWith('[')) return URL.parse(`http://${given}`)?.hostname ?? null
  return null
}

/**
 * Takes apart the hosts of a route: a name, `*.example.com`, or what URLPattern knows as a hostname, and a port.
 *
 * @throws TypeError for what is none of these.
 */
export function hostRuleOf(source: string): HostRule {
  const { name = source, port = null } = withPort.exec(source)?.groups ?? {}
  if (name === '') throw new TypeError('must not be empty')
  if (Number(port) > 65_535) throw new TypeError('a port is at most 65535')
  const address = exactName(name)
  const pattern = address === null ? new UrlPattern('hostname', withoutRoot(name)) : null
  const exact = address ?? pattern?.text ?? null
  const text = exact ?? (pattern as UrlPattern).pieces.map((piece) => JSON.stringify(piece)).join('')
  const length = (exact ?? '').length || (pattern?.literalLength ?? 0)
  const [first, second] = pattern?.pieces ?? []
  const isSuffix = pattern?.pieces.length === 2 && first?.kind === 'anything' && second?.value.startsWith('.') === true
  const kind = exact !== null ? 3 : isSuffix ? 2 : 1
  return {
    key: `${text} ${port ?? ''}`,
    exact,
    port: port === null ? null : `${Number(port)}`,
    pattern,
    regexp: exact === null ? (pattern as UrlPattern).toRegExp() : null,
    // Exact names are all as literal, whatever their length.
    literalness: kind * 1e6 + (exact === null ? length * 2 : 0) + (port === null ? 0 : 1),
  }
}

/** Whether some host matches both. */
export function hostsMeet(one: HostRule | null, other: HostRule | null): boolean {
  if (one === null || other === null) return true
  if (one.port !== null && other.port !== null && one.port !== other.port) return false
  if (one.exact !== null && other.exact !== null) return one.exact === other.exact
  if (one.exact !== null) return other.regexp?.test(one.exact) === true
  if (other.exact !== null) return one.regexp?.test(other.exact) === true
  return (one.pattern as UrlPattern).meets(other.pattern as UrlPattern)
}

/** A host as a request names it, as a URL parser reads it. */
export interface RequestHost {
  readonly name: string
  readonly port: string
}

/** `authority`: that of an origin, or a Host header; `null` for what is none. */
export function requestHostOf(protocol: string, authority: string): RequestHost | null {
  const url = URL.parse(`${protocol}//${authority}`)
  if (url === null || url.host === '' || url.username !== '' || url.password !== '' || url.pathname !== '/') return null
  const port = url.port === '' ? (protocol === 'https:' ? '443' : '80') : url.port
  return { name: withoutRoot(url.hostname), port }
}

export function matchesHost(rule: HostRule, { name, port }: RequestHost): boolean {
  if (rule.port !== null && rule.port !== port) return false
  return rule.exact === null ? (rule.regexp as RegExp).test(name) : rule.exact === name
}
