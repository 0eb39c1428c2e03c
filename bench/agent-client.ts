// One transport in a process of its own, so that its CPU time is its own: answers each round it is asked for. The handler
// collects the body, as everybody does; no layer, no Readable, no promise but one for each call.
import { type ClientHttp2Session, connect } from 'node:http2'
import { createAgent } from 'roundtripper'
import { Agent, type Dispatcher } from 'undici'
import { answerRounds } from './answer-rounds.ts'
import type { Round, RoundResult } from './client.ts'

export type Transport = 'raw' | 'undici' | 'ours'

export interface AgentSetup {
  readonly transport: Transport
  readonly origin: string
  readonly ca: string
  readonly callers: number
  /** Connections, HTTP/2 streams on each, and the milliseconds the server takes. */
  readonly connections: number
  readonly path: string
}

const setup = JSON.parse(process.argv[2] as string) as AgentSetup
const { origin, path } = setup

class Collect implements Dispatcher.DispatchHandler {
  private readonly chunks: Buffer[] = []
  private readonly done: (body: Buffer) => void
  private readonly failed: (error: Error) => void
  constructor(done: (body: Buffer) => void, failed: (error: Error) => void) {
    this.done = done
    this.failed = failed
  }
  onRequestStart(): void {}
  onResponseStart(): void {}
  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.chunks.push(chunk)
  }
  onResponseEnd(): void {
    this.done(this.chunks.length === 1 ? (this.chunks[0] as Buffer) : Buffer.concat(this.chunks))
  }
  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.failed(error)
  }
}

function overDispatcher(dispatcher: Dispatcher): () => Promise<Buffer> {
  const opts = { origin, path, method: 'GET', headers: { accept: 'application/json' } } as const
  return () => new Promise((resolve, reject) => dispatcher.dispatch({ ...opts }, new Collect(resolve, reject)))
}

// As anybody would write it.
function overSession(session: ClientHttp2Session): () => Promise<Buffer> {
  return () =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':path': path, ':method': 'GET', accept: 'application/json' })
      const chunks: Buffer[] = []
      stream.on('response', () => {})
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)))
      stream.on('error', reject)
    })
}

function start(): { call: () => Promise<Buffer>; close(): Promise<void> } {
  const { ca, connections, transport } = setup
  if (transport === 'raw') {
    const sessions = Array.from({ length: connections }, () => connect(origin, { ca }))
    const calls = sessions.map(overSession)
    let turn = 0
    return {
      call: () => (calls[turn++ % connections] as () => Promise<Buffer>)(),
      async close() {
        for (const session of sessions) session.close()
      },
    }
  }
  const options = { connections, keepAliveTimeout: 60_000, connect: { ca, preferH2: true } }
  const dispatcher = transport === 'ours' ? createAgent(options) : new Agent(options as Agent.Options)
  return { call: overDispatcher(dispatcher), close: () => dispatcher.close() }
}

const { call, close } = start()

async function caller(calls: number): Promise<void> {
  for (let at = 0; at < calls; at++) await call()
}

async function round({ calls }: Round): Promise<RoundResult> {
  const each = Math.ceil(calls / setup.callers)
  const started = performance.now()
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: setup.callers }, () => caller(each)))
  const { user, system } = process.cpuUsage(before)
  const made = each * setup.callers
  return { cpu: (user + system) / made, rate: (made / (performance.now() - started)) * 1000 }
}

answerRounds(round, close)
