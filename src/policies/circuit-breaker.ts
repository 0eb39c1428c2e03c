import { ConsecutiveBreaker } from 'cockatiel'
import {
  type CircuitBreakerOptions,
  type CircuitBreakerSettings,
  type CircuitChangeReason,
  type CircuitState,
  type CircuitStatistics,
  checkCircuitBreaker,
  type ForcedState,
} from './circuit-options.ts'
import type { CircuitSnapshot } from './circuit-snapshot.ts'
import { type Circuit, Closed, Disabled, type Epoch, ForcedOpen, HalfOpen, Open } from './circuit-states.ts'
import { CountWindow } from './count-window.ts'
import { CircuitOpenError } from './errors.ts'
import { isFailure, isSuccess, type Outcome } from './outcome.ts'
import type { Permit, Policy, Scope } from './policy.ts'
import { SlidingWindow } from './sliding-window.ts'
import { throwLater } from './throw-later.ts'

// A state machine and windows of our own, because neither library keeps the statements. cockatiel's SamplingBreaker turns
// its windows one per event (19 failures, ten idle minutes, one failure: open); it and CountBreaker open above the share
// and not at it, never at a share of 1, and look only when a call fails; its policy closes on an aborted probe and queues
// callers behind the probe. Its ConsecutiveBreaker holds, and counts here. opossum opens on the first failure, closes on
// an aborted probe and lets a result of an earlier state decide a later one.

function windowOf({ windowCalls, window }: CircuitBreakerSettings): SlidingWindow | CountWindow {
  return windowCalls === undefined ? new SlidingWindow(window) : new CountWindow(windowCalls)
}

function runOf({ consecutiveFailures }: CircuitBreakerSettings, reached = 0): ConsecutiveBreaker | null {
  if (consecutiveFailures === undefined) return null
  const run = new ConsecutiveBreaker(consecutiveFailures)
  run.state = reached
  return run
}

/** What a call holds that passes in spite of the circuit: its outcome would not exist, had it been refused. */
const uncounted: Permit = { settle: () => undefined }

/**
 * The circuit of one origin. Closed, it lets everything pass and counts; open, it refuses with a
 * {@link CircuitOpenError}; half-open, it admits `probes` calls and refuses the rest. A response head is the verdict on
 * its call: a body that breaks afterwards does not count. What says nothing about the server (the caller's abort, our
 * own refusals, 429) counts neither way.
 */
export class CircuitBreaker implements Policy, Circuit {
  readonly name = 'circuitBreaker'
  readonly origin: string | undefined
  settings: CircuitBreakerSettings
  window: SlidingWindow | CountWindow
  run: ConsecutiveBreaker | null
  /** What all circuits of its layer are forced to, those to come included. */
  standing: ForcedState | null = null
  /** Calls refused so far. */
  refused = 0
  /** Calls it would have refused so far, had it not run in shadow. */
  shadowRefused = 0
  #forced: ForcedState | null = null
  // Since it was last closed.
  #openings = 0
  #epoch: Epoch

  constructor(options: CircuitBreakerOptions = {}, origin?: string) {
    this.origin = origin
    this.settings = checkCircuitBreaker(options)
    this.window = windowOf(this.settings)
    this.run = runOf(this.settings)
    this.#epoch = new Closed(this, false)
  }

  /** Where the circuit stands now. */
  get state(): CircuitState {
    return this.#current(this.settings.now()).state
  }

  /** What somebody has forced it to; `null`: its rules hold. */
  get forced(): ForcedState | null {
    return this.#forced
  }

  /** Milliseconds until a call may be admitted; 0 if one is admitted now. */
  get retryAfter(): number {
    const now = this.settings.now()
    return this.#current(now).retryAfter(now)
  }

  /** What the window holds now. */
  get statistics(): CircuitStatistics {
    this.window.advance(this.settings.now())
    const { calls, failures, slow } = this.window
    return { calls, failures, slow }
  }

  /**
   * Whether nothing is in flight, the circuit is not open and nobody has given an order for it alone: forgetting it would
   * change nothing of weight.
   */
  get idle(): boolean {
    return this.#forced === this.standing && this.#epoch.idle(this.settings.now())
  }

  /** Admits the call, or throws a {@link CircuitOpenError} that says how long to wait. */
  acquire(scope: Scope): Permit {
    const known = this.#epoch
    return known instanceof Closed ? known.admit() : this.#ask(scope)
  }

  #ask(scope: Scope): Permit {
    const now = this.settings.now()
    const epoch = this.#current(now)
    if (this.#forced !== null) scope.note('circuit.forced', this.#forced)
    if (epoch.state !== 'closed') scope.note('circuit.state', epoch.state)
    return epoch.admit(now) ?? this.#refuse(epoch, epoch.retryAfter(now), scope)
  }

