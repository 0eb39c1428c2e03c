// `npm run bench:fetch`: what the kit's fetch costs, in CPU of the client process, against undici's, Node's and the usual HTTP
// clients in one run: 1 KB read in three ways, 1 KB posted, and 1 MB, over HTTP/1.1 in cleartext and HTTP/2 over TLS.
import { parseArgs } from 'node:util'
import type { ClientName, FetchRoundResult } from './fetch-client.ts'
import { type Work, works } from './fetch-clients/client.ts'
import { inTurns } from './in-turns.ts'
import { type ServerAddresses, startFetchClient, startServer } from './processes.ts'
import { median, spread } from './statistics.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '8' },
    // For 1 KB; of 1 MB it is a twentieth.
    calls: { type: 'string', default: '1500' },
    callers: { type: 'string', default: '100' },
    processes: { type: 'string', default: '2' },
    // Names of protocols, works and clients, with commas between; of a kind that is not named, all.
    only: { type: 'string', default: '' },
  },
})
const rounds = Number(values.rounds)
const calls = Number(values.calls)
const callers = Number(values.callers)
// Before some 8,000 calls the compiler is at work, and what it costs is much the same for all: ratios would be too near to 1.
const warmUps = 6
const processes = Number(values.processes)

const protocols = ['http1', 'http2'] as const
type Protocol = (typeof protocols)[number]
const titles = { http1: 'HTTP/1.1', http2: 'HTTP/2' }
const workTitles = {
  text: '1 KB by text()',
  json: '1 KB by json()',
  stream: '1 KB by stream',
  post: '1 KB posted',
  large: '1 MB by arrayBuffer()',
  largeStream: '1 MB in pieces, by stream',
}
// Node's own fetch offers no HTTP/2, so ky, which stands on it, has none either, and make-fetch-happen stands on node:http.
const clientsOf = {
  http1: ['bare', 'chain', 'undiciRequest', 'undiciFetch', 'nodeFetch', 'got', 'axios', 'ky', 'makeFetchHappen'],
  http2: ['bare', 'chain', 'undiciRequest', 'undiciFetch', 'got', 'axios'],
} as const satisfies Record<Protocol, readonly ClientName[]>

const named = values.only === '' ? [] : values.only.split(',')
const known: readonly string[] = [...protocols, ...works, ...clientsOf.http1]
for (const name of named) {
  if (!known.includes(name)) throw new RangeError(`--only takes ${known.join(', ')}, got ${name}`)
}

function chosen<Name extends string>(names: readonly Name[], all: readonly Name[] = names): readonly Name[] {
  return all.some((name) => named.includes(name)) ? names.filter((name) => named.includes(name)) : names
}

interface Bar {
  readonly what: string
  readonly one: ClientName
  readonly other: ClientName
  /** What the ratio must be at least, or at most. */
  readonly least?: number
  readonly most?: number
}

function barsOf(protocol: Protocol, work: Work): readonly Bar[] {
  if (work === 'large' || work === 'largeStream') {
    const what = 'whole chain / undici.fetch'
    return [{ what, one: 'chain', other: 'undiciFetch', most: 1 }]
  }
  const bars: Bar[] = [{ what: 'bare fetch / undici.request', one: 'bare', other: 'undiciRequest', most: 1 }]
  const over = (one: ClientName, name: string, least: number) =>
    bars.push({ what: `${name} / whole chain`, one, other: 'chain', least })
  over('undiciFetch', 'undici.fetch', protocol === 'http1' ? 2.5 : 1.7)
  if (protocol === 'http1') {
    over('nodeFetch', "Node's fetch", 2.5)
    over('got', 'got', 3)
    over('axios', 'axios', 3)
    over('ky', 'ky', 3)
    over('makeFetchHappen', 'make-fetch-happen', 3)
  }
  return bars
}

type Results = Partial<Record<ClientName, FetchRoundResult[]>>

async function measure(protocol: Protocol, work: Work, { ca, ...origins }: ServerAddresses): Promise<Results> {
  const target = { origin: origins[protocol], ca, secure: protocol === 'http2' }
  const start = (client: ClientName) => startFetchClient({ ...target, client, work, callers })
  const course = { rounds, calls: callsOf(work), processes, warmUps }
  return inTurns(chosen<ClientName>(clientsOf[protocol], clientsOf.http1), start, course)
}

function callsOf(work: Work): number {
  return work === 'large' || work === 'largeStream' ? Math.ceil(calls / 20) : calls
}

function show(title: string, results: Results): void {
  console.log(`\n${title}`)
  console.log(`  ${'us CPU a call'.padStart(29)}${'calls/s'.padStart(9)}${'p50 ms'.padStart(9)}${'p99 ms'.padStart(9)}`)
  for (const [client, measured] of Object.entries(results)) {
    const of = (part: keyof FetchRoundResult) => median(measured.map((result) => result[part]))
    const cells = [of('rate').toFixed(0), of('p50').toFixed(2), of('p99').toFixed(2)].map((cell) => cell.padStart(9))
    console.log(`  ${client.padEnd(16)}${of('cpu').toFixed(1).padStart(13)}${cells.join('')}`)
  }
}

const verdicts: string[] = []
let missed = false

function judge(title: string, results: Results, { what, one, other, least, most }: Bar): void {
  const others = results[other]
  const ratios = results[one]?.map(({ cpu }, at) => cpu / (others?.[at]?.cpu ?? Number.NaN))
  if (ratios === undefined || others === undefined) return
  const measured = median(ratios)
  const met = least === undefined ? measured <= (most as number) : measured >= least
  const bar = least === undefined ? `at most ${most}` : `at least ${least}`
  if (!met) missed = true
  verdicts.push(`  ${met ? 'met   ' : 'MISSED'} ${title}: ${what} ${measured.toFixed(2)} (${bar}; ${spread(ratios)})`)
}

console.log(`Node ${process.version}, ${process.arch}, ${callers} callers`)
console.log(
  `${rounds} rounds in ${processes} sets of processes, ${calls} calls each (1 MB: ${callsOf('large')}), alternating`,
)
const server = await startServer()
try {
  for (const protocol of chosen(protocols)) {
    for (const work of chosen(works)) {
      const title = `${titles[protocol]}, ${workTitles[work]}`
      const results = await measure(protocol, work, server.addresses)
      show(title, results)
      for (const bar of barsOf(protocol, work)) judge(title, results, bar)
    }
  }
} finally {
  server.stop()
}
console.log('\nBars')
for (const verdict of verdicts) console.log(verdict)
process.exitCode = missed ? 1 : 0
