import * as cockatiel from 'cockatiel'
import { guard, type Layer, type Outcome } from 'roundtripper'
import type { Dispatcher } from 'undici'
import { onTestFinished, vi } from 'vitest'
import { call, callByFetch } from './retry-servers.ts'

/** Every error, and every 5xx. */
export const failures: cockatiel.Policy = cockatiel.handleAll.orWhenResult(
  (outcome) => (outcome as Outcome).kind === 'serverError',
)

/** Retries every failure, after a wait that a test can afford. */
export function quickRetry(maxAttempts: number, delay = 1): cockatiel.RetryPolicy {
  return cockatiel.retry(failures, { maxAttempts, backoff: new cockatiel.ConstantBackoff(delay) }).dangerouslyUnref()
}

/** Opens at the first failure. */
export function touchyBreaker(): cockatiel.CircuitBreakerPolicy {
  return cockatiel.circuitBreaker(failures, { halfOpenAfter: 60_000, breaker: new cockatiel.ConsecutiveBreaker(1) })
}

/** A policy of one's own, which is nothing but its execute. */
export function ownPolicy(execute: (run: () => Promise<Outcome>, signal: AbortSignal) => unknown): cockatiel.IPolicy {
  const run = (fn: (context: { signal: AbortSignal }) => Promise<Outcome>, signal: AbortSignal) =>
    execute(() => fn({ signal }), signal)
  return { ...cockatiel.noop, execute: run } as never
}

/** Both callers of a chain. */
export const clients = [
  { client: 'request', ask: call },
  { client: 'fetch', ask: callByFetch },
] as const

/** Keeps what became of every call, as a layer above sees it. */
export class Outcomes {
  readonly all: Outcome[] = []
  /** Milliseconds in queues and backoffs, of all calls. */
  waitedMs = 0
  readonly layer: Layer = guard({
    name: 'outcomes',
    acquire: () => ({
      settle: (outcome, { queuedMs, exchange }) => {
        this.all.push(outcome)
        this.waitedMs += queuedMs + exchange.backoffMs
      },
    }),
  })

  get kinds(): string[] {
    return this.all.map(({ kind }) => kind)
  }
}

/** Counts the bytes of bodies that come up from the layer below. */
export class Bytes {
  count = 0
  readonly layer: Layer = (dispatch) => (opts, handler) => {
    const counted: Dispatcher.DispatchHandler = {
      onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
      onResponseStart: (...args) => handler.onResponseStart?.(...args),
      onResponseData: (controller, chunk) => {
        this.count += chunk.length
        handler.onResponseData?.(controller, chunk)
      },
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    }
    return dispatch(opts, counted)
  }
}

/** What fetch wraps in a `TypeError: fetch failed`, and request does not. */
export function causeOf(error: unknown): unknown {
  return error instanceof TypeError && error.message === 'fetch failed' ? error.cause : error
}

/** Stops the clock of timeouts and waits until the test is over; sockets go on. */
export function stopClock(): { pass(duration: number): void } {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => {
    vi.useRealTimers()
  })
  return {
    pass(duration) {
      vi.advanceTimersByTime(duration)
    },
  }
}
