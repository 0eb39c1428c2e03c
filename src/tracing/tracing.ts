import { type Tracer, type TracerProvider, trace } from '@opentelemetry/api'
import { checkUnreadBodyTimeout } from '../dispatchers/bulkhead.ts'
import type { Stage } from '../dispatchers/call-plan.ts'
import { effectiveOptions } from '../dispatchers/describe.ts'
import type { CallScope } from '../dispatchers/exchange.ts'
import { stageLayer } from '../dispatchers/guard.ts'
import type { GuardedCall } from '../dispatchers/guarded-call.ts'
import { absenceOf, hasRegistered } from '../dispatchers/open-telemetry.ts'
import type { Layer } from '../dispatchers/relay.ts'
import { unreadBodyTimeout } from '../dispatchers/unread-body.ts'
import { checkBoolean, checkFunction, checkOptions } from '../policies/options.ts'
import type { Permit } from '../policies/policy.ts'
import { CallTrace, isTraced, type TemplatedRequest, type TraceSettings } from './call-trace.ts'

export type { TemplatedRequest } from './call-trace.ts'

/** Options of {@link tracing}. */
export interface TracingOptions {
  /**
   * Where spans come from.
   * @default the global provider, which `startTracing()` sets
   */
  readonly tracerProvider?: TracerProvider
  /**
   * The low-cardinality form of a URL's path (`/users/{id}`), for span names and `url.template`. A call's own
   * `resilience: { urlTemplate }` comes first.
   * @default none
   */
  readonly urlTemplate?: (request: TemplatedRequest) => string | undefined
  /**
   * Whether a call has a span of its own (INTERNAL) above its attempts also where the caller has one active. Without an
   * active span it always has.
   * @default false
   */
  readonly callSpan?: boolean
  /**
   * Milliseconds after which the span of a call whose body nobody reads ends; `false`: not before the body does.
   * @default 30_000
   */
  readonly unreadBodyTimeout?: number | false
}

/** Defaults of {@link tracing}. */
export const tracingDefaults = { callSpan: false, unreadBodyTimeout } as const

// A provider that throws would otherwise warn with every call.
const warned = new WeakSet<TracerProvider>()

function warnOnce(provider: TracerProvider, error: unknown): void {
  if (warned.has(provider)) return
  warned.add(provider)
  process.emitWarning(`tracing() goes on without the spans that OpenTelemetry failed to make: ${error}`, {
    type: 'RoundtripperWarning',
    code: 'ROUNDTRIPPER_TRACING',
  })
}

class Tracing implements Stage, TraceSettings {
  readonly name = 'tracing'
  readonly unreadBodyTimeout: number
  readonly urlTemplate: TraceSettings['urlTemplate']
  readonly callSpan: boolean
  readonly #given: TracerProvider | undefined
  #knownProvider: TracerProvider | undefined = undefined
  #known: Tracer | null = null

  constructor(options: TracingOptions) {
    this.unreadBodyTimeout = checkUnreadBodyTimeout('tracing', options.unreadBodyTimeout)
    this.urlTemplate = options.urlTemplate
    this.callSpan = options.callSpan ?? tracingDefaults.callSpan
    this.#given = options.tracerProvider
  }

  idleUntil(now: number): number {
    return this.#given !== undefined || hasRegistered('trace', now) ? now : absenceOf('trace')
  }

  acquire(scope: CallScope, call: GuardedCall): Permit | null {
    if ((this.#given === undefined && !hasRegistered('trace', scope.exchange.now())) || isTraced(scope)) return null
    try {
      return CallTrace.begin(this.#tracer(), this, scope, call)
    } catch (error) {
      this.failed(error)
      return null
    }
  }

  failed(error: unknown): void {
    warnOnce(this.#provider, error)
  }

  // Asking a provider for its tracer costs a quarter of a span; a new one comes only with another provider.
  #tracer(): Tracer {
    const provider = this.#provider
    if (this.#known === null || this.#knownProvider !== provider) {
      this.#known = provider.getTracer('roundtripper')
      this.#knownProvider = provider
    }
    return this.#known
  }

  get #provider(): TracerProvider {
    return this.#given ?? trace.getTracerProvider()
  }
}

/**
 * Makes one CLIENT span per attempt, child of the span that is active where the call is made, by the stable HTTP
 * semantic conventions; the same context goes out as `traceparent`. A span ends with its body. Attempts of one call share
 * one trace and are linked to one another; where the caller has no span, the call gets one. A call that is refused
 * before it is sent leaves a span that says why.
 *
 * Place it outermost. Needs only the OpenTelemetry API: without an SDK it does nothing, at next to no cost.
 *
 * @throws TypeError, RangeError for options that are out of range.
 */
export function tracing(options: TracingOptions = {}): Layer {
  checkOptions('tracing', options, ['tracerProvider', 'urlTemplate', ...Object.keys(tracingDefaults)])
  if (options.urlTemplate !== undefined) checkFunction('tracing: urlTemplate', options.urlTemplate)
  if (options.callSpan !== undefined) checkBoolean('tracing: callSpan', options.callSpan)
  if (options.tracerProvider !== undefined) {
    checkFunction('tracing: tracerProvider.getTracer', (options.tracerProvider as Partial<TracerProvider>)?.getTracer)
  }
  return stageLayer({
    name: 'tracing',
    options: () => effectiveOptions(tracingDefaults, options),
    stages: [new Tracing(options)],
  })
}
