import { lane, type TimerEntry, type TimerLane } from './clock.ts'
import { RateLimitedError } from './errors.ts'
import type { Outcome } from './outcome.ts'
import type { Permit, Scope, Waiting } from './policy.ts'
import type { RateLimitSettings } from './rate-limit-options.ts'
import { type QueueOwner, RateQueue, RateWaiter } from './rate-limit-queue.ts'
import { type Rate, rateOf } from './rates.ts'
import { mayHoldBack, ServerQuota } from './server-quota.ts'

// A timer fires up to two milliseconds after its time, a fraction of one that it cannot count included. A bucket makes up
// for that, or one of 100 calls a second would let 86 out.
const latestTimer = 2

/**
 * The limit of one origin, or of one key: admits a call, lets it wait its turn, or refuses it with a
 * {@link RateLimitedError} that says how long it would have to wait.
 *
 * A wait is known beforehand, since calls go in order and the rate is known. So one that would end after the call's
 * deadline, or after `queueTimeout`, is refused at once. Whoever comes later with a higher priority can make it longer: then
 * the deadline, or the timeout, ends it.
 */
export class RateLimiter implements Permit, TimerEntry, QueueOwner {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  /** Calls that went, since the limiter began. */
  admitted = 0
  refused = 0
  shadowRefused = 0
  protected settings: RateLimitSettings
  protected readonly key: string
  protected readonly queue = new RateQueue()
  protected readonly server: ServerQuota | null
  private readonly rate: Rate
  private timers: TimerLane | null = null
  // When the turn of whoever is next comes.
  private dueAt = 0
  // Calls that went and have no head yet; counted only where heads are read.
  private unanswered = 0

  constructor(settings: RateLimitSettings, key: string) {
    this.settings = settings
    this.key = key
    this.rate = rateOf(settings.algorithm, settings)
    this.server = settings.serverHeaders ? new ServerQuota() : null
  }

  /** Calls that wait. */
  get queued(): number {
    return this.queue.size
  }

  /** Those among them that count against the queue's bound. */
  protected get waiting(): number {
    return this.queue.size
  }

  /** Whether nobody waits, and no answer is awaited that could hold further calls back. */
  get idle(): boolean {
    return this.queue.size === 0 && this.unanswered === 0
  }

  /** Milliseconds until a call that came now would go. */
  waitFor(now: number): number {
    return this.waitAt(this.queue.size, now)
  }

  /** How many calls could go at once now. */
  available(now: number): number {
    if (this.queue.size > 0) return 0
    const { server } = this
    return Math.min(this.rate.available(now), server === null ? Number.POSITIVE_INFINITY : server.available(now))
  }

  /** Milliseconds for which the server's headers hold calls back. */
  pausedFor(now: number): number {
    return this.server === null ? 0 : this.server.waitFor(now, 0)
  }

  /** Goes on under other settings; whoever waits keeps the place, and the time it was given for it. */
  adopt(settings: RateLimitSettings, now: number): void {
    const { shadow } = this.settings
    this.settings = settings
    this.rate.adopt(settings, now)
    this.server?.bound(now, settings.maxServerWait)
    if (settings.shadow !== shadow) this.letGo(now)
    if (this.queue.size === 0) return
    this.refuseHopeless(now)
    this.serve(now)
  }

  // A queue holds calls, or in shadow their places only: what stands in it goes when that changes. Calls go on at once, and
  // the places of calls that went long ago hold up nobody.
  private letGo(now: number): void {
    for (const waiter of this.queue) {
      this.queue.remove(waiter)
      waiter.admit(waiter.isShadow ? null : this.go(now), now)
    }
    this.disarm()
  }

  /** Asks for admission at `now`, in milliseconds of `performance.now()`. */
  acquire(scope: Scope, now: number): Permit | Waiting | null {
    // Nobody overtakes: while one waits, all do.
    if (this.queue.size === 0 && this.pausedFor(now) === 0 && this.rate.take(now)) return this.go(now)
    return this.later(scope, now)
  }

  /** A call goes now. */
  protected go(now: number): Permit | null {
    this.server?.take(now)
    return this.holds()
  }

  // What a call that goes holds: nothing, unless its head has to be read.
  private holds(): Permit | null {
    this.admitted++
    if (this.server === null) return null
    this.unanswered++
    return this
  }

  /** The call has to wait, or is refused. */
  protected later(scope: Scope, now: number): Permit | Waiting | null {
    const { priority } = scope.exchange
    const wait = this.waitAt(this.queue.ahead(priority), now)
    const why = this.whyNot(scope, wait, now)
    const isFull = why === null && this.waiting >= this.settings.queue
    // A full queue gives up its last place to a call that matters more.
    const behind = isFull ? this.queue.last : null
    if (behind !== null && behind.priority > priority) {
      this.queue.remove(behind)
      this.refuse(behind, this.waitAt(this.queue.size, now), 'a more important call took its place')
    } else if (why !== null || isFull) {
      return this.turnAway(scope, wait, why ?? 'the queue is full', now)
    }
    return this.enqueue(scope, wait, now)
  }

  protected enqueue(scope: Scope, wait: number, now: number): Permit | Waiting | null {
    const waiter = new RateWaiter(this, scope, this.settings, now)
    this.queue.push(waiter)
    this.arm(now)
    if (!waiter.isShadow) return waiter
    scope.note('ratelimit.shadow_wait_ms', Math.ceil(wait))
    return this.holds()
  }

