import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import type { Call } from './call.ts'
import { SoakAbort, SoakThrow } from './errors.ts'
import type { Callback } from './plan.ts'

/** What became of a call, as its caller sees it. */
export interface Result {
  /** Of the final head; `undefined` if none came. */
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, unknown>>
  /** What came of the body. */
  readonly body: Buffer
  /** The body came to its end. */
  readonly complete: boolean
  readonly error: unknown
  /** What the consumer threw on the way. */
  readonly thrown: SoakThrow | undefined
}

/** A consumer on `dispatch` itself. */
export class Consumer implements Dispatcher.DispatchHandler {
  readonly result: Promise<Result>
  readonly #call: Call
  readonly #endsAtOnce: boolean
  readonly #chunks: Buffer[] = []
  #status: number | undefined = undefined
  #headers: IncomingHttpHeaders = {}
  #thrown: SoakThrow | undefined = undefined
  #resolve!: (result: Result) => void

  /** `endsAtOnce`: an abort must come back as onResponseError before it returns. */
  constructor(call: Call, endsAtOnce: boolean) {
    this.#call = call
    this.#endsAtOnce = endsAtOnce
    this.result = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  #throwIn(callback: Callback): void {
    if (this.#call.plan.throwsIn !== callback || this.#thrown !== undefined) return
    this.#thrown = new SoakThrow(`thrown in ${callback}`)
    throw this.#thrown
  }

  #settle(complete: boolean, error: unknown): void {
    const body = Buffer.concat(this.#chunks)
    this.#resolve({ status: this.#status, headers: this.#headers, body, complete, error, thrown: this.#thrown })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const call = this.#call
    call.giveUp = (phase) => {
      controller.abort(new SoakAbort(`given up (${phase})`))
      if (this.#endsAtOnce && !call.over) call.mistake('aborted, but not ended at once')
    }
    if (call.plan.abort === 'dispatch') call.abortNow('dispatch')
    this.#throwIn('onRequestStart')
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
    const { unread } = this.#call.plan
    if (unread > 0) {
      controller.pause()
      setTimeout(() => controller.resume(), unread)
    }
    this.#throwIn('onResponseStart')
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#throwIn('onResponseData')
  }

  onResponseEnd(): void {
    this.#throwIn('onResponseEnd')
    this.#settle(true, undefined)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle(false, error)
  }
}
