// `npm run bench:agent`: what a call costs at the level of dispatch, over node:http2 itself, undici and createAgent, in one
// run: CPU of the client's process over alternating rounds, and throughput with a server that takes its time.
import { parseArgs } from 'node:util'
import type { AgentSetup, Transport } from './agent-client.ts'
import type { RoundResult } from './client.ts'
import { inTurns } from './in-turns.ts'
import { type ServerAddresses, startAgentClient, startServer } from './processes.ts'
import { median, spread } from './statistics.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    calls: { type: 'string', default: '5000' },
    callers: { type: 'string', default: '100' },
  },
})
const rounds = Number(values.rounds)
const calls = Number(values.calls)
const callers = Number(values.callers)

let failed = false

function bar(what: string, measured: number, most: number): void {
  const holds = measured <= most
  if (!holds) failed = true
  console.log(`  ${holds ? 'ok  ' : 'MISS'} ${what}: ${measured.toFixed(3)} (at most ${most.toFixed(2)})`)
}

type Results = Partial<Record<Transport, RoundResult[]>>

function measure(transports: readonly Transport[], setup: Omit<AgentSetup, 'transport'>): Promise<Results> {
  const start = (transport: Transport) => startAgentClient({ ...setup, transport })
  return inTurns(transports, start, { rounds, calls, processes: 1, warmUps: 3 })
}

function show(name: string, results: Results): void {
  console.log(`\n${name}, 1 KB JSON, ${rounds} rounds of ${calls} calls each, alternating`)
  for (const [transport, measured] of Object.entries(results)) {
    const cpu = median(measured.map((result) => result.cpu))
    const rate = median(measured.map((result) => result.rate))
    console.log(
      `  ${transport.padEnd(8)} ${cpu.toFixed(1).padStart(6)} us CPU a call  ${Math.round(rate).toString().padStart(7)} calls/s`,
    )
  }
}

function ratio(results: Results, one: Transport, other: Transport): number {
  const others = results[other] as RoundResult[]
  const ratios = (results[one] as RoundResult[]).map(({ cpu }, at) => cpu / (others[at] as RoundResult).cpu)
  console.log(`  ${one}/${other}: ${spread(ratios)}`)
  return median(ratios)
}

async function run({ http1, http2, ca }: ServerAddresses): Promise<void> {
  const two = await measure(['raw', 'undici', 'ours'], { origin: http2, ca, callers, connections: 1, path: '/' })
  show(`HTTP/2, one connection, ${callers} callers`, two)
  bar('HTTP/2: ours / raw node:http2', ratio(two, 'ours', 'raw'), 1.1)
  bar('HTTP/2: ours / undici', ratio(two, 'ours', 'undici'), 1)
  const one = await measure(['undici', 'ours'], { origin: http1, ca, callers, connections: 100, path: '/' })
  show(`HTTP/1.1, 100 connections, ${callers} callers`, one)
  bar('HTTP/1.1: ours / undici', ratio(one, 'ours', 'undici'), 1.05)
  // More callers than the connections of HTTP/1.1 can serve at once.
  const slow = { ca, callers: 4 * callers, connections: 20, path: '/?wait=10' }
  const slowTwo = await measure(['undici', 'ours'], { ...slow, origin: http2 })
  show(`HTTP/2, 20 connections, 10 ms of server time, ${slow.callers} callers`, slowTwo)
  const slowOne = await measure(['ours'], { ...slow, origin: http1 })
  show(`HTTP/1.1, 20 connections, 10 ms of server time, ${slow.callers} callers`, slowOne)
  const rate = (results: Results) => median((results.ours ?? []).map((result) => result.rate))
  bar('10 ms, 20 connections: calls/s over HTTP/1.1, four times / over HTTP/2', (4 * rate(slowOne)) / rate(slowTwo), 1)
}

const server = await startServer()
await run(server.addresses)
server.stop()
process.exitCode = failed ? 1 : 0
