import type { IncomingHttpHeaders } from 'node:http'
import type { Outcome, OutcomeKind, OutcomePhase } from '../policies/outcome.ts'

/** An outcome as a scope makes it: always of the same shape. */
export class JudgedOutcome implements Outcome {
  readonly kind: OutcomeKind
  readonly phase: OutcomePhase
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders | undefined
  readonly error: unknown
  readonly headMs: number | undefined

  constructor(
    kind: OutcomeKind,
    phase: OutcomePhase,
    status: number | undefined,
    headers: IncomingHttpHeaders | undefined,
    error: unknown,
    headMs: number | undefined,
  ) {
    this.kind = kind
    this.phase = phase
    this.status = status
    this.headers = headers
    this.error = error
    this.headMs = headMs
  }
}
