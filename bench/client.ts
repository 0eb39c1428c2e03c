// One variant of the client in a process of its own, so that its CPU time is its own: answers each round it is asked for.
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { compose, createAgent, standard } from 'roundtripper'
import { startTracing } from 'roundtripper/tracing'
import { Agent, type Dispatcher, request } from 'undici'
import { answerRounds } from './answer-rounds.ts'

/** What is measured: bare `undici.request`, the standard chain, and both with one span a call. */
export type ClientVariant = 'bare' | 'chain' | 'handSpan' | 'tracedChain'

export interface ClientSetup {
  readonly variant: ClientVariant
  readonly origin: string
  readonly ca: string
  readonly otlp: string
  readonly callers: number
}

export interface Round {
  readonly calls: number
}

export interface RoundResult {
  /** Microseconds of CPU a call. */
  readonly cpu: number
  /** Calls a second. */
  readonly rate: number
}

const setup = JSON.parse(process.argv[2] as string) as ClientSetup
const traced = setup.variant === 'handSpan' || setup.variant === 'tracedChain'
// Room for every span of a round: one that is dropped would make a variant look cheaper than it is.
process.env.OTEL_BSP_MAX_QUEUE_SIZE = '100000'
// The receiver counts spans in JSON; both traced variants export the same way.
process.env.OTEL_EXPORTER_OTLP_PROTOCOL = 'http/json'
const telemetry = traced
  ? startTracing({ serviceName: 'bench', endpoint: setup.otlp, instrumentUndici: false, signals: false })
  : undefined
const tracer = trace.getTracer('bench')
const url = new URL(setup.origin)

// Both sides have the same options. Over HTTP/1.1 they have undici's pool, so what is compared are the layers; over HTTP/2
// the chain's side has the kit's own agent as well.
const connect = { ca: setup.ca, preferH2: true }
const options = { connections: 100, keepAliveTimeout: 60_000, connect }
const dispatcher: Dispatcher =
  setup.variant === 'bare' || setup.variant === 'handSpan'
    ? new Agent(options as Agent.Options)
    : compose(createAgent(options as never), standard(traced ? {} : { tracing: false }))

async function plain(): Promise<void> {
  const { body } = await request(`${setup.origin}/users`, { dispatcher })
  await body.arrayBuffer()
}

// What a careful engineer writes by hand around a request, with the attributes that tracing() sets.
async function withHandSpan(): Promise<void> {
  const span = tracer.startSpan('GET', {
    kind: SpanKind.CLIENT,
    attributes: {
      'http.request.method': 'GET',
      'server.address': url.hostname,
      'server.port': Number(url.port),
      'url.full': `${setup.origin}/users`,
    },
  })
  const headers: Record<string, string> = {}
  propagation.inject(trace.setSpan(context.active(), span), headers)
  try {
    const { statusCode, body } = await request(`${setup.origin}/users`, { dispatcher, headers })
    await body.arrayBuffer()
    span.setAttributes({
      'http.response.status_code': statusCode,
      'network.protocol.version': url.protocol === 'https:' ? '2' : '1.1',
      'network.peer.address': url.hostname,
      'network.peer.port': Number(url.port),
    })
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR })
    throw error
  } finally {
    span.end()
  }
}

const call = setup.variant === 'handSpan' ? withHandSpan : plain

async function caller(calls: number): Promise<void> {
  for (let at = 0; at < calls; at++) await call()
}

async function round({ calls }: Round): Promise<RoundResult> {
  const each = Math.ceil(calls / setup.callers)
  const started = performance.now()
  const before = process.cpuUsage()
  const callers = () => Promise.all(Array.from({ length: setup.callers }, () => caller(each)))
  // Calls of a service have a parent: the request they serve.
  const parent = traced ? tracer.startSpan('round') : undefined
  await (parent === undefined ? callers() : context.with(trace.setSpan(context.active(), parent), callers))
  parent?.end()
  // The export of a call's span is part of its price.
  await telemetry?.flush()
  const { user, system } = process.cpuUsage(before)
  const made = each * setup.callers
  return { cpu: (user + system) / made, rate: (made / (performance.now() - started)) * 1000 }
}

answerRounds(round, () => Promise.all([dispatcher.close(), telemetry?.shutdown()]))