  /** Refuses a call that does not wait yet; in shadow it only says so. */
  protected turnAway(scope: Scope, wait: number, why: string, now: number): Permit | null {
    scope.note('ratelimit.retry_after_ms', Math.ceil(wait))
    if (!this.settings.shadow) {
      this.refused++
      throw this.refusal(scope, wait, why)
    }
    this.shadowRefused++
    scope.note('ratelimit.shadow', why)
    // The server counts it, whatever we do.
    return this.go(now)
  }

  private refusal({ origin }: Scope, wait: number, why: string): RateLimitedError {
    const { limit, window } = this.settings
    const message = `the rate limit of ${this.key} (${limit} in ${window} ms): ${why}; the next call may go in ${Math.ceil(wait)} ms`
    return new RateLimitedError(message, { origin, retryAfter: wait })
  }

  /** Refuses a call that waited, and has left the queue. */
  protected refuse(waiter: RateWaiter, wait: number, why: string): void {
    const { scope } = waiter
    if (waiter.isShadow) {
      this.shadowRefused++
      scope.note('ratelimit.shadow', why)
    } else {
      this.refused++
      scope.note('ratelimit.retry_after_ms', Math.ceil(wait))
    }
    waiter.refuse(this.refusal(scope, wait, why))
  }

  /** Why a call may not wait so long, or `null`. */
  private whyNot(scope: Scope, wait: number, now: number): string | null {
    const { queue, queueTimeout } = this.settings
    if (queue === 0) return 'none may wait'
    if (wait > queueTimeout) return `its turn would not come within ${queueTimeout} ms`
    if (now + wait >= scope.exchange.deadlineAt) return 'its turn would not come before its deadline'
    return null
  }

  /** Milliseconds until the call after `ahead` others may go. */
  protected waitAt(ahead: number, now: number): number {
    const { server } = this
    if (server === null) return this.rate.waitFor(now, ahead)
    // Whichever of the two is slower, from the time on at which the server wants the next one.
    const pause = server.waitFor(now, 0)
    return Math.max(server.waitFor(now, ahead), pause + this.rate.waitFor(now + pause, ahead))
  }

  /** Admits whoever's turn has come. */
  protected serve(now: number): void {
    const due = Math.min(now, Math.max(this.dueAt, now - latestTimer))
    for (let first = this.queue.first; first !== null; first = this.queue.first) {
      if (this.pausedFor(now) > 0 || !this.rate.take(now, due)) break
      this.admitFirst(first, now)
    }
    this.arm(now)
  }

  protected admitFirst(first: RateWaiter, now: number): void {
    this.queue.remove(first)
    this.server?.take(now)
    // In shadow the call has gone, and holds what it holds, since it came.
    first.admit(first.isShadow ? null : this.holds(), now)
  }

  /** One timer for the whole queue: for whoever is next. */
  protected arm(now: number): void {
    this.disarm()
    const { first } = this.queue
    if (first === null) return
    const wait = this.waitAt(0, now)
    this.dueAt = now + wait
    this.timers = lane(wait, !first.isShadow)
    this.timers.add(this, now)
  }

  protected disarm(): void {
    this.timers?.remove(this)
    this.timers = null
  }

  onTimer(): void {
    this.timers = null
    this.serve(performance.now())
  }

  timedOut(waiter: RateWaiter): void {
    this.queue.remove(waiter)
    const why = `its turn did not come within ${waiter.patience} ms`
    this.refuse(waiter, this.waitFor(performance.now()), why)
    if (this.queue.size === 0) this.disarm()
  }

  left(waiter: RateWaiter, wasAdmitted: boolean): void {
    const now = performance.now()
    if (!wasAdmitted) {
      this.queue.remove(waiter)
      if (this.queue.size === 0) this.disarm()
      return
    }
    // Its turn is the next one's. Where nobody waits it is lost: taken back, it could be given out twice in one window.
    this.admitted--
    if (this.server !== null) this.unanswered--
    const { first } = this.queue
    if (first === null) return
    this.queue.remove(first)
    first.admit(first.isShadow ? null : this.holds(), now)
    if (this.queue.size === 0) this.disarm()
  }

  head({ status, headers }: Outcome, scope: Scope): void {
    this.unanswered--
    if (status === undefined || headers === undefined || !mayHoldBack(status, headers)) return
    this.hear(status, headers, scope)
  }

  // The server may have something to say of its own limits.
  private hear(status: number, headers: NonNullable<Outcome['headers']>, scope: Scope): void {
    if (this.server === null) return
    const now = performance.now()
    const { maxServerWait } = this.settings
    const wait = this.server.tell(status, headers, now, this.unanswered, maxServerWait)
    if (wait > 0) scope.note('ratelimit.server_wait_ms', Math.ceil(wait))
    if (this.queue.size > 0) {
      if (wait > 0) this.refuseHopeless(now)
      this.serve(now)
    }
  }

  settle(outcome: Outcome): void {
    if (outcome.phase === 'before-head') this.unanswered--
  }

  /** Turns have moved away: whose time is up before its own need not wait for it. */
  protected refuseHopeless(now: number): void {
    let ahead = 0
    for (const waiter of this.queue) {
      const wait = this.waitAt(ahead, now)
      const { scope, since, patience } = waiter
      if (now + wait < scope.exchange.deadlineAt && now + wait - since <= patience) {
        ahead++
        continue
      }
      this.queue.remove(waiter)
      this.refuse(waiter, wait, 'its turn would come too late')
    }
  }
}
