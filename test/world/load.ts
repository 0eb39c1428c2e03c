// Who calls: callers that come whatever becomes of them (open loop), and users that wait for their answer (closed loop).
import type { Dispatcher } from 'undici'
import type { SeededRandom } from '../../src/testing/index.ts'
import type { VirtualClock } from './clock.ts'

/** What became of a call: a status, the code of its error, or that its caller would not wait any longer. */
export type Result = number | string

/** A call that is over, with all tries of its caller. Times are milliseconds of the virtual clock. */
export interface CallRecord {
  readonly at: number
  readonly took: number
  readonly result: Result
}

/** What all callers of one kind are like. */
export interface CallerOptions {
  readonly clock: VirtualClock
  readonly random: SeededRandom
  readonly dispatcher: Dispatcher
  /** Milliseconds after which a caller gives up. */
  readonly patience: number
  /** How often a caller tries whose calls fail or take too long, the first time included: people who press reload.
   * @default 1 */
  readonly tries?: number
  /** Milliseconds from a failure to the next try.
   * @default 0 */
  readonly pause?: number
  /** Makes the options of a call; `number` counts from 1.
   * @default GET / */
  readonly request?: (number: number) => Dispatcher.DispatchOptions
}

const origin = 'http://model.test'

/** A time between two events that come at random, `mean` apart on average. */
export function exponential(random: SeededRandom, mean: number): number {
  return -mean * Math.log(1 - random.next())
}

/** A duration around `median`, with a long tail: the larger `sigma`, the longer. */
export function logNormal(random: SeededRandom, median: number, sigma: number): number {
  // Box and Muller.
  const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
  return median * Math.exp(sigma * normal)
}

/** What somebody wants, until it is there or all tries have failed. */
interface Visit {
  readonly at: number
  readonly done: (() => void) | null
  triesLeft: number
}

/** Whether a caller has what it wanted. */
export function isGood(result: Result): boolean {
  return typeof result === 'number' && result < 400
}

class Caller implements Dispatcher.DispatchHandler {
  private readonly load: Load
  private readonly visit: Visit
  private readonly patience: NodeJS.Timeout
  private controller: Dispatcher.DispatchController | null = null
  private status = 0
  private over = false

  constructor(load: Load, visit: Visit) {
    this.load = load
    this.visit = visit
    this.patience = load.clock.after(load.patience, () => this.giveUp())
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
  }

  onResponseStart(_controller: unknown, status: number): void {
    if (status >= 200) this.status = status
  }

  onResponseData(): void {}

  onResponseEnd(): void {
    this.finish(this.status)
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.finish((error as { code?: string }).code ?? error.name)
  }

  private giveUp(): void {
    this.finish('gave up')
    this.controller?.abort(new Error('gave up'))
  }

  private finish(result: Result): void {
    if (this.over) return
    this.over = true
    this.patience.close()
    this.load.tried(this.visit, result)
  }
}

/** Makes calls, and keeps what became of them. */
class Load {
  readonly clock: VirtualClock
  readonly patience: number
  readonly records: CallRecord[] = []
  protected readonly random: SeededRandom
  private readonly dispatcher: Dispatcher
  private readonly request: (number: number) => Dispatcher.DispatchOptions
  private readonly tries: number
  private readonly pause: number
  private visits = 0
  private calls = 0

  constructor(options: CallerOptions) {
    this.clock = options.clock
    this.patience = options.patience
    this.random = options.random
    this.dispatcher = options.dispatcher
    this.tries = options.tries ?? 1
    this.pause = options.pause ?? 0
    this.request = options.request ?? (() => ({ origin, path: '/', method: 'GET' }))
  }

  /** A call of a visit is over. */
  tried(visit: Visit, result: Result): void {
    const { now } = this.clock
    if (isGood(result) || --visit.triesLeft === 0) {
      this.records.push({ at: visit.at, took: now - visit.at, result })
      visit.done?.()
    } else if (this.pause === 0) this.try(visit)
    else this.clock.after(this.pause, () => this.try(visit))
  }

  /** Calls that are not over yet, with all their tries. */
  get open(): number {
    return this.visits - this.records.length
  }

  protected call(done: (() => void) | null): void {
    this.visits++
    this.try({ at: this.clock.now, done, triesLeft: this.tries })
  }

  private try(visit: Visit): void {
    this.dispatcher.dispatch(this.request(++this.calls), new Caller(this, visit))
  }
}

/** Options of an {@link OpenLoop}. */
export interface OpenLoopOptions extends CallerOptions {
  /** Calls a second; settable while it runs. */
  readonly rate: number
}

/** Calls that come at random, at a rate that does not depend on the answers (Poisson): a public service's traffic. */
export class OpenLoop extends Load {
  /** Calls a second; 0 pauses for a second at a time. */
  rate: number
  private stopped = false

  constructor(options: OpenLoopOptions) {
    super(options)
    this.rate = options.rate
    this.wait()
  }

  /** Makes no more calls. */
  stop(): void {
    this.stopped = true
  }

  private wait(): void {
    if (this.rate > 0) this.clock.after(exponential(this.random, 1000 / this.rate), () => this.arrive())
    else this.clock.after(1000, () => this.wait())
  }

  private arrive(): void {
    if (this.stopped) return
    if (this.rate > 0) this.call(null)
    this.wait()
  }
}

/** Options of a {@link ClosedLoop}. */
export interface ClosedLoopOptions extends CallerOptions {
  /** How many there are. */
  readonly users: number
  /** Milliseconds a user thinks between an answer, or a failure, and the next call, on average. */
  readonly think: number
}

/** Users that each have one call at a time: workers of a batch, or the threads of another service. */
export class ClosedLoop extends Load {
  private readonly think: number
  private stopped = false

  constructor(options: ClosedLoopOptions) {
    super(options)
    this.think = options.think
    for (let user = 0; user < options.users; user++) this.next()
  }

  /** Makes no more calls. */
  stop(): void {
    this.stopped = true
  }

  private next(): void {
    this.clock.after(exponential(this.random, this.think), () => {
      if (!this.stopped) this.call(() => this.next())
    })
  }
}
