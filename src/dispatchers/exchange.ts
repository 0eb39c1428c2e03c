import { AsyncResource } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { lane, type TimerLane } from '../policies/clock.ts'
import {
  type Classify,
  isJudgement,
  kindOfError,
  kindOfStatus,
  type Outcome,
  type OutcomeKind,
  type OutcomePhase,
  statusOfError,
} from '../policies/outcome.ts'
import type { ExchangeScope, Scope } from '../policies/policy.ts'
import type { RetryBudget } from '../policies/retry-budget.ts'
import { type AttemptObserver, ObserverPair } from './attempt-observer.ts'
import { type CallOptions, callOptionsProblem, rankOf } from './call-options.ts'
import type { Edge } from './edge.ts'
import { headKind, JudgedOutcome } from './judged-outcome.ts'
import { originOf } from './origin-of.ts'
import type { PeerInfo } from './peers.ts'

/** The current scope travels on the dispatch options under this one key; it survives undici's own interceptors. */
export const kScope: unique symbol = Symbol('roundtripper.scope')

export type { CallOptions }

/** Dispatch options as they are between two layers of the kit. */
export interface ScopedOptions extends Dispatcher.DispatchOptions {
  readonly resilience?: CallOptions
  [kScope]?: ScopeHolder
}

/** What travels under {@link kScope}: a scope, or what makes one when somebody asks for it. */
export interface ScopeHolder {
  /** The call is over: a dispatch that still carries it (a cache's revalidation) is a call of its own. */
  readonly callIsOver: boolean
  readonly asScope: CallScope
  /** That it was made for. */
  readonly origin: string
}

/** What one verdict is about: the call itself, or one of its attempts. Layers of the kit share it; see {@link Scope}. */
export abstract class CallScope implements Scope, ScopeHolder {
  abstract readonly exchange: Exchange
  readonly number: number
  readonly origin: string
  readonly beganAt: number
  outcome: Outcome | null = null
  sent = false
  startedAt = 0
  headAt = 0
  queuedMs = 0
  protocol: string | undefined = undefined

  /** Who aborted, noted before the abort is passed on, so that nobody has to guess from the error. */
  abortedAs: OutcomeKind | null = null
  /** The attempt's response is not wanted any more: its verdict stands, whatever still happens to its body. */
  discarded = false
  /** Nobody has read the body for `unreadBodyTimeout`: what was held for it is given back. */
  bodyUnread = false
  /** Where the edge counts how long the attempt takes up to its head; `null`: no bound. */
  attemptTimers: TimerLane | null = null
  /** Where the edge counts how long the body stands still while it is read; `null`: no bound. */
  bodyTimers: TimerLane | null = null
  /** The edge that hands this scope to the transport: the innermost one, where there are several. */
  edge: Edge | null = null
  /** It has attempts of its own, made by a layer below: what became of it is what became of one of them. */
  forked = false
  /** The attempt whose answer, or failure, it took over; `null` where it has none of its own, or not yet. */
  decidedBy: CallScope | null = null
  /** The host of a group that it was sent to, as an origin; `undefined` where nobody chose one. */
  host: string | undefined = undefined
  /** Milliseconds of backoff before this attempt. */
  backoffBefore = 0
  /** What policies left for logs and spans; `null` where none did. */
  notes: Map<string, string | number | boolean> | null = null
  /** The connection's other end, where the transport tells; noted for whoever traces only. */
  peer: PeerInfo | undefined = undefined
  /** Set by the tracing layer for whoever logs. */
  traceId: string | undefined = undefined
  spanId: string | undefined = undefined
  /** The tracing layer's own record of this scope. */
  trace: object | null = null

  // TypeScript's private, here and in all classes made per call: a #field costs four times as much to set up.
  private aborter: AbortController | null = null

  constructor(number: number, origin: string, beganAt: number) {
    this.number = number
    this.origin = origin
    this.beganAt = beganAt
  }

