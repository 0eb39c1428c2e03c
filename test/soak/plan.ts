import type { CallOptions } from '../../src/index.ts'
import { priorities } from '../../src/policies/policy.ts'
import type { SeededRandom } from '../../src/testing/index.ts'
import type { BodyKind } from './bodies.ts'
import { failingBodies, soundBodies } from './bodies.ts'
import type { ChainSpec } from './chain-spec.ts'
import { holds } from './chain-spec.ts'
import type { ServerName } from './servers.ts'
import { type StepName, serverFaults } from './steps.ts'

/** Where a call can be when its caller gives it up. */
export const abortPhases = ['dispatch', 'queue', 'backoff', 'before head', 'in body'] as const
export type AbortPhase = (typeof abortPhases)[number]

/** How a call leaves the program. */
export type Way = 'dispatch' | 'request' | 'fetch'

/** Callbacks in which a consumer may throw. */
export type Callback = 'onRequestStart' | 'onResponseStart' | 'onResponseData' | 'onResponseEnd'

/** One call, as it is meant to go. */
export interface CallPlan {
  readonly id: number
  readonly way: Way
  readonly server: ServerName | 'refusing'
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE' | 'POST'
  readonly body: BodyKind | null
  /** Whether the body must arrive whole. (undici's own retry sends a body that streams again empty.) */
  readonly arrivesWhole: boolean
  /** How the caller marks an unsafe request as one that may be repeated. */
  readonly mark: 'option' | 'header' | null
  /** What the caller says of this call. */
  readonly options: CallOptions
  readonly steps: readonly StepName[]
  /** Asks for an answer that caches keep. */
  readonly cacheable: boolean
  readonly abort: AbortPhase | null
  /** Milliseconds in that phase before the caller aborts. */
  readonly abortAfter: number
  /** Milliseconds after which the caller gives up, where nothing in the chain would; 0: never. */
  readonly giveUp: number
  /** Milliseconds the caller leaves the body unread. */
  readonly unread: number
  readonly throwsIn: Callback | null
}

const http1: readonly ServerName[] = ['h1', 'h1c', 'h1c']
// They end a session of HTTP/2, and with it its other calls: not on the server that most calls go to.
const sessionFaults: readonly StepName[] = ['goaway', 'goaway unprocessed', 'lost connection']
const faults = Object.keys(serverFaults) as StepName[]
const retried: readonly StepName[] = [
  'status 500',
  'status 502',
  'status 503',
  'status 504',
  'status 429',
  'reset before head',
  'lost connection',
]
const slowToHead: readonly StepName[] = ['slow head', 'hanging head']
const slowToEnd: readonly StepName[] = ['slow body', 'large body', 'hanging body']
const callbacks: readonly Callback[] = ['onRequestStart', 'onResponseStart', 'onResponseData', 'onResponseEnd']

/** Keys of `shares` by chance, each with its share; `undefined` for what is left of 1. */
export function draw<T extends string>(random: SeededRandom, shares: Partial<Record<T, number>>): T | undefined {
  let at = random.next()
  for (const [key, share] of Object.entries(shares) as [T, number][]) {
    at -= share
    if (at < 0) return key
  }
  return undefined
}

function drawAbort(random: SeededRandom, chain: ChainSpec): AbortPhase | null {
  // Without probes nobody knows of a call that it waits in a queue, or for its answer.
  if (chain.form === 'single') return draw<AbortPhase>(random, { dispatch: 0.025, 'in body': 0.05 }) ?? null
  return (
    draw<AbortPhase>(random, {
      dispatch: 0.025,
      'before head': 0.04,
      'in body': 0.05,
      queue: holds(chain, 'bulkhead') ? 0.35 : 0,
      backoff: holds(chain, 'retry') ? 0.1 : 0,
    }) ?? null
  )
}

function firstStep(random: SeededRandom, abort: AbortPhase | null, unread: boolean): StepName {
  if (abort === 'backoff') return random.pick(retried)
  if (abort === 'before head') return random.pick(slowToHead)
  if (abort === 'in body') return random.pick(slowToEnd)
  if (unread) return 'large body'
  return random.chance(0.2) ? 'ok' : random.pick(faults)
}

function drawSteps(random: SeededRandom, abort: AbortPhase | null, unread: boolean): StepName[] {
  const first = firstStep(random, abort, unread)
  // A redirect for good would never end.
  if (first !== 'redirect' && random.chance(0.1)) return [first]
  return random.chance(0.5) ? [first, 'ok'] : [first, random.pick(faults), 'ok']
}

