import type { IncomingHttpHeaders } from 'node:http'
import { Dispatcher } from 'undici'
import type { VirtualClock } from './clock.ts'

/** What a modelled server is like. Durations are milliseconds of the virtual clock. */
export interface ModelServerOptions {
  readonly clock: VirtualClock
  /** How many requests it works on at once; settable while it runs. */
  readonly workers: number
  /** Draws the work of one request; settable while it runs. */
  readonly serviceTime: () => number
  /** How many requests may wait for a worker; those beyond are answered with 503 at once.
   * @default Infinity */
  readonly queue?: number
  /** From the end of the work to the head, and from sending to arrival, together.
   * @default 1 */
  readonly roundTrip?: number
  /** From the head to the end of the body; needs no worker.
   * @default 0 */
  readonly bodyTime?: number
  /** How much longer everything takes for each request in the house beyond the workers, per worker: at 0.5, twice as many
   * requests as workers take 1.5 times as long. With it, overload makes itself worse.
   * @default 0 */
  readonly contention?: number
  /** Whether it notices that a caller has gone, and drops the work. If not, it works for nobody.
   * @default false */
  readonly noticesAbort?: boolean
}

/** How a server that does not work answers: an error of the connection, silence, or a status at once. */
export type Outage = 'refuse' | 'hang' | number

type State = 'travelling' | 'waiting' | 'working' | 'answering' | 'over'

const noHeaders: IncomingHttpHeaders = {}
const body = Buffer.from('{"ok":true}')

/** One request, at whichever side it is: what undici gives a handler as its controller. */
class ModelRequest implements Dispatcher.DispatchController {
  aborted = false
  paused = false
  reason: Error | null = null
  rawHeaders: IncomingHttpHeaders = noHeaders
  rawTrailers: IncomingHttpHeaders = noHeaders
  state: State = 'travelling'
  /** The work that the draw gave it, so far as it has begun. */
  timer: NodeJS.Timeout | null = null
  readonly path: string
  private readonly server: ModelServer
  private readonly handler: Dispatcher.DispatchHandler
  private ended = false
  private endHeldBack = false

  constructor(server: ModelServer, handler: Dispatcher.DispatchHandler, path: string) {
    this.server = server
    this.handler = handler
    this.path = path
  }

  start(): void {
    this.handler.onRequestStart?.(this, null)
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    if (!this.endHeldBack) return
    this.endHeldBack = false
    this.end()
  }

  abort(reason: Error): void {
    if (this.ended) return
    this.aborted = true
    this.ended = true
    this.reason = reason
    this.server.gone(this)
    this.handler.onResponseError?.(this, reason)
  }

  /** The head comes to the caller. */
  answer(status: number): void {
    if (this.ended) return
    this.handler.onResponseStart?.(this, status, { 'content-length': `${body.length}` }, 'OK')
  }

  /** The body comes to the caller. */
  end(): void {
    if (this.ended) return
    if (this.paused) {
      this.endHeldBack = true
      return
    }
    this.handler.onResponseData?.(this, body)
    // The consumer may have given up, or hold the end back.
    if (this.ended) return
    this.ended = true
    this.handler.onResponseEnd?.(this, noHeaders)
  }

  fail(error: Error): void {
    if (this.ended) return
    this.ended = true
    this.handler.onResponseError?.(this, error)
  }
}

function refusal(): Error {
  return Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
}

/** First come, first served: shifting an array of thousands would cost more than the whole model. */
class Line {
  private items: (ModelRequest | undefined)[] = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  push(request: ModelRequest): void {
    this.items.push(request)
  }

  shift(): ModelRequest | undefined {
    const first = this.items[this.head]
    if (first === undefined) return undefined
    this.items[this.head++] = undefined
    if (this.head > 1024 && 2 * this.head > this.items.length) {
      this.items = this.items.slice(this.head)
      this.head = 0
    }
    return first
  }

  remove(request: ModelRequest): void {
    const at = this.items.indexOf(request, this.head)
    if (at >= 0) this.items.splice(at, 1)
  }
}

/**
 * A server that is a model: workers, a queue before them, and what overload does to it, with undici's contract of
 * dispatcher and handler. A chain goes over it as it goes over an agent.
 */
