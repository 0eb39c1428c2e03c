// The servers of the random run, in a process of their own: so that both cores work, and what is left over in the
// calling process is the caller's.
import { existsSync, readFileSync } from 'node:fs'
import { type RecordedRequest, type Step, startServer, type TestServer } from '../../src/testing/index.ts'
import type { ServerName, ServerReport, ServerRequest, ServersReady } from './servers.ts'
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
  readonly processed: Place[] = []
  readonly faults = new Set<string>()
}

/** Where a request came in. */
interface Place {
  /** Of all servers. */
  readonly connection: string
  readonly streamId: number
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

// The last stream that a GOAWAY on a connection said was looked at.
const lastStreams = new Map<string, number>()

// Not looked at, by the protocol's own word (RFC 9113 §8.7), or answered with the order to come again.
function leavesItUnprocessed(step: StepName, { protocol }: RecordedRequest): boolean {
  if (step === 'redirect') return true
  return protocol === '2' && (step === 'refused stream' || step === 'goaway unprocessed')
}

// Streams that came in the same moment as one that a GOAWAY leaves out are left out with it (RFC 9113 §6.8).
function wasProcessed({ connection, streamId }: Place): boolean {
  return streamId <= (lastStreams.get(connection) ?? Number.POSITIVE_INFINITY)
}

const unsafe = new Set(['POST', 'PATCH'])

async function watch(request: RecordedRequest, caller: Caller, name: StepName, id: number): Promise<void> {
  const { how } = await request.closed
  if (name !== 'ok' && how === serverFaults[name] && !caller.faults.has(name)) {
    caller.faults.add(name)
    played.set(name, (played.get(name) ?? 0) + 1)
  }
  const expected = request.headers[bodyHeader]
  if (expected === undefined || expected === 'any' || request.method === 'GET') return
  // Where this server ends the stream itself, the body it has looks complete.
  if (!request.complete || how === 'faulted' || name === 'early answer') return
  const came = `${request.bodyLength}:${request.bodySha256}`
  if (came !== expected) mistake(`call ${id}, arrival ${caller.arrivals}: body ${came} came for ${String(expected)}`)
}

function respondAs(server: string, request: RecordedRequest): Step {
  requests++
  const id = Number(request.headers[callHeader])
  const steps = String(request.headers[stepsHeader] ?? 'ok').split(',') as StepName[]
  const caller = callerOf(id, request.protocol)
  const number = ++caller.arrivals
  const { protocol, streamId, path } = request
  const connection = `${server} ${request.connection}`
  const name = steps[Math.min(number, steps.length) - 1] as StepName
  if (unsafe.has(request.method) && request.headers[repeatableHeader] === undefined) {
    if (caller.processed.some(wasProcessed)) {
      const got = steps.slice(0, number).join(', ')
      mistake(`call ${id}: ${request.method} arrived again after ${got} (${protocol})`)
    }
    if (!leavesItUnprocessed(name, request)) caller.processed.push({ connection, streamId })
  }
  void watch(request, caller, name, id)
  const step = stepOf(name, { call: id, number, protocol, streamId, path })
  const goaway = protocol === '2' && typeof step === 'object' ? step.goaway : undefined
  const last = goaway && (goaway.lastStreamId ?? streamId)
  if (last !== undefined) lastStreams.set(connection, Math.min(last, lastStreams.get(connection) ?? last))
  return step
}

const cached = 'cached'

// Answers that a cache may keep: the same for every call.
function respondCacheable(): Step {
  return { headers: { 'cache-control': 'max-age=60', [lengthHeader]: '6' }, body: cached }
}

async function start(protocol: ServerName): Promise<TestServer> {
  const respond = { '/cached': respondCacheable, '*': (request: RecordedRequest) => respondAs(protocol, request) }
  return startServer({ protocol, respond, bodyLimit: 0 })
}

const servers = { both: await start('both'), h2: await start('h2'), h1: await start('h1'), h1c: await start('h1c') }
const refusing = await startServer({ protocol: 'h1c' })
await refusing.refuseConnections()
const live = Object.values(servers)

const sweep = setInterval(() => {
  for (const server of live) server.clear()
}, 200)

// A session that has sent GOAWAY does not read on, so that node:http2 does not see its connection close. The kernel does.
function openConnections(): number {
  const counted = live.reduce((sum, server) => sum + server.connections.open, 0)
  if (counted === 0 || !existsSync('/proc/net/tcp')) return counted
  const ports = new Set(live.map(({ port }) => port.toString(16).toUpperCase().padStart(4, '0')))
  const established = '01'
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === established && ports.has(local?.split(':')[1] ?? '')).length
}

function report(): ServerReport {
  return {
    requests,
    calls,
    played: Object.fromEntries(played),
    mistakes,
    connections: openConnections(),
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
  ca: servers.both.ca ?? '',
} as ServersReady)
