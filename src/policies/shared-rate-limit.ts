import type { Permit, Scope, Waiting } from './policy.ts'
import { RateLimiter } from './rate-limit.ts'
import type { RateLimitSettings } from './rate-limit-options.ts'
import type { Asker, StoreLink } from './rate-limit-store.ts'

/**
 * A limit whose count is kept in a store, with other processes. Each call asks the store once it is its turn to; what the
 * store gives goes to whoever is first in the queue, so order and priorities hold here as in one process. While the store is
 * not there the limit of one process serves, or none.
 */
export class SharedRateLimiter extends RateLimiter implements Asker {
  private readonly link: StoreLink
  // Questions under way; for each of them a call is in the queue.
  private asking = 0
  // Until then the store has nothing to give.
  private opensAt = Number.NEGATIVE_INFINITY

  constructor(settings: RateLimitSettings, key: string, link: StoreLink) {
    super(settings, key)
    this.link = link
  }

  // Who waits for the answer of the store only does not wait yet.
  protected override get waiting(): number {
    return Math.max(0, this.queue.size - this.asking)
  }

  override get idle(): boolean {
    return this.asking === 0 && super.idle
  }

  /** As far as is known here: the limit, until the store has said that it is used up. */
  override available(now: number): number {
    return this.waitFor(now) > 0 ? 0 : super.available(now)
  }

  override adopt(settings: RateLimitSettings, now: number): void {
    const { limit, window } = this.settings
    // Of another limit, or another window, the store has said nothing yet.
    if (settings.limit !== limit || settings.window !== window) this.opensAt = Number.NEGATIVE_INFINITY
    super.adopt(settings, now)
  }

  override acquire(scope: Scope, now: number): Permit | Waiting | null {
    if (this.link.isDown(now)) return this.acquireWithout(scope, now)
    if (this.waiting > 0 || this.opensAt > now || this.pausedFor(now) > 0) return this.later(scope, now)
    this.ask()
    return this.enqueue(scope, 0, now)
  }

  private acquireWithout(scope: Scope, now: number): Permit | Waiting | null {
    scope.note('ratelimit.store', 'down')
    switch (this.link.store.whenDown) {
      case 'admit':
        return this.go(now)
      case 'refuse':
        return this.turnAway(scope, this.link.checkIn(now), 'its store is not there', now)
      default:
        return super.acquire(scope, now)
    }
  }

  private ask(): void {
    this.asking++
    this.link.take(this.key, this.settings, this)
  }

  storeAnswered(wait: number): void {
    this.asking--
    const now = performance.now()
    if (wait > 0) this.closed(wait, now)
    else {
      const { first } = this.queue
      // Where its caller has gone, or the server asked for a pause meanwhile, the share is lost: better than one too many.
      if (first !== null && this.pausedFor(now) === 0) this.admitFirst(first, now)
    }
    if (this.asking === 0) this.serve(now)
  }

  private closed(wait: number, now: number): void {
    this.opensAt = Math.max(this.opensAt, now + wait)
    this.bound(now)
    this.refuseHopeless(now)
  }

  // Who asked was not counted against the queue's bound until now.
  private bound(now: number): void {
    const { queue } = this.settings
    for (let last = this.queue.last; last !== null && this.waiting > queue; last = this.queue.last) {
      this.queue.remove(last)
      this.refuse(last, this.waitAt(this.queue.size, now), queue === 0 ? 'none may wait' : 'the queue is full')
    }
  }

  storeLost(): void {
    this.asking--
    this.serve(performance.now())
  }

  protected override serve(now: number): void {
    if (this.link.isDown(now)) {
      this.serveWithout(now)
      return
    }
    if (this.opensAt <= now && this.pausedFor(now) === 0) {
      const { limit } = this.settings
      for (let count = Math.min(this.waiting, limit - this.asking); count > 0; count--) this.ask()
    }
    this.arm(now)
  }

  private serveWithout(now: number): void {
    const { whenDown } = this.link.store
    if (whenDown === 'local') {
      super.serve(now)
      this.bound(now)
      this.refuseHopeless(now)
      return
    }
    for (let first = this.queue.first; first !== null; first = this.queue.first) {
      first.scope.note('ratelimit.store', 'down')
      if (whenDown === 'admit') this.admitFirst(first, now)
      else {
        this.queue.remove(first)
        this.refuse(first, this.link.checkIn(now), 'its store is not there')
      }
    }
    this.disarm()
  }

  protected override arm(now: number): void {
    if (this.waiting > 0) super.arm(now)
    else this.disarm()
  }

  protected override waitAt(ahead: number, now: number): number {
    if (this.link.isDown(now)) return super.waitAt(ahead, now)
    const { limit, window } = this.settings
    const opens = Math.max(this.opensAt - now, this.pausedFor(now))
    return opens <= 0 ? 0 : opens + Math.floor(ahead / limit) * window
  }
}
