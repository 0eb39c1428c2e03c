import { lane, type TimerEntry } from './clock.ts'
import { show } from './options.ts'
import type { RateLimitSettings, RateLimitStore } from './rate-limit-options.ts'

/** Who asked a store for a call's share. Exactly one of the two is called, later. */
export interface Asker {
  /** 0: taken; otherwise the milliseconds until there is one again. */
  storeAnswered(wait: number): void
  /** The store is not there. */
  storeLost(): void
}

// While a store is not there, it is looked for at most so often, and only while calls come.
const checkEvery = 1000

const instead = {
  local: 'this process keeps the limit for itself',
  refuse: 'calls are refused',
  admit: 'calls go without a limit',
}

/** The way to a store, and whether it is there. One for each layer. */
export class StoreLink {
  readonly store: RateLimitStore
  #isDown = false
  // One that is found, gives nothing and is gone again has not been back.
  #isTold = false
  #checkAt = 0
  #isChecking = false
  #backSince = Number.NEGATIVE_INFINITY

  constructor(store: RateLimitStore) {
    this.store = store
  }

  /** Whether the last thing known of the store is that it is not there. Looks again now and then. */
  isDown(now: number): boolean {
    if (!this.#isDown) return false
    if (now >= this.#checkAt && !this.#isChecking) this.#check()
    return true
  }

  /** Milliseconds until the store is looked for again. */
  checkIn(now: number): number {
    return Math.max(1, this.#checkAt - now)
  }

  /** Asks for one call's share. A store that is later than a call may wait is not there for it. */
  take(key: string, { limit, window, queueTimeout }: RateLimitSettings, asker: Asker): void {
    const askedAt = performance.now()
    new Question(
      Math.min(this.store.timeout, queueTimeout),
      () => this.store.take(key, limit, window),
      (answer) => {
        const isWait = typeof answer === 'number' && answer >= 0 && answer < Number.POSITIVE_INFINITY
        if (!isWait) {
          this.#lost(new TypeError(`it answered ${show(answer)}`), asker, askedAt)
          return
        }
        if (!this.#isDown) this.#isTold = false
        asker.storeAnswered(answer)
      },
      (error) => this.#lost(error, asker, askedAt),
    )
  }

  #lost(error: unknown, asker: Asker, askedAt: number): void {
    // Lost in an outage that is over: the asker asks again.
    if (askedAt >= this.#backSince) this.#down(error)
    asker.storeLost()
  }

  #down(error: unknown): void {
    this.#checkAt = performance.now() + checkEvery
    this.#isDown = true
    if (this.#isTold) return
    this.#isTold = true
    const why = error instanceof Error ? error.message : show(error)
    process.emitWarning(
      `The store of a rate limit is not there (${why}); until it is back, ${instead[this.store.whenDown]}.`,
      { type: 'RoundtripperWarning', code: 'ROUNDTRIPPER_RATE_LIMIT_STORE' },
    )
  }

  #check(): void {
    this.#isChecking = true
    const settle = (isDown: boolean) => {
      this.#isChecking = false
      this.#isDown = isDown
      this.#checkAt = performance.now() + checkEvery
      if (!isDown) this.#backSince = performance.now()
    }
    new Question(
      this.store.timeout,
      () => this.store.check(),
      () => settle(false),
      () => settle(true),
    )
  }
}

/** One question to a store, whose answer is waited for within bounds. */
class Question<T> implements TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly failed: (error: unknown) => void
  private isOver = false

  constructor(timeout: number, ask: () => PromiseLike<T>, answered: (answer: T) => void, failed: (e: unknown) => void) {
    this.failed = failed
    const timers = lane(timeout, true)
    timers.add(this)
    const end = <A>(tell: (argument: A) => void) => {
      return (argument: A) => {
        if (this.isOver) return
        this.isOver = true
        timers.remove(this)
        tell(argument)
      }
    }
    // A store that throws instead of rejecting is no better there. And nobody is told before the constructor has returned.
    new Promise<T>((resolve) => resolve(ask())).then(end(answered), end(failed))
  }

  onTimer(): void {
    if (this.isOver) return
    this.isOver = true
    this.failed(new Error('no answer in time'))
  }
}