  get callIsOver(): boolean {
    const { exchange } = this
    return exchange.done || exchange.isServed
  }

  get asScope(): CallScope {
    return this
  }

  /** Milliseconds of `performance.now()`. */
  now(): number {
    return this.exchange.now()
  }

  get signal(): AbortSignal {
    this.aborter ??= new AbortController()
    return this.aborter.signal
  }

  note(name: string, value: string | number | boolean): void {
    this.notes ??= new Map()
    this.notes.set(name, value)
  }

  /** The innermost attempt that decided this scope: itself, where nobody forked. */
  get decisive(): CallScope {
    let found: CallScope = this
    while (found.decidedBy !== null) found = found.decidedBy
    return found
  }

  /** A layer further in makes an attempt of this one. */
  branch(_attempt: CallScope): void {}

  /** An edge has it now: one further in than those before, or a later one. */
  reach(edge: Edge): void {
    this.edge = edge
  }

  /** Something of it goes out. */
  noteSent(): void {
    this.sent = true
  }

  /** What went out last has provably reached nobody; `before`: something had gone out already then. */
  takeBackSent(before: boolean): void {
    this.sent = before
  }

  /** It has waited for a policy of ours. */
  noteQueued(milliseconds: number): void {
    this.queuedMs += milliseconds
  }

  noteUnread(): void {
    this.bodyUnread = true
  }

  /** Takes over what an attempt came to: its answer, or failure, is the call's. */
  adopt(attempt: CallScope): void {
    this.outcome = attempt.outcome
    this.sent = attempt.sent
    this.startedAt = attempt.startedAt
    this.headAt = attempt.headAt
    this.protocol = attempt.protocol
    this.host = attempt.host
    this.peer = attempt.peer
  }

  /** The response head has come: a hop tells whom it was made for. */
  tellHead(): void {}

  /** Tells policies that wait on a promise that the call was given up. */
  abortSignal(reason: unknown): void {
    this.aborter?.abort(reason)
  }

  /** The verdict on a response head; asked again with the same head it answers the same object. */
  judgeHead(status: number, headers: IncomingHttpHeaders): Outcome {
    const known = this.outcome
    if (known !== null && known.status === status && known.headers === headers) return known
    const headMs = this.headAt === 0 ? undefined : this.headAt - this.startedAt
    const kind = this.exchange.kindOf(status, headers, undefined, headKind(status, headers))
    this.outcome = new JudgedOutcome(kind, 'head', status, headers, undefined, headMs)
    return this.outcome
  }

  /**
   * The verdict on an error; asked again with the same error it answers the same object. `headSeen`: a head had come as
   * far as whoever asks. A foreign layer further in may have kept it (undici's `responseError`, its retry).
   */
  judgeError(error: unknown, headSeen: boolean): Outcome {
    const known = this.outcome
    const phase: OutcomePhase = headSeen ? 'body' : 'before-head'
    if (known !== null && known.error === error && known.phase === phase && error !== undefined) return known
    // A head that came no further than to a foreign layer (a redirect's, that of an attempt of undici's) is not this one's.
    const status = (headSeen ? known?.status : undefined) ?? statusOfError(error)
    const headers = status === undefined ? undefined : known?.headers
    const headMs = status === undefined || this.headAt === 0 ? undefined : this.headAt - this.startedAt
    this.outcome = new JudgedOutcome(this.judgeKind(error), phase, status, headers, error, headMs)
    return this.outcome
  }

  /** A refusal by a policy: nothing was sent. */
  refuse(error: unknown): Outcome {
    const kind = kindOfError(error)
    const refusal = kind === 'networkError' || kind === 'invalid' ? 'shed' : kind
    this.outcome = new JudgedOutcome(refusal, 'before-head', undefined, undefined, error, undefined)
    return this.outcome
  }

