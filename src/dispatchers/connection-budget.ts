import { lane, type TimerEntry } from '../policies/clock.ts'

class Waiter implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  readonly grant: () => void
  private readonly late: () => void
  constructor(grant: () => void, late: () => void) {
    this.grant = grant
    this.late = late
  }
  onTimer(): void {
    this.late()
  }
}

/** The bound on an agent's connections to all origins together. */
export class ConnectionBudget {
  private readonly max: number
  private readonly acquireTimeout: number
  private readonly evict: () => void
  private used = 0
  private readonly waiters = new Set<Waiter>()

  /** `evict` is asked to close an idle connection when all are taken. */
  constructor(max: number, acquireTimeout: number, evict: () => void) {
    this.max = max
    this.acquireTimeout = acquireTimeout
    this.evict = evict
  }

  /** Calls `grant` when one more connection may be made, or `late` when that took too long. */
  acquire(grant: () => void, late: () => void): void {
    if (this.used < this.max) {
      this.used++
      grant()
      return
    }
    const waiter = new Waiter(grant, () => {
      this.waiters.delete(waiter)
      late()
    })
    this.waiters.add(waiter)
    if (this.acquireTimeout > 0) lane(this.acquireTimeout, true).add(waiter)
    this.evict()
  }

  /** A connection is closed, or was never made. */
  release(): void {
    this.used--
    for (const waiter of this.waiters) {
      this.waiters.delete(waiter)
      if (waiter.timerAt !== 0) lane(this.acquireTimeout, true).remove(waiter)
      this.used++
      waiter.grant()
      return
    }
  }
}
