import { Dispatcher } from 'undici'

/** What a modelled service is like: one in the middle, whose requests are as many calls of others. */
export interface ModelServiceOptions {
  /** How many requests it works on at once. Each holds its worker until its call is over, whether or not its caller has gone. */
  readonly workers: number
  /** How many requests may wait for a worker; those beyond are answered with 503 at once. */
  readonly queue: number
  /** What it calls others through. */
  readonly calls: Dispatcher
}

/** One request to the service, and the call that it makes of another. */
class ServiceRequest implements Dispatcher.DispatchController, Dispatcher.DispatchHandler {
  aborted = false
  readonly paused = false
  reason: Error | null = null
  readonly opts: Dispatcher.DispatchOptions
  private readonly service: ModelService
  private readonly handler: Dispatcher.DispatchHandler
  private status = 502

  constructor(service: ModelService, opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    this.service = service
    this.opts = opts
    this.handler = handler
  }

  // Answers are not so long that anybody would hold them up.
  pause(): void {}

  resume(): void {}

  abort(reason: Error): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    this.handler.onResponseError?.(this, reason)
  }

  start(): void {
    this.handler.onRequestStart?.(this, null)
  }

  answer(status: number): void {
    if (this.aborted) return
    this.handler.onResponseStart?.(this, status, {})
    this.handler.onResponseEnd?.(this, {})
  }

  onRequestStart(): void {}

  onResponseStart(_controller: unknown, status: number): void {
    if (status >= 200) this.status = status
  }

  onResponseData(): void {}

  onResponseEnd(): void {
    this.service.done(this, this.status)
  }

  // A call that fails is the service's bad gateway.
  onResponseError(): void {
    this.service.done(this, 502)
  }
}

/** A service with so many workers, each of which waits for what its request asks of another. */
export class ModelService extends Dispatcher {
  private readonly workers: number
  private readonly queue: number
  private readonly calls: Dispatcher
  private readonly waiting: ServiceRequest[] = []
  private working = 0

  constructor({ workers, queue, calls }: ModelServiceOptions) {
    super()
    this.workers = workers
    this.queue = queue
    this.calls = calls
  }

  override dispatch(opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const request = new ServiceRequest(this, opts, handler)
    request.start()
    if (this.working < this.workers) this.work(request)
    else if (this.waiting.length < this.queue) this.waiting.push(request)
    else request.answer(503)
    return true
  }

  /** The call of a request is over. */
  done(request: ServiceRequest, status: number): void {
    request.answer(status)
    this.working--
    let next = this.waiting.shift()
    while (next?.aborted) next = this.waiting.shift()
    if (next !== undefined) this.work(next)
  }

  private work(request: ServiceRequest): void {
    this.working++
    this.calls.dispatch(request.opts, request)
  }
}
