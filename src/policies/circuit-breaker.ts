import { CircuitOpenError } from './errors.ts'
import { checkDuration, checkFunction, checkNumber, checkOptions } from './options.ts'
import { isFailure, isSuccess, type Outcome } from './outcome.ts'
import type { Permit, Policy, Scope } from './policy.ts'
import { SlidingWindow } from './sliding-window.ts'

// A state machine of our own, because neither library keeps the statements. cockatiel's SamplingBreaker turns its
// windows one per event (19 failures, ten idle minutes, one failure: open), opens above the share and not at it, looks
// only when a call fails, closes on an aborted probe and queues callers behind the probe. opossum opens on the first
// failure, closes on an aborted probe and lets a result of an earlier state decide a later one.
//
// Here each state is an object that lives for one epoch, and a permit belongs to the epoch that gave it. Once the epoch
// is over its permits decide nothing any more. No timer runs: what time has changed is worked out when someone asks.

/** Where a circuit stands. */
export type CircuitState = 'closed' | 'open' | 'halfOpen'

/** What the window holds. */
export interface CircuitStatistics {
  /** Judged calls in the window. */
  readonly calls: number
  /** Failed ones among them. */
  readonly failures: number
  /** Those that took longer than `slowCallDuration`. */
  readonly slow: number
}

/** One step of a circuit. */
export interface CircuitStateChange {
  readonly origin: string | undefined
  readonly from: CircuitState
  readonly to: CircuitState
  /** The window at that moment. */
  readonly statistics: CircuitStatistics
}

/** Options of a circuit breaker. */
export interface CircuitBreakerOptions {
  /**
   * The circuit opens once this share of the calls in the window has failed, from 0.001 to 1.
   * @default 0.5
   */
  readonly failureShare?: number
  /**
   * How far back the breaker looks, in milliseconds.
   * @default 10_000
   */
  readonly window?: number
  /**
   * With fewer calls in the window the circuit never opens.
   * @default 20
   */
  readonly minimumCalls?: number
  /**
   * How long an open circuit refuses before it tries again, and how long a probe may take, in milliseconds.
   * @default 5_000
   */
  readonly openFor?: number
  /**
   * How many calls a half-open circuit admits; when all of them went well it closes.
   * @default 1
   */
  readonly probes?: number
  /**
   * The circuit also opens once this share of the calls in the window was slow; needs `slowCallDuration`.
   * @default undefined
   */
  readonly slowCallShare?: number | undefined
  /**
   * A call is slow if its response head takes longer than this, in milliseconds, or never comes because of a timeout.
   * @default undefined
   */
  readonly slowCallDuration?: number | undefined
  /**
   * A steady clock in milliseconds.
   * @default performance.now
   */
  readonly now?: () => number
  /**
   * Told of every change of state; what it throws is thrown again on a stack of its own.
   * @default undefined
   */
  readonly onStateChange?: ((change: CircuitStateChange) => void) | undefined
}

/** What a circuit breaker does unless told otherwise. */
export const circuitBreakerDefaults = Object.freeze({
  failureShare: 0.5,
  window: 10_000,
  minimumCalls: 20,
  openFor: 5_000,
  probes: 1,
  slowCallShare: undefined,
  slowCallDuration: undefined,
})

/** Checked options, with every default filled in. */
export type CircuitBreakerSettings = Required<CircuitBreakerOptions>

const steady = () => performance.now()
const share = { min: 0.001, max: 1 }
const count = { min: 1, integer: true }

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option, its value and its range. */
export function checkCircuitBreaker(options: CircuitBreakerOptions = {}): CircuitBreakerSettings {
  checkOptions('circuitBreaker', options, [...Object.keys(circuitBreakerDefaults), 'now', 'onStateChange'])
  const { slowCallShare, slowCallDuration, onStateChange, now } = options
  if ((slowCallShare === undefined) !== (slowCallDuration === undefined)) {
    throw new TypeError('slowCallShare and slowCallDuration must be given together')
  }
  return {
    failureShare: checkNumber('failureShare', options.failureShare ?? circuitBreakerDefaults.failureShare, share),
    window: checkDuration('window', options.window ?? circuitBreakerDefaults.window),
    minimumCalls: checkNumber('minimumCalls', options.minimumCalls ?? circuitBreakerDefaults.minimumCalls, count),
    openFor: checkDuration('openFor', options.openFor ?? circuitBreakerDefaults.openFor),
    probes: checkNumber('probes', options.probes ?? circuitBreakerDefaults.probes, count),
    slowCallShare: slowCallShare === undefined ? undefined : checkNumber('slowCallShare', slowCallShare, share),
    slowCallDuration: slowCallDuration === undefined ? undefined : checkDuration('slowCallDuration', slowCallDuration),
    now: now === undefined ? steady : checkFunction('now', now),
    onStateChange: onStateChange === undefined ? undefined : checkFunction('onStateChange', onStateChange),
  }
}

