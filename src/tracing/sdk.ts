import { createRequire } from 'node:module'
import type { NodeSDKConfiguration } from '@opentelemetry/sdk-node'

type SdkNode = typeof import('@opentelemetry/sdk-node')
type Api = typeof import('@opentelemetry/api')

export type SpanProcessor = NonNullable<NodeSDKConfiguration['spanProcessors']>[number]
export type SpanExporter = NodeSDKConfiguration['traceExporter']
export type Sampler = NodeSDKConfiguration['sampler']
type Instrumentation = Exclude<NodeSDKConfiguration['instrumentations'][number], readonly unknown[]>

// What is used of packages that an application does not list itself: described here, so that our types need only the SDK's.
interface SdkTrace {
  readonly BatchSpanProcessor: new (settings: { exporter: SpanExporter } & Record<string, unknown>) => SpanProcessor
  readonly SimpleSpanProcessor: new (settings: { exporter: SpanExporter }) => SpanProcessor
  readonly ConsoleSpanExporter: new () => SpanExporter
  readonly ParentBasedSampler: new (settings: { root: Sampler }) => Sampler
  readonly TraceIdRatioBasedSampler: new (ratio: number) => Sampler
}

interface InstrumentationUndici {
  readonly UndiciInstrumentation: new (settings: {
    ignoreRequestHook(request: { readonly headers: unknown }): boolean
  }) => Instrumentation
}

/** The packages that tracing needs installed beside the kit, in the versions that fit together. */
export const packages = {
  '@opentelemetry/sdk-node': '0.301.0',
  '@opentelemetry/instrumentation-undici': '0.34.0',
} as const

/** An exporter as its package offers it; all settings left out come from the OTEL_ variables. */
export interface ExporterClass {
  new (settings?: { url?: string; headers?: Record<string, string>; timeoutMillis?: number }): SpanExporter
}

/** The SDK and what it brings along, taken from where the SDK itself finds it, so that the versions always fit. */
export interface Sdk {
  readonly node: SdkNode
  readonly trace: SdkTrace
  /** The SDK's copy of the API: CommonJS, so not the one that ES modules get. */
  readonly api: Api
  /** A number from the environment, as the SDK reads it. */
  readonly numberFromEnv: (name: string) => number | undefined
  readonly exporter: (name: 'otlp-proto' | 'otlp-http' | 'otlp-grpc' | 'zipkin') => ExporterClass
}

const require = createRequire(import.meta.url)
const install = `npm install ${Object.entries(packages)
  .map(([name, version]) => `${name}@${version}`)
  .join(' ')}`

// Loaded at the call and not by import, so that the kit can be imported without it, and its absence explained.
function load(from: NodeJS.Require, name: string, advice: string): unknown {
  try {
    return from(name)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'MODULE_NOT_FOUND' || !message.includes(`'${name}'`)) throw error
    throw new Error(`startTracing: ${name} is not installed${advice}`, { cause: error })
  }
}

/** Loads the SDK. Throws an error that names what to install where it is missing. */
export function loadSdk(): Sdk {
  const node = load(require, '@opentelemetry/sdk-node', `: ${install}`) as SdkNode
  const fromSdk = createRequire(require.resolve('@opentelemetry/sdk-node'))
  const beside = (name: string) => load(fromSdk, name, ` with this version of @opentelemetry/sdk-node: ${install}`)
  const { getNumberFromEnv } = beside('@opentelemetry/core') as { getNumberFromEnv: Sdk['numberFromEnv'] }
  return {
    node,
    trace: beside('@opentelemetry/sdk-trace') as SdkTrace,
    api: beside('@opentelemetry/api') as Api,
    numberFromEnv: getNumberFromEnv,
    exporter(name) {
      if (name === 'zipkin') {
        return (beside('@opentelemetry/exporter-zipkin') as { ZipkinExporter: ExporterClass }).ZipkinExporter
      }
      return (beside(`@opentelemetry/exporter-trace-${name}`) as { OTLPTraceExporter: ExporterClass }).OTLPTraceExporter
    },
  }
}

/** Loads the instrumentation for traffic that does not pass through the kit. Throws like {@link loadSdk}. */
export function loadInstrumentation(): InstrumentationUndici {
  const advice = `: ${install}, or pass instrumentUndici: false`
  return load(require, '@opentelemetry/instrumentation-undici', advice) as InstrumentationUndici
}
