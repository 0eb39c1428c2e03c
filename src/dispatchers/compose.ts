import { Agent, BalancedPool, Client, Dispatcher, errors, Pool } from 'undici'
import { throwLater } from '../policies/throw-later.ts'
import { PoolAgent } from './agent.ts'
import { assertHandler } from './assert-handler.ts'
import type { CallKeeper, KeptCall } from './call-plan.ts'
import { assertCallback, settleWith } from './callbacks.ts'
import { chainPartOf } from './chain-part.ts'
import { checkChain } from './check-chain.ts'
import { describeLayers, type LayerDescription } from './describe.ts'
import { originOfDispatcher } from './dispatcher-origin.ts'
import type { ScopedOptions } from './exchange.ts'
import { flattenLayers, foldLayers, kindOf, type Layers } from './fold-layers.ts'
import { notePlainTransport } from './fused-plan.ts'
import type { Layer } from './relay.ts'

/** What undici's dispatchers have beyond the type. */
interface Closable {
  readonly closed?: boolean
  readonly destroyed?: boolean
  readonly stats?: unknown
  readonly webSocketOptions?: unknown
  readonly eventSourceOptions?: unknown
}

// Nothing of the kit can be below one of these, so no scope has to travel through it. A subclass may hold a chain, and so
// may one whose dispatch is not its class's: replaced, or what undici's own compose() made (a Proxy, which names the class
// of what it is around). A pool or agent with a factory of somebody else's may make chains: the default ones are known by
// those of a pool that was given none.
const plainTransports: ReadonlyMap<unknown, () => Dispatcher> = new Map<unknown, () => Dispatcher>([
  [Agent, () => new Agent()],
  [Pool, () => new Pool('http://localhost')],
  [BalancedPool, () => new BalancedPool([])],
  [Client, () => new Client('http://localhost')],
])
const defaultFactories = new Map<unknown, unknown>()

function factoryOf(dispatcher: Dispatcher): unknown {
  const key = Object.getOwnPropertySymbols(dispatcher).find(({ description }) => description === 'factory')
  return key === undefined ? undefined : (dispatcher as unknown as Record<symbol, unknown>)[key]
}

function isPlainTransport(dispatcher: Dispatcher): boolean {
  const { constructor: named, dispatch } = dispatcher
  if (named === PoolAgent) return dispatch === PoolAgent.prototype.dispatch && (dispatcher as PoolAgent).isPlain
  const make = plainTransports.get(named)
  if (make === undefined || dispatch !== (named.prototype as Dispatcher).dispatch) return false
  if (!defaultFactories.has(named)) defaultFactories.set(named, factoryOf(make()))
  return factoryOf(dispatcher) === defaultFactories.get(named)
}

/**
 * Layers around a dispatcher, themselves a dispatcher: for `undici.request(url, { dispatcher })`, `createFetch`, or as
 * the ground of another chain. Made by {@link compose}.
 */
export class ChainDispatcher extends Dispatcher implements CallKeeper {
  // TypeScript's private: what undici's compose() makes of a dispatcher is a Proxy, and a #field cannot be read through one.
  private readonly inner: Dispatcher
  /** Where the dispatcher below serves one origin only: that origin. */
  readonly origin: string | null | undefined
  private readonly through: Dispatcher['dispatch']
  private readonly layers: readonly Layer[]
  private first: KeptCall | null = null
  private closing: Promise<void> | null = null
  private destroying: Promise<void> | null = null
  private onIdle: (() => void) | null = null

  constructor(inner: Dispatcher, layers: readonly Layer[]) {
    super()
    this.inner = inner
    this.layers = layers
    this.origin = originOfDispatcher(inner)
    const ground: Dispatcher['dispatch'] = inner.dispatch.bind(inner)
    if (isPlainTransport(inner)) notePlainTransport(ground)
    this.through = foldLayers(layers, ground, this.origin, this)
    delegateEvents(this, inner)
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    assertHandler(handler)
    try {
      if (typeof opts !== 'object' || opts === null) {
        throw new errors.InvalidArgumentError(`opts must be an object, got ${opts === null ? 'null' : typeof opts}`)
      }
      if ((opts as { dispatcher?: unknown }).dispatcher) {
        throw new errors.InvalidArgumentError('opts.dispatcher belongs to undici.request and fetch, not to dispatch')
      }
      // The agent below answers for itself.
      if (this.destroying !== null) throw new errors.ClientDestroyedError()
      if (this.closing !== null) throw new errors.ClientClosedError()
    } catch (error) {
      handler.onResponseError?.(null as never, error as Error)
      return false
    }
    if (!opts.origin && typeof this.origin === 'string') {
      return this.through({ ...opts, origin: this.origin }, handler)
    }
    return this.through(opts, handler)
  }

  get closed(): boolean {
    return this.closing !== null || (this.inner as Closable).closed === true
  }

  get destroyed(): boolean {
    return this.destroying !== null || (this.inner as Closable).destroyed === true
  }

  /**
   * What the chain is made of, the outermost layer first, each with the options it goes by now, and last what is below
   * them. Plain data, for `console.table`, `JSON.stringify` and logs.
   */
  describe(): readonly LayerDescription[] {
    return describeLayers(this.layers, this.inner)
  }

