import { contextFieldNames, contextHeaderNames } from '../context/headers.ts'
import { adaptiveLimitDefaults } from '../dispatchers/adaptive-limit.ts'
import { bulkheadDefaults } from '../dispatchers/bulkhead.ts'
import { contextHeadersDefaults } from '../dispatchers/context-headers.ts'
import { dnsHostsDefaults } from '../dispatchers/dns-hosts.ts'
import { fallbackDefaults } from '../dispatchers/fallback.ts'
import { hedgeDefaults } from '../dispatchers/hedge.ts'
import { loggingDefaults } from '../dispatchers/logging.ts'
import { mirrorDefaults } from '../dispatchers/mirror.ts'
import { retryDefaults } from '../dispatchers/retry.ts'
import { backoffDefaults } from '../policies/backoff.ts'
import { balanceDefaults } from '../policies/balance-options.ts'
import { circuitBreakerDefaults } from '../policies/circuit-options.ts'
import { ejectionDefaults, failureShareDefaults } from '../policies/ejection-options.ts'
import { healthDefaults } from '../policies/health-options.ts'
import { rateLimitDefaults } from '../policies/rate-limit-options.ts'
import { retryBudgetDefaults } from '../policies/retry-budget.ts'
import { slowStartDefaults } from '../policies/slow-start.ts'
import { standardDefaults, standardHedgingDefaults } from '../standard.ts'
import { tracingDefaults } from '../tracing/tracing.ts'
import {
  choice,
  duration,
  either,
  flag,
  listOf,
  number,
  options,
  orFalse,
  ref,
  type Schema,
  text,
  textLike,
  whole,
} from './schema-parts.ts'

/** An http(s) origin. */
export const origin = textLike(
  'an http(s) origin such as "https://10.0.0.7:8443"',
  '^[hH][tT][tT][pP][sS]?://[^/?#@\\\\\\s]+/?$',
)

/** The name of an upstream. */
export const upstreamName = textLike(
  'a name in small letters, digits, ".", "_" and "-" that begins with a letter',
  '^[a-z][a-z0-9._-]*$',
)

const referred: Schema = { ...upstreamName, title: 'the name of an upstream' }
const target = either(origin, referred)

