import type { BulkheadPolicy } from 'cockatiel'

function ignore(): void {}

/**
 * A slot of a cockatiel bulkhead, held for as long as we like: its function is one that waits until the slot is freed.
 *
 * Two statements of the kit cannot be kept with this bulkhead. It counts a slot as free some microtasks after it was
 * given back, so a call that is sent synchronously from the end of another may still be refused; and it cannot take one
 * waiter out of its queue, so the place of a call that was given up is free only when its turn comes.
 */
export class Slot {
  taken = false
  /** Resolves when the slot is ours; rejects where it never will be. */
  readonly granted: Promise<void>
  /** Settles when the bulkhead counts the slot as free again. */
  readonly freed: Promise<void>
  private release = ignore

  constructor(bulkhead: BulkheadPolicy, signal: AbortSignal) {
    let grant = ignore
    const held = new Promise<void>((resolve) => {
      this.release = resolve
    })
    const granted = new Promise<void>((resolve) => {
      grant = resolve
    })
    this.freed = bulkhead.execute(() => {
      this.taken = true
      grant()
      return held
    }, signal)
    // Where the bulkhead refuses, its promise is the first to settle.
    this.granted = Promise.race([granted, this.freed])
    this.granted.catch(ignore)
  }

  free(): void {
    this.release()
  }
}