  /** What the agent below tells of its pools; `undefined` where it tells nothing. */
  get stats(): unknown {
    return (this.inner as Closable).stats
  }

  /** The limits that the agent below sets for undici's `WebSocket`. */
  get webSocketOptions(): unknown {
    return (this.inner as Closable).webSocketOptions
  }

  /** The limits that the agent below sets for undici's `EventSource`. */
  get eventSourceOptions(): unknown {
    return (this.inner as Closable).eventSourceOptions
  }

  /** Takes no new call, lets those under way come to their end (queues, backoffs and bodies included), then closes the agent. */
  override close(): Promise<void>
  override close(callback: () => void): void
  override close(callback?: () => void): Promise<void> | undefined {
    assertCallback(callback)
    if (this.destroying !== null) {
      const failed = Promise.reject<void>(new errors.ClientDestroyedError())
      return settleWith(failed, callback)
    }
    this.closing ??= this.idle().then(() => (this.destroyed ? undefined : this.closeGround()))
    return settleWith(this.closing, callback)
  }

  /** Fails every call under way at once, wherever it waits, then destroys the agent. */
  override destroy(): Promise<void>
  override destroy(error: Error | null): Promise<void>
  override destroy(callback: () => void): void
  override destroy(error: Error | null, callback: () => void): void
  override destroy(error?: Error | null | (() => void), callback?: () => void): Promise<void> | undefined {
    const done = typeof error === 'function' ? error : callback
    assertCallback(done)
    const reason = typeof error === 'function' || !error ? new errors.ClientDestroyedError() : error
    this.destroying ??= this.destroyAll(reason)
    return settleWith(this.destroying, done)
  }

  private async destroyAll(reason: Error): Promise<void> {
    // A consumer may end other calls from its error callback: take the first until none is left.
    for (let call = this.first; call !== null; call = this.first) {
      try {
        call.abortAs('closed', reason)
      } catch (error) {
        // A consumer that throws where it is told of an error: nobody can catch that, and the other calls have to end too.
        throwLater(error)
      }
      this.ended(call)
    }
    await this.destroyGround(reason)
  }

  /** What `close()` does when no call is left. A chain that shares its agent with others leaves it to them. */
  protected closeGround(): Promise<void> {
    return this.inner.close()
  }

  /** What `destroy()` does when no call is left. */
  protected async destroyGround(reason: Error): Promise<void> {
    // MockAgent can only be closed.
    if (this.inner.destroy === Dispatcher.prototype.destroy) await this.inner.close()
    else await this.inner.destroy(reason)
  }

  private idle(): Promise<void> {
    if (this.first === null) return Promise.resolve()
    return new Promise((resolve) => {
      this.onIdle = resolve
    })
  }

  begun(call: KeptCall): void {
    const first = this.first
    call.nextCall = first
    if (first !== null) first.previousCall = call
    this.first = call
  }

  ended(call: KeptCall): void {
    const { previousCall: previous, nextCall: next } = call
    if (previous !== null) previous.nextCall = next
    else if (this.first === call) this.first = next
    else return
    if (next !== null) next.previousCall = previous
    call.previousCall = null
    call.nextCall = null
    if (this.first === null) this.onIdle?.()
  }
}

const listenerMethods = [
  'on',
  'once',
  'off',
  'addListener',
  'removeListener',
  'prependListener',
  'prependOnceListener',
  'listeners',
  'rawListeners',
  'listenerCount',
  'eventNames',
  'getMaxListeners',
  'setMaxListeners',
] as const

// connect, disconnect, connectionError and drain are the agent's. Listening to them through the chain is listening to
// the agent, so that a chain which nobody listens to leaves no listener on an agent it shares.
function delegateEvents(chain: Dispatcher, inner: Dispatcher): void {
  for (const method of listenerMethods) {
    const delegate = (...args: unknown[]) => {
      const result = (inner[method] as (...args: unknown[]) => unknown).apply(inner, args)
      return result === inner ? chain : result
    }
    Object.defineProperty(chain, method, { value: delegate, enumerable: false, writable: true, configurable: true })
  }
}

/** A dispatcher of another copy of undici. */
function isDispatcher(value: unknown): boolean {
  const { dispatch, compose, close, destroy, on } = (value ?? {}) as Record<string, unknown>
  return [dispatch, compose, close, destroy, on].every((method) => typeof method === 'function')
}

/**
 * Puts layers around a dispatcher. Read it from top to bottom: the first layer is outermost. Lists are flattened, and
 * `null`, `undefined` and `false` are left out, so that layers can be switched. (`agent.compose(a, b)` of undici reads
 * the other way round, and does not check.)
 *
 * The chain is checked, and what is wrong with it is explained, before any call is made.
 *
 * @throws TypeError where something is no layer, or where layers stand in an order, or carry durations, that defeat one
 * another.
 */
export function compose(dispatcher: Dispatcher, ...layers: readonly Layers[]): ChainDispatcher {
  if (!(dispatcher instanceof Dispatcher) && !isDispatcher(dispatcher)) {
    throw new TypeError(`compose: expects a dispatcher first (createAgent()), got ${kindOf(dispatcher)}`)
  }
  const flat = flattenLayers(layers)
  checkChain(flat.map(chainPartOf))
  return new ChainDispatcher(dispatcher, flat)
}

export type { Layers, ScopedOptions }
