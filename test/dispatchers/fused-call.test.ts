// One object serves a call of the standard chain while all goes well, and takes itself apart when something else happens.
// Nobody must be able to tell: every case here runs through both, and what the caller sees has to be the same.
import {
  adaptiveLimit,
  bulkhead,
  type CallOptions,
  circuitBreaker,
  classify,
  compose,
  contextHeaders,
  createAgent,
  deadline,
  fallback,
  guard,
  hedge,
  type Layer,
  rateLimit,
  retry,
  runWithContext,
  standard,
  standardHedging,
  tracing,
} from 'roundtripper'
import { type ServerOptions, type Step, startServer } from 'roundtripper/testing'
import { Dispatcher } from 'undici'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { eventually, protocols, stopClock, turns } from './retry-servers.ts'

type Options = Omit<Partial<Dispatcher.DispatchOptions>, 'body'> & { readonly body?: unknown }

/** Notes all that comes up, and interferes where a case says so. */
class Diary implements Dispatcher.DispatchHandler {
  readonly lines: string[] = []
  controller: Dispatcher.DispatchController | undefined
  over = false
  private readonly act: (event: string, controller: Dispatcher.DispatchController) => void
  private bytes = 0

  constructor(act: (event: string, controller: Dispatcher.DispatchController) => void) {
    this.act = act
  }

  private note(event: string, detail: string, controller: Dispatcher.DispatchController): void {
    this.lines.push(`${event} ${detail}`.trimEnd())
    this.controller = controller
    this.act(event, controller)
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.note('start', JSON.stringify(context), controller)
  }

  onResponseStarted(): void {
    this.note('started', `${this.controller !== undefined}`, this.controller as Dispatcher.DispatchController)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const { aborted, paused, reason } = controller
    this.note('head', `${status} ${aborted} ${paused} ${reason}`, controller)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const first = this.bytes === 0
    this.bytes += chunk.length
    if (first) this.note('data', '', controller)
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: object): void {
    this.over = true
    this.note('end', `${this.bytes} ${JSON.stringify(trailers)}`, controller)
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.over = true
    const { code, message } = error as { code?: string; message: string }
    this.lines.push(`error ${code ?? message} ${controller?.aborted} ${this.bytes}`)
  }
}

type Act = (event: string, controller: Dispatcher.DispatchController) => void

interface Case {
  readonly name: string
  readonly respond: ServerOptions['respond']
  readonly opts?: Options
  readonly calls?: number
  readonly act?: Act
  /** What has happened when the clock goes on, to beyond the timeouts; it stands still otherwise. */
  readonly lateAfter?: 'request' | 'data'
}

function throwingIn(which: string): Act {
  return (event) => {
    if (event === which) throw new Error(`thrown in ${which}`)
  }
}

function abortingIn(which: string): Act {
  return (event, controller) => {
    if (event === which) controller.abort(new Error(`given up in ${which}`))
  }
}

function pausingIn(which: string): Act {
  return (event, controller) => {
    if (event !== which) return
    controller.pause()
    setImmediate(() => controller.resume())
  }
}

const large = 'x'.repeat(300_000)
const parts: Step = { body: ['one', 'two', 'three'], bodyDelay: 1 }
const moments = ['start', 'started', 'head', 'data', 'end']

