// Many calls at once, each in a context of its own, through all that sends a call more than once or lets it wait, over few
// connections that all of them share. The path carries the number of the call, so each request that comes in says whose
// context it must have brought.
import {
  bulkhead,
  type CallRecord,
  type ChainDispatcher,
  compose,
  contextFields,
  contextHeaders,
  createAgent,
  createFetch,
  fallback,
  hedge,
  type Layers,
  type Logger,
  logging,
  type RequestContextFields,
  retry,
  runWithContext,
  standard,
} from 'roundtripper'
import {
  type RecordedRequest,
  type SeededRandom,
  type Step,
  seededRandom,
  startServer,
  type TestServer,
} from 'roundtripper/testing'
import { interceptors, request } from 'undici'

/** What a run came to. */
export interface Interleaved {
  readonly seed: number
  /** What must not be: somebody else's context, or any of it where none belongs; by what it was, at most twenty of them. */
  readonly mistakes: readonly string[]
  /** Calls by number that no server has seen. */
  readonly unseen: number
  /** How often each thing has happened. */
  readonly happened: Readonly<Record<string, number>>
}

const names = [
  'x-request-id',
  'traceparent',
  'tracestate',
  'baggage',
  'x-tenant-id',
  'x-request-priority',
  'x-request-timeout-ms',
] as const

// Wide enough that no run takes as long, so that the time that is left tells whose it is.
const band = 1_000_000
const bands = 1000

// Every tenth call is made outside of any context.
const isInContext = (number: number) => number % 10 !== 0

function fieldsOf(number: number): RequestContextFields {
  const hex = (number + 1).toString(16)
  return {
    requestId: `r-${number}`,
    traceparent: `00-${hex.padStart(32, '0')}-${hex.padStart(16, '0')}-01`,
    tracestate: `call=${number}`,
    baggage: { call: `n°${number}` },
    tenant: `t-${number}`,
    priority: number % 2 === 0 ? 'critical' : 'sheddable',
    deadline: band * (1 + (number % bands)),
  }
}

/** The last part of a path: where the call has begun, for those whose redirects are followed below the layer. */
const beyond = 'beyond'

function wrongIn(number: number, headers: RecordedRequest['headers']): string | null {
  const fields = fieldsOf(number)
  const expected: Record<string, unknown> = {
    'x-request-id': fields.requestId,
    traceparent: fields.traceparent,
    tracestate: fields.tracestate,
    baggage: `call=n%C2%B0${number}`,
    'x-tenant-id': fields.tenant,
    'x-request-priority': fields.priority,
  }
  for (const [name, value] of Object.entries(expected)) {
    if (headers[name] !== value) return `${name} of call ${number} was ${headers[name]}`
  }
  const left = Number(headers['x-request-timeout-ms'])
  const given = fields.deadline as number
  return left <= given && left > given - band ? null : `the time of call ${number} was ${left}, of ${given}`
}

function anyOf(headers: RecordedRequest['headers']): string | null {
  const found = names.find((name) => headers[name] !== undefined)
  return found === undefined ? null : `${found}: ${headers[found]}`
}

class Run {
  readonly random: SeededRandom
  readonly mistakes = new Set<string>()
  readonly happened: Record<string, number> = {}
  readonly seen: Uint8Array
  readonly listed: TestServer[] = []
  readonly others: TestServer[] = []

  constructor(seed: number, calls: number) {
    this.random = seededRandom(seed)
    this.seen = new Uint8Array(calls)
  }

  count(what: string, times = 1): void {
    this.happened[what] = (this.happened[what] ?? 0) + times
  }

  mistake(what: string | null): void {
    if (what !== null && this.mistakes.size < 20) this.mistakes.add(what)
  }

  async serve(protocol: 'h1c' | 'h2', isListed: boolean): Promise<void> {
    const server = await startServer({ protocol, respond: (arrived) => this.answer(arrived, isListed) })
    const into = isListed ? this.listed : this.others
    into.push(server)
  }

  private answer({ path, headers }: RecordedRequest, isListed: boolean): Step {
    for (const server of [...this.listed, ...this.others]) if (server.requests.length > 2000) server.clear()
    const [, digits = '', kind = '', began = ''] = path.split('/')
    const number = Number(digits)
    const { random } = this
    if (this.seen[number] === 1) this.count('sent again')
    this.seen[number] = 1
    this.count(isListed ? 'came to an origin on the list' : 'came to another origin')
    // Where nothing may be sent along, a redirect further in finds nothing that it could take to an origin on the list.
    const isExpected = isListed && isInContext(number) && began !== beyond
    this.mistake(isExpected ? wrongIn(number, headers) : anyOf(headers))
    if (random.chance(0.1)) return { status: 503, body: 'not now' }
    const step = random.chance(0.1) ? { delay: random.integer(1, 4) } : {}
    const location = this.locationOf(kind)
    if (location === null) return { ...step, body: 'here' }
    this.count(`redirect, ${kind}`)
    return { ...step, status: 307, headers: { location: `${location}/${number}/end/${began}` } }
  }

