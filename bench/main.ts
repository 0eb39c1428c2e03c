// `npm run bench`: what the chain costs, in CPU of the client process, against bare undici in the same run.
import { parseArgs } from 'node:util'
import type { ClientVariant, RoundResult } from './client.ts'
import { inTurns } from './in-turns.ts'
import { type ServerAddresses, startClient, startServer } from './processes.ts'
import { median, spread } from './statistics.ts'
import { benchStub } from './stub.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '21' },
    // So many that each round has its share of full collections: with fewer, the median is that of rounds without one.
    calls: { type: 'string', default: '10000' },
    callers: { type: 'string', default: '100' },
    // A process compiles its code one way or another and keeps to it: two of one variant can differ by a tenth.
    processes: { type: 'string', default: '3' },
  },
})
const rounds = Number(values.rounds)
const calls = Number(values.calls)
const callers = Number(values.callers)
const processes = Number(values.processes)

// Rounds not counted: until then the compiler is at work, and V8 learns where objects live long.
const warmUps = 2

const variants = ['bare', 'chain', 'handSpan', 'tracedChain'] as const satisfies readonly ClientVariant[]

interface Bar {
  readonly what: string
  readonly measured: number
  readonly bar: number
}

const bars: Bar[] = []

function report(what: string, measured: number, bar: number): void {
  bars.push({ what, measured, bar })
}

function reportStub(): void {
  const { bare, empty, chain, tracing, tracingAdds } = benchStub(101, 100_000)
  const layer = (empty - bare) / 7
  console.log('\nOn a stub dispatcher, microseconds of CPU a call')
  console.log(`  stub alone                          ${bare.toFixed(3)}`)
  console.log(`  seven empty forwarding layers       ${empty.toFixed(3)}`)
  console.log(`  standard chain without tracing      ${chain.toFixed(3)}`)
  console.log(`  standard chain, tracing, no SDK     ${tracing.toFixed(3)}`)
  report('stub: chain / seven empty layers (stub subtracted)', (chain - bare) / (empty - bare), 6)
  report('stub: tracing without an SDK / one empty layer', tracingAdds / layer, 0.3)
}

type Results = Record<ClientVariant, RoundResult[]>

function measure(protocol: 'http1' | 'http2', { ca, otlp, ...origins }: ServerAddresses): Promise<Results> {
  const origin = origins[protocol]
  return inTurns(variants, (variant) => startClient({ variant, origin, ca, otlp, callers }), {
    rounds,
    calls,
    processes,
    warmUps,
  })
}

function ratios(results: Results, one: ClientVariant, other: ClientVariant): number[] {
  return results[one].map(({ cpu }, at) => cpu / (results[other][at] as RoundResult).cpu)
}

function reportProtocol(name: string, results: Results): void {
  console.log(
    `\n${name}, ${callers} callers, 1 KB JSON, ${rounds} rounds of ${calls} calls each in ${processes} sets of processes, alternating`,
  )
  for (const variant of variants) {
    const cpu = median(results[variant].map((result) => result.cpu))
    const rate = median(results[variant].map((result) => result.rate))
    console.log(
      `  ${variant.padEnd(12)} ${cpu.toFixed(1).padStart(6)} us CPU a call  ${Math.round(rate).toString().padStart(7)} calls/s`,
    )
  }
  const untraced = ratios(results, 'chain', 'bare')
  const traced = ratios(results, 'tracedChain', 'handSpan')
  console.log(`  chain / bare ${median(untraced).toFixed(3)} (${spread(untraced)})`)
  console.log(`  traced chain / hand-written span ${median(traced).toFixed(3)} (${spread(traced)})`)
  report(`${name}: chain / bare undici.request`, median(untraced), 1.1)
  report(`${name}: traced chain / hand-written span`, median(traced), 1.1)
}

async function countSpans(otlp: string): Promise<number> {
  return ((await (await fetch(otlp)).json()) as { spans: number }).spans
}

async function main(): Promise<void> {
  console.log(`Node ${process.version}, ${process.arch}`)
  reportStub()
  const server = await startServer()
  try {
    for (const [protocol, name] of [
      ['http1', 'HTTP/1.1'],
      ['http2', 'HTTP/2'],
    ] as const) {
      const before = await countSpans(server.addresses.otlp)
      reportProtocol(name, await measure(protocol, server.addresses))
      // Two traced variants, the rounds to warm up as well, and a parent span for each round.
      const each = Math.ceil(calls / callers) * callers
      const expected = 2 * (rounds + processes * warmUps) * (each + 1)
      const received = (await countSpans(server.addresses.otlp)) - before
      if (received !== expected) throw new Error(`void: ${expected} spans were made, the receiver got ${received}`)
      console.log(`  spans received: ${received}, all`)
    }
  } finally {
    server.stop()
  }
  console.log('\nBars')
  for (const { what, measured, bar } of bars) {
    console.log(`  ${measured <= bar ? 'met   ' : 'MISSED'} ${what}: ${measured.toFixed(3)} (at most ${bar})`)
  }
}

await main()
