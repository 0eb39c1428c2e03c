import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { BalanceOptions } from '../policies/balance-options.ts'
import { NoHostError } from '../policies/errors.ts'
import type { Host } from '../policies/host.ts'
import type { GroupedCall, HostGroup } from '../policies/host-group.ts'
import type { HostLookup } from '../policies/host-lookup.ts'
import { isFailure, type Outcome } from '../policies/outcome.ts'
import type { Waiting } from '../policies/policy.ts'
import { retryDefaults } from '../policies/retry.ts'
import { keyOf } from './call-key.ts'
import { type CallKeeper, CallPlan, type Stage } from './call-plan.ts'
import { Edge } from './edge.ts'
import { type CallScope, kScope, type ScopedOptions } from './exchange.ts'
import { GuardedCall } from './guarded-call.ts'
import { withHeader } from './headers.ts'
import type { HealthChecks } from './health-checks.ts'
import { hopTo } from './hop.ts'
import { isMarked } from './repeating-call.ts'
import { type BodyBranch, type RecordedBody, recordBody } from './replay.ts'
import { hasTried, noteHost } from './tried-hosts.ts'

/** What all calls of one `balance()` share, and `update()` changes. */
export interface Balancing {
  name: string
  key: BalanceOptions['key']
  readonly group: HostGroup
  /** What asks the hosts how they are; `null`: nobody does. */
  checks: HealthChecks | null
  /** What looks the hosts up, where they are not given. */
  lookup: HostLookup | null
}

const keyWarning = { layer: 'balance', otherwise: 'go to hosts by chance', code: 'ROUNDTRIPPER_BALANCE_KEY' } as const

/** What all calls of one `balance()` in one place of a chain share. */
export class BalancePlan extends CallPlan {
  readonly balancing: Balancing

  constructor(
    stages: readonly Stage[],
    dispatch: Dispatcher['dispatch'],
    keeper: CallKeeper | null,
    balancing: Balancing,
  ) {
    super(stages, dispatch, keeper)
    this.balancing = balancing
  }
}

type Call = ConstructorParameters<typeof GuardedCall>

/** Makes the calls of a plan. */
export type BalancedConstructor = new (
  plan: BalancePlan,
  ...rest: Call extends [CallPlan, ...infer Rest] ? Rest : never
) => GuardedCall

// A class that is extended by one that is not known yet has to be made so.
// biome-ignore lint/suspicious/noExplicitAny: TypeScript wants this very form
type Base = new (...args: any[]) => GuardedCall

/**
 * One call, or attempt, on its way to one host of a group: it is the guard of the stages above as well. Where the host's own
 * layers refuse it, or it cannot be reached, so that nothing was sent, it goes on to another host.
 */
