import type { AsyncResource } from 'node:async_hooks'
import type { Dispatcher } from 'undici'
import type { TimerLane } from '../policies/clock.ts'
import type { Outcome } from '../policies/outcome.ts'
import type { Permit } from '../policies/policy.ts'
import type { Attempt } from './attempt.ts'
import { Edge } from './edge.ts'
import { type CallScope, Exchange, type ScopedOptions } from './exchange.ts'
import type { FusedLevel, FusedPlan, FusedRepeater } from './fused-plan.ts'
import { protocolOfHead } from './protocol.ts'
import { RunningDeadline } from './running-deadline.ts'

/** What a fused call is taken apart into: the objects of every other chain. */
export interface Parts {
  readonly outer: FusedRepeater
  readonly attempt: Attempt
  readonly edge: Edge
}

/** How far a fused call has come. */
interface FusedState {
  readonly given: ScopedOptions
  readonly handler: Dispatcher.DispatchHandler
  readonly beganAt: number
  readonly asyncContext: AsyncResource
  /** `null` while the consumer has not been given a controller. */
  readonly context: object | null
  readonly inner: Dispatcher.DispatchController | null
  readonly paused: boolean
  /** Stages below retry that have been asked, and what they gave. */
  readonly asked: number
  readonly permits: readonly Permit[]
  readonly notes: CallScope['notes']
  readonly sent: boolean
  /** Of the head; `null` before it. */
  readonly outcome: Outcome | null
  readonly headAt: number
  readonly settled: boolean
  /** Since when the clock runs that the edge has to go on with: the attempt's, or the body's. */
  readonly clockSince: number | null
}

/** The parts of a call, in the state they would have come to by now. */
export function partsOf(plan: FusedPlan, state: FusedState): Parts {
  const { beganAt, context, inner, paused, outcome, settled } = state
  const headSeen = outcome !== null
  const exchange = new Exchange(state.given, beganAt, state.asyncContext)
  const calls: FusedRepeater[] = []
  const attempts: Attempt[] = []
  const above: (readonly Permit[])[] = []
  let { given: opts, handler } = state
  let scope: CallScope = exchange
  for (const level of plan.levels) {
    const call = level.callOf(opts, handler, scope, scope === exchange)
    above.push(permitsOf(plan, level, call, headSeen))
    const first = call.adoptFirst()
    calls.push(call)
    attempts.push(first.attempt)
    scope = first.attempt
    handler = first.attempt
    opts = first.opts
  }
  const attempt = scope as Attempt
  const edge = new Edge(plan.inner, opts, attempt, attempt, false)

  attempt.attemptTimers = plan.inner.attemptTimers
  attempt.bodyTimers = plan.inner.bodyTimers
  attempt.notes = state.notes
  attempt.sent = state.sent
  const isStarted = context !== null
  if (isStarted) {
    attempt.startedAt = beganAt
    exchange.budget = plan.sender.budget
  }
  if (headSeen) {
    attempt.headAt = state.headAt
    attempt.outcome = outcome
    attempt.protocol = protocolOfHead(inner, outcome.headers)
  }
  const common = { context, paused, headSeen, settled }
  // From the innermost: each takes over what the attempt below it came to.
  let below: Dispatcher.DispatchController | null = isStarted ? edge : null
  for (let at = calls.length - 1; at >= 0; at--) {
    const [call, first] = [calls[at] as FusedRepeater, attempts[at] as Attempt]
    const { stages } = (plan.levels[at] as FusedLevel).plan
    first.inner = below
    if (headSeen) call.commit(first)
    call.takeOver({ ...common, admitted: stages.length, permits: above[at] as readonly Permit[], inner: below })
    if (isStarted) below = call
  }
  const { asked: admitted, permits } = state
  const isHeld = paused && (headSeen || !plan.sender.races)
  edge.takeOver({ ...common, paused: isHeld, admitted, permits, inner }, isStarted ? state.clockSince : null)
  return { outer: calls[0] as FusedRepeater, attempt, edge }
}

function permitsOf(plan: FusedPlan, level: FusedLevel, call: FusedRepeater, headSeen: boolean): readonly Permit[] {
  const permits: Permit[] = []
  const { exchange } = call.scope
  if (level === plan.deadlineLevel) {
    const timers = plan.deadlineTimers as TimerLane
    exchange.deadlineAt = Math.min(exchange.deadlineAt, exchange.beganAt + timers.duration)
    if (!headSeen) permits.push(new RunningDeadline(call, timers, exchange.beganAt))
  }
  if (level === plan.levels[0]) {
    const permit = plan.preparing?.takeOver(call, headSeen) ?? null
    if (permit !== null) permits.push(permit)
  }
  return permits
}
