// `npm run jaeger [-- --otlp-port 4318 --query-port 16686]`: a Jaeger to look at traces in, until Ctrl-C.
import { parseArgs } from 'node:util'
import { startJaeger } from './jaeger/start.ts'

export { startJaeger }

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  await main().catch((error) => {
    console.error(`jaeger: ${error.message}`)
    process.exitCode = 1
  })
}

async function main() {
  const { values } = parseArgs({
    options: {
      'otlp-port': { type: 'string', default: '4318' },
      'query-port': { type: 'string', default: '16686' },
    },
  })
  // Until it is up, a signal ends us with whatever is being built or started.
  let stop = () => process.exit(1)
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stop())

  const jaeger = await startJaeger({
    otlpPort: portOf('otlp-port', values['otlp-port']),
    queryPort: portOf('query-port', values['query-port']),
    log: (line) => console.log(`jaeger: ${line}`),
  })
  let asked = false
  stop = () => {
    asked = true
    void jaeger.stop()
  }
  console.log(`${jaeger.kind}, keeps traces in memory until it is stopped (Ctrl-C)`)
  console.log(`  send spans to  ${jaeger.otlpEndpoint}  (OTEL_EXPORTER_OTLP_ENDPOINT)`)
  if (jaeger.hasPages) console.log(`  look at them   ${jaeger.queryEndpoint}`)
  console.log(`  as JSON        ${jaeger.queryEndpoint}/api/traces?service=NAME`)

  await jaeger.ended
  if (!asked) throw new Error('Jaeger ended by itself')
}

function portOf(name, given) {
  const port = Number(given)
  if (/^\d+$/.test(given) && port <= 65_535) return port
  throw new Error(`--${name} must be a whole number from 0 (any free port) to 65535, got ${JSON.stringify(given)}`)
}
