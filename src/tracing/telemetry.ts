import {
  context,
  createContextKey,
  diag,
  ProxyTracerProvider,
  propagation,
  ROOT_CONTEXT,
  type TracerProvider,
  trace,
} from '@opentelemetry/api'
import { createExports, type ExportOptions } from './export.ts'
import { loadInstrumentation, loadSdk, type Sampler, type Sdk, type SpanProcessor } from './sdk.ts'
import { flushOnTermination, type SignalTarget } from './signals.ts'

/** Running telemetry: what {@link startTracing} returns. */
export interface Telemetry {
  /**
   * Sends what has been recorded so far, for at most 5 s. Never rejects: what could not be sent is reported by the one
   * warning.
   */
  flush(): Promise<void>
  /**
   * Sends what is left, for at most 5 s, stops recording and takes everything off the globals that
   * {@link startTracing} put there. Never rejects; called again, it returns the same promise.
   */
  shutdown(): Promise<void>
  /** The same as `shutdown`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Options as `startTracing` has checked them. */
export interface TelemetrySettings extends ExportOptions {
  readonly serviceName: string | undefined
  readonly ratio: number | undefined
  readonly instrumentUndici: boolean
  readonly signals: boolean
  readonly spanProcessors: readonly SpanProcessor[]
}

/** What a test may want to stand in for. */
export interface Surroundings {
  /** The longest a flush or a shutdown takes, in milliseconds. */
  readonly longestFlush: number
  readonly warn: (message: string) => void
  readonly signalTarget: SignalTarget
}

/** The process as it is. */
export const surroundings: Surroundings = {
  longestFlush: 5_000,
  warn: (message) => process.emitWarning(message, { type: 'RoundtripperWarning', code: 'ROUNDTRIPPER_TRACING' }),
  signalTarget: process,
}

const done = Promise.resolve()
const inert: Telemetry = {
  flush: () => done,
  shutdown: () => done,
  [Symbol.asyncDispose]: () => done,
}

let running: Telemetry | undefined

/** Starts the SDK. Throws where it is missing, or where tracing is already on. */
export function startTelemetry(settings: TelemetrySettings, around: Surroundings = surroundings): Telemetry {
  if (process.env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return inert
  if (running !== undefined) {
    throw new Error(
      'startTracing: tracing is already on; keep what the first call returned, or await its shutdown() before starting anew',
    )
  }
  if (registeredProvider() !== undefined) {
    throw new Error(
      'startTracing: another OpenTelemetry SDK is already registered; tracing() uses it as it is, without startTracing()',
    )
  }

  const sdk = loadSdk()
  const reported = once(around.warn)
  const failed = (destination: string, reason: unknown) =>
    reported(
      `roundtripper: traces could not be sent to ${destination} (${reasonOf(reason)}); ` +
        'calls go on as before, and further failures are not reported',
    )
  const exports = createExports(sdk, settings, failed, (message) => around.warn(`startTracing: ${message}`))
  const processors = [...settings.spanProcessors, ...exports.map((each) => each.processor)]

  const started = register(sdk, settings, processors)
  const bounded = (work: Promise<unknown>) =>
    within(around.longestFlush, work, (reason) =>
      failed(exports.map((each) => each.destination).join(', ') || 'the span processors', reason),
    )

  let stopping: Promise<void> | undefined
  const telemetry: Telemetry = {
    flush() {
      if (stopping !== undefined) return stopping
      const flushed = Promise.all(processors.map((processor) => processor.forceFlush()))
      // A processor waits for the batches it sends now; the exporter also for those already under way.
      return bounded(flushed.then(() => Promise.all(exports.map(({ exporter }) => exporter.forceFlush?.()))))
    },
    shutdown() {
      stopping ??= stop()
      return stopping
    },
    [Symbol.asyncDispose]() {
      return telemetry.shutdown()
    },
  }
  const ignoreSignals = settings.signals ? flushOnTermination(telemetry, around.signalTarget) : undefined

  async function stop(): Promise<void> {
    ignoreSignals?.()
    await bounded(started.node.shutdown())
    started.undo()
    running = undefined
  }

  running = telemetry
  return telemetry
}

interface Registered {
  readonly node: { shutdown(): Promise<void> }
  undo(): void
}

// Puts everything on the globals, and knows how to take off again what it put there, and nothing else.
function register(sdk: Sdk, settings: TelemetrySettings, spanProcessors: SpanProcessor[]): Registered {
  const contextWasTaken = hasContextManager()
  const propagatorWasTaken = propagation.fields().length > 0
  const metersBefore = sdk.api.metrics.getMeterProvider()
  const loggersBefore = sdk.api.logs.getLoggerProvider()
  // Tracers made before now hang on this one. The SDK wakes only those of its own copy of the API.
  const early = trace.getTracerProvider()

  const marks: string[] = []
  const instrumentation = settings.instrumentUndici ? instrument(marks) : undefined
  const undo = () => {
    instrumentation?.disable()
    if (!contextWasTaken) context.disable()
    if (!propagatorWasTaken) propagation.disable()
    trace.disable()
    sdk.api.trace.disable()
    if (sdk.api.metrics.getMeterProvider() !== metersBefore) sdk.api.metrics.disable()
    if (sdk.api.logs.getLoggerProvider() !== loggersBefore) sdk.api.logs.disable()
    if (process.env.OTEL_LOG_LEVEL) diag.disable()
  }

  try {
    const node = new sdk.node.NodeSDK({
      spanProcessors,
      ...(settings.serviceName === undefined ? {} : { serviceName: settings.serviceName }),
      ...(settings.ratio === undefined ? {} : { sampler: createSampler(sdk, settings.ratio) }),
      ...(instrumentation === undefined ? {} : { instrumentations: [instrumentation] }),
      // The SDK would start to send metrics and logs too, which nobody asked for until the variable is there.
      ...(process.env.OTEL_METRICS_EXPORTER ? {} : { metricReaders: [] }),
      ...(process.env.OTEL_LOGS_EXPORTER ? {} : { logRecordProcessors: [] }),
    })
    node.start()

    const provider = registeredProvider()
    if (spanProcessors.length > 0 && provider === undefined) {
      throw new Error(
        'startTracing: the SDK could not register itself, because several versions of @opentelemetry/api are loaded; `npm ls @opentelemetry/api` shows them',
      )
    }
    if (provider !== undefined && early instanceof ProxyTracerProvider) early.setDelegate(provider)

    marks.push(...propagation.fields().filter((field) => field !== 'baggage' && field !== 'tracestate'))
    // Without a header that shows who has made a span already, each request of the kit would get two.
    if (marks.length === 0) instrumentation?.disable()
    return { node, undo }
  } catch (error) {
    undo()
    throw error
  }
}

function createSampler(sdk: Sdk, ratio: number): Sampler {
  return new sdk.trace.ParentBasedSampler({ root: new sdk.trace.TraceIdRatioBasedSampler(ratio) })
}

/** Spans for requests outside the kit: those without a header that `marks` names. */
function instrument(marks: readonly string[]) {
  const { UndiciInstrumentation } = loadInstrumentation()
  return new UndiciInstrumentation({ ignoreRequestHook: ({ headers }) => carriesAny(headers, marks) })
}

/** Whether a header of one of these names (lower case) is among those of undici's `request` on its channels. */
export function carriesAny(headers: unknown, names: readonly string[]): boolean {
  // Up to undici 5 one string of lines, since then names and values in turn.
  const lines = typeof headers === 'string' ? headers.split('\r\n') : []
  if (lines.some((line) => names.includes(line.slice(0, line.indexOf(':')).toLowerCase()))) return true
  if (!Array.isArray(headers)) return false
  for (let i = 0; i < headers.length; i += 2) {
    if (names.includes(String(headers[i]).toLowerCase())) return true
  }
  return false
}

const nobody = new ProxyTracerProvider().getDelegate()

function registeredProvider(): TracerProvider | undefined {
  const provider = trace.getTracerProvider() as TracerProvider & Partial<ProxyTracerProvider>
  const delegate = provider.getDelegate?.() ?? provider
  return delegate === nobody ? undefined : delegate
}

const present = createContextKey('roundtripper.present')

function hasContextManager(): boolean {
  return context.with(ROOT_CONTEXT.setValue(present, true), () => context.active().getValue(present) === true)
}

/** Waits for the work, at most so long. Gives failure and lateness to `failed`; never rejects. */
async function within(milliseconds: number, work: Promise<unknown>, failed: (reason: unknown) => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      failed(`no answer within ${milliseconds} ms`)
      resolve()
    }, milliseconds)
  })
  await Promise.race([work.catch(failed), late])
  clearTimeout(timer)
}

function once(report: (message: string) => void): (message: string) => void {
  let told = false
  return (message) => {
    if (told) return
    told = true
    report(message)
  }
}

function reasonOf(reason: unknown): string {
  if (!(reason instanceof Error)) return String(reason ?? 'no reason given')
  const { code } = reason as { code?: unknown }
  // A refusal on both of localhost's addresses is an AggregateError without a message.
  const words = [code === undefined || reason.message.includes(String(code)) ? '' : String(code), reason.message]
  return words.filter((word) => word !== '').join(' ') || reason.name
}