  private judgeKind(error: unknown): OutcomeKind {
    const { exchange } = this
    const aborted = this.abortedAs ?? exchange.abortedAs
    // A timeout of ours is a server's doing, and the user may judge it; who else gave up is a fact.
    if (aborted !== null && aborted !== 'timeout') return aborted
    const status = statusOfError(error)
    if (status !== undefined) return kindOfStatus(status)
    // A policy's own timeout (cockatiel's) has no code of ours.
    const kind = aborted ?? kindOfError(error)
    // An agent that is destroyed destroys the bodies it was sending with the same error.
    if (kind !== 'closed' && exchange.isCallersFault(error)) return 'invalid'
    if (kind !== 'networkError' && kind !== 'timeout') return kind
    return exchange.kindOf(undefined, undefined, error, kind)
  }
}

const normal = rankOf()

/** The call: scope 0, and what all its attempts share. Made by the outermost layer of the kit that the call meets. */
export class Exchange extends CallScope implements ExchangeScope {
  readonly method: string
  readonly path: string
  readonly query: Dispatcher.DispatchOptions['query']
  /** That of the call's options, or else what a layer has found out. */
  priority: number = normal
  /** What the caller gave for this call in place of what a `deadline()` says; `undefined`: nothing. */
  readonly ownDeadline: CallOptions['deadline'] = undefined
  /** The same in place of what an `attemptTimeout()` says. */
  readonly ownAttemptTimeout: CallOptions['attemptTimeout'] = undefined
  attempts = 0
  /** Those of them that were another call's, in whose place this one is. */
  attemptsBefore = 0
  /** What retry() alone, and hedge() alone, would send on top of the first attempt. */
  retries = 0
  hedges = 0
  /** Attempts that are decided and wait for their backoff to end. */
  backingOff = 0
  deadlineAt = Number.POSITIVE_INFINITY
  backoffMs = 0
  classify: Classify | null = null
  observer: AttemptObserver | null = null
  /** The outermost edge that took headers of one connection out of the request; see `connection-headers.ts`. */
  takenBy: Edge | null = null
  /** The error of the last attempt that was given up for another one. */
  lastError: unknown = undefined
  /** The tracing layer's own record of the attempt before. */
  previousTrace: object | null = null
  /** The name of the route that took it; `undefined` where none with a name did. */
  route: string | undefined = undefined
  done = false
  /** The hosts of groups that it was sent to, in this attempt or another; see `tried-hosts.ts`. */
  firstHost: object | null = null
  otherHosts: Set<object> | null = null
  /** What layers have decided once for all attempts: a layer and its decision, in turns; see `decisions.ts`. */
  decisions: unknown[] | null = null
  /** The retry budget that has counted this call first. */
  budget: RetryBudget | null = null
  /** Others that did, and where a redirect has sent it: a budget and an origin, in turns. */
  private otherBudgets: unknown[] | null = null
  /** Callbacks of a connection run in the context of whoever opened it; what is the caller's runs in this one. */
  readonly context: AsyncResource
  /**
   * The time, while the dispatch of this call runs synchronously from layer to layer; 0 outside. Reading the clock costs
   * as much as a layer, and in one synchronous run it tells every layer the same.
   */
  runningAt: number
  private callersError: unknown = undefined

  /** `context`: that of a call which has begun already, at `beganAt`. */
  constructor(opts: Dispatcher.DispatchOptions, beganAt = performance.now(), context: AsyncResource | null = null) {
    super(0, originOf(opts), beganAt)
    this.runningAt = beganAt
    this.method = opts.method
    this.path = opts.path
    this.query = opts.query
    this.context = context ?? newContext()
    const { resilience } = opts as ScopedOptions
    if (resilience === undefined) return
    if (callOptionsProblem(resilience) !== null) {
      // The check at the edge refuses it, where logs and spans see it; until then it is in nobody's way.
      this.priority = rankOf('sheddable')
      return
    }
    const { attemptTimeout } = resilience
    this.priority = rankOf(resilience.priority)
    this.ownDeadline = resilience.deadline
    this.ownAttemptTimeout = attemptTimeout
    if (typeof attemptTimeout === 'number') this.attemptTimers = lane(attemptTimeout)
  }

