import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { AgentSetup } from './agent-client.ts'
import type { ClientSetup, Round, RoundResult } from './client.ts'
import type { FetchRoundResult, FetchSetup } from './fetch-client.ts'
import type { LayerRoundResult, LayerSetup } from './layer-client.ts'

export interface ServerAddresses {
  readonly http1: string
  readonly http2: string
  readonly otlp: string
  readonly ca: string
}

function answerOf<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`a process of the benchmark ended with ${code}`))
    child.once('exit', onExit)
    child.once('message', (message) => {
      child.off('exit', onExit)
      resolve(message as T)
    })
  })
}

function start(file: string, ...args: string[]): ChildProcess {
  return fork(fileURLToPath(new URL(file, import.meta.url)), args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

export async function startServer(): Promise<{ addresses: ServerAddresses; stop(): void }> {
  const child = start('./server.ts')
  return { addresses: await answerOf<ServerAddresses>(child), stop: () => child.disconnect() }
}

export interface BenchClient<Result = RoundResult> {
  round(calls: number): Promise<Result>
  stop(): Promise<void>
}

export function startClient(setup: ClientSetup): Promise<BenchClient> {
  return attach(start('./client.ts', JSON.stringify(setup)))
}

export function startAgentClient(setup: AgentSetup): Promise<BenchClient> {
  return attach(start('./agent-client.ts', JSON.stringify(setup)))
}

export function startFetchClient(setup: FetchSetup): Promise<BenchClient<FetchRoundResult>> {
  return attach(start('./fetch-client.ts', JSON.stringify(setup)))
}

export function startLayerClient(setup: LayerSetup): Promise<BenchClient<LayerRoundResult>> {
  return attach(start('./layer-client.ts', JSON.stringify(setup)))
}

async function attach<Result>(child: ChildProcess): Promise<BenchClient<Result>> {
  await answerOf(child)
  return {
    round(calls) {
      child.send({ calls } satisfies Round)
      return answerOf<Result>(child)
    },
    async stop() {
      const ended = once(child, 'exit')
      child.send('end')
      await ended
    },
  }
}
