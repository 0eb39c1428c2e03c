import { Dispatcher } from 'undici'
import { createAgent, type PoolAgent } from '../dispatchers/agent.ts'
import { type AgentOptions, readOptions } from '../dispatchers/agent-options.ts'
import type { ChainDispatcher } from '../dispatchers/compose.ts'
import { checkLogger, type Logger } from '../dispatchers/logging.ts'
import { route } from '../dispatchers/route.ts'
import { createFetch, type KitFetch } from '../fetch/create-fetch.ts'
import { checkOptions, show } from '../policies/options.ts'
import { checkTls } from './check-tls.ts'
import { type EffectiveConfig, effectiveAgent, effectiveChain, effectiveRoutes } from './effective.ts'
import { type Environment, expand } from './environment.ts'
import { explain } from './explain.ts'
import { hideIn } from './hide.ts'
import { asRecord, copyPlain } from './plain-data.ts'
import { checkRoutes, checkUpstreamNames, type PlannedRoute, routesTo } from './plan-routes.ts'
import { type Layers, type PlannedUpstream, planUpstream, type Surroundings } from './plan-upstream.ts'
import { Problems } from './problems.ts'
import { References } from './references.ts'
import type { Config } from './types.ts'
import { UpstreamChain } from './upstream-chain.ts'
import { validate } from './validate.ts'

/** Options of {@link fromConfig}: what no data can say. */
export interface FromConfigOptions {
  /**
   * Where `${NAME}` in texts gets its value from.
   * @default process.env
   */
  readonly env?: Environment
  /**
   * The agent of all upstreams, in the place of one of its own by `agent` of the configuration. It stays yours to close.
   * @default createAgent(config.agent)
   */
  readonly agent?: Dispatcher
  /**
   * Where `logging` of the configuration writes its records.
   * @default one line of JSON a record on standard error, from level info
   */
  readonly logger?: Logger
}

/** What {@link fromConfig} made. */
export interface ConfiguredUpstreams<Names extends string = string> extends AsyncDisposable {
  /** The chain of each upstream by its name. Closing one of them leaves the agent to the others. */
  readonly upstreams: Readonly<Record<Names, ChainDispatcher>>
  /** Sends each call to the upstream that the routes say, or whose name is the host of its URL. */
  readonly dispatcher: ChainDispatcher
  /** `fetch` through the dispatcher. */
  readonly fetch: KitFetch
  /** What the configuration has come to: all layers with their options, defaults and `update()`s included, secrets `REDACTED`. */
  effective(): EffectiveConfig
  /** Takes no new call, lets those under way come to their end, then closes all connections. */
  close(): Promise<void>
  /** Fails all calls under way at once, with `error`, and closes all connections. */
  destroy(error?: Error): Promise<void>
}

// What has been destroyed refuses to be closed, and would keep all the others from it.
function closeUnlessDestroyed(one: ChainDispatcher | PoolAgent | null | undefined): Promise<void> | undefined {
  return one?.destroyed === true ? undefined : one?.close()
}

class Configured implements ConfiguredUpstreams {
  readonly upstreams: Readonly<Record<string, ChainDispatcher>>
  readonly dispatcher: ChainDispatcher
  readonly fetch: KitFetch
  readonly #own: PoolAgent | null
  readonly #checked: Checked
  readonly #told: Pick<EffectiveConfig, 'agent' | 'routes'>