const cases: readonly Case[] = [
  { name: 'a plain answer', respond: { body: 'ok' } },
  { name: 'a body in parts', respond: parts },
  { name: 'a large body', respond: { body: large } },
  { name: 'trailers', respond: { body: 'ok', trailers: { 'x-sum': '1' } } },
  { name: 'HEAD', respond: 200, opts: { method: 'HEAD' } },
  { name: '204', respond: 204 },
  { name: '304', respond: 304 },
  { name: 'early hints', respond: { early: [{ status: 103, headers: { link: '</a>' } }], body: 'ok' } },
  { name: '404', respond: { status: 404, body: 'no' } },
  { name: '503, then well', respond: [503, { body: 'ok' }] },
  { name: '503 to the end', respond: { status: 503, body: 'no' } },
  { name: '503 to a POST', respond: { status: 503, body: 'no' }, opts: { method: 'POST', body: 'x' } },
  { name: 'a redirect', respond: { status: 302, headers: { location: '/' } } },
  { name: 'grpc-status 14, then well', respond: [{ headers: { 'grpc-status': '14' } }, { body: 'ok' }] },
  { name: 'reset, then well', respond: [{ reset: 'before-head' }, { body: 'ok' }] },
  { name: 'reset to a POST', respond: { reset: 'before-head' }, opts: { method: 'POST', body: 'x' } },
  { name: 'a body that breaks', respond: { body: 'abcdef', cut: true } },
  { name: 'no head in time, then well', respond: [{ hang: 'head' }, { body: 'ok' }], lateAfter: 'request' },
  {
    name: 'no head in time, for a POST',
    respond: { hang: 'head' },
    opts: { method: 'POST', body: 'x' },
    lateAfter: 'request',
  },
  { name: 'a body that stands still', respond: { body: 'abc', hang: 'body' }, lateAfter: 'data' },
  { name: 'a string as body', respond: { echo: true }, opts: { method: 'PUT', body: 'a body' } },
  {
    name: 'bytes as body, sent twice',
    respond: [503, { echo: true }],
    opts: { method: 'PUT', body: Buffer.from('b') },
  },
  { name: 'more calls than slots', respond: parts, calls: 8 },
  { name: 'more calls than slots and places', respond: parts, calls: 14 },
  { name: 'a header that cannot be sent', respond: 200, opts: { headers: { 'x y': '1' } } },
  ...moments.flatMap((moment) => [
    { name: `a throw in ${moment}`, respond: parts, act: throwingIn(moment) },
    { name: `a throw in ${moment}, with slots to wait for`, respond: parts, act: throwingIn(moment), calls: 8 },
    { name: `an abort in ${moment}`, respond: parts, act: abortingIn(moment) },
    { name: `an abort in ${moment}, with slots to wait for`, respond: parts, act: abortingIn(moment), calls: 8 },
  ]),
  ...['start', 'head', 'data'].map((moment) => ({
    name: `a pause in ${moment}`,
    respond: { body: large },
    act: pausingIn(moment),
  })),
]

const clocks = {
  deadline: 60_000,
  circuitBreaker: false,
  bulkhead: false,
  attemptTimeout: 9_000,
  bodyTimeout: 9_000,
} as const

/** What may send a call again, below tracing and a deadline, and above the clocks. */
const kinds = {
  standard: () => standard({ ...clocks, retry: { maxAttempts: 2, backoff: 1 } }),
  standardHedging: () => standardHedging({ ...clocks, hedge: { percentile: false } }),
} as const
type Kind = keyof typeof kinds

function chainOf(kind: Kind, extra: readonly Layer[]) {
  const layers = kinds[kind]()
  const slots = bulkhead({ limit: 4, queue: 6 })
  const breaker = circuitBreaker({ minimumCalls: 1_000 })
  // Below retry, above the clocks: where standard() has them.
  return {
    slots,
    breaker,
    layers: [...layers.slice(0, 1), ...extra, ...layers.slice(1, 3), breaker, slots, ...layers.slice(3)],
  }
}

