import { lane, type TimerEntry } from '../policies/clock.ts'

class Waiter implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  readonly grant: () => void
  readonly isWanted: (() => boolean) | null
  private readonly late: (() => void) | null
  constructor(grant: () => void, late: (() => void) | null, isWanted: (() => boolean) | null) {
    this.grant = grant
    this.late = late
    this.isWanted = isWanted
  }
  onTimer(): void {
    this.late?.()
  }
}

// How often, while somebody waits, it is asked whether a connection has become idle: undici's pools do not tell.
const askAgain = 50

/** The bound on an agent's connections to all origins together. */
export class ConnectionBudget implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly max: number
  private readonly acquireTimeout: number
  private readonly evict: () => void
  private used = 0
  private granting = false
  private readonly waiters = new Set<Waiter>()

  /** `evict` is asked to close an idle connection when all are taken. */
  constructor(max: number, acquireTimeout: number, evict: () => void) {
    this.max = max
    this.acquireTimeout = acquireTimeout
    this.evict = evict
  }

  /**
   * Calls `grant` when one more connection may be made, or `late`, where it is given, when that took too long. It is also
   * called, to find out, when `isWanted` says no by then: no idle connection is closed for such a one.
   */
  acquire(grant: () => void, late: (() => void) | null, isWanted: (() => boolean) | null): void {
    if (this.used < this.max) {
      this.used++
      grant()
      return
    }
    const waiter: Waiter = new Waiter(
      grant,
      late === null
        ? null
        : () => {
            this.drop(waiter)
            late()
          },
      isWanted,
    )
    this.waiters.add(waiter)
    if (late !== null && this.acquireTimeout > 0) lane(this.acquireTimeout, true).add(waiter)
    this.onTimer()
  }

  /** A connection has come to rest. */
  idle(): void {
    this.letGo()
    if (this.waiters.size > 0) this.evict()
  }

  onTimer(): void {
    this.letGo()
    if (this.waiters.size === 0) return
    if (this.timerAt === 0) lane(askAgain, true).add(this)
    this.evict()
  }

  /** A connection is closed, or was never made. */
  release(): void {
    this.used--
    // Whoever needs its place no more releases it again at once, and the next one is then served by the loop under way.
    if (this.granting) return
    this.granting = true
    try {
      for (const waiter of this.waiters) {
        if (this.used >= this.max) break
        this.pass(waiter)
      }
    } finally {
      this.granting = false
    }
  }

  // Those whose calls have been given up.
  private letGo(): void {
    for (const waiter of this.waiters) if (waiter.isWanted?.() === false) this.pass(waiter)
  }

  private pass(waiter: Waiter): void {
    this.drop(waiter)
    this.used++
    waiter.grant()
  }

  /** Nobody waits any longer. */
  close(): void {
    for (const waiter of this.waiters) this.drop(waiter)
  }

  private drop(waiter: Waiter): void {
    this.waiters.delete(waiter)
    if (waiter.timerAt !== 0) lane(this.acquireTimeout, true).remove(waiter)
    if (this.waiters.size === 0 && this.timerAt !== 0) lane(askAgain, true).remove(this)
  }
}