export const method = textLike('the name of a method', "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
export const headerName = textLike('the name of a header', "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
const share = number(0, 1)
const shareAboveZero = number(0.001, 1)
const unreadBodyTimeout = orFalse(duration())
const bytes = whole(0)
const largest = Number.MAX_SAFE_INTEGER

const headerValue = textLike('the value of a header', '^[\\t\\x20-\\x7e\\x80-\\xff]*$')

/** Headers by their names. They may carry credentials. */
export const headers: Schema = {
  type: 'object',
  propertyNames: headerName,
  additionalProperties: { ...either(headerValue, listOf(headerValue)), writeOnly: true },
}

const backoff = options(
  {
    initialDelay: duration(0),
    maxDelay: duration(0),
    exponent: number(1),
    jitter: choice('decorrelated', 'full', 'none'),
  },
  backoffDefaults,
)

const retryBudget = options(
  { share: number(0, 1000), window: number(1000, 60_000), minPerSecond: number(0), shadow: flag },
  retryBudgetDefaults,
)

const status: Schema = {
  title: 'a status from 400 to 599 that is not 501',
  anyOf: [
    { type: 'integer', minimum: 400, maximum: 500 },
    { type: 'integer', minimum: 502, maximum: 599 },
  ],
}

const retry = options(
  {
    maxAttempts: whole(1),
    statuses: listOf(status),
    methods: listOf(method),
    backoff: either(ref('backoff'), duration(0), listOf(duration(0), 1)),
    maxDelay: duration(0),
    respectRetryAfter: flag,
    idempotent: flag,
    replayLimit: bytes,
    budget: orFalse(ref('retryBudget')),
  },
  retryDefaults,
)

const hedge = options(
  {
    maxHedges: whole(0),
    delay: duration(),
    percentile: orFalse({ type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }),
    minimumSamples: whole(1),
    minDelay: duration(),
    methods: listOf(method),
    idempotent: flag,
    budget: orFalse(ref('retryBudget')),
    replayLimit: bytes,
  },
  hedgeDefaults,
)

const circuitBreaker = options(
  {
    failureShare: orFalse(shareAboveZero),
    window: duration(),
    windowCalls: whole(1, 1_000_000),
    minimumCalls: whole(1),
    consecutiveFailures: whole(1),
    openFor: duration(),
    openForFactor: number(1),
    openForMax: duration(),
    openForJitter: share,
    probes: whole(1),
    slowCallShare: shareAboveZero,
    slowCallDuration: duration(),
    shadow: flag,
  },
  circuitBreakerDefaults,
)

const bulkhead = options(
  { limit: whole(1), queue: whole(0), queueTimeout: duration(), shadow: flag, unreadBodyTimeout },
  bulkheadDefaults,
)

const rateLimit = options(
  {
    limit: whole(1, largest),
    window: duration(),
    algorithm: choice('tokenBucket', 'leakyBucket', 'slidingWindow', 'fixedWindow'),
    burst: whole(1, largest),
    queue: whole(0),
    queueTimeout: duration(),
    maxServerWait: duration(),
    maxKeys: whole(1),
    serverHeaders: flag,
    shadow: flag,
  },
  rateLimitDefaults,
)

const adaptiveLimit = options(
  {
    algorithm: choice('vegas', 'gradient2', 'aimd'),
    initialLimit: whole(1),
    minLimit: whole(1),
    maxLimit: whole(1),
    window: duration(),
    windowCalls: whole(1),
    normalShare: share,
    sheddableShare: share,
    slowAfter: duration(),
    shadow: flag,
    unreadBodyTimeout,
  },
  adaptiveLimitDefaults,
)

const successShare = options(
  { deviations: number(0), minimumCalls: whole(1), minimumHosts: whole(1) },
  ejectionDefaults.successShare,
)

const hostFailureShare = options(
  { share: shareAboveZero, minimumCalls: whole(1), minimumHosts: whole(1) },
  failureShareDefaults,
)

const ejection = options(
  {
    consecutiveFailures: orFalse(whole(1)),
    interval: duration(),
    successShare: orFalse(ref('successShare')),
    failureShare: orFalse(ref('hostFailureShare')),
    ejectionTime: duration(),
    maxEjectionTime: duration(),
    jitter: share,
    maxEjected: share,
  },
  ejectionDefaults,
)

const health = options(
  {
    path: textLike('a path such as "/healthz"', '^/[\\x21-\\x7e]*$'),
    interval: duration(),
    timeout: duration(),
    healthyThreshold: whole(1),
    unhealthyThreshold: whole(1),
    expect: listOf(whole(200, 599), 1),
    concurrency: whole(1),
    headers: {
      type: 'object',
      propertyNames: headerName,
      additionalProperties: { ...headerValue, writeOnly: true },
    },
  },
  healthDefaults,
  ['path'],
)

const slowStart = options(
  { duration: duration(), minWeight: shareAboveZero, aggression: number(0.01, 100) },
  slowStartDefaults,
)

const balanceKey = options({ header: headerName }, {}, ['header'])

const balance = options(
  {
    algorithm: choice('peakEwma', 'leastLoaded', 'roundRobin', 'random', 'consistentHash'),
    key: ref('balanceKey'),
    loadFactor: number(1.01, 100),
    decayTime: duration(),
    ejection: orFalse(ref('ejection')),
    health: orFalse(ref('health')),
    panicThreshold: share,
    slowStart: either({ const: 0 }, duration(), ref('slowStart')),
    refresh: duration(),
  },
  balanceDefaults,
)

const dnsHosts = options(
  { dns: origin, family: { type: 'integer', enum: [0, 4, 6] }, minTtl: duration(), maxTtl: duration() },
  dnsHostsDefaults,
  ['dns'],
)

const fallbackAnswer = options({ status: whole(200, 599), headers, body: { type: 'string' } }, { status: 200 })

const fallback = options({ value: ref('fallbackAnswer'), upstream: target, replayLimit: bytes }, fallbackDefaults)

const contextHeaders = options(
  {
    origins: listOf(origin, 1),
    fields: listOf(choice(...contextFieldNames)),
    names: ref('contextHeaderNames'),
  },
  contextHeadersDefaults,
)

const names = options(
  { requestId: headerName, deadline: headerName, priority: headerName, tenant: headerName },
  { ...contextHeaderNames },
)

const canary = options({
  variants: { type: 'object', propertyNames: text, additionalProperties: ref('canaryVariant') },
  header: headerName,
  by: ref('canaryKey'),
})

const canaryVariant = options({ weight: number(0), to: referred }, {}, ['weight'])

const canaryKey = options({ header: headerName, cookie: headerName })

const mirror = options(
  {
    to: target,
    share,
    methods: listOf(method),
    concurrency: whole(1),
    queue: whole(0),
    timeout: duration(),
    bodyLimit: bytes,
    mark: orFalse(headerName),
  },
  mirrorDefaults,
)

/** The layers that a configuration can name, and their options. */
export const layerSchemas = {
  canary,
  tracing: options({ callSpan: flag, unreadBodyTimeout }, tracingDefaults),
  logging: options({ unreadBodyTimeout }, loggingDefaults),
  fallback,
  contextHeaders,
  rateLimit,
  retry,
  hedge,
  balance,
  circuitBreaker,
  bulkhead,
  adaptiveLimit,
  mirror,
} satisfies Record<string, Schema>

/** What their options are made of. */
export const partSchemas = {
  contextHeaderNames: names,
  canaryVariant,
  canaryKey,
  balanceKey,
  slowStart,
  backoff,
  retryBudget,
  ejection,
  successShare,
  hostFailureShare,
  health,
  dnsHosts,
  fallbackAnswer,
} satisfies Record<string, Schema>

const { deadline, attemptTimeout, bodyTimeout } = standardDefaults

/** What `defaults` and each upstream may say: a layer's options, or `false` to leave it out. */
export const layerProperties: Readonly<Record<string, Schema>> = {
  canary: { ...orFalse(ref('canary')), default: false },
  tracing: { ...orFalse(ref('tracing')), default: {} },
  logging: { ...orFalse(ref('logging')), default: false },
  fallback: { ...orFalse(ref('fallback')), default: false },
  deadline: { ...orFalse(duration()), default: deadline },
  contextHeaders: { ...orFalse(ref('contextHeaders')), default: false },
  rateLimit: { ...orFalse(ref('rateLimit')), default: standardDefaults.rateLimit },
  retry: { ...orFalse(ref('retry')), default: {} },
  hedge: { ...orFalse(ref('hedge')), default: false },
  balance: { ...ref('balance'), default: {} },
  circuitBreaker: { ...orFalse(ref('circuitBreaker')), default: {} },
  bulkhead: { ...orFalse(ref('bulkhead')), default: {} },
  adaptiveLimit: { ...orFalse(ref('adaptiveLimit')), default: standardHedgingDefaults.adaptiveLimit },
  attemptTimeout: { ...orFalse(duration()), default: attemptTimeout },
  bodyTimeout: { ...orFalse(duration()), default: bodyTimeout },
  mirror: { ...orFalse(ref('mirror')), default: false },
}
