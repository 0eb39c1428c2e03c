import { promises as dns } from 'node:dns'
import { isIP } from 'node:net'
import { checkOrigin, type HostOptions } from '../policies/host.ts'
import type { FoundHosts, HostSource } from '../policies/host-source.ts'
import { checkFunction, checkNumber, checkOptions, longestTimer, show, withoutUndefined } from '../policies/options.ts'

/** An address, and for how many seconds it holds. */
export interface DnsRecord {
  readonly address: string
  readonly ttl: number
}

/** What {@link dnsHosts} asks: a `Resolver` of `node:dns/promises`, or anything like it. */
export interface DnsResolver {
  resolve4(name: string, options: { ttl: true }): Promise<readonly DnsRecord[]>
  resolve6(name: string, options: { ttl: true }): Promise<readonly DnsRecord[]>
}

/** Options of {@link dnsHosts}. */
export interface DnsHostsOptions {
  /**
   * Which addresses are asked for: 4 (A), 6 (AAAA), 0: both.
   * @default 0
   */
  readonly family?: 0 | 4 | 6
  /**
   * Milliseconds for which an answer holds at least, whatever its TTL.
   * @default 1_000
   */
  readonly minTtl?: number
  /**
   * Milliseconds for which it holds at most.
   * @default 60_000
   */
  readonly maxTtl?: number
  /**
   * What is asked, and nothing else: a `Resolver` of `node:dns/promises` with servers of your own.
   * @default the name servers of the system; where they do not know the name, what `dns.lookup()` finds (the hosts file)
   */
  readonly resolver?: DnsResolver
}

/** Defaults of {@link dnsHosts}. */
export const dnsHostsDefaults = Object.freeze({ family: 0, minTtl: 1_000, maxTtl: 60_000 } as const)

const optionNames = ['family', 'minTtl', 'maxTtl', 'resolver']

// Of the system's name servers: one that is gone shall not hold up the answer of the next for long.
const resolverOptions = { timeout: 2_000, tries: 2 }

// Milliseconds that an answer waits for that of the other family (RFC 8305, "Resolution Delay").
const resolutionDelay = 50

const families = [4, 6] as const

/** What one family answered. */
interface Answer {
  readonly records: readonly DnsRecord[]
  readonly error: unknown
}

function isNegative(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown }
  return code === dns.NODATA || code === dns.NOTFOUND
}

/** Looks a name up; knows what each family answered last, for when it answers no more. */
class DnsLookup {
  private readonly name: string
  private readonly families: readonly (4 | 6)[]
  private readonly resolver: DnsResolver
  private readonly system: boolean
  private readonly known = new Map<4 | 6, readonly DnsRecord[]>()

  constructor(name: string, family: 0 | 4 | 6, resolver: DnsResolver | undefined) {
    this.name = name
    this.families = family === 0 ? families : [family]
    this.system = resolver === undefined
    this.resolver = resolver ?? new dns.Resolver(resolverOptions)
  }

  /** Addresses, those of one family together and in the order of their text; seconds for which they hold. */
  async resolve(): Promise<{ readonly addresses: readonly string[]; readonly ttl: number | undefined }> {
    const answers = await this.askAll()
    const records = answers.flatMap((answer) => answer?.records ?? [])
    if (records.length === 0) {
      const failures = answers.flatMap((answer) => answer?.error ?? [])
      // Rather than that there is none: what kept a name server from saying so.
      const error = failures.find((failure) => !isNegative(failure)) ?? failures[0] ?? this.noAddress()
      if (this.system && (error as { code?: unknown }).code !== dns.TIMEOUT) return this.lookup(error)
      throw error
    }
    const addresses: string[] = []
    for (const family of this.families) {
      const known = this.known.get(family) ?? []
      addresses.push(...known.map(({ address }) => address).toSorted())
    }
    return { addresses, ttl: Math.min(...records.map(({ ttl }) => ttl)) }
  }

