import type { AdaptiveLimitOptions } from '../dispatchers/adaptive-limit.ts'
import type { AgentOptions } from '../dispatchers/agent-options.ts'
import type { BulkheadOptions } from '../dispatchers/bulkhead.ts'
import type { CanaryOptions, CanaryVariant } from '../dispatchers/canary.ts'
import type { ContextHeadersOptions } from '../dispatchers/context-headers.ts'
import type { DnsHostsOptions } from '../dispatchers/dns-hosts.ts'
import type { FallbackAnswer, FallbackOptions } from '../dispatchers/fallback.ts'
import type { HedgeOptions } from '../dispatchers/hedge.ts'
import type { LoggingOptions } from '../dispatchers/logging.ts'
import type { MirrorOptions } from '../dispatchers/mirror.ts'
import type { ProxyOptions } from '../dispatchers/proxy-options.ts'
import type { RetryOptions } from '../dispatchers/retry.ts'
import type { ExponentialBackoffOptions } from '../policies/backoff.ts'
import type { BalanceOptions } from '../policies/balance-options.ts'
import type { CircuitBreakerOptions } from '../policies/circuit-options.ts'
import type { HealthOptions } from '../policies/health-options.ts'
import type { HostOptions } from '../policies/host.ts'
import type { RateLimitOptions } from '../policies/rate-limit-options.ts'
import type { RetryBudgetOptions } from '../policies/retry-budget.ts'
import type { RouteRule } from '../policies/route-rule.ts'
import type { TracingOptions } from '../tracing/tracing.ts'

/** `${NAME}` or `${NAME:-fallback}`, in the place of a number, a truth value, or one of several words. */
export type Variable = `\${${string}}`

/** Options as data. */
type Data<T> = T extends number | boolean
  ? T | Variable
  : T extends string
    ? string extends T
      ? T
      : T | Variable
    : T extends null | undefined
      ? T
      : T extends readonly (infer Item)[]
        ? readonly Data<Item>[]
        : { readonly [Name in keyof T]: Data<T[Name]> }

type Budget = RetryBudgetOptions | false

/** Options of `retry()` as data. */
export type RetryConfig = Data<
  Omit<RetryOptions, 'retryOn' | 'random' | 'now' | 'idempotent' | 'backoff' | 'budget'> & {
    readonly idempotent?: boolean
    readonly backoff?: Omit<ExponentialBackoffOptions, 'random'> | number | readonly number[]
    readonly budget?: Budget
  }
>

/** Options of `fallback()` as data: one of `value` and `upstream`. */
export type FallbackConfig = Data<
  Pick<FallbackOptions, 'replayLimit'> & {
    readonly value?: Omit<FallbackAnswer, 'body'> & { readonly body?: string }
    readonly upstream?: string
  }
>

/** What calls that belong on the same host have in common. */
export interface BalanceKeyConfig {
  /** A request header. */
  readonly header: string
}

/** Options of `balance()` as data; the hosts stand beside them. */
export type BalanceConfig = Data<
  Omit<BalanceOptions, 'hosts' | 'name' | 'key' | 'random' | 'onHostChange' | 'health'> & {
    readonly key?: BalanceKeyConfig
    readonly health?: (Omit<HealthOptions, 'expect'> & { readonly expect?: readonly number[] }) | false
  }
>

/** Options of `contextHeaders()` as data. */
export type ContextHeadersConfig = Data<
  Omit<ContextHeadersOptions, 'origins'> & {
    /** Where the context may be sent: origins, `https://*.example.com` for all hosts below a name. No other origin gets any of it. */
    readonly origins?: readonly string[]
  }
>

/** By what a call keeps its variant: one of both. */
export interface CanaryKeyConfig {
  /** A request header. */
  readonly header?: string
  /** A cookie. */
  readonly cookie?: string
}

/** Options of `canary()` as data. */
export type CanaryConfig = Data<
  Pick<CanaryOptions, 'header'> & {
    readonly variants?: Readonly<Record<string, CanaryVariantConfig>>
    readonly by?: CanaryKeyConfig
  }
>

/** One of the variants of a canary as data. */
export interface CanaryVariantConfig extends Pick<CanaryVariant, 'weight'> {
  /** The upstream that its calls go to; by default they go on through the chain of this one. */
  readonly to?: string
}

/** Options of `mirror()` as data. */
export type MirrorConfig = Data<
  Omit<MirrorOptions, 'to' | 'onResult' | 'random'> & {
    /** Where copies go: an origin, or the chain of another upstream. */
    readonly to?: string
  }
>

