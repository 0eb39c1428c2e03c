import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { type RecordedRequest, startServer } from '../../../src/testing/index.ts'
import type { Area, Case, Fetch, Transport } from './case.ts'
import { compare, type Unlike } from './compare.ts'
import { type Classes, Env, runs, type Servers } from './env.ts'
import { type Difference, Known } from './known.ts'
import { errorOf } from './observe.ts'
import { ourFetch, referenceDispatcher, referenceFetch, type Subject, type SubjectName, subjects } from './subjects.ts'

/** What one run of a case showed. */
export interface Observation {
  readonly observed: unknown
  readonly requests: readonly unknown[]
  /** What nobody caught while it ran. */
  readonly uncaught: readonly unknown[]
}

export interface MatrixOptions {
  readonly areas: readonly Area[]
  readonly transports: readonly Transport[]
  /** Only cases whose full name has this in it. */
  readonly only?: string | undefined
  /** Only this fetch of ours. */
  readonly subject?: SubjectName | undefined
  /** Cases at once. */
  readonly concurrency?: number
}

export interface MatrixResult {
  /** How many cases were run, on each transport. */
  readonly cases: number
  /** How many calls of cases were compared with the reference. */
  readonly compared: number
  readonly differences: readonly Difference[]
  /** The case that took longest. */
  readonly slowest: string
  /** Differences that are listed and were not found. */
  readonly outdated: readonly string[]
}

const longestRunMs = 15_000
const { Request, Response, Headers, FormData } = globalThis
const runtime: Classes = { Request, Response, Headers, FormData }

interface Run {
  readonly uncaught: unknown[]
}

const context = new AsyncLocalStorage<Run>()
const strays: unknown[] = []

function nobodyCaught(error: unknown): void {
  const run = context.getStore()
  if (run === undefined) strays.push(errorOf(error))
  else run.uncaught.push(errorOf(error))
}

async function bounded(run: Promise<unknown>): Promise<unknown> {
  const over = new AbortController()
  const late = sleep(longestRunMs, { hung: true }, { signal: over.signal }).catch(() => undefined)
  try {
    return await Promise.race([run, late])
  } catch (error) {
    return { failed: errorOf(error) }
  } finally {
    over.abort()
  }
}

/** What a case is run with. */
export interface Way {
  readonly subject: Subject | undefined
  readonly fetch: Fetch
  readonly env: Env
}

/** A fetch, and surroundings for one run of it; undici's own without a subject. */
export function way(servers: Servers, subject: Subject | undefined): Way {
  const { ca } = servers.origin
  const dispatcher = subject === undefined ? referenceDispatcher(ca) : subject.dispatcher(ca)
  const fetch = subject === undefined ? referenceFetch(dispatcher) : ourFetch(dispatcher)
  return { subject, fetch, env: new Env(servers, dispatcher, subject === undefined, runtime) }
}

/** Runs a case once, with one fetch. */
export function observe(one: Case, { fetch, env }: Way): Promise<Observation> {
  const uncaught: unknown[] = []
  return context.run({ uncaught }, async () => {
    const observed = await bounded((async () => one.run(fetch, env))())
    const open = await env.finish()
    await turn()
    const ended = open.length === 0 ? observed : { observed, open }
    const seen = env.normalise({ observed: ended, requests: env.requests(), uncaught })
    return seen as Observation
  })
}

function applies(one: Case, transport: Transport): boolean {
  return one.only === undefined || (one.only === 'h2') === (transport === 'h2')
}

function unlike(one: Case, subject: Subject, reference: Observation, ours: Observation): Unlike[] {
  const found = compare(reference.observed, ours.observed, 'observed')
  if (!(subject.retries && one.retried)) found.push(...compare(reference.requests, ours.requests, 'requests'))
  if (ours.uncaught.length > 0) {
    found.push({ path: 'uncaught', reference: reference.uncaught, ours: ours.uncaught })
  }
  return found
}

/** The servers of one transport, for as long as `use` takes. */
export async function withServers<T>(transport: Transport, use: (servers: Servers) => Promise<T>): Promise<T> {
  const respond = (request: RecordedRequest) => {
    const env = runs.get(request.path.split(/[/?]/, 2)[1] ?? '')
    return env === undefined ? 500 : env.answer(request)
  }
  const origin = await startServer({ protocol: transport, respond })
  const other = await startServer({ protocol: transport, respond })
  try {
    return await use({ transport, origin, other })
  } finally {
    await origin.close()
    await other.close()
  }
}

/** Runs one case with the reference and with each subject, and tells where they differ. */
export async function compareCase(
  one: Case,
  servers: Servers,
  chosen: readonly Subject[] = subjects,
): Promise<{ subject: Subject; unlike: Unlike[]; ours: Observation }[]> {
  const ways = [undefined, ...chosen].map((subject) => way(servers, subject))
  const [reference, ...seen] = await Promise.all(ways.map((one_) => observe(one, one_)))
  // They are kept for scripts that want them, and nobody does.
  servers.origin.clear()
  servers.other.clear()
  return chosen.map((subject, at) => ({
    subject,
    unlike: unlike(one, subject, reference!, seen[at]!),
    ours: seen[at]!,
  }))
}

/** Runs every case on every transport. */
export async function runMatrix(options: MatrixOptions): Promise<MatrixResult> {
  const { areas, transports, only = '', concurrency = 6 } = options
  const chosen = subjects.filter(({ name }) => options.subject === undefined || name === options.subject)
  const known = new Known()
  const differences: Difference[] = []
  let cases = 0
  let compared = 0
  let slow = { ms: 0, name: '' }
  const runOn = async (servers: Servers) => {
    const { transport } = servers
    const waiting = areas
      .flatMap(({ name, cases: all }) => all.map((one) => ({ one, name: `${name} / ${one.name}` })))
      .filter(({ one, name }) => applies(one, transport) && name.includes(only))
    cases += waiting.length
    const worker = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const { one, name } = next
        const began = performance.now()
        for (const { subject, unlike: found } of await compareCase(one, servers, chosen)) {
          compared++
          for (const each of found) {
            const difference = { transport, subject: subject.name, case: name, ...each }
            if (!known.explains(difference)) differences.push(difference)
          }
        }
        const took = performance.now() - began
        if (took > slow.ms) slow = { ms: took, name: `${transport} ${name}` }
      }
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
  }
  process.on('unhandledRejection', nobodyCaught)
  process.on('uncaughtException', nobodyCaught)
  try {
    for (const transport of transports) await withServers(transport, (servers) => runOn(servers))
    await turn()
  } finally {
    process.off('unhandledRejection', nobodyCaught)
    process.off('uncaughtException', nobodyCaught)
  }
  for (const stray of strays.splice(0)) {
    differences.push({
      transport: transports[0]!,
      subject: chosen[0]!.name,
      case: 'no case in particular',
      path: 'uncaught',
      reference: [],
      ours: stray,
    })
  }
  const isWhole = only === '' && chosen.length === subjects.length
  return {
    cases,
    compared,
    differences,
    slowest: `${slow.name} (${Math.round(slow.ms)} ms)`,
    outdated: isWhole ? known.unused(areas, transports) : [],
  }
}
