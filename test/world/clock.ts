// The clock of a modelled world. While it is installed, setTimeout, performance.now() and Date.now() of this process are
// its own, so that chains, policies and their timers run on it as they are, and an hour takes as long as its events do.

type Callback = (...args: unknown[]) => void

/** What `setTimeout` gives back while a virtual clock is installed. */
class VirtualTimer implements NodeJS.Timeout {
  readonly callback: Callback
  readonly args: readonly unknown[]
  readonly delay: number
  at = 0
  order = 0
  /** Its place in the heap; -1 while it is not set. */
  place = -1
  private readonly clock: VirtualClock

  constructor(clock: VirtualClock, callback: Callback, delay: number, args: readonly unknown[]) {
    this.clock = clock
    this.callback = callback
    this.delay = delay
    this.args = args
  }

  // A run ends when it is told to, whatever still waits.
  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }

  refresh(): this {
    this.clock.clear(this)
    this.clock.set(this)
    return this
  }

  close(): this {
    this.clock.clear(this)
    return this
  }

  _onTimeout(): void {
    this.callback(...this.args)
  }

  [Symbol.toPrimitive](): number {
    return this.order
  }

  [Symbol.dispose](): void {
    this.clock.clear(this)
  }
}

function isBefore(one: VirtualTimer, other: VirtualTimer): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order)
}

/**
 * A clock that stands still until somebody runs it, and then goes from event to event. Events of one moment come in the
 * order they were set, and all promises and microtasks of one have run before the next: the same run again is the same.
 */
export class VirtualClock {
  /** Milliseconds; not zero, which stands for "never" in many a field. */
  now = 1_000
  /** How many timers have fired. */
  events = 0
  private readonly heap: VirtualTimer[] = []
  private orders = 0
  private readonly epoch = Date.UTC(2026, 0, 1)

  /** Calls back in `delay` milliseconds, fractions included. */
  after(delay: number, callback: () => void): NodeJS.Timeout {
    return this.set(new VirtualTimer(this, callback as Callback, Math.max(0, delay), []))
  }

  /** Puts a timer in. */
  set(timer: VirtualTimer): VirtualTimer {
    timer.at = this.now + timer.delay
    timer.order = ++this.orders
    this.heap.push(timer)
    this.rise(this.heap.length - 1, timer)
    return timer
  }

  /** Takes a timer out; does nothing for one that has fired. */
  clear(timer: VirtualTimer): void {
    const { place } = timer
    if (place < 0) return
    timer.place = -1
    const last = this.heap.pop() as VirtualTimer
    if (last === timer) return
    this.rise(place, last)
    this.sink(last.place, last)
  }

  /** Puts the clock in the place of the process's own; the result takes it away again. */
  install(): () => void {
    const { setTimeout: realSetTimeout, clearTimeout: realClearTimeout } = globalThis
    const realNow = performance.now
    const realDateNow = Date.now
    // Whole milliseconds, at least one, as in Node.
    const set = (callback: Callback, delay = 1, ...args: unknown[]) =>
      this.set(new VirtualTimer(this, callback, Math.max(1, Math.trunc(delay)), args))
    const clear = (timer: unknown) => {
      if (timer instanceof VirtualTimer) this.clear(timer)
      else realClearTimeout(timer as NodeJS.Timeout)
    }
    globalThis.setTimeout = set as unknown as typeof setTimeout
    globalThis.clearTimeout = clear as typeof clearTimeout
    performance.now = () => this.now
    Date.now = () => this.epoch + Math.floor(this.now)
    return () => {
      globalThis.setTimeout = realSetTimeout
      globalThis.clearTimeout = realClearTimeout
      performance.now = realNow
      Date.now = realDateNow
    }
  }

  /** Lets time go by, up to and including what falls due at its end. Rejects with what a timer's callback throws. */
  run(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds
    return new Promise((resolve, reject) => {
      // A turn of the real event loop for each event: Node runs all microtasks between two of them.
      const turn = () => {
        const next = this.heap[0]
        if (next === undefined || next.at > end) {
          this.now = end
          resolve()
          return
        }
        this.clear(next)
        this.now = next.at
        this.events++
        setImmediate(turn)
        try {
          next._onTimeout()
        } catch (error) {
          reject(error)
        }
      }
      setImmediate(turn)
    })
  }

  private rise(place: number, timer: VirtualTimer): void {
    const { heap } = this
    while (place > 0) {
      const above = (place - 1) >> 1
      const parent = heap[above] as VirtualTimer
      if (!isBefore(timer, parent)) break
      heap[place] = parent
      parent.place = place
      place = above
    }
    heap[place] = timer
    timer.place = place
  }

  private sink(place: number, timer: VirtualTimer): void {
    const { heap } = this
    for (;;) {
      let below = 2 * place + 1
      const left = heap[below]
      if (left === undefined) break
      let child = left
      const right = heap[below + 1]
      if (right !== undefined && isBefore(right, left)) {
        child = right
        below++
      }
      if (!isBefore(child, timer)) break
      heap[place] = child
      child.place = place
      place = below
    }
    heap[place] = timer
    timer.place = place
  }
}