  // Where one family has answered, the other is not waited for as long as it takes to give it up; `null`: it has not answered.
  private askAll(): Promise<readonly (Answer | null)[]> {
    const answers: (Answer | null)[] = this.families.map(() => null)
    return new Promise((resolve) => {
      let open = answers.length
      for (const [at, family] of this.families.entries()) {
        void this.ask(family).then((answer) => {
          answers[at] = answer
          if (--open === 0) resolve(answers)
          else if (answer.records.length > 0) setTimeout(resolve, resolutionDelay, answers).unref()
        })
      }
    })
  }

  private async ask(family: 4 | 6): Promise<Answer> {
    const { resolver, name } = this
    try {
      const asked = family === 4 ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true })
      const records = await asked
      this.known.set(family, records)
      return { records, error: undefined }
    } catch (error) {
      if (isNegative(error)) this.known.delete(family)
      return { records: [], error }
    }
  }

  private noAddress(): Error {
    return new Error(`${this.name} has no address`)
  }

  // Knows the hosts file, search domains and whatever else the system asks; knows no TTL.
  private async lookup(reason: unknown) {
    const family = this.families.length === 1 ? (this.families[0] as 4 | 6) : 0
    try {
      const found = await dns.lookup(this.name, { all: true, family, order: 'ipv4first' })
      return { addresses: found.map(({ address }) => address), ttl: undefined }
    } catch {
      throw reason
    }
  }
}

/**
 * The hosts of a group by DNS: every address of a name is one, `https://10.0.0.7:8443` for `https://users.internal:8443`.
 * TLS and the `host` header go on to use the name. Looked up again when the TTL is over and a call comes.
 *
 * A look-up that fails, also one that says that there is no such name, or no address, leaves the hosts that are known:
 * calls to a host that is really gone fail by themselves, while a group without hosts fails them all.
 *
 * @throws TypeError, RangeError for what is no origin, and options that are out of range.
 */
export function dnsHosts(origin: string | URL, options: DnsHostsOptions = {}): HostSource {
  checkOptions('dnsHosts', options, optionNames)
  const { family, minTtl, maxTtl } = { ...dnsHostsDefaults, ...withoutUndefined(options) }
  const { resolver } = options
  const url = checkOrigin('dnsHosts', origin)
  if (!([0, ...families] as unknown[]).includes(family)) {
    throw new RangeError(`dnsHosts: family must be 0, 4 or 6, got ${show(family)}`)
  }
  checkNumber('dnsHosts: minTtl', minTtl, { min: 1, max: longestTimer })
  checkNumber('dnsHosts: maxTtl', maxTtl, { min: minTtl, max: longestTimer })
  if (resolver !== undefined) {
    checkFunction('dnsHosts: resolver.resolve4', resolver.resolve4)
    checkFunction('dnsHosts: resolver.resolve6', resolver.resolve6)
  }
  const name = url.hostname.replace(/\.$/, '')
  if (isIP(name.replace(/^\[|\]$/g, '')) !== 0) {
    return { name: url.origin, resolve: () => ({ hosts: [url.origin], ttl: Number.POSITIVE_INFINITY }) }
  }
  const port = url.port === '' ? '' : `:${url.port}`
  const named = {
    authority: `${name}${port}`,
    ...(url.protocol === 'https:' ? { servername: name } : null),
  }
  const lookup = new DnsLookup(name, family, resolver)
  const hostAt = (address: string): HostOptions => {
    const host = isIP(address) === 6 ? `[${address}]` : address
    return { origin: `${url.protocol}//${host}${port}`, ...named }
  }
  const resolve = async (): Promise<FoundHosts> => {
    const { addresses, ttl } = await lookup.resolve()
    // A hosts file may have one several times: that gives it no larger share.
    const hosts = [...new Set(addresses)].map(hostAt)
    return { hosts, ttl: ttl === undefined ? undefined : Math.min(Math.max(ttl * 1_000, minTtl), maxTtl) }
  }
  return { name: url.origin, resolve }
}
