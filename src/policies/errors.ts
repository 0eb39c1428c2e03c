const brand = Symbol.for('roundtripper.ResilienceError')

/** What every error of the kit carries besides its message. */
export interface ResilienceErrorOptions {
  /** The origin the call was for. */
  readonly origin?: string | undefined
  readonly cause?: unknown
}

/**
 * The kit's own refusals and timeouts. `instanceof` also holds across two copies of the package.
 */
export class ResilienceError extends Error {
  /** A stable, greppable name of what happened. */
  readonly code: string = 'ERR_RESILIENCE'
  /** The origin the call was for, such as `https://api.example.com`. */
  readonly origin: string | undefined

  constructor(message: string, options: ResilienceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.origin = options.origin
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    const branded = typeof value === 'object' && value !== null && brand in value
    if (!branded) return false
    if (this === ResilienceError) return true
    const code = codes.get(this)
    return code === undefined
      ? Function.prototype[Symbol.hasInstance].call(this, value)
      : (value as unknown as ResilienceError).code === code
  }
}
Object.defineProperty(ResilienceError.prototype, brand, { value: true })
Object.defineProperty(ResilienceError.prototype, 'name', {
  value: 'ResilienceError',
  configurable: true,
  writable: true,
})

// Filled after the classes: subclasses are matched by code, so that those of another copy match too.
const codes = new Map<unknown, string>()

/** An error that says when to come back. */
export interface RetryAfterOptions extends ResilienceErrorOptions {
  /** Milliseconds until it is worth trying again. */
  readonly retryAfter: number
}

/** The circuit is open: the call was refused, nothing was sent. `retryAfter` is the time left in milliseconds. */
export class CircuitOpenError extends ResilienceError {
  override readonly code = 'ERR_CIRCUIT_OPEN'
  readonly retryAfter: number
  constructor(message: string, options: RetryAfterOptions) {
    super(message, options)
    this.retryAfter = options.retryAfter
  }
}

/** Every slot and every place in the queue is taken, or the queue's time is up: nothing was sent. */
export class BulkheadFullError extends ResilienceError {
  override readonly code = 'ERR_BULKHEAD_FULL'
}

/** As many calls are under way as the origin can take, by what an adaptive limit has measured: nothing was sent. */
export class ConcurrencyLimitedError extends ResilienceError {
  override readonly code = 'ERR_CONCURRENCY_LIMITED'
}

/** A rate limit refused the call: nothing was sent. `retryAfter` is in milliseconds. */
export class RateLimitedError extends ResilienceError {
  override readonly code = 'ERR_RATE_LIMITED'
  readonly retryAfter: number
  constructor(message: string, options: RetryAfterOptions) {
    super(message, options)
    this.retryAfter = options.retryAfter
  }
}

/** One attempt took too long to give a response head. */
export class AttemptTimeoutError extends ResilienceError {
  override readonly code = 'ERR_ATTEMPT_TIMEOUT'
}

/** A response body stood still for too long while somebody was reading it. */
export class BodyTimeoutError extends ResilienceError {
  override readonly code = 'ERR_BODY_TIMEOUT'
}

/** The whole call, waits and attempts together, took too long to give a response head. */
export class DeadlineExceededError extends ResilienceError {
  override readonly code = 'ERR_DEADLINE_EXCEEDED'
}

/** No connection was free in time: the agent's bounds are reached, or the server takes no more. Nothing was sent. */
export class AcquireTimeoutError extends ResilienceError {
  override readonly code = 'ERR_ACQUIRE_TIMEOUT'
}

/** What a proxy said. */
export interface ProxyErrorOptions extends ResilienceErrorOptions {
  /** The status it refused with. */
  readonly status?: number | undefined
}

/** No connection through the proxy: it was not reached, or refused. Nothing was sent to the server. `status` is its answer. */
export class ProxyError extends ResilienceError {
  override readonly code = 'ERR_PROXY'
  readonly status: number | undefined
  constructor(message: string, options: ProxyErrorOptions = {}) {
    super(message, options)
    this.status = options.status
  }
}

/** A group of hosts has none that could be called: nothing was sent. */
export class NoHostError extends ResilienceError {
  override readonly code = 'ERR_NO_HOST'
}

/** What a call asked for, of which no route was for it. */
export interface NoRouteErrorOptions extends ResilienceErrorOptions {
  readonly method: string
  readonly host: string
  /** Without its query. */
  readonly path: string
}

/** No route of a `route()` is for the call, and there is no fallback: nothing was sent. */
export class NoRouteError extends ResilienceError {
  override readonly code = 'ERR_NO_ROUTE'
  readonly method: string
  readonly host: string
  readonly path: string
  constructor(message: string, options: NoRouteErrorOptions) {
    super(message, options)
    this.method = options.method
    this.host = options.host
    this.path = options.path
  }
}

/** The request cannot be sent as it was given; the message names what was given and what is allowed. */
export class InvalidRequestError extends ResilienceError {
  override readonly code = 'ERR_INVALID_REQUEST'
}

for (const [errorClass, code] of [
  [CircuitOpenError, 'ERR_CIRCUIT_OPEN'],
  [BulkheadFullError, 'ERR_BULKHEAD_FULL'],
  [ConcurrencyLimitedError, 'ERR_CONCURRENCY_LIMITED'],
  [RateLimitedError, 'ERR_RATE_LIMITED'],
  [AttemptTimeoutError, 'ERR_ATTEMPT_TIMEOUT'],
  [BodyTimeoutError, 'ERR_BODY_TIMEOUT'],
  [DeadlineExceededError, 'ERR_DEADLINE_EXCEEDED'],
  [AcquireTimeoutError, 'ERR_ACQUIRE_TIMEOUT'],
  [ProxyError, 'ERR_PROXY'],
  [NoHostError, 'ERR_NO_HOST'],
  [NoRouteError, 'ERR_NO_ROUTE'],
  [InvalidRequestError, 'ERR_INVALID_REQUEST'],
] as const) {
  codes.set(errorClass, code)
  Object.defineProperty(errorClass.prototype, 'name', { value: errorClass.name, configurable: true, writable: true })
}

const unsent = Symbol.for('roundtripper.unsent')

/** Notes on a transport's error that nothing of the request reached the server, whatever its method. */
export function noteUnsent(error: Error): void {
  Object.defineProperty(error, unsent, { value: true, configurable: true })
}

/** Whether the transport is certain that the server took nothing of the request. */
export function isUnsent(error: unknown): boolean {
  return typeof error === 'object' && error !== null && (error as { [unsent]?: unknown })[unsent] === true
}

/**
 * Whether a call was refused before anything was sent: open circuit, full bulkhead, adaptive limit, rate limit, no free
 * connection, no host, the kit's or (behind `fromCockatiel`) cockatiel's. Below `retry()` or `hedge()` earlier attempts of the call
 * may have been sent. Looks through `cause`, so it also works on fetch's `TypeError: fetch failed`.
 */
export function isShed(error: unknown): boolean {
  for (let at = error, depth = 0; typeof at === 'object' && at !== null && depth < 8; depth++) {
    if (at instanceof CircuitOpenError || at instanceof BulkheadFullError || at instanceof RateLimitedError) return true
    if (at instanceof ConcurrencyLimitedError || at instanceof AcquireTimeoutError) return true
    if (at instanceof NoHostError) return true
    // By their marks, as cockatiel tells them itself.
    const { isBrokenCircuitError, isBulkheadRejectedError } = at as Record<string, unknown>
    if (isBrokenCircuitError === true || isBulkheadRejectedError === true) return true
    at = (at as { cause?: unknown }).cause
  }
  return false
}
