// One client at one kind of work, in a process of its own, so that its CPU time is its own and the compiler knows nothing
// else: answers each round it is asked for.
import { answerRounds } from './answer-rounds.ts'
import type { Round, RoundResult } from './client.ts'
import type { FetchClient, Target, Work } from './fetch-clients/client.ts'

// By name, so that a process loads only what it measures.
const loaders = {
  bare: () => import('./fetch-clients/bare.ts'),
  chain: () => import('./fetch-clients/chain.ts'),
  undiciFetch: () => import('./fetch-clients/undici-fetch.ts'),
  undiciRequest: () => import('./fetch-clients/undici-request.ts'),
  nodeFetch: () => import('./fetch-clients/node-fetch.ts'),
  got: () => import('./fetch-clients/got.ts'),
  axios: () => import('./fetch-clients/axios.ts'),
  ky: () => import('./fetch-clients/ky.ts'),
  makeFetchHappen: () => import('./fetch-clients/make-fetch-happen.ts'),
} satisfies Record<string, () => Promise<{ default: (target: Target) => FetchClient }>>

export type ClientName = keyof typeof loaders

export interface FetchSetup extends Target {
  readonly client: ClientName
  readonly work: Work
  readonly callers: number
}

export interface FetchRoundResult extends RoundResult {
  /** Milliseconds from call to read body, median and 99th percentile. */
  readonly p50: number
  readonly p99: number
}

const setup = JSON.parse(process.argv[2] as string) as FetchSetup
const { default: open } = await loaders[setup.client]()
const client = open(setup)
const call = client.calls[setup.work]
const expected = { text: 1024, json: 1000, stream: 1024, post: 1024, large: 1024 ** 2, largeStream: 1024 ** 2 }[
  setup.work
]

async function caller(took: Float64Array, from: number, calls: number): Promise<void> {
  for (let at = from; at < from + calls; at++) {
    const began = performance.now()
    const length = await call()
    took[at] = performance.now() - began
    if (length !== expected) throw new Error(`${setup.client}, ${setup.work}: read ${length}, not ${expected}`)
  }
}

async function round({ calls }: Round): Promise<FetchRoundResult> {
  const each = Math.ceil(calls / setup.callers)
  const made = each * setup.callers
  const took = new Float64Array(made)
  const started = performance.now()
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: setup.callers }, (_, at) => caller(took, at * each, each)))
  const { user, system } = process.cpuUsage(before)
  const rate = (made / (performance.now() - started)) * 1000
  took.sort()
  const at = (share: number) => took[Math.ceil(share * made) - 1] as number
  return { cpu: (user + system) / made, rate, p50: at(0.5), p99: at(0.99) }
}

answerRounds(round, () => client.close())
