import type { IncomingHttpHeaders } from 'node:http'
import { kindOfStatus, type Outcome, type OutcomeKind, type OutcomePhase } from '../policies/outcome.ts'

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

/** The verdict on a head that {@link headKind} calls a success. */
export function successOf(status: number, headers: IncomingHttpHeaders, headMs: number): Outcome {
  return new JudgedOutcome('success', 'head', status, headers, undefined, headMs)
}

/** The default judgement of a response head. */
// A gRPC server answers 200 and tells in grpc-status what became of the call; a trailers-only answer has it in its head.
export function headKind(status: number, headers: IncomingHttpHeaders): OutcomeKind {
  const grpcStatus = headers['grpc-status']
  if (grpcStatus === '14') return 'serverError'
  if (grpcStatus === '8') return 'throttled'
  return kindOfStatus(status)
}
