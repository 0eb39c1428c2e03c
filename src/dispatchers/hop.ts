import type { Outcome } from '../policies/outcome.ts'
import { withoutCarried } from './carried.ts'
import type { Edge } from './edge.ts'
import { CallScope, type Exchange, kScope, type ScopedOptions, withScope } from './exchange.ts'
import { headerOf, withSteadyHeaders } from './headers.ts'
import { originOf } from './origin-of.ts'

/**
 * A further hop of a call or attempt, on another origin: a redirect between two layers of the kit has sent it there.
 * What is kept per origin is then the other one's; the verdict is the call's as before.
 */
class Hop extends CallScope {
  readonly exchange: Exchange
  private readonly from: CallScope
  private readonly wasSent: boolean

  constructor(from: CallScope, origin: string) {
    super(from.number, origin, from.exchange.now())
    this.exchange = from.exchange
    this.from = from
    this.wasSent = from.sent
    this.forked = from.forked
    this.attemptTimers = from.attemptTimers
    this.bodyTimers = from.bodyTimers
    // A foreign layer may lie between the edge that has the call or attempt and the one that will have the hop.
    this.edge = from.edge
    this.traceId = from.traceId
    this.spanId = from.spanId
    this.trace = from.trace
  }

  override reach(edge: Edge): void {
    super.reach(edge)
    this.from.reach(edge)
  }

  override tellHead(): void {
    this.from.adopt(this)
  }

  override branch(attempt: CallScope): void {
    this.from.branch(attempt)
  }

  /** Whoever may send the call again, or not, asks the call. */
  override noteSent(): void {
    super.noteSent()
    this.from.noteSent()
  }

  override adopt(attempt: CallScope): void {
    super.adopt(attempt)
    if (attempt.sent) this.from.noteSent()
  }

  override takeBackSent(before: boolean): void {
    super.takeBackSent(before)
    if (!before) this.from.takeBackSent(this.wasSent)
  }

  /** Whoever refused it knows best; the error alone may not tell. */
  override refuse(error: unknown): Outcome {
    this.outcome = this.from.refuse(error)
    return this.outcome
  }

  override noteQueued(milliseconds: number): void {
    this.from.noteQueued(milliseconds)
  }

  override noteUnread(): void {
    super.noteUnread()
    this.from.noteUnread()
  }

  /** What is noted of a hop is noted of the call or attempt: that is what logs and spans tell of. */
  override note(name: string, value: string | number | boolean): void {
    this.from.note(name, value)
  }
}

/** The options of a dispatch that a layer of the kit sends on to `origin`, in the place of what the call names. */
export function hopTo(opts: ScopedOptions, from: CallScope, origin: string): ScopedOptions {
  const hop = new Hop(from, origin)
  from.branch(hop)
  const sent = withScope(opts, hop)
  sent.origin = origin
  return sent
}

// What was added for a call from `from` is left out where the dispatch goes to another origin that may not have it.
function allowed<Options extends ScopedOptions>(given: Options, from: string): Options {
  const origin = originOf(given)
  if (origin === from || origin === '') return given
  // dns() writes an address in place of the name, and says so by the servername.
  const { servername } = given as { servername?: unknown }
  return withoutCarried(given, servername === undefined ? origin : namedOrigin(given, origin, servername))
}

/** The options of a dispatch that belongs to `scope`: as they are, or with a scope of their own on another origin. */
export function onHop(given: ScopedOptions, scope: CallScope): ScopedOptions {
  const origin = originOf(given)
  if (origin === scope.origin || origin === '') return given
  // A group has sent it to a host of its own, next to what it took for the transport.
  if (origin === scope.host) return hopTo(given, scope, origin)
  const kept = allowed(given, scope.origin)
  return (given as { servername?: unknown }).servername === undefined ? withScope(kept, new Hop(scope, origin)) : kept
}

/**
 * The options of a dispatch that is a call of its own. A foreign layer may make it for one that is over (a cache's
 * revalidation), and send that on to another origin as well.
 */
export function callOf<Options extends ScopedOptions>(given: Options): Options {
  const before = given[kScope]
  return withSteadyHeaders(before === undefined ? given : allowed(given, before.origin))
}

// A servername alone may be that of a host that a redirect has left; dns() writes the name into the host header as well.
function namedOrigin(given: ScopedOptions, origin: string, servername: unknown): string {
  const host = headerOf(given.headers, 'host')
  const scheme = origin.slice(0, origin.indexOf(':'))
  const named = typeof host === 'string' ? URL.parse(`${scheme}://${host}`) : null
  return named !== null && named.hostname === servername ? named.origin : origin
}

/** The scope that {@link onHop} has put on the options, or else the one they came with. */
export function scopeOn(opts: ScopedOptions, given: CallScope): CallScope {
  const own = opts[kScope]
  return own instanceof CallScope ? own : given
}
