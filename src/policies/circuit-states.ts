import type { ConsecutiveBreaker } from 'cockatiel'
import { type CircuitBreakerSettings, type CircuitChangeReason, steadyClock } from './circuit-options.ts'
import type { CountWindow } from './count-window.ts'
import { isFailure, isSuccess, type Outcome } from './outcome.ts'
import type { Permit, Scope } from './policy.ts'
import type { SlidingWindow } from './sliding-window.ts'

// Each state is an object that lives for one epoch, and a permit belongs to the epoch that gave it. Once the epoch is over
// its permits decide nothing any more. No timer runs: what time has changed is worked out when someone asks.

/** What the epochs of one circuit share, and tell. */
export interface Circuit {
  readonly settings: CircuitBreakerSettings
  readonly window: SlidingWindow | CountWindow
  /** Failures in a row; `null` where they do not count. */
  readonly run: ConsecutiveBreaker | null
  open(at: number, reason: CircuitChangeReason): void
  close(): void
  judged(outcome: Outcome, slow: boolean): void
}

/** What a circuit is in. */
export interface Epoch {
  readonly state: 'closed' | 'open' | 'halfOpen'
  /** A permit, or `null` for no. */
  admit(now: number): Permit | null
  /** Milliseconds until it may admit a call; 0 if it does now. */
  retryAfter(now: number): number
  /** Whether nothing of weight is lost if it is forgotten; an order is its circuit's. */
  idle(now: number): boolean
  /** It is over: its permits decide nothing any more. */
  end(): void
}

/** Whether an outcome says something about the server. */
function counts({ kind }: Outcome): boolean {
  return isFailure(kind) || isSuccess(kind)
}

function isSlow(outcome: Outcome, { slowCallDuration }: CircuitBreakerSettings): boolean {
  if (slowCallDuration === undefined) return false
  return outcome.kind === 'timeout' || (outcome.headMs !== undefined && outcome.headMs > slowCallDuration)
}

/** The rule that says open, if one does. A call has just been counted. */
function brokenRule({ settings, window, run }: Circuit, failed: boolean): CircuitChangeReason | null {
  if (run !== null) {
    if (!failed) run.success()
    else if (run.failure()) return 'consecutiveFailures'
  }
  const { calls } = window
  if (calls < settings.minimumCalls) return null
  const { failureShare, slowCallShare } = settings
  if (failureShare !== false && window.failures / calls >= failureShare) return 'failureShare'
  return slowCallShare !== undefined && window.slow / calls >= slowCallShare ? 'slowCallShare' : null
}

/** One closed epoch, and at once the one permit of all its calls. */
export class Closed implements Epoch, Permit {
  readonly state = 'closed'
  #inFlight = 0
  #over = false
  readonly #circuit: Circuit
  // Whether somebody has forced it closed: it counts, and stays closed.
  readonly #forced: boolean

  constructor(circuit: Circuit, forced: boolean) {
    this.#circuit = circuit
    this.#forced = forced
  }

  admit(): Permit {
    this.#inFlight++
    return this
  }

  retryAfter(): number {
    return 0
  }

  idle(): boolean {
    return this.#inFlight === 0
  }

  end(): void {
    this.#over = true
  }

  head(outcome: Outcome, scope: Scope): void {
    // The call has just read the same clock, and reading it costs more than all the rest here.
    const { now } = this.#circuit.settings
    this.#count(outcome, now === steadyClock && scope.headAt > 0 ? scope.headAt : now())
  }

  settle(outcome: Outcome): void {
    this.#inFlight--
    if (outcome.phase === 'before-head') this.#count(outcome, this.#circuit.settings.now())
  }

  #count(outcome: Outcome, now: number): void {
    if (this.#over) return
    const circuit = this.#circuit
    const { settings } = circuit
    const slow = isSlow(outcome, settings)
    if (settings.onEvent !== undefined) circuit.judged(outcome, slow)
    // A listener may have forced it.
    if (!counts(outcome) || this.#over) return
    const failed = isFailure(outcome.kind)
    circuit.window.add(now, failed, slow)
    const rule = brokenRule(circuit, failed)
    if (rule !== null && !this.#forced) circuit.open(now, rule)
  }
}

/** One open epoch. */
export class Open implements Epoch {
  readonly state = 'open'
  readonly until: number
  /** How long it is open, and how long a probe after it may take. */
  readonly duration: number

  constructor(until: number, duration: number) {
    this.until = until
    this.duration = duration
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

  end(): void {}
}

/** Open until somebody says otherwise. */
export class ForcedOpen implements Epoch {
  readonly state = 'open'
  readonly #circuit: Circuit

  constructor(circuit: Circuit) {
    this.#circuit = circuit
  }

  admit(): null {
    return null
  }

  /** Nobody knows: an open time, so that whoever waits for it looks again. */
  retryAfter(): number {
    return this.#circuit.settings.openFor
  }

  idle(): boolean {
    return true
  }

  end(): void {}
}

/** Out of service: admits all, and counts nothing. */
export class Disabled implements Epoch, Permit {
  readonly state = 'closed'

  admit(): Permit {
    return this
  }

  retryAfter(): number {
    return 0
  }

  idle(): boolean {
    return true
  }

  end(): void {}

  settle(): void {}
}

/** One half-open epoch. */
export class HalfOpen implements Epoch {
  readonly state = 'halfOpen'
  readonly #circuit: Circuit
  /** Milliseconds a probe may take. */
  readonly leaseTime: number
  // In the order they were admitted, so that the first is the first to run out.
  readonly #probes = new Set<Probe>()
  #succeeded = 0
  #over = false

  constructor(circuit: Circuit, leaseTime: number) {
    this.#circuit = circuit
    this.leaseTime = leaseTime
  }

  get #full(): boolean {
    return this.#succeeded + this.#probes.size >= this.#circuit.settings.probes
  }

  admit(now: number): Permit | null {
    if (this.#full) return null
    const probe = new Probe(this, now + this.leaseTime)
    this.#probes.add(probe)
    return probe
  }

  retryAfter(now: number): number {
    if (!this.#full) return 0
    return Math.max(0, this.#oldestLease() - now)
  }

  idle(): boolean {
    return this.#probes.size === 0
  }

  end(): void {
    this.#over = true
  }

  /** Ends the epoch if a probe has outlived its lease. */
  expire(now: number): boolean {
    const lease = this.#oldestLease()
    if (now < lease) return false
    this.#circuit.open(lease, 'lease')
    return true
  }

  judge(probe: Probe, outcome: Outcome): void {
    if (this.#over) return
    const circuit = this.#circuit
    const { settings } = circuit
    const now = settings.now()
    if (this.expire(now)) return
    this.#probes.delete(probe)
    const slow = isSlow(outcome, settings)
    if (settings.onEvent !== undefined) circuit.judged(outcome, slow)
    if (!counts(outcome) || this.#over) return
    if (isFailure(outcome.kind) || slow) circuit.open(now, 'probe')
    else {
      this.#succeeded++
      this.closeIfHealthy()
    }
  }

  /** Asked again when fewer probes are wanted than before. */
  closeIfHealthy(): void {
    if (this.#succeeded >= this.#circuit.settings.probes) this.#circuit.close()
  }

  #oldestLease(): number {
    const oldest = this.#probes.values().next().value
    return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.lease
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
