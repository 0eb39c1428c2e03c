/**
 * Chains from plain data: an object, or a JSON file.
 *
 * ```ts
 * import { readConfig } from 'roundtripper/config'
 *
 * const { fetch } = await readConfig('upstreams.json')
 * await fetch('http://users/7')
 * ```
 */
export { ConfigError, type ConfigProblem } from './config-error.ts'
export type { EffectiveConfig } from './effective.ts'
export type { Environment } from './environment.ts'
export { type ConfiguredUpstreams, type FromConfigOptions, fromConfig } from './from-config.ts'
export { readConfig } from './read-config.ts'
export type {
  AgentConfig,
  BalanceConfig,
  BalanceKeyConfig,
  CanaryConfig,
  CanaryKeyConfig,
  CanaryVariantConfig,
  Config,
  ContextHeadersConfig,
  DnsHostsConfig,
  FallbackConfig,
  LayersConfig,
  MirrorConfig,
  RetryConfig,
  RouteConfig,
  UpstreamConfig,
  Variable,
} from './types.ts'
