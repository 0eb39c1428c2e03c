import { lane, type TimerEntry, type TimerLane } from './clock.ts'
import { BulkheadFullError } from './errors.ts'
import { checkBoolean, checkDuration, checkNumber, checkOptions } from './options.ts'
import { type Permit, type Policy, priorities, type Scope, type Waiting } from './policy.ts'

// A semaphore of our own, because p-limit does not fit here. It frees a slot some microtasks after the call is over, so
// that a retry over `bulkhead({ limit: 1, queue: 0 })` is now and then refused by the very slot it has just given back;
// it makes promises for each call (3.9 us against 0.6); and it cannot take one waiter out of its queue.

/** Options of a bulkhead. */
export interface BulkheadOptions {
  /**
   * How many calls may be under way at once.
   * @default 256
   */
  readonly limit?: number
  /**
   * How many calls may wait for a slot; the next one is refused, or takes the place of a less important one.
   * @default 1024
   */
  readonly queue?: number
  /**
   * How long a call may wait for a slot, in milliseconds; without it only the call's deadline bounds the wait.
   * @default undefined
   */
  readonly queueTimeout?: number | undefined
  /**
   * Lets every call pass at once: only counts and notes which of them would have waited or been refused.
   * @default false
   */
  readonly shadow?: boolean
}

/** What a bulkhead does unless told otherwise. */
export const bulkheadDefaults = Object.freeze({ limit: 256, queue: 1024, queueTimeout: undefined, shadow: false })

/** Checked options, with every default filled in. */
export type BulkheadSettings = Required<BulkheadOptions>

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option, its value and its range. */
export function checkBulkhead(options: BulkheadOptions = {}): BulkheadSettings {
  checkOptions('bulkhead', options, Object.keys(bulkheadDefaults))
  const { limit = bulkheadDefaults.limit, queue = bulkheadDefaults.queue, queueTimeout } = options
  const { shadow = bulkheadDefaults.shadow } = options
  return {
    limit: checkNumber('bulkhead: limit', limit, { min: 1, integer: true }),
    queue: checkNumber('bulkhead: queue', queue, { min: 0, integer: true }),
    queueTimeout: queueTimeout === undefined ? undefined : checkDuration('bulkhead: queueTimeout', queueTimeout),
    shadow: checkBoolean('bulkhead: shadow', shadow),
  }
}

/** What a call holds that would have been refused: it takes no slot, as it would not have had one. */
const uncounted: Permit = { settle: () => undefined }

/**
 * At most `limit` calls at once, the next `queue` wait their turn, and more are refused with a {@link BulkheadFullError}.
 * The more important a call, the sooner it is served; among equals, first come first served. Where the queue is full, a
 * newcomer takes the place of the youngest waiter of the least important class below its own. A slot is free the moment
 * its call settles.
 */
export class Bulkhead implements Policy, Permit {
  readonly name = 'bulkhead'
  settings: BulkheadSettings
  /** Calls refused so far. */
  refused = 0
  /** Calls it would have refused so far, had it not run in shadow. */
  shadowRefused = 0
  readonly #waiters = new Queue()
  #lane: TimerLane | null
  #inUse = 0

  constructor(options: BulkheadOptions = {}) {
    this.settings = checkBulkhead(options)
    this.#lane = laneOf(this.settings)
  }

  /** Slots taken, those on their way to a waiter included. */
  get inUse(): number {
    return this.#inUse
  }

  /** Calls that wait for a slot. */
  get queued(): number {
    return this.#waiters.size
  }

  /** Whether nothing is under way and nobody waits. */
  get idle(): boolean {
    return this.#inUse === 0
  }

  /** Takes a slot, or a place in the queue; throws a {@link BulkheadFullError} where there is neither. */
  acquire(scope: Scope): Permit | Waiting {
    // A slot is never free while somebody waits: settle hands it on. So nobody can overtake here.
    if (this.#inUse < this.settings.limit) {
      this.#inUse++
      return this
    }
    if (this.settings.shadow) return this.#pass(scope)
    const { priority } = scope.exchange
    if (this.#waiters.size >= this.settings.queue) {
      const displaced = this.#waiters.lastBelow(priority)
      if (displaced === null) throw this.refuse(scope.origin, 'is full')
      displaced.displace()
    }
    const waiter = new Waiter(this, this.#waiters, this.#lane, scope.origin, priority)
    this.#waiters.push(waiter)
    this.#lane?.add(waiter)
    return waiter
  }

  /** Gives a slot back, or on to whoever is next, unless there are fewer slots now than calls under way. */
  settle(): void {
    const next = this.#inUse > this.settings.limit ? null : this.#waiters.shift()
    if (next === null) this.#inUse--
    else next.grant()
  }

  /** Counts a refusal, and says it. */
  refuse(origin: string, what: string): BulkheadFullError {
    this.refused++
    const { limit, queue } = this.settings
    return new BulkheadFullError(`the bulkhead of ${origin} ${what} (limit ${limit}, queue ${queue})`, { origin })
  }

  /**
   * Takes over other settings. Slots that are new go to those who wait, at once; slots that are too many go as their calls
   * end. Who waits keeps the place and the time it was given.
   */
  update(settings: BulkheadSettings): void {
    const { queueTimeout } = this.settings
    this.settings = settings
    if (queueTimeout !== settings.queueTimeout) this.#lane = laneOf(settings)
    while (settings.shadow || this.#inUse < settings.limit) {
      const next = this.#waiters.shift()
      if (next === null) return
      this.#inUse++
      next.grant()
    }
  }

  // Who would wait counts among those under way: with a slot or a place, their number is the same.
  #pass(scope: Scope): Permit {
    const { limit, queue } = this.settings
    const wouldWait = this.#inUse < limit + queue
    scope.note('bulkhead.shadow', wouldWait ? 'queued' : 'full')
    if (!wouldWait) {
      this.shadowRefused++
      return uncounted
    }
    this.#inUse++
    return this
  }
}

