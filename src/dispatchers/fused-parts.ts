import type { AsyncResource } from 'node:async_hooks'
import type { Dispatcher } from 'undici'
import type { Outcome } from '../policies/outcome.ts'
import type { Permit } from '../policies/policy.ts'
import type { Attempt } from './attempt.ts'
import { Edge } from './edge.ts'
import { type CallScope, Exchange, type ScopedOptions } from './exchange.ts'
import type { FusedPlan } from './fused-plan.ts'
import { protocolOfHead } from './protocol.ts'
import { RetriedCall } from './retried-call.ts'
import { RunningDeadline } from './running-deadline.ts'

/** What a fused call is taken apart into: the objects of every other chain. */
export interface Parts {
  readonly outer: RetriedCall
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
  const { given, beganAt, context, inner, paused, outcome, settled } = state
  const headSeen = outcome !== null
  const exchange = new Exchange(given, beganAt, state.asyncContext)
  const outer = new RetriedCall(plan.outer, plan.retry, given, state.handler, exchange, true)
  const { attempt, opts } = outer.adoptFirst()
  const edge = new Edge(plan.inner, opts, attempt, attempt, false)

  attempt.attemptTimers = plan.inner.attemptTimers
  attempt.bodyTimers = plan.inner.bodyTimers
  attempt.notes = state.notes
  attempt.sent = state.sent
  if (context !== null) {
    attempt.startedAt = beganAt
    exchange.budget = plan.retry.budget
  }
  if (headSeen) {
    attempt.headAt = state.headAt
    attempt.outcome = outcome
    attempt.protocol = protocolOfHead(inner, outcome.headers)
    outer.commit(attempt)
  }
  const common = { context, paused, headSeen, settled }
  const above = deadlineOf(plan, outer, headSeen)
  const isStarted = context !== null
  outer.takeOver({
    ...common,
    admitted: plan.outer.stages.length,
    permits: above,
    inner: isStarted ? edge : null,
  })
  attempt.inner = outer.inner
  const { asked: admitted, permits } = state
  edge.takeOver({ ...common, admitted, permits, inner }, isStarted ? state.clockSince : null)
  return { outer, attempt, edge }
}

function deadlineOf({ deadlineTimers }: FusedPlan, outer: RetriedCall, headSeen: boolean): readonly Permit[] {
  if (deadlineTimers === null) return []
  const { exchange } = outer.scope
  exchange.deadlineAt = exchange.beganAt + deadlineTimers.duration
  return headSeen ? [] : [new RunningDeadline(outer, deadlineTimers, exchange.beganAt)]
}