async function play(protocol: 'h1' | 'h2', kind: Kind, extra: readonly Layer[], one: Case): Promise<string[]> {
  const server = await startServer({ protocol, ...(one.respond !== undefined && { respond: one.respond }) })
  const agent = createAgent({ connections: 1, connect: { ca: server.ca as string } })
  onTestFinished(async () => {
    await agent.destroy()
    await server.close()
  })
  const { slots, breaker, layers } = chainOf(kind, extra)
  const chain = compose(agent, layers)
  const diaries = Array.from({ length: one.calls ?? 1 }, () => new Diary(one.act ?? (() => {})))
  const opts = { origin: server.origin, path: '/', method: 'GET', ...one.opts } as Dispatcher.DispatchOptions
  const clock = one.lateAfter === undefined ? undefined : stopClock()
  for (const diary of diaries) chain.dispatch(opts, diary)
  if (clock !== undefined) {
    const [diary] = diaries
    const hasCome = { request: () => server.count() === 1, data: () => diary?.lines.at(-1) === 'data' }
    await eventually(hasCome[one.lateAfter as keyof typeof hasCome])
    await clock.advance(9_100)
  }
  await eventually(() => diaries.every(({ over }) => over))
  if (clock !== undefined) vi.useRealTimers()
  await turns()
  expect(slots.state()[server.origin] ?? { inUse: 0, queued: 0 }).toMatchObject({ inUse: 0, queued: 0 })
  await chain.close()
  const { calls = 0, failures = 0 } = breaker.state()[server.origin] ?? {}
  return [...diaries.flatMap(({ lines }, at) => lines.map((line) => `${at}: ${line}`)), `judged ${calls} ${failures}`]
}

describe.each(protocols)('over HTTP/$version', ({ protocol }) => {
  it.each(cases)('45, 47: $name is the same in one object and in many', async (one) => {
    const many = await play(protocol, 'standard', [classify(() => undefined)], one)
    const fused = await play(protocol, 'standard', [], one)
    expect(fused).toEqual(many)
  })

  it.each(cases)('31, 45, 47: $name is the same in both, hedged, with a fallback above', async (one) => {
    const other = () => fallback({ value: { status: 203, body: 'in its place' } })
    const many = await play(protocol, 'standardHedging', [classify(() => undefined), other()], one)
    const fused = await play(protocol, 'standardHedging', [other()], one)
    expect(fused).toEqual(many)
  })
})

/** A transport that never answers, and tells who would be answered. */
class Silent extends Dispatcher {
  readonly handlers: Dispatcher.DispatchHandler[] = []
  readonly options: Dispatcher.DispatchOptions[] = []
  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.handlers.push(handler)
    this.options.push(opts)
    return true
  }
  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

function servedBy(layers: readonly Layer[], opts: Options = {}): string | undefined {
  const silent = new Silent()
  const chain = compose(silent, layers)
  onTestFinished(() => chain.destroy())
  const given = { origin: 'http://127.0.0.1', path: '/', method: 'GET', ...opts } as Dispatcher.DispatchOptions
  chain.dispatch(given, { onRequestStart: () => {}, onResponseError: () => {} })
  return silent.handlers[0]?.constructor.name
}

/** Options of a call as its caller gives them; undici's types do not know them. */
function withOptions(resilience: CallOptions): Options {
  return { resilience } as Options
}

