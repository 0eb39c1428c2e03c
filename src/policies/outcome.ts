import type { IncomingHttpHeaders } from 'node:http'

/**
 * What became of a call or of one attempt, as every policy sees it.
 *
 * | kind | what it is |
 * |---|---|
 * | `success` | a status below 400 |
 * | `clientError` | 4xx but 429 |
 * | `throttled` | 429 |
 * | `serverError` | 5xx |
 * | `networkError` | no connection, a lost one, a broken body, undici's own timeouts |
 * | `timeout` | our attempt timeout or body timeout |
 * | `deadline` | the time of the whole call is up |
 * | `shed` | refused by us, never sent |
 * | `cancelled` | the caller aborted, or the attempt lost against another |
 * | `invalid` | bad arguments, a consumer that throws, the caller's own body failing |
 * | `closed` | the dispatcher was closed or destroyed |
 */
export type OutcomeKind =
  | 'success'
  | 'clientError'
  | 'throttled'
  | 'serverError'
  | 'networkError'
  | 'timeout'
  | 'deadline'
  | 'shed'
  | 'cancelled'
  | 'invalid'
  | 'closed'

// What a server, or the way to it, can cause; the other kinds are the caller's, or the kit's own.
const judgements: ReadonlySet<unknown> = new Set<OutcomeKind>([
  'success',
  'clientError',
  'throttled',
  'serverError',
  'networkError',
  'timeout',
])

/** Whether something is a judgement of what a server did: what a user's own may say. The other kinds are facts that only the kit knows. */
export function isJudgement(kind: unknown): kind is OutcomeKind {
  return judgements.has(kind)
}

/** How far the response had come when the outcome was known. */
export type OutcomePhase = 'before-head' | 'head' | 'body'

/** One judged result. Never changed once made. */
export interface Outcome {
  readonly kind: OutcomeKind
  /** Where it was decided: before a head came, by the head, or after it. */
  readonly phase: OutcomePhase
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders | undefined
  readonly error: unknown
  /** Milliseconds from the start of the attempt (its last permit granted) to the response head; `undefined` before one. */
  readonly headMs: number | undefined
}

/** What a classifier is shown: a response head (`status`, `headers`) or an error. */
export interface Classifiable {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders | undefined
  readonly error: unknown
}

/**
 * A user's own judgement. Returns one of the kinds that a server can cause, or `undefined` for the default. It is never
 * asked about the kinds that are the kit's own; if it throws, the default counts.
 */
export type Classify = (
  seen: Classifiable,
) => 'success' | 'clientError' | 'throttled' | 'serverError' | 'networkError' | 'timeout' | undefined

/** The default judgement of a status. */
export function kindOfStatus(status: number): OutcomeKind {
  if (status < 400) return 'success'
  if (status === 429) return 'throttled'
  if (status < 500) return 'clientError'
  return 'serverError'
}

/** Kinds that count against a server: a breaker's failures, a limit's drops. */
export function isFailure(kind: OutcomeKind): boolean {
  return kind === 'serverError' || kind === 'networkError' || kind === 'timeout'
}

/** Kinds that show the server answered in good order. */
export function isSuccess(kind: OutcomeKind): boolean {
  return kind === 'success' || kind === 'clientError'
}

const kindsByCode = new Map<string, OutcomeKind>(
  Object.entries({
    ERR_CIRCUIT_OPEN: 'shed',
    ERR_BULKHEAD_FULL: 'shed',
    ERR_CONCURRENCY_LIMITED: 'shed',
    ERR_NO_HOST: 'shed',
    ERR_RATE_LIMITED: 'shed',
    ERR_ACQUIRE_TIMEOUT: 'shed',
    ERR_ATTEMPT_TIMEOUT: 'timeout',
    ERR_BODY_TIMEOUT: 'timeout',
    ERR_DEADLINE_EXCEEDED: 'deadline',
    ERR_INVALID_REQUEST: 'invalid',
    ERR_NO_ROUTE: 'invalid',
    UND_ERR_INVALID_ARG: 'invalid',
    UND_ERR_NOT_SUPPORTED: 'invalid',
    UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'invalid',
    UND_ERR_INVALID_RETURN_VALUE: 'invalid',
    UND_ERR_CLOSED: 'closed',
    UND_ERR_DESTROYED: 'closed',
    UND_ERR_ABORTED: 'cancelled',
  } satisfies Record<string, OutcomeKind>),
)

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : undefined
}

// What a Blob or FormData over a file gives where the file has changed since: the request's own body failed.
function isUnreadableFile(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'NotReadableError'
}

/** The default judgement of an error that nobody in the kit has claimed. */
export function kindOfError(error: unknown): OutcomeKind {
  const code = codeOf(error)
  if (code === undefined) return isUnreadableFile(error) ? 'invalid' : 'networkError'
  return kindsByCode.get(code) ?? 'networkError'
}

/** The status an error stands for, where an inner layer (undici's `responseError`, its retry) made an error of a response. */
export function statusOfError(error: unknown): number | undefined {
  const code = codeOf(error)
  if (code !== 'UND_ERR_RESPONSE' && code !== 'UND_ERR_REQ_RETRY') return undefined
  const { statusCode, status } = error as { statusCode?: unknown; status?: unknown }
  const found = statusCode ?? status
  // undici's retry also fails with a good status: over ranges that do not fit.
  return typeof found === 'number' && found >= 400 ? found : undefined
}