/** What each upstream may say of its chain, and `defaults` of all: a layer's options, or `false` to leave it out. */
export interface LayersConfig {
  /** Shares calls with other upstreams, of which each has its own chain; what stays here goes on through this one. */
  readonly canary?: CanaryConfig | false
  /** A span for each attempt. */
  readonly tracing?: Data<Omit<TracingOptions, 'tracerProvider' | 'urlTemplate'>> | false
  /** A record for each call. */
  readonly logging?: Data<Omit<LoggingOptions, 'logger'>> | false
  /** An answer in the place of a call that failed: a `value`, or that of another `upstream`. */
  readonly fallback?: FallbackConfig | false
  /** Milliseconds for the whole call, up to the response head. */
  readonly deadline?: Data<number> | false
  /** The context of the request that a call is made for, in its headers. */
  readonly contextHeaders?: ContextHeadersConfig | false
  /** How many calls go in a time. */
  readonly rateLimit?: Data<Partial<Omit<RateLimitOptions, 'key' | 'store'>>> | false
  /** Sends a call again that failed in a way that another attempt may mend. */
  readonly retry?: RetryConfig | false
  /** Sends another attempt where the first is late, in the place of `retry` unless that is given beside it. */
  readonly hedge?: Data<Omit<HedgeOptions, 'budget'> & { readonly budget?: Budget }> | false
  /** How one of the `hosts` is chosen. */
  readonly balance?: BalanceConfig
  /** Stops calling a host that fails. */
  readonly circuitBreaker?: Data<Omit<CircuitBreakerOptions, 'now' | 'random' | 'onStateChange' | 'onEvent'>> | false
  /** How many calls a host has under way at once. */
  readonly bulkhead?: Data<BulkheadOptions> | false
  /** A limit on what is under way that finds its value. */
  readonly adaptiveLimit?: Data<Omit<AdaptiveLimitOptions, 'random'>> | false
  /** Milliseconds for each attempt, up to the response head; by default a third of a `deadline` below 30_000. */
  readonly attemptTimeout?: Data<number> | false
  /** Milliseconds between two pieces of a body that is being read. */
  readonly bodyTimeout?: Data<number> | false
  /** Sends copies of calls to another `upstream`, or an origin. */
  readonly mirror?: MirrorConfig | false
}

/** Hosts by DNS: what `dnsHosts()` looks up. */
export type DnsHostsConfig = Data<
  Omit<DnsHostsOptions, 'resolver'> & {
    /** The origin whose name is asked for: every address is a host, with its scheme and port. */
    readonly dns: string
  }
>

/** One upstream. */
export interface UpstreamConfig extends LayersConfig {
  /** Who serves it: a list, or a name in DNS. Without hosts calls go to the host that their URL names. */
  readonly hosts?:
    | readonly (string | Data<Omit<HostOptions, 'origin'> & { readonly origin: string }>)[]
    | DnsHostsConfig
}

/** TLS of the connections, as Node's `tls.connect` takes it; what is PEM is the text itself, mostly of a variable. */
export interface ConnectConfig {
  /** Certificates, in PEM, of the authorities that are trusted, in the place of those that Node knows. */
  readonly ca?: string | readonly string[]
  /** The certificate, in PEM, that servers are shown. */
  readonly cert?: string | readonly string[]
  /** The key of that certificate, in PEM. */
  readonly key?: string | readonly string[]
  /** What the key is encrypted with. */
  readonly passphrase?: string
  /** The name that the certificates of all servers are checked for. */
  readonly servername?: string
  /** Whether a server whose certificate cannot be verified is refused. */
  readonly rejectUnauthorized?: boolean
}

/** Options of `createAgent()` as data. */
export type AgentConfig = Data<
  Pick<
    AgentOptions,
    | 'keepAliveTimeout'
    | 'connections'
    | 'maxConnections'
    | 'acquireTimeout'
    | 'connectTimeout'
    | 'maxConnectionAge'
    | 'pingInterval'
    | 'pingTimeout'
    | 'maxConcurrentStreams'
    | 'initialWindowSize'
    | 'connectionWindowSize'
    | 'allowH2'
    | 'http1Origins'
    | 'useH2c'
  > & {
    readonly proxy?: string | false | (Omit<ProxyOptions, 'url' | 'tls'> & { readonly url: string })
    /** TLS of the connections. */
    readonly connect?: ConnectConfig
  }
>

/** One route of `route()` as data. */
export type RouteConfig<Names extends string = string> = Data<
  Omit<RouteRule, 'headers'> & {
    /** Headers by name: the whole value, `true` for one that is there, `false` for one that is not. */
    readonly headers?: Readonly<Record<string, string | boolean>>
    /** The name of the upstream that its calls go to. */
    readonly to: Names
  }
>

/** A configuration: plain data, as it stands in a file. */
export interface Config<Names extends string = string> {
  /** Where editors find the schema: `./node_modules/roundtripper/config.schema.json`. */
  readonly $schema?: string
  /** The connections, which all upstreams share. */
  readonly agent?: AgentConfig
  /** What holds for each upstream that does not say otherwise. */
  readonly defaults?: LayersConfig
  /** The upstreams by name. */
  readonly upstreams: Readonly<Record<Names, UpstreamConfig>>
  /** Which calls go to which upstream; without routes each has those whose URL names it: `http://users/7`. */
  readonly routes?: readonly RouteConfig<NoInfer<Names>>[]
}
