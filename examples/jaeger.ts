// Traces to Jaeger: `npm run jaeger` in one terminal, `npm run example -- jaeger [URL]` in another.
import { trace } from '@opentelemetry/api'
import { compose, createAgent, createFetch, standard } from 'roundtripper'
import { target } from './support/target.ts'

const { url, close } = await target([503, 503, { body: '[{"name":"Ada"}]' }])

// #region jaeger
import { startTracing } from 'roundtripper/tracing'

// OTLP/HTTP to localhost:4318, unless OTEL_EXPORTER_OTLP_ENDPOINT says otherwise.
const telemetry = startTracing({ serviceName: 'shop' }) // flushed on SIGTERM, shutdown(), or `await using`
// #endregion

const api = compose(createAgent(), standard())
const fetch = createFetch(api)

// A span of one's own: the attempts become its children. Without one, the call gets a span itself.
const traceId = await trace.getTracer('shop').startActiveSpan('show users', async (span) => {
  const response = await fetch(url)
  console.log(`${response.status}, ${(await response.text()).length} characters`)
  span.end()
  return span.spanContext().traceId
})

await telemetry.shutdown()
console.log(`trace ${traceId}: the span "show users" with one span below it for each attempt`)
console.log(`  http://localhost:16686/trace/${traceId}`)
console.log(`  http://localhost:16686/api/traces/${traceId}`)
await api.close()
await close()
