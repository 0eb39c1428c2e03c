import { AsyncResource } from 'node:async_hooks'
import { lane, type TimerEntry, type TimerLane } from './clock.ts'
import { NoHostError } from './errors.ts'
import { checkHosts, type HostSpec } from './host.ts'
import { foundIn, type HostAnswer, type HostFunction, type HostSource } from './host-source.ts'
import { checkNumber } from './options.ts'
import type { Permit, Scope, Waiting } from './policy.ts'

/** Who is told what look-ups of hosts have found. */
export interface LookupListener {
  /** These are the hosts from now on; none: nobody serves the group. */
  found(hosts: readonly HostSpec[], now: number): void
  /** The first look-up after a good one that failed: the hosts that are known are used on. */
  failed(error: unknown): void
}

/** How a {@link HostLookup} looks hosts up. */
export interface LookupSettings {
  /** Who is looked for, in errors. */
  readonly name: string
  /** Milliseconds that a list holds which says nothing of its own. */
  readonly refresh: number
}

// Milliseconds. As long a call waits for hosts where none are known, and a look-up has before another one may begin.
const longestLookup = 10_000
// As long it waits where hosts are known, but for so long that they may all be gone.
const longestRefresh = 1_000
// So many times the time for which a list holds, and at least so long, make it that old.
const oldTimes = 10
const oldFrom = 5_000
// After a look-up that failed, until the next one: doubled each time.
const firstBackoff = 100
const longestBackoff = 5_000

// A look-up is for all calls: it does not run in the async context of the one that happened to begin it.
const outside = new AsyncResource('roundtripper.HostLookup')

function isPromiseLike(answer: HostAnswer | PromiseLike<HostAnswer>): answer is PromiseLike<HostAnswer> {
  return typeof (answer as Partial<PromiseLike<HostAnswer>> | null)?.then === 'function'
}

/**
 * Knows the hosts of a source, and when to look them up again: calls drive it, there is no timer that does. A call that
 * finds the list older than its time begins a look-up and goes on with what is known (RFC 5861: stale-while-revalidate); where
 * look-ups fail, what is known is used on (RFC 8767: serve-stale). Calls wait where nothing is known yet, and for a moment
 * where the list is very old, as after a night without a call.
 */
export class HostLookup {
  settings: LookupSettings
  readonly source: HostFunction | HostSource
  private readonly listener: LookupListener
  private readonly waiters = new Set<HostWaiter>()
  private hasHosts: boolean
  private ttl: number | undefined = undefined
  private foundAt = Number.NEGATIVE_INFINITY
  private staleAt = Number.NEGATIVE_INFINITY
  // Look-ups begun, and the newest of them that has come to its end.
  private begun = 0
  private over = 0
  private begunAt = 0
  /** When the next one may begin, after one that failed. */
  private againAt = Number.NEGATIVE_INFINITY
  private failures = 0
  private error: unknown = undefined
  // A call has waited in vain for a newer list than the old one: the others do not.
  private isSlow = false
  private isClosed = false

  /** `hasHosts`: there are some already, of an earlier source; they are used where this one fails. */
  constructor(
    source: HostFunction | HostSource,
    settings: LookupSettings,
    hasHosts: boolean,
    listener: LookupListener,
  ) {
    this.source = source
    this.settings = settings
    this.hasHosts = hasHosts
    this.listener = listener
  }

  /**
   * Asked by each call before its host is chosen. `null`: there are hosts.
   *
   * @throws NoHostError where none are known, and the look-up has just failed.
   */
  ask(scope: Scope, now: number): Waiting | null {
    if (now < this.staleAt) return null
    if (this.isRunning ? now - this.begunAt >= longestLookup : now >= this.againAt) this.begin(now)
    if (!this.hasHosts) {
      if (!this.isRunning) throw this.noHost(scope.origin)
      return this.wait(scope.origin, longestLookup)
    }
    if (this.failures > 0) scope.note('balance.hosts', 'stale')
    else if (this.isRunning && !this.isSlow && now >= this.oldAt) return this.wait(scope.origin, longestRefresh)
    return null
  }

  /** Takes over other settings, for the list that is known too. */
  update(settings: LookupSettings): void {
    this.settings = settings
    if (this.hasHosts) this.staleAt = this.foundAt + this.lifetime
  }

  /** Another source takes its place: what it still finds counts no more, and those that wait ask the other one. */
  close(): void {
    this.isClosed = true
    this.release(null)
  }

  leave(waiter: HostWaiter): void {
    this.waiters.delete(waiter)
  }

