import type { Sdk, SpanExporter, SpanProcessor } from './sdk.ts'

// How long one export may take, its retries included. The SDK's own default is 10 s, in which time a collector that is
// down would hold up a process that has nothing else left to do.
const exportTimeoutMs = 5_000

/** What the caller gave about where spans go. */
export interface ExportOptions {
  readonly endpoint?: URL | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** Told of an export that failed, and where it was going. */
export type ReportFailure = (destination: string, reason: unknown) => void

/** One way out for spans. */
export interface Export {
  readonly destination: string
  readonly exporter: SpanExporter
  readonly processor: SpanProcessor
}

function setting(name: string): string | undefined {
  return process.env[name]?.trim() || undefined
}

function isHttp(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}

// OTEL_EXPORTER_OTLP_ENDPOINT, and our option, name the collector; the path of the signal comes after it.
function tracesPath(endpoint: URL): URL {
  const url = new URL(endpoint)
  const path = url.pathname.replace(/\/+$/, '')
  url.pathname = path.endsWith('/v1/traces') ? path : `${path}/v1/traces`
  return url
}

function otlpUrl(endpoint: URL | undefined, warn: (message: string) => void): URL {
  if (endpoint !== undefined) return tracesPath(endpoint)
  for (const [name, urlOf] of [
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', (url: URL) => url],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', tracesPath],
  ] as const) {
    const given = setting(name)
    if (given === undefined) continue
    if (isHttp(given)) return urlOf(new URL(given))
    warn(`${name} must be an http(s) URL such as http://localhost:4318, got ${JSON.stringify(given)}: ignored`)
  }
  return new URL('http://localhost:4318/v1/traces')
}

// For messages: no credentials, no query.
function nameOf(url: URL): string {
  return `${url.origin}${url.pathname}`
}

/** An exporter that also tells of its failures, which the SDK only gives to a diagnostics logger that nobody has set. */
class WatchedExporter implements SpanExporter {
  readonly #inner: SpanExporter
  readonly #failed: (reason: unknown) => void

  constructor(inner: SpanExporter, failed: (reason: unknown) => void) {
    this.#inner = inner
    this.#failed = failed
  }

  export(...[spans, done]: Parameters<SpanExporter['export']>): void {
    this.#inner.export(spans, (result) => {
      if (result.error !== undefined || result.code !== 0) this.#failed(result.error)
      done(result)
    })
  }

  async forceFlush(): Promise<void> {
    await this.#inner.forceFlush?.()
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown()
  }
}

function otlp(sdk: Sdk, options: ExportOptions, warn: (message: string) => void): [string, SpanExporter] {
  const protocol = setting('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ?? setting('OTEL_EXPORTER_OTLP_PROTOCOL')
  const overHttp = options.endpoint !== undefined || options.headers !== undefined
  if (protocol === 'grpc' && !overHttp) {
    return ['the OTLP collector, over gRPC', new (sdk.exporter('otlp-grpc'))()]
  }
  const url = otlpUrl(options.endpoint, warn)
  const timed = setting('OTEL_EXPORTER_OTLP_TRACES_TIMEOUT') ?? setting('OTEL_EXPORTER_OTLP_TIMEOUT')
  const exporter = new (sdk.exporter(protocol === 'http/json' ? 'otlp-http' : 'otlp-proto'))({
    url: url.href,
    ...(options.headers === undefined ? {} : { headers: { ...options.headers } }),
    ...(timed === undefined ? { timeoutMillis: exportTimeoutMs } : {}),
  })
  return [nameOf(url), exporter]
}

/**
 * The ways out that OTEL_TRACES_EXPORTER names (`otlp` where it is not set). Batches are as the OTEL_BSP_ variables say.
 */
export function createExports(
  sdk: Sdk,
  options: ExportOptions,
  failed: ReportFailure,
  warn: (message: string) => void,
): Export[] {
  const names = new Set((setting('OTEL_TRACES_EXPORTER') ?? 'otlp').split(',').map((name) => name.trim()))
  if (names.has('none')) return []

  const batched = (destination: string, inner: SpanExporter): Export => {
    const exporter = new WatchedExporter(inner, (reason) => failed(destination, reason))
    const processor = new sdk.trace.BatchSpanProcessor({ exporter, ...batchSettings(sdk) })
    return { destination, exporter, processor }
  }

  const exports: Export[] = []
  for (const name of names) {
    if (name === 'otlp') {
      exports.push(batched(...otlp(sdk, options, warn)))
    } else if (name === 'zipkin') {
      exports.push(batched('the Zipkin collector', new (sdk.exporter('zipkin'))()))
    } else if (name === 'console') {
      const exporter = new sdk.trace.ConsoleSpanExporter()
      exports.push({ destination: name, exporter, processor: new sdk.trace.SimpleSpanProcessor({ exporter }) })
    } else if (name !== '') {
      warn(`OTEL_TRACES_EXPORTER knows otlp, zipkin, console and none, got ${JSON.stringify(name)}: ignored`)
    }
  }
  return exports
}

function batchSettings(sdk: Sdk): Record<string, number> {
  const settings: Record<string, number> = {}
  for (const [name, variable] of [
    ['maxQueueSize', 'OTEL_BSP_MAX_QUEUE_SIZE'],
    ['scheduledDelayMillis', 'OTEL_BSP_SCHEDULE_DELAY'],
    ['exportTimeoutMillis', 'OTEL_BSP_EXPORT_TIMEOUT'],
    ['maxExportBatchSize', 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE'],
  ] as const) {
    const value = sdk.numberFromEnv(variable)
    if (value !== undefined && value > 0) settings[name] = value
  }
  return settings
}
