/** The caller gives up. */
export class SoakAbort extends Error {
  override readonly name = 'SoakAbort'
}

/** A consumer of a response throws. */
export class SoakThrow extends Error {
  override readonly name = 'SoakThrow'
}

/** The caller's own body fails. */
export class SoakBodyFailure extends Error {
  override readonly name = 'SoakBodyFailure'
}

/** A policy of the run refuses. */
export class SoakRefusal extends Error {
  override readonly name = 'SoakRefusal'
}

const ownErrors = [SoakAbort, SoakThrow, SoakBodyFailure, SoakRefusal]

const knownCodes = new Set([
  'ERR_CIRCUIT_OPEN',
  'ERR_BULKHEAD_FULL',
  'ERR_CONCURRENCY_LIMITED',
  'ERR_NO_HOST',
  'ERR_RATE_LIMITED',
  'ERR_ATTEMPT_TIMEOUT',
  'ERR_BODY_TIMEOUT',
  'ERR_DEADLINE_EXCEEDED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_SOCKET',
  'UND_ERR_INFO',
  'UND_ERR_REQ_RETRY',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
  'ERR_HTTP2_STREAM_ERROR',
  'ERR_HTTP2_SESSION_ERROR',
  'ERR_HTTP2_GOAWAY_SESSION',
  'ERR_STREAM_PREMATURE_CLOSE',
])

/** The error itself, out of what fetch and undici wrap around it. */
export function rootOf(error: unknown): unknown {
  let root = error
  for (let depth = 0; depth < 8; depth++) {
    const { cause } = (root ?? {}) as { cause?: unknown }
    const isWrapper = root instanceof TypeError && (root.message === 'fetch failed' || root.message === 'terminated')
    if (!isWrapper || cause === undefined) return root
    root = cause
  }
  return root
}

/** A short name for an error that may come of the run's faults; `undefined` for any other, which is a mistake. */
export function nameOfError(error: unknown): string | undefined {
  const root = rootOf(error)
  for (const own of ownErrors) if (root instanceof own) return root.name
  const { code } = (root ?? {}) as { code?: unknown }
  return typeof code === 'string' && knownCodes.has(code) ? code : undefined
}
