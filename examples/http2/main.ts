// HTTP/1.1 against HTTP/2 on one agent, in half a minute: `npm run example -- http2`. Throughput and CPU of 100 callers that get
// 1 KB of JSON, with the same number of sockets; then what a request with the usual headers puts on the wire.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type AgentOptions, createAgent } from 'roundtripper'
import { request } from 'undici'
import type { Servers } from './server.ts'

const callers = 100
const warmUp = 500
const measured = 1_500
const wireRequests = 1_000

const child: ChildProcess = fork(new URL('server.ts', import.meta.url))
const [servers] = (await once(child, 'message')) as [Servers]

interface Measured {
  readonly rate: number
  readonly cpu: number
  readonly sockets: number
}

/** Calls as often as they can for a time. */
async function measure(options: AgentOptions, wait: number): Promise<Measured> {
  const agent = createAgent({ connect: { ca: servers.ca }, ...options })
  const url = `${servers.both}/${wait === 0 ? '' : `?wait=${wait}`}`
  let made = 0
  let sockets = 0
  const call = async (until: number): Promise<void> => {
    while (performance.now() < until) {
      const { body } = await request(url, { dispatcher: agent })
      await body.json()
      made++
    }
  }
  const all = (duration: number) => {
    const until = performance.now() + duration
    return Promise.all(Array.from({ length: callers }, () => call(until)))
  }
  await all(warmUp)
  made = 0
  const before = process.cpuUsage()
  const started = performance.now()
  await all(measured)
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(before)
  for (const { sessions } of Object.values(agent.stats)) sockets += sessions
  await agent.close()
  return { rate: made / seconds, cpu: (user + system) / made, sockets }
}

const ways: [string, AgentOptions][] = [
  ['HTTP/1.1, 20 sockets', { allowH2: false, connections: 20 }],
  // Five streams on each socket: as many as callers.
  ['HTTP/2, 20 sockets', { connections: 20, maxConcurrentStreams: callers / 20 }],
  ['HTTP/1.1, 1 socket', { allowH2: false, connections: 1 }],
  ['HTTP/2, 1 socket', { connections: 1 }],
]

console.log(`${callers} callers, 1 KB of JSON over TLS, Node ${process.version}\n`)
console.log('server time                          calls/s   us CPU a call   sockets')
const rates = new Map<string, number>()
for (const wait of [0, 10]) {
  for (const [name, options] of ways) {
    const { rate, cpu, sockets } = await measure(options, wait)
    rates.set(`${name} ${wait}`, rate)
    const columns = [Math.round(rate).toString().padStart(10), cpu.toFixed(1).padStart(16), `${sockets}`.padStart(10)]
    console.log(`${`${wait} ms`.padStart(11)}  ${name.padEnd(22)}${columns.join('')}`)
  }
}
const times = (rates.get('HTTP/2, 20 sockets 10') as number) / (rates.get('HTTP/1.1, 20 sockets 10') as number)
console.log(`\n10 ms and 20 sockets: HTTP/2 makes ${times.toFixed(1)} times as many calls.\n`)

const headers = {
  accept: 'application/json',
  'accept-language': 'en-GB,en;q=0.9',
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  cookie: `session=${'s3cr3t'.repeat(20)}; theme=dark; consent=${'1'.repeat(60)}; region=eu-central-1`,
}

/** Bytes of one request on the wire, counted at the server's sockets: one connection, each call with a `traceparent` of its own. */
async function bytesOfRequest(origin: string, options: AgentOptions): Promise<number> {
  const agent = createAgent({ connections: 1, ...options })
  for (let at = 0; at < wireRequests; at++) {
    const traceparent = `00-${(at * 7919 + 1).toString(16).padStart(32, '0')}-${(at * 104_729 + 1).toString(16).padStart(16, '0')}-01`
    const { body } = await request(`${origin}/users`, { dispatcher: agent, headers: { ...headers, traceparent } })
    await body.dump()
  }
  await agent.close()
  // The server hears of the end in its own time.
  let received = 0
  while (received === 0) {
    child.send('received')
    const [bytes] = (await once(child, 'message')) as [number]
    received = bytes
  }
  return received / wireRequests
}

console.log(`bytes of a request on the wire, of ${wireRequests} on one connection`)
for (const [name, origin, options] of [
  ['HTTP/1.1', servers.http1, {}],
  ['HTTP/2, HPACK without its dynamic table', servers.noTable, { useH2c: true }],
  ['HTTP/2, HPACK', servers.table, { useH2c: true }],
] as const) {
  console.log(`  ${name.padEnd(42)} ${(await bytesOfRequest(origin, options)).toFixed(0).padStart(5)}`)
}

child.disconnect()
