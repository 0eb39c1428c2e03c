import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import { TaskCancelledError } from 'cockatiel'
import type { Dispatcher } from 'undici'
import type { Outcome, OutcomeKind } from '../policies/outcome.ts'
import { Attempt } from './attempt.ts'
import type { CallScope, Exchange } from './exchange.ts'
import type { Slot } from './from-cockatiel-slot.ts'
import type { RepeatingCall } from './repeating-call.ts'

interface Head {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly message: string | undefined
}

type Tail = { readonly trailers: IncomingHttpHeaders } | { readonly error: Error }

function ignore(): void {}

/**
 * One run of a policy's function. Its response head is held back, and the body behind it, until the policy has decided:
 * then it goes on to the consumer, or is given up for another attempt.
 */
export class HeldAttempt extends Attempt {
  /** What the policy's function answers with: the outcome of a response, or the error of a failed attempt. */
  readonly result: Promise<Outcome>
  /** What the policy was told; `null` while the attempt has come to nothing yet. */
  answer: Outcome | null = null
  /** It came to an error, not to a response. */
  failed = false
  /** Another attempt takes its place. */
  replaced = false

  private readonly policySignal: AbortSignal | undefined
  private resolve: (outcome: Outcome) => void = ignore
  private reject: (error: unknown) => void = ignore
  private head: Head | null = null
  // A transport that is paused gives nothing more, but a mock does, and so does a connection that the server closes.
  private chunks: Buffer[] = []
  private tail: Tail | null = null
  private slots: Slot[] = []

  constructor(
    call: RepeatingCall<HeldAttempt>,
    exchange: Exchange,
    parent: CallScope,
    policySignal: AbortSignal | undefined,
  ) {
    super(call, exchange, parent)
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.result.catch(ignore)
    this.policySignal = policySignal
    policySignal?.addEventListener('abort', this)
  }

  /** Its response waits for the policy to decide. */
  get holding(): boolean {
    return this.head !== null
  }

  /** Whether a policy that resolves with `value` has chosen this attempt's response. */
  answersWith(value: unknown): boolean {
    return value === this.answer && !this.failed && !this.discarded
  }

  /** A slot that is to be free when this attempt's response has been given up. */
  keep(slot: Slot): void {
    if (this.over) slot.free()
    else this.slots.push(slot)
  }

  /** Settles when all its slots can be taken again; `null` where it had none. */
  slotsFreed(): Promise<unknown> | null {
    return this.slots.length === 0 ? null : Promise.all(this.slots.map((slot) => slot.freed))
  }

  /** The policy aborted its signal. Before the head that ends the attempt; a body that is read is nothing of the policy's. */
  handleEvent(): void {
    this.cancel('timeout', new TaskCancelledError(`No response head from ${this.origin} in time for the policy`))
  }

  /** Ends the attempt while it has come to nothing yet. */
  cancel(kind: OutcomeKind, error: Error): void {
    if (this.answer !== null) return
    this.abortedAs ??= kind
    this.inner?.abort(error)
    if (!this.over) this.onResponseError(null, error)
  }

  /** The policy has chosen this response: the consumer gets what was held back, and then whatever comes. */
  forward(): void {
    const { inner, head, chunks, tail } = this
    if (inner === null || head === null) return
    this.head = null
    this.chunks = []
    super.onResponseStart(inner, head.status, head.headers, head.message)
    for (const chunk of chunks) super.onResponseData(inner, chunk)
    if (tail === null) this.goOn(inner)
    else if ('trailers' in tail) super.onResponseEnd(inner, tail.trailers)
    else super.onResponseError(inner, tail.error)
  }

  // A response that has ended has left its connection to others: they must not be resumed.
  private goOn(inner: Dispatcher.DispatchController): void {
    if (!this.over && !this.call.paused) inner.resume()
  }

  /** The policy wants another attempt: what is left of this response is read, up to a bound, while it waits. */
  discard(): void {
    this.discarded = true
    const { inner, head, chunks, tail } = this
    if (this.over || inner === null || head === null) return
    this.head = null
    this.chunks = []
    for (const chunk of chunks) super.onResponseData(inner, chunk)
    if (tail !== null) this.finish()
    else if (!this.over) inner.resume()
  }

  override finish(): void {
    if (this.over) return
    super.finish()
    this.policySignal?.removeEventListener('abort', this)
    for (const slot of this.slots) slot.free()
    if (this.answer !== null) return
    this.answer = this.outcome
    this.failed = true
    this.reject(this.outcome?.error)
  }

  // What is told the policy stands, whatever still happens to the body.
  private tell(outcome: Outcome): void {
    this.policySignal?.removeEventListener('abort', this)
    this.answer = outcome
    this.resolve(outcome)
  }

  override onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    if (this.over) return
    // The socket is the consumer's from now on: there is nothing that could be held back.
    this.tell(this.judgeHead(status, headers))
    super.onRequestUpgrade(controller, status, headers, socket)
  }

  override onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    message?: string,
  ): void {
    if (this.over || status < 200) {
      super.onResponseStart(controller, status, headers, message)
      return
    }
    this.inner = controller
    this.head = { status, headers, message }
    controller.pause()
    this.tell(this.judgeHead(status, headers))
  }

  override onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.head === null) super.onResponseData(controller, chunk)
    else if (!this.over) this.chunks.push(chunk)
  }

  override onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    if (this.head === null) super.onResponseEnd(controller, trailers)
    else if (!this.over) this.tail = { trailers }
  }

  override onResponseError(controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.over || this.discarded) {
      super.onResponseError(controller, error)
    } else if (this.head !== null && !this.call.aborted) {
      this.tail = { error }
    } else if (this.head !== null || this.answer === null) {
      // The policy is told, or the call was given up: nothing of this reaches the consumer.
      this.judgeError(error, this.head !== null)
      this.finish()
    } else {
      super.onResponseError(controller, error)
    }
  }
}
