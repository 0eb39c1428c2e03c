// Random calls through one object and through many, with the same seed: whatever transport and consumers do, what each side
// sees of the other has to be the same, line by line.
import {
  adaptiveLimit,
  bulkhead,
  circuitBreaker,
  classify,
  compose,
  contextHeaders,
  fallback,
  guard,
  hedge,
  type Layer,
  type RequestContextFields,
  type RetryBudget,
  rateLimit,
  retry,
  retryBudget,
  retryThrottle,
  runWithContext,
  standard,
} from 'roundtripper'
import { seededRandom } from 'roundtripper/testing'
import { Dispatcher } from 'undici'
import { expect, it, onTestFinished, vi } from 'vitest'

const origin = 'http://127.0.0.1'
const statuses = [200, 200, 200, 204, 304, 302, 404, 429, 500, 503]
const priorities = ['critical', 'normal', 'sheddable'] as const
const methods = ['GET', 'GET', 'HEAD', 'POST', 'PUT'] as const

type Draw = (below: number) => number
type Told = Dispatcher.DispatchController & { readonly paused: boolean }

/** One request that has reached the transport, and what the transport does about it. */
class Sent {
  readonly rawHeaders: Buffer[]
  readonly reason = null
  aborted = false
  paused = false
  private over = false
  private phase: 'new' | 'started' | 'head' = 'new'
  readonly id: number
  readonly handler: Dispatcher.DispatchHandler
  private readonly draw: Draw
  private readonly lines: string[]

  constructor(id: number, handler: Dispatcher.DispatchHandler, draw: Draw, lines: string[]) {
    this.id = id
    this.handler = handler
    this.draw = draw
    this.lines = lines
    this.rawHeaders = [Buffer.from('from'), Buffer.from(`${id}`)]
  }

  private note(event: string): void {
    if (!this.over) this.lines.push(`sent ${this.id} ${event}`)
  }

  pause(): void {
    this.note('pause')
    this.paused = true
  }

  resume(): void {
    this.note('resume')
    this.paused = false
  }

  abort(reason: Error): void {
    if (this.over) return
    this.note('abort')
    this.aborted = true
    this.fail(reason)
  }

  private fail(error: Error): void {
    this.over = true
    this.handler.onResponseError?.(this, error)
  }

  step(): void {
    if (this.over) return
    const kind = this.draw(4)
    if (this.phase === 'new') {
      this.phase = 'started'
      this.handler.onRequestStart?.(this, { [`k${this.id}`]: 1 })
    } else if (this.phase === 'started') this.stepToHead(kind)
    else if (kind < 2) this.handler.onResponseData?.(this, Buffer.alloc(10))
    else if (kind === 2) this.fail(new Error('cut'))
    else {
      this.over = true
      this.handler.onResponseEnd?.(this, { sum: '1' })
    }
  }

  private stepToHead(kind: number): void {
    if (kind === 0) this.handler.onResponseStart?.(this, 103, { link: '</a>' }, '')
    else if (kind === 1) this.handler.onRequestStart?.(this, { again: 1 })
    else if (kind === 2) {
      const refused = this.draw(3) === 0 ? { http2ErrorCode: 7 } : {}
      this.fail(Object.assign(new Error('reset'), { code: 'ECONNRESET' }, refused))
    } else {
      this.phase = 'head'
      const status = statuses[this.draw(statuses.length)] as number
      this.handler.onResponseStart?.(this, status, this.draw(8) === 0 ? { 'grpc-status': '14' } : {}, '')
    }
  }
}

const timeout = 'x-request-timeout-ms'

class Transport extends Dispatcher {
  readonly sent: Sent[] = []
  /** What requests were told of the time that is left to them. */
  readonly times: number[] = []
  private readonly draw: Draw
  private readonly lines: string[]
  constructor(draw: Draw, lines: string[]) {
    super()
    this.draw = draw
    this.lines = lines
  }
  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const { origin: to, method, path } = opts
    const headers = { ...(opts.headers as Record<string, string> | null) }
    if (headers[timeout] !== undefined) {
      this.times.push(Number(headers[timeout]))
      headers[timeout] = 'told'
    }
    this.lines.push(`sent ${this.sent.length} is ${method} ${to}${path} ${JSON.stringify(headers)}`)
    this.sent.push(new Sent(this.sent.length, handler, this.draw, this.lines))
    return true
  }
  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

/** A consumer that notes what it is told, and now and then does something about it. */
class Consumer implements Dispatcher.DispatchHandler {
  kept: Told | undefined
  private readonly name: string
  private readonly draw: Draw
  private readonly lines: string[]

