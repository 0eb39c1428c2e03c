// The servers of the random run, in a process of their own: so that both cores work, and what is left over in the
// calling process is the caller's.
import { type RecordedRequest, type Step, startServer, type TestServer } from '../../src/testing/index.ts'
import type { ServerReport, ServerRequest, ServersReady } from './servers.ts'
import {
  bodyHeader,
  callHeader,
  lengthHeader,
  repeatableHeader,
  type StepName,
  serverFaults,
  stepOf,
  stepsHeader,
} from './steps.ts'

/** What the servers know of one call. */
class Caller {
  arrivals = 0
  /** Arrivals that count as looked at: a repetition of an unsafe method after one of them is a mistake. */
  processed = 0
  readonly faults = new Set<string>()
}

const rememberedCalls = 20_000
const reportedMistakes = 20

const callers = new Map<number, Caller>()
const played = new Map<string, number>()
const calls = { '1.1': 0, '2': 0 }
const mistakes: string[] = []
let requests = 0

function mistake(text: string): void {
  if (mistakes.length < reportedMistakes) mistakes.push(text)
}

function callerOf(id: number, protocol: '1.1' | '2'): Caller {
  const known = callers.get(id)
  if (known !== undefined) return known
  calls[protocol]++
  const caller = new Caller()
  callers.set(id, caller)
  if (callers.size > rememberedCalls) callers.delete(callers.keys().next().value as number)
  return caller
}

// Not looked at, by the protocol's own word (RFC 9113 §8.7, §6.8), or answered with the order to come again.
function leavesItUnprocessed(step: StepName, { protocol, streamId }: RecordedRequest): boolean {
  if (step === 'redirect') return true
  if (protocol === '1.1') return false
  return step === 'refused stream' || (step === 'goaway unprocessed' && streamId > 0)
}

const unsafe = new Set(['POST', 'PATCH'])

async function watch(request: RecordedRequest, caller: Caller, name: StepName, id: number): Promise<void> {
  const { how } = await request.closed
  if (name !== 'ok' && how === serverFaults[name] && !caller.faults.has(name)) {
    caller.faults.add(name)
    played.set(name, (played.get(name) ?? 0) + 1)
  }
  const expected = request.headers[bodyHeader]
  if (expected === undefined || expected === 'any' || !request.complete || request.method === 'GET') return
  const came = `${request.bodyLength}:${request.bodySha256}`
  if (came !== expected) mistake(`call ${id}, arrival ${caller.arrivals}: body ${came} came for ${String(expected)}`)
}

function respond(request: RecordedRequest): Step {
  requests++
  const id = Number(request.headers[callHeader])
  const steps = String(request.headers[stepsHeader] ?? 'ok').split(',') as StepName[]
  const caller = callerOf(id, request.protocol)
  const number = ++caller.arrivals
  const name = steps[Math.min(number, steps.length) - 1] as StepName
  if (unsafe.has(request.method) && request.headers[repeatableHeader] === undefined) {
    if (caller.processed > 0) {
      mistake(
        `call ${id}: ${request.method} arrived again after ${steps.slice(0, number).join(', ')} (${request.protocol})`,
      )
    }
    if (!leavesItUnprocessed(name, request)) caller.processed++
  }
  void watch(request, caller, name, id)
  const { protocol, streamId, path } = request
  return stepOf(name, { call: id, number, protocol, streamId, path })
}

const cached = 'cached'

// Answers that a cache may keep: the same for every call.
function respondCacheable(): Step {
  return { headers: { 'cache-control': 'max-age=60', [lengthHeader]: '6' }, body: cached }
}

const options = { respond: { '/cached': respondCacheable, '*': respond }, bodyLimit: 0 } as const
const servers: Record<string, TestServer> = {
  both: await startServer({ ...options, protocol: 'both' }),
  h2: await startServer({ ...options, protocol: 'h2' }),
  h1: await startServer({ ...options, protocol: 'h1' }),
  h1c: await startServer({ ...options, protocol: 'h1c' }),
}
const refusing = await startServer({ protocol: 'h1c' })
await refusing.refuseConnections()
const live = Object.values(servers)

const sweep = setInterval(() => {
  for (const server of live) server.clear()
}, 200)

function report(): ServerReport {
  return {
    requests,
    calls,
    played: Object.fromEntries(played),
    mistakes,
    connections: live.reduce((sum, server) => sum + server.connections.open, 0),
    connectionsOpened: live.reduce((sum, server) => sum + server.connections.opened, 0),
  }
}

process.on('message', (message: ServerRequest) => {
  if (message === 'report') process.send?.(report())
})
process.on('disconnect', async () => {
  clearInterval(sweep)
  await Promise.all([...live, refusing].map((server) => server.close()))
  process.exit(0)
})

process.send?.({
  origins: Object.fromEntries(Object.entries(servers).map(([name, server]) => [name, server.origin])),
  refusing: refusing.origin,
  ca: servers.both?.ca ?? '',
} as ServersReady)