  #refuse({ state }: Epoch, retryAfter: number, scope: Scope): Permit {
    const { shadow, onEvent } = this.settings
    if (shadow) {
      this.shadowRefused++
      scope.note('circuit.shadow', state)
    } else {
      this.refused++
    }
    if (onEvent !== undefined) tell(onEvent, { type: 'refused', origin: this.origin, state, retryAfter, shadow })
    if (shadow) return uncounted
    const text = state === 'halfOpen' ? 'is half-open and waits for its probe' : 'is open'
    throw new CircuitOpenError(
      `the circuit of ${scope.origin} ${text}: nothing was sent, try again in ${Math.ceil(retryAfter)} ms`,
      { origin: scope.origin, retryAfter },
    )
  }

  /** Takes over other settings. What the window holds stays, unless it is another window now. */
  update(settings: CircuitBreakerSettings): void {
    const { window, windowCalls, consecutiveFailures } = this.settings
    this.settings = settings
    if (window !== settings.window || windowCalls !== settings.windowCalls) this.window = windowOf(settings)
    if (consecutiveFailures !== settings.consecutiveFailures) this.run = runOf(settings, this.run?.state)
    if (this.#epoch instanceof HalfOpen) this.#epoch.closeIfHealthy()
  }

  /** Makes it open, closed or disabled until told otherwise; `null`: its rules hold again, from closed and empty. */
  force(order: ForcedState | null): void {
    if (order === this.#forced) return
    this.#forced = order
    this.#forget()
    this.#enter(this.#ordered(order), order === null ? 'released' : 'forced')
  }

  /** How it stands, for another process to take over. */
  snapshot(): CircuitSnapshot {
    const now = this.settings.now()
    const epoch = this.#current(now)
    const forced = this.#forced
    const isOpen = forced === null && epoch.state !== 'closed'
    return {
      state: isOpen ? 'open' : 'closed',
      forced,
      openFor: epoch instanceof Open ? epoch.retryAfter(now) : 0,
      probeFor: epoch instanceof Open ? epoch.duration : epoch instanceof HalfOpen ? epoch.leaseTime : 0,
      openings: this.#openings,
      consecutiveFailures: this.run?.state ?? 0,
      ...(this.window instanceof CountWindow ? { marks: this.window.marks() } : { slices: this.window.slices(now) }),
    }
  }

  /** Stands from now on as another one stood. A window of the other kind begins empty. */
  restore({ state, forced, openFor, probeFor, openings, consecutiveFailures, slices, marks }: CircuitSnapshot): void {
    const now = this.settings.now()
    this.#forget()
    const { window } = this
    if (window instanceof CountWindow) {
      for (const mark of marks ?? []) window.add(now, (mark & 1) === 1, (mark & 2) === 2)
    } else {
      for (const slice of slices ?? []) window.addSlice(now, slice)
    }
    this.run = runOf(this.settings, consecutiveFailures)
    this.#openings = openings
    this.#forced = forced
    const isOpen = forced === null && state === 'open'
    const lease = probeFor === 0 ? this.settings.openFor : probeFor
    this.#enter(isOpen ? new Open(now + openFor, lease) : this.#ordered(forced), 'restored')
  }

  // What its states tell the circuit.

  open(at: number, reason: CircuitChangeReason): void {
    const { openFor, openForFactor, openForMax, openForJitter, random } = this.settings
    const grown = Math.min(openForMax, openFor * openForFactor ** this.#openings++)
    const duration = openForJitter === 0 ? grown : grown * (1 + openForJitter * random())
    this.#enter(new Open(at + duration, duration), reason)
  }

  close(): void {
    this.#forget()
    this.#enter(new Closed(this, false), 'recovered')
  }

  judged(outcome: Outcome, slow: boolean): void {
    const { onEvent } = this.settings
    const { kind } = outcome
    const verdict = isFailure(kind) ? 'failure' : isSuccess(kind) ? 'success' : 'neutral'
    if (onEvent !== undefined) tell(onEvent, { type: 'judged', origin: this.origin, verdict, slow, outcome })
  }

  #forget(): void {
    this.window = windowOf(this.settings)
    this.run = runOf(this.settings)
    this.#openings = 0
  }

  #ordered(order: ForcedState | null): Epoch {
    if (order === 'open') return new ForcedOpen(this)
    return order === 'disabled' ? new Disabled() : new Closed(this, order === 'closed')
  }

  /** The state after all that time alone has changed. */
  #current(now: number): Epoch {
    // A lease that ran out a while ago opened the circuit back then, and that may be over by now as well.
    for (let epoch = this.#epoch; ; epoch = this.#epoch) {
      if (epoch instanceof Open && now >= epoch.until) this.#enter(new HalfOpen(this, epoch.duration), 'time')
      else if (!(epoch instanceof HalfOpen && epoch.expire(now))) return epoch
    }
  }

  #enter(next: Epoch, reason: CircuitChangeReason): void {
    const from = this.#epoch.state
    this.#epoch.end()
    this.#epoch = next
    const { onStateChange, onEvent } = this.settings
    if (from === next.state || (onStateChange === undefined && onEvent === undefined)) return
    const change = { origin: this.origin, from, to: next.state, reason, statistics: this.statistics }
    if (onStateChange !== undefined) tell(onStateChange, change)
    if (onEvent !== undefined) tell(onEvent, { type: 'stateChange', ...change })
  }
}

// The circuit changes inside other people's callbacks, where a listener's mistake must not end up.
function tell<Event>(listener: (event: Event) => void, event: Event): void {
  try {
    listener(event)
  } catch (error) {
    throwLater(error)
  }
}