  constructor(name: string, draw: Draw, lines: string[]) {
    this.name = name
    this.draw = draw
    this.lines = lines
  }

  private note(event: string, given: unknown, acts = true): void {
    const seen = [given as Told | null, this.kept].map((one) => `${one?.aborted} ${one?.paused} ${one?.rawHeaders}`)
    this.lines.push(`${this.name} ${event} | ${seen.join(' | ')}`)
    if (acts) this.act(given as Told)
  }

  private act(controller: Told): void {
    const what = this.draw(12)
    if (what > 3) return
    this.lines.push(`${this.name} acts ${what}`)
    if (what === 0) controller.abort(new Error('given up'))
    if (what === 1 || what === 2) controller.pause()
    if (what === 2) controller.resume()
    if (what === 3) throw new Error('thrown')
  }

  onRequestStart(controller: Told, context: unknown): void {
    this.kept = controller
    this.note(`start ${JSON.stringify(context)}`, controller)
  }
  onResponseStart(controller: Told, status: number): void {
    this.note(`head ${status}`, controller)
  }
  onResponseData(controller: Told, chunk: Buffer): void {
    this.note(`data ${chunk.length}`, controller)
  }
  onResponseEnd(controller: Told, trailers: unknown): void {
    this.note(`end ${JSON.stringify(trailers)}`, controller)
  }
  onResponseError(controller: Told, error: Error & { code?: string }): void {
    this.note(`error ${error.code ?? error.message}`, controller, false)
  }
}

/** What may send a call again, and what takes the place of its answer. */
function drawRepeating(draw: Draw, budget: RetryBudget | false): { above: Layer[]; below: Layer[] } {
  const sends = draw(9)
  const below =
    sends === 0
      ? []
      : sends < 5
        ? [retry({ maxAttempts: 1 + draw(3), backoff: 503, budget })]
        : [hedge({ maxHedges: draw(3), delay: 307 + draw(3_000), percentile: false, budget })]
  const sources = [
    { value: { status: 203, body: 'value' } },
    { respond: () => undefined },
    { respond: async () => ({ body: 'made' }) },
    { upstream: 'http://127.0.0.2' },
  ]
  const above = sends === 0 || draw(3) === 0 ? [fallback(sources[draw(4)] as (typeof sources)[number])] : []
  return { above, below }
}

/** The context that a call is made in, if any. */
function drawContext(draw: Draw, number: number): RequestContextFields | null {
  if (draw(3) === 0) return null
  const priority = [undefined, ...priorities][draw(4)]
  const deadline = draw(3) === 0 ? undefined : draw(12) === 0 ? 0 : 611 + draw(9_000)
  return { requestId: `r-${number}`, tenant: 'acme', priority, deadline }
}