function laneOf({ queueTimeout }: BulkheadSettings): TimerLane | null {
  return queueTimeout === undefined ? null : lane(queueTimeout, true)
}

type WaiterState = 'waiting' | 'granted' | 'refused' | 'over'

class Waiter implements Waiting, TimerEntry {
  readonly #bulkhead: Bulkhead
  readonly #waiters: Queue
  readonly #lane: TimerLane | null
  readonly #origin: string
  readonly priority: number
  #state: WaiterState = 'waiting'
  #error: unknown = undefined
  #granted: ((permit: Permit | null) => void) | null = null
  #refused: ((error: unknown) => void) | null = null
  next: Waiter | null = null
  previous: Waiter | null = null
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null

  constructor(bulkhead: Bulkhead, waiters: Queue, queueLane: TimerLane | null, origin: string, priority: number) {
    this.#bulkhead = bulkhead
    this.#waiters = waiters
    this.#lane = queueLane
    this.#origin = origin
    this.priority = priority
  }

  // biome-ignore lint/suspicious/noThenProperty: a place in a queue is awaited like a promise, without being one
  then(granted: (permit: Permit | null) => void, refused: (error: unknown) => void): void {
    this.#granted = granted
    this.#refused = refused
    if (this.#state === 'granted' || this.#state === 'refused') this.#deliverSoon()
  }

  cancel(): void {
    const state = this.#state
    this.#state = 'over'
    if (state === 'waiting') {
      this.#waiters.remove(this)
      this.#lane?.remove(this)
    } else if (state === 'granted') {
      this.#bulkhead.settle()
    }
  }

  /** The slot is this waiter's from now on. */
  grant(): void {
    this.#lane?.remove(this)
    this.#state = 'granted'
    if (this.#granted !== null) this.#deliverSoon()
  }

  /** A more important call takes this one's place in the queue. */
  displace(): void {
    this.#waiters.remove(this)
    this.#lane?.remove(this)
    this.#state = 'refused'
    this.#error = this.#bulkhead.refuse(this.#origin, 'is full, and a more important call took the place')
    // Not on the stack of the call that took it.
    if (this.#refused !== null) this.#deliverSoon()
  }

  onTimer(): void {
    this.#waiters.remove(this)
    this.#state = 'refused'
    this.#error = this.#bulkhead.refuse(this.#origin, `had no slot free within ${this.#lane?.duration} ms`)
    if (this.#refused !== null) this.#deliver()
  }

  // In a microtask: the slot comes from a neighbour's last callback, and what the waiter does next, errors and all, has
  // no place on the neighbour's stack. Where dispatches fail at once, a queue would also unwind by recursion.
  #deliverSoon(): void {
    queueMicrotask(() => this.#deliver())
  }

  #deliver(): void {
    const state = this.#state
    if (state === 'over') return
    this.#state = 'over'
    if (state === 'granted') this.#granted?.(this.#bulkhead)
    else this.#refused?.(this.#error)
  }
}

/** The more important first. */
class Queue {
  size = 0
  readonly #classes: readonly Waiters[] = priorities.map(() => new Waiters())

  push(waiter: Waiter): void {
    this.#classOf(waiter).push(waiter)
    this.size++
  }

  /** Whoever is next leaves the queue. */
  shift(): Waiter | null {
    if (this.size === 0) return null
    for (const { first } of this.#classes) {
      if (first === null) continue
      this.remove(first)
      return first
    }
    return null
  }

  remove(waiter: Waiter): void {
    this.#classOf(waiter).remove(waiter)
    this.size--
  }

  /** Who came last of those that matter least, if they matter less than `priority`. */
  lastBelow(priority: number): Waiter | null {
    for (let at = this.#classes.length - 1; at > priority; at--) {
      const { last } = this.#classes[at] as Waiters
      if (last !== null) return last
    }
    return null
  }

  #classOf({ priority }: Waiter): Waiters {
    return this.#classes[priority] as Waiters
  }
}

/** First come, first served; anyone can leave from the middle. */
class Waiters {
  first: Waiter | null = null
  last: Waiter | null = null

  push(waiter: Waiter): void {
    const { last } = this
    waiter.previous = last
    if (last === null) this.first = waiter
    else last.next = waiter
    this.last = waiter
  }

  remove(waiter: Waiter): void {
    const { next, previous } = waiter
    if (previous === null) this.first = next
    else previous.next = next
    if (next === null) this.last = previous
    else next.previous = previous
    waiter.next = null
    waiter.previous = null
  }
}