export class ModelServer extends Dispatcher {
  workers: number
  serviceTime: () => number
  /** `null`: it works. */
  outage: Outage | null = null
  /** Draws whether a piece of work fails, and its answer is 500; `null`: none does. */
  failing: (() => boolean) | null = null
  /** Requests under work. */
  working = 0
  /** Requests that have come to it, and those of them whose work a caller has waited for. */
  arrived = 0
  served = 0
  /** Answers for callers that had gone, and requests turned away from a full queue. */
  wasted = 0
  turnedAway = 0
  private readonly clock: VirtualClock
  private readonly queue: number
  private readonly halfTrip: number
  private readonly bodyTime: number
  private readonly contention: number
  private readonly noticesAbort: boolean
  private readonly line = new Line()

  constructor(options: ModelServerOptions) {
    super()
    this.clock = options.clock
    this.workers = options.workers
    this.serviceTime = options.serviceTime
    this.queue = options.queue ?? Number.POSITIVE_INFINITY
    this.halfTrip = (options.roundTrip ?? 1) / 2
    this.bodyTime = options.bodyTime ?? 0
    this.contention = options.contention ?? 0
    this.noticesAbort = options.noticesAbort ?? false
  }

  /** Requests in the house: under work and waiting. */
  get load(): number {
    return this.working + this.line.length
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const request = new ModelRequest(this, handler, opts.path)
    if (this.outage === 'refuse') {
      this.clock.after(2 * this.halfTrip, () => request.fail(refusal()))
      return true
    }
    request.start()
    if (!request.aborted) this.clock.after(this.halfTrip, () => this.arrive(request))
    return true
  }

  private arrive(request: ModelRequest): void {
    if (request.aborted && this.noticesAbort) return
    this.arrived++
    const { outage } = this
    if (outage === 'hang') return
    if (outage === 'refuse') request.fail(refusal())
    else if (outage !== null) this.answer(request, outage)
    else if (this.working < this.workers) this.work(request)
    else if (this.line.length >= this.queue) {
      this.turnedAway++
      this.answer(request, 503)
    } else {
      request.state = 'waiting'
      this.line.push(request)
    }
  }

  private work(request: ModelRequest): void {
    request.state = 'working'
    this.working++
    const crowd = Math.max(0, this.load - this.workers) / this.workers
    request.timer = this.clock.after(this.serviceTime() * (1 + this.contention * crowd), () => this.done(request))
  }

  private done(request: ModelRequest): void {
    request.timer = null
    if (request.aborted) {
      request.state = 'over'
      this.wasted++
    } else {
      this.served++
      this.answer(request, this.failing?.() === true ? 500 : 200)
    }
    this.working--
    this.next()
  }

  private next(): void {
    while (this.working < this.workers) {
      const request = this.line.shift()
      if (request === undefined) return
      this.work(request)
    }
  }

  private answer(request: ModelRequest, status: number): void {
    request.state = 'answering'
    this.clock.after(this.halfTrip, () => {
      request.answer(status)
      if (this.bodyTime === 0) request.end()
      else this.clock.after(this.bodyTime, () => request.end())
    })
  }

  /** How many work at once from now on: those that are too many finish what they have begun. */
  setWorkers(workers: number): void {
    this.workers = workers
    this.next()
  }

  /** The caller of a request has given it up. */
  gone(request: ModelRequest): void {
    if (!this.noticesAbort) return
    if (request.state === 'waiting') this.line.remove(request)
    if (request.state === 'working') {
      clearTimer(request)
      this.working--
      this.next()
    }
    request.state = 'over'
  }

  override close(): Promise<void>
  override close(callback: () => void): void
  override close(): Promise<void> {
    return Promise.resolve()
  }

  override destroy(): Promise<void>
  override destroy(error: Error | null): Promise<void>
  override destroy(callback: () => void): void
  override destroy(error: Error | null, callback: () => void): void
  override destroy(): Promise<void> {
    return Promise.resolve()
  }
}

function clearTimer(request: ModelRequest): void {
  request.timer?.close()
  request.timer = null
}
