import type { Dispatcher } from 'undici'
import type { TimerLane } from '../policies/clock.ts'
import type { Outcome, OutcomeKind } from '../policies/outcome.ts'
import type { Permit, Policy, Waiting } from '../policies/policy.ts'
import type { CallScope, ScopedOptions } from './exchange.ts'
import type { GuardedCall } from './guarded-call.ts'

export type Answer = ReturnType<Policy['acquire']>

export function isWaiting(answer: NonNullable<Answer>): answer is PromiseLike<Permit | null> | Waiting {
  return typeof (answer as Waiting).then === 'function'
}

// A policy of the user's that throws must neither keep the other permits nor throw into the transport.

/** Tells a permit of the response head. */
export function tellPermit(permit: Permit, outcome: Outcome, scope: CallScope): void {
  if (permit.head === undefined) return
  try {
    permit.head(outcome, scope)
  } catch (error) {
    process.emitWarning(error as Error)
  }
}

/** Gives a permit back. */
export function settlePermit(permit: Permit, outcome: Outcome, scope: CallScope): void {
  try {
    permit.settle(outcome, scope)
  } catch (error) {
    process.emitWarning(error as Error)
  }
}

/**
 * What the kit's own layers may do beyond a {@link Policy}: change the request (`call.opts`), give up the call they
 * admitted, and have what they hold given back when nobody reads the body.
 */
export interface Stage {
  readonly name?: string
  acquire?(scope: CallScope, call: GuardedCall): Answer
  /** Bounds every attempt below up to its head; the edge counts. */
  readonly attemptTimers?: TimerLane
  /** Bounds the time between two pieces of a body; the edge counts. */
  readonly bodyTimers?: TimerLane
  /** Bounds the call up to its head, from `acquire` on. */
  readonly deadlineTimers?: TimerLane
  /**
   * Of a call that it admits at once it mostly asks for no more than its origin and the time, and what it returns is told of
   * a head as one that succeeded. It knows calls by nothing else: the scope it is asked with may be another one than that
   * which its permit is told with.
   */
  readonly fuses?: boolean
  /** Until when it asks nothing of calls that begin: a time after `now`, or else it does ask. */
  idleUntil?(now: number): number
  /** Whether it asks nothing of the call that begins now: the call may be made as if the stage were not there. */
  asksNothing?(): boolean
  /** Set where a fused call may be made although the stage does ask, above all that may send it again. */
  readonly preparing?: PreparingStage
  /** Milliseconds after which a body that nobody reads no longer holds the permit; 0: it holds it for ever. */
  readonly unreadBodyTimeout?: number
}

/** What a stage does for a fused call in the place of `acquire`. */
export interface PreparingStage {
  /**
   * Changes the options, which are nobody else's, of a call that has time until `deadlineAt`; `false`: it needs many objects.
   */
  prepare(given: ScopedOptions, now: number, deadlineAt: number): boolean
  /** When the time is up of the call that begins now; `Infinity`: it goes on. */
  dueAt(): number
  /** A call that was prepared is many objects from now on: what `acquire` would have done, but for the options. */
  takeOver(call: GuardedCall, headSeen: boolean): Permit | null
}

/** A call of a composed dispatcher, in the list of those under way. */
export interface KeptCall {
  previousCall: KeptCall | null
  nextCall: KeptCall | null
  /** Gives the call up for a reason that is not the caller's. */
  abortAs(kind: OutcomeKind, reason: Error): void
}

/** Who keeps the calls of a composed dispatcher, for close() and destroy(). */
export interface CallKeeper {
  begun(call: KeptCall): void
  ended(call: KeptCall): void
}

/** How far a fused call had come when it had to be taken apart. */
export interface Begun {
  /** Stages that have been asked. */
  readonly admitted: number
  readonly permits: readonly Permit[]
  readonly context: object | null
  readonly inner: Dispatcher.DispatchController | null
  readonly paused: boolean
  readonly headSeen: boolean
  readonly settled: boolean
}

/** What all calls of one run of stages share. */
export class CallPlan {
  readonly stages: readonly (Stage & Required<Pick<Stage, 'acquire'>>)[]
  readonly attemptTimers: TimerLane | null
  readonly bodyTimers: TimerLane | null
  readonly unreadBodyTimeout: number
  readonly dispatch: Dispatcher['dispatch']
  readonly keeper: CallKeeper | null
  /** A foreign layer lies between this guard and the edge that meets the transport. */
  readonly overEdge: boolean

  constructor(stages: readonly Stage[], dispatch: Dispatcher['dispatch'], keeper: CallKeeper | null, overEdge = false) {
    // What is the same for every call is worked out here; only what decides is asked call by call.
    this.stages = stages.filter(
      (stage): stage is Stage & Required<Pick<Stage, 'acquire'>> => stage.acquire !== undefined,
    )
    this.attemptTimers = shortest(stages.map((stage) => stage.attemptTimers))
    this.bodyTimers = shortest(stages.map((stage) => stage.bodyTimers))
    this.dispatch = dispatch
    this.keeper = keeper
    this.overEdge = overEdge
    const bounds = stages.map((stage) => stage.unreadBodyTimeout ?? 0).filter((bound) => bound > 0)
    this.unreadBodyTimeout = bounds.length === 0 ? 0 : Math.min(...bounds)
  }
}

/** The clocks of a plan, as a stage of another one. */
export function clocksOf({ attemptTimers, bodyTimers, unreadBodyTimeout }: CallPlan): Stage {
  return {
    ...(attemptTimers === null ? null : { attemptTimers }),
    ...(bodyTimers === null ? null : { bodyTimers }),
    ...(unreadBodyTimeout === 0 ? null : { unreadBodyTimeout }),
  }
}

export function shorter(known: TimerLane | null, other: TimerLane): TimerLane {
  return known === null || other.duration < known.duration ? other : known
}

function shortest(lanes: readonly (TimerLane | undefined)[]): TimerLane | null {
  let found: TimerLane | null = null
  for (const one of lanes) if (one !== undefined) found = shorter(found, one)
  return found
}