  /** A call has waited for too long. */
  late(waiter: HostWaiter): void {
    this.waiters.delete(waiter)
    if (this.hasHosts) {
      this.isSlow = true
      waiter.settle(null)
    } else {
      this.error = new Error(`no list of hosts came within ${longestLookup} ms`)
      waiter.settle(this.noHost(waiter.origin))
    }
  }

  private get isRunning(): boolean {
    return this.begun > this.over
  }

  private get lifetime(): number {
    return this.ttl ?? this.settings.refresh
  }

  private get oldAt(): number {
    return this.foundAt + Math.max(oldTimes * this.lifetime, oldFrom)
  }

  private wait(origin: string, duration: number): Waiting {
    const waiter = new HostWaiter(this, origin, lane(duration, true))
    this.waiters.add(waiter)
    return waiter
  }

  private noHost(origin: string): NoHostError {
    const { error } = this
    const reason = error instanceof Error ? error.message : String(error)
    return new NoHostError(`No host of ${this.settings.name} to call: ${reason}`, { origin, cause: error })
  }

  private begin(now: number): void {
    const number = ++this.begun
    this.begunAt = now
    try {
      const answer = outside.runInAsyncScope(() => this.resolve())
      if (isPromiseLike(answer)) {
        answer.then(
          (found) => this.found(number, found),
          (error) => this.failed(number, error),
        )
      } else this.found(number, answer)
    } catch (error) {
      this.failed(number, error)
    }
  }

  private resolve(): HostAnswer | PromiseLike<HostAnswer> {
    const { source } = this
    return typeof source === 'function' ? source() : source.resolve()
  }

  private found(number: number, answer: HostAnswer): void {
    // One that took so long that another was begun may still be the first to answer.
    if (this.isClosed || number <= this.over) return
    let specs: readonly HostSpec[]
    let ttl: number | undefined
    try {
      const { hosts, ttl: given } = foundIn(answer)
      specs = checkHosts('hosts', hosts)
      ttl = given === undefined ? undefined : checkNumber('ttl', given, { min: 0, finite: false })
    } catch (error) {
      this.failed(number, error)
      return
    }
    const now = performance.now()
    this.over = number
    this.hasHosts = specs.length > 0
    if (this.hasHosts) {
      this.ttl = ttl
      this.foundAt = now
      this.staleAt = now + this.lifetime
      this.failures = 0
      this.isSlow = false
    } else this.noted(new Error('the list of hosts is empty'), now)
    this.listener.found(specs, now)
    this.release(this.hasHosts ? null : this.error)
  }

  private failed(number: number, error: unknown): void {
    // A newer one is under way: it decides.
    if (this.isClosed || number < this.begun || number <= this.over) return
    this.over = number
    this.noted(error, performance.now())
    if (this.hasHosts && this.failures === 1) this.listener.failed(error)
    this.release(this.hasHosts ? null : error)
  }

  private noted(error: unknown, now: number): void {
    this.error = error
    this.staleAt = Number.NEGATIVE_INFINITY
    this.againAt = now + Math.min(firstBackoff * 2 ** this.failures++, longestBackoff)
  }

  private release(error: unknown): void {
    for (const waiter of this.waiters) waiter.settle(error === null ? null : this.noHost(waiter.origin))
    this.waiters.clear()
  }
}

class HostWaiter implements Waiting, TimerEntry {
  readonly origin: string
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly lookup: HostLookup
  private readonly timers: TimerLane
  private granted: ((permit: Permit | null) => void) | null = null
  private refused: ((error: unknown) => void) | null = null
  private isSettled = false
  private isOver = false
  private error: NoHostError | null = null

  constructor(lookup: HostLookup, origin: string, timers: TimerLane) {
    this.lookup = lookup
    this.origin = origin
    this.timers = timers
    timers.add(this)
  }

  // biome-ignore lint/suspicious/noThenProperty: a place in a queue is awaited like a promise, without being one
  then(granted: (permit: Permit | null) => void, refused: (error: unknown) => void): void {
    this.granted = granted
    this.refused = refused
    if (this.isSettled) this.deliverSoon()
  }

  cancel(): void {
    this.isOver = true
    this.timers.remove(this)
    this.lookup.leave(this)
  }

  settle(error: NoHostError | null): void {
    this.timers.remove(this)
    this.isSettled = true
    this.error = error
    if (this.granted !== null) this.deliverSoon()
  }

  onTimer(): void {
    this.lookup.late(this)
  }

  // In a microtask: what one call does next has no place on the stack of a look-up that serves them all.
  private deliverSoon(): void {
    queueMicrotask(() => this.deliver())
  }

  private deliver(): void {
    if (this.isOver) return
    this.isOver = true
    if (this.error === null) this.granted?.(null)
    else this.refused?.(this.error)
  }
}