  get exchange(): Exchange {
    return this
  }

  /** Its answer came from a layer between two of the kit, and nothing was sent for it: a cache served it. */
  get isServed(): boolean {
    const { outcome, edge } = this
    return outcome?.phase === 'head' && edge?.isOverForeign === true && this.attempts === 0
  }

  /** Whether one more may be sent: retry and hedge together send no more than what each of them would add alone. */
  get mayRepeat(): boolean {
    const { retries, hedges } = this
    if (retries === 0 || hedges === 0) return true
    return this.attempts - this.attemptsBefore + this.backingOff < 1 + retries + hedges
  }

  /** Goes on with the call where something held it up: in the caller's async context, not in that of whoever woke it. */
  run<This, Args extends unknown[]>(step: (this: This, ...args: Args) => void, self: This, ...args: Args): void {
    this.runningAt = performance.now()
    try {
      this.context.runInAsyncScope(step, self, ...args)
    } finally {
      this.runningAt = 0
    }
  }

  override now(): number {
    return this.runningAt === 0 ? performance.now() : this.runningAt
  }

  /** Counts the call in a retry budget, once for each origin it goes to, unless a layer that shares it has done so. */
  countIn(budget: RetryBudget, scope: CallScope): void {
    const { origin } = scope
    if (this.budget === budget && origin === this.origin) return
    if (this.budget === null && origin === this.origin) this.budget = budget
    else {
      this.otherBudgets ??= []
      const known = this.otherBudgets
      for (let at = 0; at < known.length; at += 2) if (known[at] === budget && known[at + 1] === origin) return
      known.push(budget, origin)
    }
    budget.deposit(scope, this.now())
  }

  /** Notes an error that comes from the caller: from the request body, or thrown by the consumer of the response. */
  blameCaller(error: unknown): void {
    this.callersError = error
  }

  isCallersFault(error: unknown): boolean {
    const known = this.callersError
    if (known === undefined) return false
    return error === known || (error instanceof Error && error.cause === known)
  }

  kindOf(
    status: number | undefined,
    headers: IncomingHttpHeaders | undefined,
    error: unknown,
    byDefault: OutcomeKind,
  ): OutcomeKind {
    const { classify } = this
    if (classify === null) return byDefault
    try {
      const seen = { status, headers, error }
      // Heads come through an edge, which has gone over to the caller's context already.
      const isHead = error === undefined
      const kind: unknown = isHead ? classify(seen) : this.context.runInAsyncScope(classify, undefined, seen)
      return isJudgement(kind) ? kind : byDefault
    } catch {
      return byDefault
    }
  }

  addObserver(observer: AttemptObserver): void {
    this.observer = this.observer === null ? observer : new ObserverPair(this.observer, observer)
  }
}

const contextOptions = { requireManualDestroy: true }

/** The caller's async context, for all that is called later. */
export function newContext(): AsyncResource {
  return new AsyncResource('roundtripper.exchange', contextOptions)
}

/** The scope a dispatch belongs to, or `null` where the layer is the first of the kit that it meets. */
export function scopeOf(opts: Dispatcher.DispatchOptions): CallScope | null {
  const holder = (opts as ScopedOptions)[kScope]
  return holder === undefined || holder.callIsOver ? null : holder.asScope
}

/** A copy of the options that carries `scope`; the caller's own are never changed. */
export function withScope(opts: Dispatcher.DispatchOptions, scope: ScopeHolder): ScopedOptions {
  // In two steps: a literal with spread and symbol is five times slower on options that have the symbol already.
  const copy: ScopedOptions = { ...opts }
  copy[kScope] = scope
  return copy
}