  constructor(
    chains: ReadonlyMap<string, ChainDispatcher>,
    ground: Dispatcher,
    own: PoolAgent | null,
    checked: Checked,
  ) {
    const routes = routesTo(checked.routes, chains)
    this.upstreams = Object.fromEntries(chains)
    this.dispatcher = new UpstreamChain(ground, [route(routes)])
    this.fetch = createFetch(this.dispatcher)
    this.#own = own
    this.#checked = checked
    const names = new Map([...chains.keys()].map((name) => [name, name]))
    this.#told = {
      agent: own === null ? null : effectiveAgent(checked.agent),
      routes: effectiveRoutes(routesTo(checked.routes, names)),
    }
  }

  effective(): EffectiveConfig {
    const upstreams = Object.entries(this.upstreams).map(([name, chain]) => {
      const { given = {} } = this.#checked.upstreams.get(name) ?? {}
      return [name, effectiveChain(chain.describe(), given)]
    })
    return { ...this.#told, upstreams: Object.fromEntries(upstreams) }
  }

  async close(): Promise<void> {
    const { references } = this.#checked
    const closing = new Map<string, Promise<void>>()
    // A call that is under way in one upstream may still need another one.
    for (const name of references.inOrder(Object.keys(this.upstreams))) {
      const users = references.usersOf(name).map((user) => closing.get(user))
      closing.set(
        name,
        Promise.all(users).then(() => closeUnlessDestroyed(this.upstreams[name])),
      )
    }
    await Promise.all([closeUnlessDestroyed(this.dispatcher), ...closing.values()])
    await closeUnlessDestroyed(this.#own)
  }

  async destroy(error?: Error): Promise<void> {
    const chains = [this.dispatcher, ...Object.values(this.upstreams)]
    await Promise.all(chains.map((chain) => chain.destroy(error ?? null)))
    await this.#own?.destroy(error ?? null)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

interface Checked {
  readonly agent: AgentOptions
  readonly upstreams: ReadonlyMap<string, PlannedUpstream>
  readonly references: References
  readonly routes: readonly PlannedRoute[] | undefined
}

// All of it is looked over before anything is made that would have to be closed again.
function check(
  config: unknown,
  { env = process.env, agent: given, logger }: FromConfigOptions,
  source: string,
): Checked {
  const problems = new Problems()
  const expanded = expand(copyPlain(config, problems), env, problems)
  validate(expanded, problems)
  const { agent = {}, defaults = {}, upstreams = {}, routes } = asRecord(expanded.value)
  const hide = hideIn(expanded)
  if (given !== undefined && asRecord(expanded.value).agent !== undefined) {
    problems.add(['agent'], 'must not be given beside an agent that was made in code')
  } else if (!problems.isWithin(['agent'])) {
    try {
      readOptions(agent as AgentOptions)
      checkTls(asRecord(asRecord(agent).connect), ['agent', 'connect'], problems)
    } catch (error) {
      explain(error, { layer: 'createAgent', pathOf: () => ['agent'] }, ['agent'], hide, problems)
    }
  }
  const planned = new Map<string, PlannedUpstream>()
  const references = new References()
  for (const [name, upstream] of Object.entries(asRecord(upstreams))) {
    const { hosts, ...own } = asRecord(upstream)
    const path = ['upstreams', name]
    const surroundings = { upstream: name, hosts: hosts as Surroundings['hosts'], logger, hide, references }
    planned.set(name, planUpstream(path, own as Layers, asRecord(defaults) as Layers, surroundings, problems))
  }
  checkUpstreamNames([...planned.keys()], routes !== undefined, problems)
  references.check([...planned.keys()], hide, problems)
  if (Array.isArray(routes)) checkRoutes(routes, [...planned.keys()], hide, problems)
  problems.throwIfAny(source)
  return {
    agent: agent as AgentOptions,
    upstreams: planned,
    references,
    routes: routes as readonly PlannedRoute[] | undefined,
  }
}

function isDispatcher(value: unknown): boolean {
  return value instanceof Dispatcher || typeof (value as Partial<Dispatcher> | null)?.dispatch === 'function'
}

/** {@link fromConfig}, whose errors name `source`. */
export function fromSource(config: unknown, options: FromConfigOptions, source: string): ConfiguredUpstreams {
  checkOptions('fromConfig', options, ['env', 'agent', 'logger'])
  if (options.agent !== undefined && !isDispatcher(options.agent)) {
    throw new TypeError(`fromConfig: agent must be a dispatcher, got ${show(options.agent)}`)
  }
  if (typeof (options.env ?? {}) !== 'object' || options.env === null) {
    throw new TypeError(`fromConfig: env must be an object, got ${show(options.env)}`)
  }
  // Looked at also where no upstream writes records yet.
  if (options.logger !== undefined) checkLogger('fromConfig', options.logger)
  const checked = check(config, options, source)
  const own = options.agent === undefined ? createAgent(checked.agent) : null
  const ground = options.agent ?? (own as PoolAgent)
  const chains = new Map<string, ChainDispatcher>()
  for (const [name, { layers }] of checked.upstreams) chains.set(name, new UpstreamChain(ground, layers))
  checked.references.connect(chains)
  return new Configured(chains, ground, own, checked)
}

/**
 * Makes a chain for each upstream of a configuration: plain data, as it stands in a file. The chains share one agent. Their
 * layers stand in the order of `standard()`, with `balance()` below `retry()` and `hedge()` where an upstream has hosts.
 *
 * `${NAME}` in a text is the value of an environment variable, `${NAME:-fallback}` has a fallback, and `$${` is `${` itself.
 *
 * @throws ConfigError that tells all that is wrong, each with its path; then nothing has been made. Needs the package `ajv`.
 */
export function fromConfig<Names extends string>(
  config: Config<Names>,
  options: FromConfigOptions = {},
): ConfiguredUpstreams<Names> {
  return fromSource(config, options, 'fromConfig')
}
