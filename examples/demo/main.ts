// `npm run demo [-- --once]`: the same load, bare and through the chain, while a service fails and comes back.
import { setTimeout as delay } from 'node:timers/promises'
import { startTracing } from 'roundtripper/tracing'
import { gatewayPhases, gatewaySettings } from '../gateway/phases.ts'
import { Gateway } from '../gateway/run.ts'
import { bareLane, callers, callTimeout, chainLane } from './lanes.ts'
import { legend, phaseTable, phaseTitle } from './live.ts'
import { rate, startLoad } from './load.ts'
import { type Phase, phases } from './phases.ts'
import { Screen } from './screen.ts'
import { Report } from './summary.ts'
import { TraceCollector, treeLines } from './traces.ts'
import { Upstreams } from './upstreams.ts'

const redrawEvery = 250
const seed = 533
const serviceName = 'roundtripper-demo'

const given = process.argv.slice(2)
const once = given.includes('--once')
if (given.some((argument) => argument !== '--once')) {
  console.error(`Use: npm run demo, or npm run demo -- --once for one round; got ${given.join(' ')}`)
  process.exit(1)
}
const screen = new Screen(process.stdout)

// Ctrl-C ends the run with its summary; a second one ends it at once. npm sends the first one on, so that it can come
// twice in a row.
const stopped = new AbortController()
let stoppedAt = Number.POSITIVE_INFINITY
const stop = () => {
  if (performance.now() > stoppedAt + 500) process.exit(130)
  stoppedAt = Math.min(stoppedAt, performance.now())
  stopped.abort()
}
process.on('SIGINT', stop).on('SIGTERM', stop)

const endpoint = process.env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || process.env.OTEL_EXPORTER_OTLP_ENDPOINT
if (!endpoint) process.env.OTEL_TRACES_EXPORTER ??= 'none'
const collector = new TraceCollector()
const telemetry = startTracing({ serviceName, spanProcessors: [collector], instrumentUndici: false, signals: false })

const upstreams = await Upstreams.start(seed)
const lanes = [bareLane(upstreams), chainLane(upstreams)]
const report = new Report()

screen.print(
  'Two services in a process of their own: orders (HTTP/2) and users (HTTP/1.1).',
  `Two lanes call each of them ${rate} times a second, with ${callers} callers and ${callTimeout / 1_000} s a call:`,
  "  bare   undici's Agent, and an AbortSignal.timeout() for each call",
  '  chain  the same under tracing, deadline, retry, circuitBreaker, bulkhead and',
  '         attemptTimeout',
  '',
  ...legend.map((line) => screen.style('dim', line)),
)

for (const lane of lanes) await lane.warmUp()
do {
  const stopLoad = startLoad(lanes)
  for (const phase of phases) if (!stopped.signal.aborted) await play(phase)
  stopLoad()
  await Promise.all(lanes.map((lane) => lane.idle(stopped.signal.aborted)))
  for (const lane of lanes) report.addCalls(lane.name, 'recovery', lane.turn())
  if (!stopped.signal.aborted) await playGateway()
} while (!once && !stopped.signal.aborted)

await telemetry.shutdown()
showTrace()
screen.print('', screen.style('bold', 'What the chain changed'), ...report.lines(lanes))

await Promise.all(lanes.map((lane) => lane.close()))
await upstreams.stop()

async function play(phase: Phase): Promise<void> {
  screen.print('', ...phaseTitle(screen, phase))
  const before = await upstreams.count()
  for (const [behaviour, duration] of phase.steps) {
    if (stopped.signal.aborted) break
    await upstreams.behave(behaviour)
    const until = performance.now() + duration
    while (performance.now() < until && !stopped.signal.aborted) {
      await delay(Math.min(redrawEvery, until - performance.now()), undefined, { signal: stopped.signal }).catch(
        () => {},
      )
      screen.draw(phaseTable(screen, lanes))
    }
  }
  screen.finish(phaseTable(screen, lanes))
  for (const lane of lanes) report.addCalls(lane.name, phase.name, lane.turn())
  report.addServers(phase.name, before, await upstreams.count())
}

// Names in the place of hosts: three services behind one chain, each of them on several hosts.
async function playGateway(): Promise<void> {
  const gateway = await Gateway.start(seed)
  screen.print(
    '',
    screen.style('bold', 'gateway: three services on hosts of their own behind one chain'),
    screen.style('dim', gatewaySettings),
  )
  for (const phase of gatewayPhases) {
    if (stopped.signal.aborted) break
    const { calls, failed } = await gateway.play(phase, stopped.signal)
    screen.print(`${phase.what}: ${calls} calls, ${failed} failed`, ...gateway.table.lines())
  }
  await gateway.close()
}

function showTrace(): void {
  const { best } = collector
  if (best === undefined) return
  const { traceId } = best.call.spanContext()
  screen.print(
    '',
    screen.style('bold', `One call as its trace shows it`),
    ...treeLines(best, Math.min(40, Math.max(10, screen.width - 70))),
  )
  const jaeger = endpoint ? URL.parse(endpoint) : null
  if (jaeger === null) return
  // Where Jaeger answers queries unless it is told otherwise.
  jaeger.port = '16686'
  screen.print(
    'In Jaeger:',
    `  this call  ${new URL(`/trace/${traceId}`, jaeger)}`,
    `  as JSON    ${new URL(`/api/traces/${traceId}`, jaeger)}`,
    `  all calls  ${new URL(`/api/traces?service=${serviceName}`, jaeger)}`,
  )
}
