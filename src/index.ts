export { type ContextField, type ContextHeaderNames, contextHeaderNames } from './context/headers.ts'
export { contextHook, contextOf, type InboundOptions, type IncomingRequest, withContext } from './context/inbound.ts'
export {
  contextFields,
  currentContext,
  type RequestContext,
  type RequestContextFields,
  runWithContext,
} from './context/request-context.ts'
export {
  type AdaptiveLimitLayer,
  type AdaptiveLimitOptions,
  type AdaptiveLimitView,
  adaptiveLimit,
  adaptiveLimitDefaults,
} from './dispatchers/adaptive-limit.ts'
export { type AgentOptions, agentDefaults, createAgent, type OriginStats, PoolAgent } from './dispatchers/agent.ts'
export { attemptTimeout, defaultAttemptTimeout } from './dispatchers/attempt-timeout.ts'
export {
  type BalanceAlgorithm,
  type BalanceLayer,
  type BalanceOptions,
  balance,
  balanceDefaults,
  type HostView,
  type SlowStartOptions,
} from './dispatchers/balance.ts'
export { bodyTimeout, defaultBodyTimeout } from './dispatchers/body-timeout.ts'
export {
  type BulkheadLayer,
  type BulkheadOptions,
  type BulkheadView,
  bulkhead,
  bulkheadDefaults,
} from './dispatchers/bulkhead.ts'
export type { CallOptions } from './dispatchers/call-options.ts'
export {
  type CanaryKey,
  type CanaryLayer,
  type CanaryOptions,
  type CanaryVariant,
  type CanaryVariantView,
  type CanaryView,
  canary,
} from './dispatchers/canary.ts'
export { type CircuitBreakerLayer, type CircuitView, circuitBreaker } from './dispatchers/circuit-breaker.ts'
export { classify } from './dispatchers/classify.ts'
export { type ChainDispatcher, compose, type Layers } from './dispatchers/compose.ts'
export { type ContextHeadersOptions, contextHeaders, contextHeadersDefaults } from './dispatchers/context-headers.ts'
export type { ControlledLayer } from './dispatchers/controlled-layer.ts'
export { deadline, defaultDeadline } from './dispatchers/deadline.ts'
export { type DeduplicateOptions, deduplicate } from './dispatchers/deduplicate.ts'
export type { LayerDescription } from './dispatchers/describe.ts'
export {
  type DnsHostsOptions,
  type DnsRecord,
  type DnsResolver,
  dnsHosts,
  dnsHostsDefaults,
} from './dispatchers/dns-hosts.ts'
export {
  type FallbackAnswer,
  type FallbackFunction,
  type FallbackLayer,
  type FallbackOptions,
  type FallbackView,
  fallback,
  fallbackDefaults,
} from './dispatchers/fallback.ts'
export { isFallback } from './dispatchers/fallback-mark.ts'
export { fromCockatiel } from './dispatchers/from-cockatiel.ts'
export { guard } from './dispatchers/guard.ts'
export { type HedgeLayer, type HedgeOptions, type HedgeView, hedge, hedgeDefaults } from './dispatchers/hedge.ts'
export { type CallRecord, type Logger, type LoggingOptions, logging, loggingDefaults } from './dispatchers/logging.ts'
export {
  type MirrorLayer,
  type MirrorOptions,
  type MirrorResult,
  type MirrorView,
  mirror,
  mirrorDefaults,
} from './dispatchers/mirror.ts'
export type { Protocol } from './dispatchers/protocol.ts'
export type { ProxyOptions } from './dispatchers/proxy-options.ts'
export { type RateLimitLayer, type RateLimitView, rateLimit } from './dispatchers/rate-limit.ts'
export type { Layer } from './dispatchers/relay.ts'
export { replayDefaults } from './dispatchers/replay.ts'
export { type RetryLayer, type RetryOptions, type RetryView, retry, retryDefaults } from './dispatchers/retry.ts'
export {
  type Route,
  type RouteChanges,
  type RouteLayer,
  type RouteOptions,
  type RouteState,
  type RouteView,
  route,
} from './dispatchers/route.ts'
export type { Target } from './dispatchers/target.ts'
export { createFetch, type KitFetch, type KitRequestInit } from './fetch/create-fetch.ts'
export { delegatedCalls } from './fetch/delegated.ts'
export {
  defaultFetchAllConcurrency,
  type FetchAllOptions,
  type FetchAllProgress,
  type FetchAllResult,
  type FetchInput,
  fetchAll,
} from './fetch/fetch-all.ts'
export { installFetch } from './fetch/install-fetch.ts'
export { protocolOf } from './fetch/protocol.ts'
export type { RequestTrailers, TrailerOptions } from './http2/request-trailers.ts'
export type { LimitAlgorithmName } from './policies/adaptive-limit.ts'
export { type BackoffOptions, backoffDefaults } from './policies/backoff.ts'
export {
  type CircuitBreakerOptions,
  type CircuitChangeReason,
  type CircuitEvent,
  type CircuitState,
  type CircuitStateChange,
  type CircuitStatistics,
  circuitBreakerDefaults,
  type ForcedState,
} from './policies/circuit-options.ts'
export type { CircuitBreakerSnapshot, CircuitSnapshot } from './policies/circuit-snapshot.ts'
export {
  type EjectionOptions,
  ejectionDefaults,
  type FailureShareOptions,
  type SuccessShareOptions,
} from './policies/ejection-options.ts'
export {
  AcquireTimeoutError,
  AttemptTimeoutError,
  BodyTimeoutError,
  BulkheadFullError,
  CircuitOpenError,
  ConcurrencyLimitedError,
  DeadlineExceededError,
  InvalidRequestError,
  isShed,
  NoHostError,
  NoRouteError,
  ProxyError,
  RateLimitedError,
  ResilienceError,
} from './policies/errors.ts'
export { type ExpectHealth, type HealthOptions, healthDefaults } from './policies/health-options.ts'
export type { HealthCheckResult, HostChange, HostOptions, HostReason, HostStanding } from './policies/host.ts'
export type { FoundHosts, HostAnswer, HostFunction, HostList, HostSource } from './policies/host-source.ts'
export type { Classifiable, Classify, Outcome, OutcomeKind, OutcomePhase } from './policies/outcome.ts'
export type { ExchangeScope, Permit, Policy, Priority, Scope, Waiting } from './policies/policy.ts'
export {
  type RateLimitOptions,
  type RateLimitStore,
  type RateLimitUpdate,
  rateLimitDefaults,
} from './policies/rate-limit-options.ts'
export type { RateAlgorithm } from './policies/rates.ts'
export type { RetryInfo, RetryRequest } from './policies/retry.ts'
export {
  type ControlledBudget,
  type RetryBudget,
  type RetryBudgetOptions,
  type RetryBudgetView,
  retryBudget,
  retryBudgetDefaults,
} from './policies/retry-budget.ts'
export { type RetryThrottleOptions, retryThrottle, retryThrottleDefaults } from './policies/retry-throttle.ts'
export type { RouteRule } from './policies/route-rule.ts'
export {
  type StandardHedgingOptions,
  type StandardOptions,
  standard,
  standardDefaults,
  standardHedging,
  standardHedgingDefaults,
} from './standard.ts'
export { type TemplatedRequest, type TracingOptions, tracing, tracingDefaults } from './tracing/tracing.ts'
