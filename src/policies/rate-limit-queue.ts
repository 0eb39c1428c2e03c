import { lane, type TimerEntry, type TimerLane } from './clock.ts'
import { type Permit, priorities, type Scope, type Waiting } from './policy.ts'

/** Whose queue a waiter stands in. */
export interface QueueOwner {
  /** The time a call may wait is up. */
  timedOut(waiter: RateWaiter): void
  /** A waiter gives up: before it was admitted, or while that was on its way. */
  left(waiter: RateWaiter, wasAdmitted: boolean): void
}

type WaiterState = 'waiting' | 'admitted' | 'refused' | 'over'

/** A call in the queue of a rate limit. */
export class RateWaiter implements Waiting, TimerEntry {
  readonly scope: Scope
  readonly priority: number
  readonly since: number
  /** How long it may wait, in milliseconds; `Infinity` without a bound. */
  readonly patience: number
  /** In shadow: only the place that the call would have had; the call itself has gone on. */
  readonly isShadow: boolean
  next: RateWaiter | null = null
  previous: RateWaiter | null = null
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly owner: QueueOwner
  private readonly timers: TimerLane | null
  private state: WaiterState = 'waiting'
  private error: unknown = undefined
  private permit: Permit | null = null
  private onAdmitted: ((permit: Permit | null) => void) | null = null
  private onRefused: ((error: unknown) => void) | null = null

  constructor(owner: QueueOwner, scope: Scope, settings: { queueTimeout: number; shadow: boolean }, now: number) {
    this.owner = owner
    this.scope = scope
    this.priority = scope.exchange.priority
    this.since = now
    this.isShadow = settings.shadow
    const { queueTimeout } = settings
    this.patience = queueTimeout
    this.timers = Number.isFinite(queueTimeout) ? lane(queueTimeout, !settings.shadow) : null
    this.timers?.add(this, now)
  }

  // biome-ignore lint/suspicious/noThenProperty: a place in a queue is awaited like a promise, without being one
  then(admitted: (permit: Permit | null) => void, refused: (error: unknown) => void): void {
    this.onAdmitted = admitted
    this.onRefused = refused
    if (this.state === 'admitted' || this.state === 'refused') this.deliverSoon()
  }

  cancel(): void {
    const { state } = this
    this.state = 'over'
    this.timers?.remove(this)
    if (state === 'waiting' || state === 'admitted') this.owner.left(this, state === 'admitted')
  }

  /** The call may go, with this permit. */
  admit(permit: Permit | null, now: number): void {
    this.timers?.remove(this)
    this.state = 'admitted'
    this.permit = permit
    if (!this.isShadow) this.scope.note('ratelimit.waited_ms', Math.round((now - this.since) * 100) / 100)
    if (this.onAdmitted !== null) this.deliverSoon()
  }

  refuse(error: unknown): void {
    this.timers?.remove(this)
    this.state = 'refused'
    this.error = error
    if (this.onRefused !== null) this.deliverSoon()
  }

  onTimer(): void {
    this.owner.timedOut(this)
  }

  // In a microtask: what the call does next has no place on the stack of a timer or of a neighbour's callback, and where
  // dispatches fail at once, a queue would unwind by recursion.
  private deliverSoon(): void {
    queueMicrotask(() => this.deliver())
  }

  private deliver(): void {
    const { state } = this
    if (state === 'over') return
    this.state = 'over'
    if (state === 'admitted') this.onAdmitted?.(this.permit)
    else this.onRefused?.(this.error)
  }
}

/** The calls that wait: by priority, then first come, first served; anyone can leave from the middle. */
export class RateQueue implements Iterable<RateWaiter> {
  size = 0
  readonly #firsts: (RateWaiter | null)[] = new Array(priorities.length).fill(null)
  readonly #lasts: (RateWaiter | null)[] = new Array(priorities.length).fill(null)
  readonly #sizes: number[] = new Array(priorities.length).fill(0)

  /** Whose turn it is. */
  get first(): RateWaiter | null {
    return this.#firsts.find((first) => first !== null) ?? null
  }

  /** Whose turn is the furthest away. */
  get last(): RateWaiter | null {
    return this.#lasts.findLast((last) => last !== null) ?? null
  }

  /** How many would go before a call of this priority that comes now. */
  ahead(priority: number): number {
    let ahead = 0
    for (let at = 0; at <= priority; at++) ahead += this.#sizes[at] as number
    return ahead
  }

  push(waiter: RateWaiter): void {
    const { priority } = waiter
    const last = this.#lasts[priority] ?? null
    waiter.previous = last
    if (last === null) this.#firsts[priority] = waiter
    else last.next = waiter
    this.#lasts[priority] = waiter
    this.#count(priority, 1)
  }

  remove(waiter: RateWaiter): void {
    const { next, previous, priority } = waiter
    if (previous === null) this.#firsts[priority] = next
    else previous.next = next
    if (next === null) this.#lasts[priority] = previous
    else next.previous = previous
    waiter.next = null
    waiter.previous = null
    this.#count(priority, -1)
  }

  #count(priority: number, by: number): void {
    this.#sizes[priority] = (this.#sizes[priority] as number) + by
    this.size += by
  }

  /** All that wait, in the order of their turns; the one just given may be removed. */
  *[Symbol.iterator](): Iterator<RateWaiter> {
    for (const first of [...this.#firsts]) {
      for (let waiter = first; waiter !== null; ) {
        const { next } = waiter
        yield waiter
        waiter = next
      }
    }
  }
}