  private locationOf(kind: string): string | null {
    if (kind === 'same') return ''
    if (kind === 'listed') return this.random.pick(this.listed).origin
    return kind === 'other' ? this.random.pick(this.others).origin : null
  }

  /** Records of the kit, and what a logger of the application reads where it is called. */
  get logger(): Logger {
    const write = (record: object) => {
      const { url, requestId, tenant } = record as CallRecord
      const number = Number(new URL(url).pathname.split('/')[1])
      const expected = isInContext(number) ? `r-${number} t-${number}` : 'undefined undefined'
      const own = contextFields()
      this.count('records')
      for (const found of [`${requestId} ${tenant}`, `${own.requestId} ${own.tenant}`]) {
        if (found !== expected) this.mistake(`a record of call ${number} was of ${found}`)
      }
    }
    return { debug: write, info: write, warn: write }
  }
}

interface Chain {
  readonly dispatcher: ChainDispatcher
  /** It follows redirects itself, below the layer. */
  readonly follows: boolean
}

function chainsOf(run: Run, ground: ChainDispatcher): Chain[] {
  const { logger } = run
  const origins = run.listed.map(({ origin }) => origin)
  const context = () => contextHeaders({ origins })
  const again = { backoff: 1, budget: false } as const
  const slots = { limit: 8, queue: 100_000 } as const
  const redirect = interceptors.redirect({ maxRedirections: 3 })
  const layers: Layers[][] = [
    [logging({ logger }), context(), retry(again), bulkhead(slots)],
    [logging({ logger }), retry(again), bulkhead(slots), context()],
    [logging({ logger }), context(), hedge({ delay: 2, percentile: false, budget: false }), bulkhead(slots)],
    [context(), logging({ logger }), retry(again), redirect, bulkhead(slots)],
    [context(), redirect, retry(again), bulkhead(slots)],
    [redirect, context(), retry(again)],
    [context(), fallback({ upstream: run.others[0]!.origin }), retry({ ...again, maxAttempts: 2 })],
    [context(), standard({ deadline: false, retry: again, circuitBreaker: false, bulkhead: slots })],
  ]
  return layers.map((list) => ({ dispatcher: compose(ground, ...list), follows: list.indexOf(redirect) > 0 }))
}

// Where a caller waits before it calls, so that the calls of all mix.
function pause(random: SeededRandom): Promise<void> | undefined {
  if (random.chance(0.3)) return new Promise((resolve) => setImmediate(resolve))
  return random.chance(0.3) ? Promise.resolve() : undefined
}

async function callAs(run: Run, { dispatcher, follows }: Chain, number: number): Promise<void> {
  const { random } = run
  const kind = random.pick(['end', 'end', 'same', 'listed', 'other'])
  const server = random.pick(random.chance(0.8) ? run.listed : run.others)
  const isFetch = random.chance(0.5)
  const began = follows && !isFetch && run.others.includes(server) ? beyond : 'list'
  const url = `${server.origin}/${number}/${kind}/${began}`
  await pause(random)
  if (isFetch) await (await createFetch(dispatcher)(url)).text()
  else await (await request(url, { dispatcher })).body.text()
  if (isInContext(number) && contextFields().requestId !== `r-${number}`) run.mistake(`call ${number} lost its context`)
}

function inContext(run: Run, chain: Chain, number: number): Promise<void> {
  if (!isInContext(number)) return callAs(run, chain, number)
  if (run.random.chance(0.5)) return runWithContext(fieldsOf(number), callAs, run, chain, number)
  // One within another: what it does not give itself is that one's.
  const { requestId, baggage, ...outer } = fieldsOf(number)
  return runWithContext({ ...outer, requestId: 'not-this-one', baggage: { call: 'nor this one' } }, async () => {
    await pause(run.random)
    await runWithContext({ requestId, baggage, deadline: 1e12 }, callAs, run, chain, number)
  })
}

/** Makes so many calls, by so many callers at once. */
export async function interleave(calls: number, callers: number, seed = seededRandom().seed): Promise<Interleaved> {
  const run = new Run(seed, calls)
  for (const protocol of ['h1c', 'h2'] as const) {
    await run.serve(protocol, true)
    await run.serve(protocol, false)
  }
  const { ca } = run.listed[1] as TestServer
  const ground = compose(createAgent({ connections: 10, connect: ca === undefined ? {} : { ca } }))
  const chains = chainsOf(run, ground)
  let next = 0
  const caller = async () => {
    while (next < calls) {
      const number = next++
      try {
        await inContext(run, run.random.pick(chains), number)
      } catch (error) {
        run.mistake(`call ${number} failed: ${error}, ${(error as Error).cause}`)
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: callers }, caller))
  } finally {
    for (const { connections } of [...run.listed, ...run.others]) run.count('connections', connections.opened)
    await ground.destroy()
    for (const server of [...run.listed, ...run.others]) await server.close()
  }
  const unseen = run.seen.reduce((sum, seen) => sum + (seen === 0 ? 1 : 0), 0)
  return { seed, mistakes: [...run.mistakes], unseen, happened: run.happened }
}
