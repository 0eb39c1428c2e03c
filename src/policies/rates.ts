/** How fast calls may go. What the four kinds promise is told at their classes. */
export interface RateSettings {
  /** Calls in a window. */
  readonly limit: number
  /** Milliseconds. */
  readonly window: number
  /** Calls at once after a quiet time; a token bucket's only. */
  readonly burst: number
}

/** The kinds of {@link Rate}. */
export type RateAlgorithm = 'tokenBucket' | 'fixedWindow' | 'slidingWindow' | 'leakyBucket'

/** Counts calls. Times are milliseconds of one clock. */
export interface Rate {
  /**
   * Takes one call's share now, where there is one. Of a call that waited, `due` is when it was to have it: a bucket counts
   * from then, so that what a timer is late by slows down nobody further back.
   */
  take(now: number, due?: number): boolean
  /** Milliseconds from `now` until one more is free when `ahead` others have taken theirs as soon as they could; 0: now. */
  waitFor(now: number, ahead: number): number
  /** How many could be taken now. */
  available(now: number): number
  /** Goes on under other settings, with what has been taken so far. */
  adopt(settings: RateSettings, now: number): void
}

// So long that `now + wait` is not before `at`, whatever is lost in between.
function until(at: number, now: number): number {
  let wait = at - now
  if (wait <= 0) return 0
  while (now + wait < at) wait += Math.max(Number.EPSILON, at * Number.EPSILON)
  return wait
}

/**
 * A bucket of `burst` tokens that fills evenly with `limit` of them a window. In any stretch of t milliseconds it gives out
 * no more than burst + t * limit / window, where what waited counts from when it was due.
 *
 * It works by times, not with a counter that is refilled, like the generic cell rate algorithm (ITU-T I.371). With a burst
 * of one it is the leaky bucket.
 */
class TokenBucket implements Rate {
  #burst = 1
  #interval = 1
  // When it was last full, and how many it has given out since. Two numbers, so that no error of rounding adds up.
  #fullAt = Number.NEGATIVE_INFINITY
  #taken = 0

  constructor(settings: RateSettings) {
    this.#set(settings)
  }

  #set({ limit, window, burst }: RateSettings): void {
    this.#burst = burst
    this.#interval = window / limit
  }

  #isFull(now: number): boolean {
    return this.#fullAt + this.#taken * this.#interval <= now
  }

  // When there is a token for the call after `ahead` others.
  #opensAt(now: number, ahead: number): number {
    const [since, taken] = this.#isFull(now) ? [now, 0] : [this.#fullAt, this.#taken]
    return since + (taken + ahead + 1 - this.#burst) * this.#interval
  }

  take(now: number, due = now): boolean {
    if (this.#isFull(due)) {
      this.#fullAt = due
      this.#taken = 0
    } else if (this.#fullAt + (this.#taken + 1 - this.#burst) * this.#interval > now) {
      return false
    }
    this.#taken++
    return true
  }

  waitFor(now: number, ahead: number): number {
    return until(this.#opensAt(now, ahead), now)
  }

  #tokens(now: number): number {
    return this.#isFull(now) ? this.#burst : this.#burst - this.#taken + (now - this.#fullAt) / this.#interval
  }

  available(now: number): number {
    const about = Math.round(this.#tokens(now))
    return Math.max(0, this.#opensAt(now, about - 1) <= now ? about : about - 1)
  }

  adopt(settings: RateSettings, now: number): void {
    const tokens = Math.max(0, Math.min(this.#tokens(now), settings.burst))
    this.#set(settings)
    this.#fullAt = now
    this.#taken = this.#burst - tokens
  }
}

/**
 * At most `limit` calls in a window; the first call after it has ended begins the next. Around the turn of two windows up to
 * twice the limit can go in the length of one.
 */
class FixedWindow implements Rate {
  #limit = 1
  #window = 1
  #startedAt = Number.NEGATIVE_INFINITY
  #used = 0

  constructor(settings: RateSettings) {
    this.adopt(settings)
  }

  get #endsAt(): number {
    return this.#startedAt + this.#window
  }

  take(now: number): boolean {
    if (now >= this.#endsAt) {
      this.#startedAt = now
      this.#used = 0
    }
    if (this.#used >= this.#limit) return false
    this.#used++
    return true
  }

  waitFor(now: number, ahead: number): number {
    const free = this.available(now)
    if (ahead < free) return 0
    const next = now < this.#endsAt ? this.#endsAt : now + this.#window
    return until(next + Math.floor((ahead - free) / this.#limit) * this.#window, now)
  }

  available(now: number): number {
    return now < this.#endsAt ? Math.max(0, this.#limit - this.#used) : this.#limit
  }

  adopt({ limit, window }: RateSettings): void {
    this.#limit = limit
    this.#window = window
  }
}

const smallestLog = 16

/**
 * At most `limit` calls in every stretch of `window` milliseconds, wherever it begins: an exact log of the last `limit`
 * calls, eight bytes each, and no weighted counter, which lets more through when calls come unevenly.
 */
class SlidingLog implements Rate {
  #limit = 1
  #window = 1
  // The last calls, the oldest at `first`; a ring that has grown to the largest limit so far at most.
  #times = new Float64Array(0)
  #first = 0
  #size = 0

  constructor(settings: RateSettings) {
    this.adopt(settings)
  }

  #at(index: number): number {
    return this.#times[(this.#first + index) % this.#times.length] as number
  }

  #grow(): void {
    const times = new Float64Array(Math.min(this.#limit, Math.max(smallestLog, 2 * this.#size)))
    for (let index = 0; index < this.#size; index++) times[index] = this.#at(index)
    this.#times = times
    this.#first = 0
  }

  // Those that count: what was logged under a larger limit is kept, for the case that it comes back.
  get #counted(): number {
    return Math.min(this.#size, this.#limit)
  }

  take(now: number): boolean {
    if (this.#size >= this.#limit && this.#at(this.#size - this.#limit) + this.#window > now) return false
    if (this.#size === this.#times.length && this.#size < this.#limit) this.#grow()
    if (this.#size < this.#times.length) {
      this.#times[(this.#first + this.#size++) % this.#times.length] = now
    } else {
      this.#times[this.#first] = now
      if (++this.#first === this.#size) this.#first = 0
    }
    return true
  }

  waitFor(now: number, ahead: number): number {
    // Each call goes a window after the one `limit` before it, or now where there was none.
    const counted = this.#counted
    const place = counted + ahead
    const rounds = Math.floor(place / this.#limit)
    if (rounds === 0) return 0
    const before = place % this.#limit
    const since = before < counted ? this.#at(this.#size - counted + before) : now
    return until(Math.max(now, since + this.#window) + (rounds - 1) * this.#window, now)
  }

  available(now: number): number {
    const limited = this.#counted
    let counted = 0
    while (counted < limited && this.#at(this.#size - 1 - counted) + this.#window > now) counted++
    return this.#limit - counted
  }

  adopt({ limit, window }: RateSettings): void {
    this.#limit = limit
    this.#window = window
  }
}

/** A rate of the given kind. */
export function rateOf(algorithm: RateAlgorithm, settings: RateSettings): Rate {
  switch (algorithm) {
    case 'fixedWindow':
      return new FixedWindow(settings)
    case 'slidingWindow':
      return new SlidingLog(settings)
    default:
      // A leaky bucket lets its calls out one by one, evenly: a burst of one, which its settings hold already.
      return new TokenBucket(settings)
  }
}