function balanced(base: Base, isEdge: boolean) {
  return class extends base implements GroupedCall {
    declare protected readonly plan: BalancePlan
    private host: Host | null = null
    private hop: CallScope | null = null
    // As it came, for whichever host.
    private given: ScopedOptions | null = null
    private isJudged = false
    // Of which time of the host's the call is; see HostGroup.began().
    private epoch = 0
    private failovers = 0
    // A body that can be read once: untouched, it goes to another host as well.
    private body: RecordedBody | BodyBranch | null = null
    // The same, unless a layer further out that repeats has recorded it already.
    private ownBody: RecordedBody | null = null
    private sentAt = 0
    // Its host is being asked, on this very stack; and who is asked then, where that one has refused it at once.
    private isAsking = false
    private nextHost: Host | null = null

    get isAgain(): boolean {
      return this.scope.exchange.firstHost !== null
    }

    hasTried(host: Host): boolean {
      return hasTried(this.scope.exchange, host)
    }

    get key(): string | undefined {
      const { key } = this.plan.balancing
      if (key === undefined) return undefined
      return keyOf(key, this.opts, this.scope.origin, keyWarning, true) ?? undefined
    }

    get isRepeatable(): boolean {
      return (retryDefaults.methods as readonly string[]).includes(this.opts.method) || isMarked(this.opts)
    }

    protected override handOn(): boolean {
      const { group, name, checks, lookup } = this.plan.balancing
      const { scope } = this
      if (checks !== null && !checks.isRunning) checks.start(this.plan.dispatch)
      if (lookup !== null) {
        let waiting: Waiting | null
        try {
          waiting = lookup.ask(scope, scope.exchange.now())
        } catch (error) {
          return this.refused(error)
        }
        // It comes here again.
        if (waiting !== null) return this.queue(waiting)
      }
      const host = group.pick(this, scope.exchange.now())
      if (host === null) return this.refused(new NoHostError(`No host of ${name} to call`, { origin: scope.origin }))
      // Nothing of it is kept: once it has been read from, the call is this host's.
      const body = recordBody(this.opts, scope.exchange, 0)
      this.body = body
      if (body !== null && body !== (this.opts.body as unknown)) {
        this.ownBody = body as RecordedBody
        this.opts = { ...this.opts, body } as unknown as ScopedOptions
      }
      return this.sendTo(host)
    }

    // One after the other, and not each on the stack of the one before: a thousand hosts may refuse it at once.
    private sendTo(first: Host): boolean {
      let accepted = true
      this.isAsking = true
      for (let host: Host | null = first; host !== null && !this.ended; host = this.nextHost) {
        this.nextHost = null
        accepted = this.ask(host)
      }
      this.isAsking = false
      return accepted
    }

    private ask(host: Host): boolean {
      const { scope } = this
      const { group } = this.plan.balancing
      noteHost(scope.exchange, host)
      scope.host = host.origin
      this.host = host
      this.isJudged = false
      this.sentAt = scope.exchange.now()
      this.epoch = group.began(host, this.sentAt)
      if (host.standing === 'probing' && this.epoch !== 0) scope.note('balance.probe', true)
      if (group.isPanicking) scope.note('balance.panic', true)
      this.given ??= this.opts
      const sent = isEdge ? { ...this.given, origin: host.origin } : this.hopTo(host, this.given)
      const { servername, authority } = host.spec
      if (servername !== undefined) (sent as { servername?: string }).servername = servername
      this.opts = sent
      try {
        if (authority !== undefined) sent.headers = withHeader(sent.headers, 'host', authority)
        return super.handOn()
      } catch (error) {
        if (this.nextHost === null) this.onResponseError(null, error as Error)
        return true
      }
    }

    // What is below has a state of its own for each host.
    private hopTo(host: Host, given: ScopedOptions): ScopedOptions {
      const sent = hopTo(given, this.scope, host.origin)
      const hop = sent[kScope] as CallScope
      hop.host = host.origin
      this.hop = hop
      return sent
    }

    get target(): string {
      return this.host?.origin ?? this.scope.origin
    }

    private judge(outcome: Outcome, at = 0): void {
      const { host } = this
      if (host === null || this.isJudged) return
      this.isJudged = true
      const now = at === 0 ? this.scope.exchange.now() : at
      this.plan.balancing.group.answered(host, outcome, this.epoch, now, now - this.sentAt)
    }

    private leave(): void {
      const { host } = this
      if (host === null) return
      this.host = null
      this.plan.balancing.group.ended(host)
    }

    // Goes on to another host; `false` where there is none that the call has not tried.
    private goElsewhere(outcome: Outcome): boolean {
      const { group } = this.plan.balancing
      this.judge(outcome)
      this.leave()
      const { exchange } = this.scope
      const next = group.pick(this, exchange.now())
      if (next === null || hasTried(exchange, next)) return false
      this.body?.rewind()
      this.scope.outcome = null
      this.scope.note('balance.failovers', ++this.failovers)
      if (this.isAsking) this.nextHost = next
      else exchange.run(this.sendTo, this, next)
      return true
    }

    protected override tellHead(outcome: Outcome): void {
      // The edge has just read the clock.
      this.judge(outcome, this.scope.headAt)
      super.tellHead(outcome)
    }

    protected override settleAll(outcome: Outcome): void {
      const { host, scope } = this
      if (host !== null && outcome.phase === 'body' && isFailure(outcome.kind)) {
        this.plan.balancing.group.broke(host, this.epoch, scope.exchange.now())
      }
      this.judge(outcome)
      this.leave()
      super.settleAll(outcome)
    }

    protected override finish(): void {
      super.finish()
      if (this.ownBody === null) return
      if (this.aborted || this.scope.outcome?.error !== undefined) this.ownBody.abandon()
      else this.ownBody.end()
    }

    override stop(reason: Error): void {
      const { hop, scope } = this
      if (hop !== null) {
        hop.abortedAs ??= scope.abortedAs
        hop.discarded = scope.discarded
      }
      super.stop(reason)
    }

    override onResponseStart(
      controller: Dispatcher.DispatchController,
      status: number,
      headers: IncomingHttpHeaders,
      message?: string,
    ): void {
      if (status >= 200) this.takeOverStart()
      super.onResponseStart(controller, status, headers, message)
    }

    override onRequestUpgrade(
      controller: Dispatcher.DispatchController,
      status: number,
      headers: IncomingHttpHeaders,
      socket: Duplex,
    ): void {
      this.takeOverStart()
      super.onRequestUpgrade(controller, status, headers, socket)
    }

    override onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
      if (this.host !== null) this.plan.balancing.group.delivered(this.host, this.epoch)
      super.onResponseEnd(controller, trailers)
    }

    protected override goesOn(error: Error): boolean {
      // No host has been asked, or it is known how the call ends.
      if (this.given === null || this.headSeen || this.aborted) return false
      this.takeOverStart()
      const { scope } = this
      const judged = this.hop ?? scope
      const outcome = judged.outcome ?? judged.judgeError(error, false)
      if (mayGoElsewhere(outcome, judged) && (this.body?.replayable ?? true) && this.goElsewhere(outcome)) return true
      // Who refused it knows best; the error alone may not tell.
      if (outcome.error === error) scope.outcome = outcome
      return false
    }

    // When the hop began, the call or attempt did.
    private takeOverStart(): void {
      const { hop, scope } = this
      if (hop !== null && hop.startedAt !== 0) scope.startedAt = hop.startedAt
    }
  }
}

/** Over layers that have a state for each host. */
export const BalancedCall: BalancedConstructor = balanced(GuardedCall, false)

/** Next to the transport: it is the edge as well. */
export const BalancedEdge: BalancedConstructor = balanced(Edge, true)

// Whatever the method: nothing of the request has reached the host.
function mayGoElsewhere({ kind, phase }: Outcome, scope: CallScope): boolean {
  if (phase !== 'before-head') return false
  if (kind === 'shed') return true
  return kind === 'networkError' && !scope.sent
}
