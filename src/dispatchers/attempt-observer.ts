import type { CallScope, ScopedOptions } from './exchange.ts'

/**
 * Told of every attempt by whoever forks it, so that spans and records per attempt need no layer of their own inside
 * the retry.
 */
export interface AttemptObserver {
  /** Called in the caller's async context, before the attempt enters its layers; may return other options. */
  begin(attempt: CallScope, opts: ScopedOptions): ScopedOptions
  /** Called in place of `begin` for the first attempt that a layer makes of one which has begun further out: they are one. */
  goOn(attempt: CallScope, outer: CallScope): void
  /** Called once, when the attempt is over: its body ended, it failed, or it was given up. */
  end(attempt: CallScope): void
}

/** Two of them as one. */
export class ObserverPair implements AttemptObserver {
  readonly first: AttemptObserver
  readonly second: AttemptObserver

  constructor(first: AttemptObserver, second: AttemptObserver) {
    this.first = first
    this.second = second
  }

  begin(attempt: CallScope, opts: ScopedOptions): ScopedOptions {
    return this.second.begin(attempt, this.first.begin(attempt, opts))
  }

  goOn(attempt: CallScope, outer: CallScope): void {
    this.first.goOn(attempt, outer)
    this.second.goOn(attempt, outer)
  }

  end(attempt: CallScope): void {
    this.first.end(attempt)
    this.second.end(attempt)
  }
}