// fetch follows a redirect only if it can send the body again.
function streams(body: BodyKind | null): boolean {
  return body !== null && !['string', 'bytes', 'form', 'blob'].includes(body)
}

function drawBody(random: SeededRandom, way: Way, chain: ChainSpec): BodyKind | null {
  if (!random.chance(0.46)) return null
  if (random.chance(0.09)) return random.pick(failingBodies)
  // To fetch a function is no body, and undici's own layers take URLSearchParams for a list of chunks.
  const wraps = holds(chain, 'undici retry') || holds(chain, 'undici redirect')
  return random.pick(soundBodies.filter((kind) => kind !== (way === 'fetch' ? 'function' : wraps ? 'form' : null)))
}

function drawServer(random: SeededRandom, chain: ChainSpec, steps: readonly StepName[]): CallPlan['server'] {
  if (random.chance(0.025)) return 'refusing'
  if (!random.chance(chain.http2Share)) return random.pick(http1)
  return steps.some((step) => sessionFaults.includes(step)) || random.chance(0.1) ? 'h2' : 'both'
}

function drawTime(random: SeededRandom, from: number, to: number): number | false | undefined {
  if (random.chance(0.6)) return undefined
  return random.chance(0.2) ? false : random.integer(from, to)
}

function drawOptions(random: SeededRandom): CallOptions {
  if (random.chance(0.8)) return {}
  const deadline = drawTime(random, 200, 600)
  const attemptTimeout = drawTime(random, 80, 240)
  const priority = random.pick([undefined, ...priorities])
  return {
    ...(deadline !== undefined && { deadline }),
    ...(attemptTimeout !== undefined && { attemptTimeout }),
    ...(priority !== undefined && { priority }),
  }
}

/** The times that hold for a call, in milliseconds; `null`: there is none. */
export function timesOf(options: CallOptions, chain: ChainSpec) {
  const deadline = options.deadline ?? (holds(chain, 'deadline') && chain.deadline)
  const attemptTimeout = options.attemptTimeout ?? (holds(chain, 'attemptTimeout') && chain.attemptTimeout)
  return { deadline: deadline || null, attemptTimeout: attemptTimeout || null }
}

function drawGiveUp(
  random: SeededRandom,
  chain: ChainSpec,
  options: CallOptions,
  abort: AbortPhase | null,
  unread: boolean,
): number {
  if (chain.form === 'single' && abort === null && !unread && random.chance(0.2)) return random.integer(1, 12)
  const { deadline, attemptTimeout } = timesOf(options, chain)
  const isHeadBound = deadline !== null || attemptTimeout !== null
  return isHeadBound && chain.bounds.body ? 0 : 250
}

/** A call by chance, fit for a chain. */
export function drawCall(random: SeededRandom, id: number, chain: ChainSpec): CallPlan {
  const way = draw<Way>(random, { dispatch: 0.5, request: 0.3 }) ?? 'fetch'
  const abort = drawAbort(random, chain)
  const unread = abort === null && chain.unreadBodyTimeout > 0 && way !== 'fetch' && random.chance(0.2)
  const body = abort === 'backoff' && random.chance(0.5) ? null : drawBody(random, way, chain)
  const sends = body !== null
  const method = sends
    ? random.pick(abort === 'backoff' ? (['PUT'] as const) : (['PUT', 'PUT', 'POST', 'POST', 'DELETE'] as const))
    : (draw<'HEAD' | 'DELETE' | 'POST'>(random, {
        HEAD: unread || abort === 'in body' ? 0 : 0.15,
        DELETE: 0.05,
        POST: abort === 'backoff' ? 0 : 0.05,
      }) ?? 'GET')
  const cacheable = method === 'GET' && abort === null && !unread && holds(chain, 'undici cache') && random.chance(0.3)
  const steps = drawSteps(random, abort, unread)
  const options = drawOptions(random)
  const throws = way === 'dispatch' && abort === null && !unread && random.chance(0.11)
  return {
    id,
    way,
    server: drawServer(random, chain, steps),
    method,
    body,
    arrivesWhole: !holds(chain, 'undici retry'),
    mark: method === 'POST' ? random.pick(['option', 'header', null, null] as const) : null,
    options,
    steps: way === 'fetch' && streams(body) ? [...steps.filter((step) => step !== 'redirect'), 'ok'] : steps,
    cacheable,
    abort,
    abortAfter: random.integer(0, 2),
    giveUp: drawGiveUp(random, chain, options, abort, unread),
    unread: unread ? 2 * chain.unreadBodyTimeout : 0,
    throwsIn: throws ? random.pick(callbacks) : null,
  }
}