/**
 * The circuit of one origin. Closed, it lets everything pass and counts; open, it refuses with a
 * {@link CircuitOpenError}; half-open, it admits `probes` calls and refuses the rest. A response head is the verdict on
 * its call: a body that breaks afterwards does not count. What says nothing about the server (the caller's abort, our
 * own refusals, 429) counts neither way.
 */
export class CircuitBreaker implements Policy {
  readonly name = 'circuitBreaker'
  readonly origin: string | undefined
  readonly settings: CircuitBreakerSettings
  #epoch: Closed | Open | HalfOpen
  #window: SlidingWindow

  constructor(options: CircuitBreakerOptions = {}, origin?: string) {
    this.origin = origin
    this.settings = checkCircuitBreaker(options)
    this.#window = new SlidingWindow(this.settings.window)
    this.#epoch = this.#closed()
  }

  /** Where the circuit stands now. */
  get state(): CircuitState {
    return this.#current(this.settings.now()).state
  }

  /** Milliseconds until a call may be admitted; 0 if one is admitted now. */
  get retryAfter(): number {
    const now = this.settings.now()
    return this.#current(now).retryAfter(now)
  }

  /** What the window holds now. */
  get statistics(): CircuitStatistics {
    this.#window.advance(this.settings.now())
    const { calls, failures, slow } = this.#window
    return { calls, failures, slow }
  }

  /** Whether nothing is in flight and the circuit is not open: forgetting it would change nothing of weight. */
  get idle(): boolean {
    return this.#epoch.idle(this.settings.now())
  }

  /** Admits the call, or throws a {@link CircuitOpenError} that says how long to wait. */
  acquire(scope: Scope): Permit {
    const known = this.#epoch
    if (known instanceof Closed) return known.admit()
    const now = this.settings.now()
    const epoch = this.#current(now)
    scope.note('circuit.state', epoch.state)
    const permit = epoch.admit(now)
    if (permit !== null) return permit
    const retryAfter = epoch.retryAfter(now)
    const text = epoch.state === 'open' ? 'is open' : 'is half-open and waits for its probe'
    throw new CircuitOpenError(
      `the circuit of ${scope.origin} ${text}: nothing was sent, try again in ${Math.ceil(retryAfter)} ms`,
      { origin: scope.origin, retryAfter },
    )
  }

  #closed(): Closed {
    return new Closed(this.settings, this.#window, (at) => this.#enter(this.#opened(at)))
  }

  #opened(at: number): Open {
    return new Open(at + this.settings.openFor)
  }

  #halfOpened(): HalfOpen {
    return new HalfOpen(this.settings, (at, healthy) => {
      if (!healthy) return this.#enter(this.#opened(at))
      this.#window = new SlidingWindow(this.settings.window)
      this.#enter(this.#closed())
    })
  }

  /** The state after all that time alone has changed. */
  #current(now: number): Closed | Open | HalfOpen {
    // A lease that ran out a while ago opened the circuit back then, and that may be over by now as well.
    for (let epoch = this.#epoch; ; epoch = this.#epoch) {
      if (epoch instanceof Open && now >= epoch.until) this.#enter(this.#halfOpened())
      else if (!(epoch instanceof HalfOpen && epoch.expire(now))) return epoch
    }
  }

  #enter(next: Closed | Open | HalfOpen): void {
    const from = this.#epoch.state
    this.#epoch = next
    const { onStateChange } = this.settings
    if (onStateChange === undefined) return
    try {
      onStateChange({ origin: this.origin, from, to: next.state, statistics: this.statistics })
    } catch (error) {
      // The circuit changes inside other people's callbacks, where a listener's mistake must not end up.
      queueMicrotask(() => {
        throw error
      })
    }
  }
}

/** Whether an outcome says something about the server. */
function counts(outcome: Outcome): boolean {
  return isFailure(outcome.kind) || isSuccess(outcome.kind)
}

