import { AsyncResource } from 'node:async_hooks'
import { throwLater } from './throw-later.ts'

// Every call carries one or two timers that almost never fire, and setTimeout with clearTimeout costs more than all the
// rest of a layer. Timers of one duration fall due in the order they were set, so a list with one timer under it serves
// them all: setting and taking back are a few pointer writes.

/**
 * Something that waits in a {@link TimerLane}. The links live in the entry itself, so that a handler can be its own
 * entry: start with `timerAt` 0 and both links `null`, and leave them to the lane. An entry waits in one lane at a time.
 */
export interface TimerEntry {
  /** When it falls due, in milliseconds of `performance.now()`; 0 while it is in no lane. */
  timerAt: number
  timerNext: TimerEntry | null
  timerPrev: TimerEntry | null
  /** Called once, at or after `timerAt`, when the entry is out of the lane again. */
  onTimer(): void
}

// A timer keeps the async context it was made in, and a lane's timer outlives the call that happened to arm it.
const outside = new AsyncResource('roundtripper.TimerLane')

const longestTimer = 2 ** 31 - 1

// Milliseconds by which a time that a caller has read may be older than that of whoever armed the lane: below it, arming
// anew would cost more than it gains.
const oldest = 0.5

/** All timers of one duration. Never fires early. */
export class TimerLane {
  /** Whole milliseconds from `add` to `onTimer`. */
  readonly duration: number
  readonly #keepsAlive: boolean
  readonly #onFire = (arming: number) => this.#fire(arming)
  #first: TimerEntry | null = null
  #last: TimerEntry | null = null
  #timer: NodeJS.Timeout | undefined = undefined
  // The setTimeout that armed the lane; null while it is not armed. A test that swaps the clock takes the armed timer
  // with it, and a lane that did not notice would never fire again.
  #armedBy: typeof setTimeout | null = null
  // Which arming it was, so that a timer left behind, on another clock or for later, does nothing.
  #arming = 0
  // When the armed timer fires.
  #firesAt = 0

  constructor(duration: number, keepsAlive: boolean) {
    this.duration = duration
    this.#keepsAlive = keepsAlive
  }

  /** Whether nothing waits here. */
  get empty(): boolean {
    return this.#first === null
  }

  /**
   * Starts the entry's time; one that already waits here starts anew. `now` spares reading the clock where the caller
   * has just read it, which costs ten times the rest.
   */
  add(entry: TimerEntry, now: number = performance.now()): void {
    const at = now + this.duration
    if (entry.timerAt !== 0) {
      if (entry === this.#last && at >= entry.timerAt && this.#armedBy === setTimeout) {
        // A body that comes in many pieces: it is the last to fall due, and stays it.
        entry.timerAt = at
        return
      }
      this.#unlink(entry)
    }
    entry.timerAt = at
    const wasEmpty = this.#first === null
    let previous = this.#last
    // Only where a caller's `now` is older than another's: the list stays in the order things fall due.
    while (previous !== null && previous.timerAt > at) previous = previous.timerPrev
    const next = previous === null ? this.#first : previous.timerNext
    entry.timerPrev = previous
    entry.timerNext = next
    if (previous === null) this.#first = entry
    else previous.timerNext = entry
    if (next === null) this.#last = entry
    else next.timerPrev = entry
    if (this.#armedBy !== setTimeout || at < this.#firesAt - oldest) this.#armFor(at)
    else if (this.#keepsAlive && wasEmpty) this.#timer?.ref()
  }

  /** Takes the entry back; does nothing if it does not wait. */
  remove(entry: TimerEntry): void {
    if (entry.timerAt === 0) return
    this.#unlink(entry)
    // The timer stays armed: it finds out when it fires, which is cheaper than clearing it for every call.
    if (this.#keepsAlive && this.#first === null) this.#timer?.unref()
  }

  /** Stops the timer of an empty lane. The lane can still be used. */
  disarm(): void {
    if (this.#armedBy === setTimeout) clearTimeout(this.#timer)
    this.#timer = undefined
    this.#armedBy = null
  }

  #unlink(entry: TimerEntry): void {
    const { timerNext: next, timerPrev: previous } = entry
    if (previous === null) this.#first = next
    else previous.timerNext = next
    if (next === null) this.#last = previous
    else next.timerPrev = previous
    entry.timerAt = 0
    entry.timerNext = null
    entry.timerPrev = null
  }

  // An entry whose time began a while ago falls due before a whole duration has passed, and maybe before all others.
  #armFor(at: number): void {
    this.#arm(Math.max(0, at - performance.now()), at)
  }

  #arm(delay: number, at: number): void {
    if (this.#armedBy === setTimeout) clearTimeout(this.#timer)
    this.#firesAt = at
    this.#armedBy = setTimeout
    const whole = Math.min(Math.ceil(delay), longestTimer)
    this.#timer = outside.runInAsyncScope(setTimeout<[number]>, undefined, this.#onFire, whole, ++this.#arming)
    if (!this.#keepsAlive) this.#timer.unref()
  }

  #fire(arming: number): void {
    if (arming !== this.#arming) return
    const now = performance.now()
    for (let entry = this.#first; entry !== null && entry.timerAt <= now; entry = this.#first) {
      this.#unlink(entry)
      try {
        entry.onTimer()
      } catch (error) {
        throwLater(error)
      }
    }
    if (this.#first === null) this.disarm()
    else this.#arm(this.#first.timerAt - now, this.#first.timerAt)
  }
}

// Enough for every fixed timeout of a program; waits with jitter come and go.
const fewLanes = 64

class Lanes {
  readonly #keepAlive: boolean
  readonly #known = new Map<number, TimerLane>()
  #sweepAt = fewLanes

  constructor(keepAlive: boolean) {
    this.#keepAlive = keepAlive
  }

  // A lane in use is never dropped: whoever asks again finds the one its entry is in.
  get(duration: number): TimerLane {
    const found = this.#known.get(duration)
    if (found !== undefined) return found
    if (this.#known.size >= this.#sweepAt) this.#sweep()
    const made = new TimerLane(duration, this.#keepAlive)
    this.#known.set(duration, made)
    return made
  }

  #sweep(): void {
    for (const [duration, candidate] of this.#known) {
      if (!candidate.empty) continue
      candidate.disarm()
      this.#known.delete(duration)
    }
    this.#sweepAt = Math.max(fewLanes, 2 * this.#known.size)
  }
}

const lanes = new Lanes(false)
const lanesThatKeepAlive = new Lanes(true)

/**
 * The lane of a duration in milliseconds, which is rounded up to a whole number of at least 1.
 *
 * A lane does not keep the process alive: the socket of the call under way does. `keepsAlive` is for what waits without
 * a socket, such as a backoff or a place in a queue; such a lane holds the process only while something waits in it.
 */
export function lane(duration: number, keepsAlive = false): TimerLane {
  return (keepsAlive ? lanesThatKeepAlive : lanes).get(Math.max(1, Math.ceil(duration)))
}

/**
 * A lane for what falls due in `remaining` milliseconds, and is added as if its time had begun so much earlier that it does.
 * For times that are never twice the same: a lane for each would be a timer for each. There are four lanes to each power
 * of two, and their entries find their places near the end.
 */
export function laneUntil(remaining: number): TimerLane {
  const whole = Math.min(Math.max(1, Math.ceil(remaining)), longestTimer)
  const step = 1 << Math.max(0, 29 - Math.clz32(whole))
  return lane(Math.min(Math.ceil(whole / step) * step, longestTimer))
}
