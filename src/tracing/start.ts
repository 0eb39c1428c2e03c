/**
 * Traces from here to a collector such as Jaeger.
 *
 * ```ts
 * import { startTracing } from 'roundtripper/tracing'
 *
 * const telemetry = startTracing({ serviceName: 'shop' })
 * // ... calls through a chain with tracing() in it
 * await telemetry.shutdown()
 * ```
 */
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { checkBoolean, checkNumber, checkOptions } from '../policies/options.ts'
import type { SpanProcessor } from './sdk.ts'
import { startTelemetry, type Telemetry } from './telemetry.ts'

export type { SpanProcessor } from './sdk.ts'
export type { Telemetry } from './telemetry.ts'

/** What {@link startTracing} can be told. What is left out comes from the OTEL_ variables. */
export interface StartTracingOptions {
  /**
   * What this program is called in traces.
   * @default OTEL_SERVICE_NAME, then `service.name` of OTEL_RESOURCE_ATTRIBUTES, then `unknown_service:` and the name of the executable
   */
  readonly serviceName?: string
  /**
   * The collector's base URL for OTLP over HTTP; `/v1/traces` is added to its path unless it ends so.
   * @default OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (a whole URL), then OTEL_EXPORTER_OTLP_ENDPOINT (a base URL), then `http://localhost:4318`
   */
  readonly endpoint?: string | URL
  /**
   * Headers for the collector; each wins over the one of the same name in OTEL_EXPORTER_OTLP_HEADERS.
   * @default those of OTEL_EXPORTER_OTLP_TRACES_HEADERS and OTEL_EXPORTER_OTLP_HEADERS
   */
  readonly headers?: Readonly<Record<string, string>>
  /**
   * The share of traces to record, from 0 to 1, where no caller has decided already.
   * @default what OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say, then 1
   */
  readonly ratio?: number
  /**
   * Whether undici and fetch traffic that does not pass through the kit gets spans too.
   * @default true
   */
  readonly instrumentUndici?: boolean
  /**
   * Whether SIGTERM flushes before it goes on.
   * @default true
   */
  readonly signals?: boolean
  /**
   * Span processors that see every span before it is exported.
   * @default none
   */
  readonly spanProcessors?: readonly SpanProcessor[]
}

const known = ['serviceName', 'endpoint', 'headers', 'ratio', 'instrumentUndici', 'signals', 'spanProcessors']

/**
 * Starts the OpenTelemetry SDK, which the `tracing()` layer and `fetch` outside the kit then record to, and exports
 * over OTLP/HTTP to `localhost:4318` unless an option or an OTEL_ variable says otherwise. An option wins over its
 * variable only where it is given; OTEL_SDK_DISABLED wins over all.
 *
 * It registers the global tracer provider, context manager and propagator, and listens to SIGTERM; `shutdown()` takes
 * all that back. A collector that is down costs one warning (`ROUNDTRIPPER_TRACING`), never a call.
 *
 * Throws a `TypeError` or `RangeError` for a wrong option, and an `Error` that names the package to install where the
 * SDK is missing, or where tracing is already on.
 *
 * Source: the OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
 */
export function startTracing(options: StartTracingOptions = {}): Telemetry {
  checkOptions('startTracing', options, known)
  const {
    serviceName,
    endpoint,
    headers,
    ratio,
    instrumentUndici = true,
    signals = true,
    spanProcessors = [],
  } = options
  return startTelemetry({
    serviceName: serviceName === undefined ? undefined : checkServiceName(serviceName),
    endpoint: endpoint === undefined ? undefined : checkEndpoint(endpoint),
    headers: headers === undefined ? undefined : checkHeaders(headers),
    ratio: ratio === undefined ? undefined : checkNumber('startTracing: ratio', ratio, { min: 0, max: 1 }),
    instrumentUndici: checkBoolean('startTracing: instrumentUndici', instrumentUndici),
    signals: checkBoolean('startTracing: signals', signals),
    spanProcessors: checkProcessors(spanProcessors),
  })
}

function checkServiceName(name: unknown): string {
  if (typeof name === 'string' && name.trim() !== '') return name
  throw new TypeError(`startTracing: serviceName must be a string that is not empty, got ${shown(name)}`)
}

function checkEndpoint(endpoint: unknown): URL {
  const text = endpoint instanceof URL ? endpoint.href : endpoint
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new TypeError(
    `startTracing: endpoint must be an http(s) URL such as http://localhost:4318, got ${shown(endpoint)}`,
  )
}

// Values may be credentials, so no message repeats them.
function checkHeaders(headers: unknown): Readonly<Record<string, string>> {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    throw new TypeError(`startTracing: headers must be an object of names and strings, got ${shown(headers)}`)
  }
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name)
      if (typeof value !== 'string') throw new TypeError('not a string')
      validateHeaderValue(name, value)
    } catch (cause) {
      throw new TypeError(`startTracing: headers has a name or value that cannot be sent: ${shown(name)}`, { cause })
    }
  }
  return headers as Readonly<Record<string, string>>
}

function checkProcessors(processors: unknown): readonly SpanProcessor[] {
  const fits = (each: SpanProcessor | undefined) =>
    typeof each?.onEnd === 'function' && typeof each.forceFlush === 'function'
  if (Array.isArray(processors) && processors.every(fits)) return processors
  throw new TypeError(`startTracing: spanProcessors must be an array of span processors, got ${shown(processors)}`)
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (Array.isArray(value)) return 'an array with something else in it'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