function isSlow(outcome: Outcome, { slowCallDuration }: CircuitBreakerSettings): boolean {
  if (slowCallDuration === undefined) return false
  return outcome.kind === 'timeout' || (outcome.headMs !== undefined && outcome.headMs > slowCallDuration)
}

/** One closed epoch, and at once the one permit of all its calls. */
class Closed implements Permit {
  readonly state = 'closed'
  inFlight = 0
  readonly #settings: CircuitBreakerSettings
  readonly #window: SlidingWindow
  #open: ((at: number) => void) | null

  constructor(settings: CircuitBreakerSettings, window: SlidingWindow, open: (at: number) => void) {
    this.#settings = settings
    this.#window = window
    this.#open = open
  }

  admit(): Permit {
    this.inFlight++
    return this
  }

  retryAfter(): number {
    return 0
  }

  idle(): boolean {
    return this.inFlight === 0
  }

  head(outcome: Outcome, scope: Scope): void {
    // The call has just read the same clock, and reading it costs more than all the rest here.
    const { now } = this.#settings
    this.#count(outcome, now === steady && scope.headAt > 0 ? scope.headAt : now())
  }

  settle(outcome: Outcome): void {
    this.inFlight--
    if (outcome.phase === 'before-head') this.#count(outcome, this.#settings.now())
  }

  #count(outcome: Outcome, now: number): void {
    const open = this.#open
    if (open === null || !counts(outcome)) return
    const settings = this.#settings
    const window = this.#window
    window.add(now, isFailure(outcome.kind), isSlow(outcome, settings))
    const { calls } = window
    if (calls < settings.minimumCalls) return
    const { failureShare, slowCallShare } = settings
    if (
      window.failures / calls >= failureShare ||
      (slowCallShare !== undefined && window.slow / calls >= slowCallShare)
    ) {
      this.#open = null
      open(now)
    }
  }
}

class Open {
  readonly state = 'open'
  readonly until: number

  constructor(until: number) {
    this.until = until
  }

  admit(): null {
    return null
  }

  retryAfter(now: number): number {
    return Math.max(0, this.until - now)
  }

  idle(now: number): boolean {
    return now >= this.until
  }
}

/** One half-open epoch. */
class HalfOpen {
  readonly state = 'halfOpen'
  readonly settings: CircuitBreakerSettings
  // In the order they were admitted, so that the first is the first to run out.
  readonly #probes = new Set<Probe>()
  #succeeded = 0
  #end: ((at: number, healthy: boolean) => void) | null

  constructor(settings: CircuitBreakerSettings, end: (at: number, healthy: boolean) => void) {
    this.settings = settings
    this.#end = end
  }

  get #free(): number {
    return this.settings.probes - this.#succeeded - this.#probes.size
  }

  admit(now: number): Permit | null {
    if (this.#free === 0) return null
    const probe = new Probe(this, now + this.settings.openFor)
    this.#probes.add(probe)
    return probe
  }

  retryAfter(now: number): number {
    if (this.#free > 0) return 0
    return Math.max(0, this.#oldestLease() - now)
  }

  idle(): boolean {
    return this.#probes.size === 0
  }

  /** Ends the epoch if a probe has outlived its lease. */
  expire(now: number): boolean {
    const lease = this.#oldestLease()
    if (now < lease) return false
    this.#finish(lease, false)
    return true
  }

  judge(probe: Probe, outcome: Outcome): void {
    const now = this.settings.now()
    if (this.expire(now)) return
    this.#probes.delete(probe)
    if (!counts(outcome)) return
    if (isFailure(outcome.kind) || isSlow(outcome, this.settings)) this.#finish(now, false)
    else if (++this.#succeeded === this.settings.probes) this.#finish(now, true)
  }

  #oldestLease(): number {
    const oldest = this.#probes.values().next().value
    return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.lease
  }

  #finish(at: number, healthy: boolean): void {
    const end = this.#end
    this.#end = null
    end?.(at, healthy)
  }
}

/** The permit of one probe. */
class Probe implements Permit {
  readonly lease: number
  #halfOpen: HalfOpen | null

  constructor(halfOpen: HalfOpen, lease: number) {
    this.#halfOpen = halfOpen
    this.lease = lease
  }

  head(outcome: Outcome): void {
    const halfOpen = this.#halfOpen
    this.#halfOpen = null
    halfOpen?.judge(this, outcome)
  }

  settle(outcome: Outcome): void {
    this.head(outcome)
  }
}
