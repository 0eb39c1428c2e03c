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
import type { CallPlan } from './call-plan.ts'
import { type CallScope, kScope, type ScopedOptions } from './exchange.ts'
import { GuardedCall } from './guarded-call.ts'
import { withHeader } from './headers.ts'
import type { HealthChecks } from './health-checks.ts'
import { hopTo } from './hop.ts'
import { isMarked } from './repeating-call.ts'
import { type BodyBranch, type RecordedBody, recordBody } from './replay.ts'
import { hasTried, noteHost } from './tried-hosts.ts'

/** What all calls of one `balance()` share, and `update()` changes. */
export interface BalancePlan {
  name: string
  key: BalanceOptions['key']
  readonly group: HostGroup
  /** What asks the hosts how they are; `null`: nobody does. */
  checks: HealthChecks | null
  /** What looks the hosts up, where they are not given. */
  lookup: HostLookup | null
}

const keyWarning = { layer: 'balance', otherwise: 'go to hosts by chance', code: 'ROUNDTRIPPER_BALANCE_KEY' } as const

/**
 * One call, or attempt, on its way to one host of a group: it is the guard of the stages above as well. Where the host's own
 * layers refuse it, or it cannot be reached, so that nothing was sent, it goes on to another host.
 */
export class BalancedCall extends GuardedCall implements GroupedCall {
  private readonly balancing: BalancePlan
  private host: Host | null = null
  private hop: CallScope | null = null
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

  constructor(
    plan: CallPlan,
    balancing: BalancePlan,
    opts: ScopedOptions,
    handler: Dispatcher.DispatchHandler,
    scope: CallScope,
    owns: boolean,
  ) {
    super(plan, opts, handler, scope, owns)
    this.balancing = balancing
  }

  get isAgain(): boolean {
    return this.scope.exchange.firstHost !== null
  }

  hasTried(host: Host): boolean {
    return hasTried(this.scope.exchange, host)
  }

  get key(): string | undefined {
    const { key } = this.balancing
    if (key === undefined) return undefined
    return keyOf(key, this.opts, this.scope.origin, keyWarning, true) ?? undefined
  }

  get isRepeatable(): boolean {
    return (retryDefaults.methods as readonly string[]).includes(this.opts.method) || isMarked(this.opts)
  }

  protected override handOn(): boolean {
    const { group, name, checks, lookup } = this.balancing
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
    const { group } = this.balancing
    noteHost(scope.exchange, host)
    scope.host = host.origin
    this.host = host
    this.isJudged = false
    this.sentAt = scope.exchange.now()
    this.epoch = group.began(host, this.sentAt)
    if (host.standing === 'probing' && this.epoch !== 0) scope.note('balance.probe', true)
    if (group.isPanicking) scope.note('balance.panic', true)
    const sent = hopTo(this.opts, scope, host.origin)
    const hop = sent[kScope] as CallScope
    hop.host = host.origin
    this.hop = hop
    const { servername, authority } = host.spec
    if (servername !== undefined) (sent as { servername?: string }).servername = servername
    try {
      if (authority !== undefined) sent.headers = withHeader(sent.headers, 'host', authority)
      return this.plan.dispatch(sent, this)
    } catch (error) {
      if (this.nextHost === null) this.onResponseError(null, error as Error)
      return true
    }
  }

  private judge(outcome: Outcome, at = 0): void {
    const { host } = this
    if (host === null || this.isJudged) return
    this.isJudged = true
    const now = at === 0 ? this.scope.exchange.now() : at
    this.balancing.group.answered(host, outcome, this.epoch, now, now - this.sentAt)
  }

  private leave(): void {
    const { host } = this
    if (host === null) return
    this.host = null
    this.balancing.group.ended(host)
  }

  // Goes on to another host; `false` where there is none that the call has not tried.
  private goElsewhere(outcome: Outcome): boolean {
    const { group } = this.balancing
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
      this.balancing.group.broke(host, this.epoch, scope.exchange.now())
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
    if (this.host !== null) this.balancing.group.delivered(this.host, this.epoch)
    super.onResponseEnd(controller, trailers)
  }

  override onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    const { hop } = this
    if (hop !== null && !this.ended) {
      this.takeOverStart()
      if (!this.headSeen && !this.aborted) {
        const outcome = hop.outcome ?? hop.judgeError(error, false)
        if (mayGoElsewhere(outcome, hop) && (this.body?.replayable ?? true) && this.goElsewhere(outcome)) return
        // Who refused it knows best; the error alone may not tell.
        if (outcome.error === error) this.scope.outcome = outcome
      }
    }
    super.onResponseError(controller, error)
  }

  // When the hop began, the call or attempt did.
  private takeOverStart(): void {
    const { hop, scope } = this
    if (hop !== null && hop.startedAt !== 0) scope.startedAt = hop.startedAt
  }
}

// Whatever the method: nothing of the request has reached the host.
function mayGoElsewhere({ kind, phase }: Outcome, hop: CallScope): boolean {
  if (phase !== 'before-head') return false
  if (kind === 'shed') return true
  return kind === 'networkError' && !hop.sent
}