describe('what serves a call', () => {
  it('is one object in the standard chain, as long as nobody traces', () => {
    expect(servedBy(standard())).toBe('FusedCall')
    expect(servedBy(standard(), { method: 'PUT', body: 'x' })).toBe('FusedCall')
    expect(servedBy(standard({ circuitBreaker: false }))).toBe('FusedCall')
    expect(servedBy(standard(), withOptions({ priority: 'sheddable', idempotent: true }))).toBe('FusedCall')
  })

  it('is one object also with hedges, a fallback above, and limits below', () => {
    const limits = [rateLimit({ limit: 10, window: 1000 }), bulkhead(), adaptiveLimit()]
    expect(servedBy(standardHedging())).toBe('FusedCall')
    expect(servedBy(standardHedging(), { method: 'POST', body: 'x' })).toBe('FusedCall')
    expect(servedBy([fallback({ value: {} }), ...standard()])).toBe('FusedCall')
    expect(servedBy([deadline(), fallback({ value: {} }), hedge(), ...limits])).toBe('FusedCall')
    expect(servedBy([fallback({ value: {} }), bulkhead()])).toBe('FusedCall')
  })

  it('is one object in the context of a request, too', () => {
    const context = () => contextHeaders({ origins: ['http://127.0.0.1'] })
    const inContext = (layers: readonly Layer[], opts?: Options) =>
      runWithContext({ deadline: 500, priority: 'sheddable' }, servedBy, layers, opts)
    expect(inContext([context(), ...standard()])).toBe('FusedCall')
    expect(inContext([context(), ...standard()], { headers: { 'x-own': '1' } })).toBe('FusedCall')
    expect(inContext([deadline(), context(), fallback({ value: {} }), hedge(), bulkhead()])).toBe('FusedCall')
    for (const elsewhere of [
      [fallback({ value: {} }), context(), hedge(), bulkhead()],
      [...standard({ bulkhead: false }), context()],
      [context(), context(), ...standard()],
    ]) {
      expect(servedBy(elsewhere)).toBe('FusedCall')
      expect(inContext(elsewhere)).toBe('Edge')
    }
  })

  it('is an object for each part where that has more to know of each call', () => {
    const key = () => 'all'
    const [first, second] = [retry({ budget: false }), hedge({ budget: false })]
    vi.spyOn(process, 'emitWarning').mockReturnValue()
    expect(servedBy([second, first])).toBe('Edge')
    expect(servedBy(standardHedging(), { method: 'POST', body: 'x', idempotent: true })).toBe('Edge')
    expect(servedBy([fallback({ value: {}, on: () => undefined }), ...standard()])).toBe('Edge')
    expect(servedBy([retry(), rateLimit({ limit: 10, window: 1000, key })])).toBe('Edge')
    expect(servedBy([rateLimit({ limit: 10, window: 1000 }), retry(), bulkhead()])).toBe('Edge')
  })

  it('is an object for each part where somebody has an eye on attempts, or the body streams', () => {
    const tracerProvider = {
      getTracer: () => ({ startSpan: () => undefined, startActiveSpan: () => undefined }),
    } as never
    expect(servedBy([tracing({ tracerProvider }), ...standard({ tracing: false })])).toBe('Edge')
    expect(servedBy(standard({ logging: { logger: { debug() {}, info() {}, warn() {} } } }))).toBe('Edge')
    expect(servedBy(standard({ classify: () => undefined }))).toBe('Edge')
    expect(servedBy(standard({ retry: { retryOn: () => undefined } }))).toBe('Edge')
    expect(servedBy(standard(), { method: 'PUT', body: (async function* () {})() })).toBe('Edge')
    expect(servedBy(standard({ retry: false }))).toBe('Edge')
    expect(servedBy(standard(), withOptions({ deadline: 500 }))).toBe('Edge')
    expect(servedBy(standard(), withOptions({ attemptTimeout: false }))).toBe('Edge')
  })

  it('46: destroy() fails it at once, before and after its head', async () => {
    for (const headSeen of [false, true]) {
      const silent = new Silent()
      const chain = compose(silent, standard())
      const diary = new Diary(() => {})
      chain.dispatch({ origin: 'http://127.0.0.1', path: '/', method: 'GET' }, diary)
      const controller = { aborted: false, paused: false, reason: null, pause() {}, resume() {}, abort() {} }
      silent.handlers[0]?.onRequestStart?.(controller, null)
      if (headSeen) silent.handlers[0]?.onResponseStart?.(controller, 200, {}, 'OK')
      const destroyed = chain.destroy()
      expect(diary.lines.at(-1)).toBe('error UND_ERR_DESTROYED true 0')
      await destroyed
    }
  })

  it('a chain below it, behind a dispatcher of somebody else, knows it as its first attempt', () => {
    const numbers: number[] = []
    const note = guard({
      acquire: ({ number, exchange }) => {
        numbers.push(number, exchange.attempts)
        return null
      },
    })
    const below = compose(new Silent(), note)
    const between = new Silent()
    between.dispatch = (opts, handler) => below.dispatch(opts, handler)
    const chain = compose(between, standard())
    onTestFinished(() => chain.destroy())
    chain.dispatch({ origin: 'http://127.0.0.1', path: '/', method: 'GET' }, new Diary(() => {}))
    expect(numbers).toEqual([1, 1])
  })
})