async function play(seed: number, inOneObject: boolean): Promise<{ lines: string[]; times: number[] }> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'], now: 0 })
  const random = seededRandom(seed)
  const draw: Draw = (below) => Math.floor(random.next() * below)
  const lines: string[] = []
  const consumers: Consumer[] = []

  const slots = bulkhead({ limit: 2, queue: 2, queueTimeout: 4_507, unreadBodyTimeout: 3_301 })
  const victim = draw(12)
  const onStateChange = ({ to }: { to: string }) => {
    lines.push(`circuit ${to}`)
    consumers[victim]?.kept?.abort(new Error('the listener gives up'))
  }
  const breaker = circuitBreaker({
    minimumCalls: 2,
    openFor: 5_003,
    window: 20_000,
    probes: 1 + draw(2),
    shadow: draw(4) === 0,
    consecutiveFailures: draw(2) === 0 ? undefined : 2,
    openForFactor: 1 + draw(2),
    openForJitter: 0.5,
    random: () => draw(100) / 100,
    onStateChange,
  })
  const budget = draw(2) === 0 ? retryBudget({ share: 0.5, minPerSecond: 0 }) : retryThrottle({ maxTokens: 3 })
  const others = standard({
    tracing: false,
    circuitBreaker: false,
    bulkhead: false,
    deadline: 6_000 + draw(6_000),
    attemptTimeout: 2_000 + draw(3_900),
    bodyTimeout: 2_500 + draw(2_000),
    retry: false,
  })
  const repeating = drawRepeating(draw, draw(4) === 0 ? false : budget)
  const rate = rateLimit({
    limit: 3,
    window: 1_009,
    queue: draw(3),
    shadow: draw(4) === 0,
    serverHeaders: draw(2) === 0,
  })
  const limit = adaptiveLimit({
    initialLimit: 1 + draw(3),
    maxLimit: 4,
    window: 1_000,
    windowCalls: 1,
    shadow: draw(2) === 0,
    unreadBodyTimeout: 3_301,
    random: () => draw(100) / 100,
  })
  const limits = [[], [], [rate], [limit], [rate, limit]][draw(5)] as Layer[]
  // Above or below the deadline.
  const [top, middle] = draw(4) === 0 ? [[], repeating.above] : [repeating.above, []]
  const carrying = contextHeaders({ origins: draw(4) === 0 ? [] : [origin, 'http://127.0.0.2'].slice(0, 1 + draw(2)) })
  const contextAt = draw(5)
  const context = (at: number) => (at === contextAt ? carrying : null)
  const transport = new Transport(draw, lines)
  const note = guard({
    acquire: ({ number, exchange }) => {
      lines.push(`below: attempt ${number} of ${exchange.attempts}`)
      return null
    },
  })
  const ground = draw(4) === 0 ? transport.compose(note) : transport
  const above = inOneObject ? [] : classify(() => undefined)
  const chain = compose(
    ground,
    above,
    context(0),
    top,
    context(1),
    others.slice(0, 1),
    context(2),
    middle,
    context(3),
    repeating.below,
    limits.slice(0, 1),
    breaker,
    slots,
    limits.slice(1),
    others.slice(1),
  )

  const calls = 1 + draw(5)
  const settle = (most: number) => vi.advanceTimersByTimeAsync(1 + draw(most))
  const tellSlots = () => lines.push(`slots ${JSON.stringify(slots.state()[origin] ?? { inUse: 0, queued: 0 })}`)
  for (let number = 0; number < calls; number++) {
    const consumer = new Consumer(`call ${number}`, draw, lines)
    consumers.push(consumer)
    const method = methods[draw(methods.length)] as Dispatcher.HttpMethod
    const body = method.startsWith('P') ? 'body' : null
    const resilience = draw(2) === 0 ? { priority: priorities[draw(3)] } : undefined
    const idempotent = draw(4) === 0
    const opts = { origin, path: `/${number}`, method, body, idempotent, ...(resilience && { resilience }) }
    const fields = drawContext(draw, number)
    if (fields === null) chain.dispatch(opts, consumer)
    else runWithContext(fields, () => chain.dispatch(opts, consumer))
    await settle(97)
  }
  for (let left = 10 + draw(50); left > 0; left--) {
    if (draw(20) === 0) slots.update({ limit: 1 + draw(3), queue: draw(3), shadow: draw(6) === 0 })
    if (draw(40) === 0) breaker.force(([null, 'open', 'closed', 'disabled'] as const)[draw(4)] ?? null)
    const what = draw(10)
    const { sent } = transport
    const { kept } = consumers[draw(calls)] as Consumer
    if (what < 6) sent[Math.max(0, sent.length - 1 - draw(4))]?.step()
    else if (what < 8) await settle(4_000)
    else if (what === 8) kept?.pause()
    else if (draw(3) === 0) kept?.abort(new Error('given up later'))
    else kept?.resume()
    await settle(97)
    tellSlots()
  }
  for (const { kept } of consumers) kept?.abort(new Error('over'))
  await vi.advanceTimersByTimeAsync(30_000)
  lines.push(`circuit ${JSON.stringify(breaker.state()[origin])}`, `budget ${JSON.stringify(budget.state())}`)
  // What it has measured is made of times.
  const measured = Object.values(limit.state()).flatMap(({ rtt, baseline }) => [rtt ?? 0, baseline ?? 0])
  const counted = JSON.stringify(limit.state(), (name, value) => (/^(rtt|baseline)$/.test(name) ? undefined : value))
  lines.push(`rate ${JSON.stringify(rate.state())}`, `limit ${counted}`)
  tellSlots()
  await chain.destroy()
  return { lines, times: [...transport.times, ...measured] }
}

it('45, 47: random calls are the same in one object and in many', async () => {
  onTestFinished(() => {
    vi.useRealTimers()
  })
  vi.spyOn(process, 'emitWarning').mockReturnValue()
  const first = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  const count = Number(process.env.CALLS ?? 400)
  for (let seed = first; seed < first + count; seed++) {
    const [fused, many] = [await play(seed, true), await play(seed, false)]
    expect(fused.lines, `seed ${seed}`).toEqual(many.lines)
    // A backoff may end a millisecond later where a sum of times is a hair above the whole number that it is.
    for (const [at, time] of fused.times.entries()) {
      expect(Math.abs(time - (many.times[at] as number)), `seed ${seed}`).toBeLessThanOrEqual(2)
    }
    expect(fused.lines.at(-1), `seed ${seed}`).toMatch(/^slots \{"inUse":0,"queued":0[,}]/)
  }
}, 60_000)
