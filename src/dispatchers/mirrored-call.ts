import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import { types } from 'node:util'
import type pLimit from 'p-limit'
import { type Dispatcher, errors } from 'undici'
import { lane, type TimerEntry, type TimerLane } from '../policies/clock.ts'
import { AttemptTimeoutError } from '../policies/errors.ts'
import { areAlike, type MirrorTally } from '../policies/mirror-tally.ts'
import type { Outcome, OutcomeKind } from '../policies/outcome.ts'
import type { Permit } from '../policies/policy.ts'
import { bytesOf, isOneShot, type Source } from './body-source.ts'
import { withoutCarried } from './carried.ts'
import { decide, decisionOf } from './decisions.ts'
import { type CallScope, Exchange, kScope, type ScopedOptions, withScope } from './exchange.ts'
import type { GuardedCall } from './guarded-call.ts'
import { replaceHeaders } from './headers.ts'
import { BodyBranch, keepBytes, letBytesGo, RecordedBody } from './replay.ts'
import { TappedBody } from './tapped-body.ts'
import type { PreparedTarget } from './target.ts'

/** A call and its copy, when both are over. */
export interface MirrorResult {
  readonly method: string
  /** The origin that the call named. */
  readonly origin: string
  readonly path: string
  /** What the call came to; below a `retry()` or `hedge()`, the attempt that was copied. */
  readonly original: Outcome
  /** What its copy came to. */
  readonly copy: Outcome
  /** Whether both are of one kind; `undefined` where one of them says nothing about its server: given up, or refused by the kit. */
  readonly same: boolean | undefined
}

/** What all copies of one mirror() share; an update changes it. */
export interface MirrorPlan {
  readonly target: PreparedTarget
  readonly limit: ReturnType<typeof pLimit>
  readonly queue: number
  readonly timeout: number
  readonly bodyLimit: number
  readonly mark: string | false
  readonly onResult: ((result: MirrorResult) => void) | undefined
  /** Told of what `onResult` has thrown. */
  failed(error: unknown): void
}

/** Bytes of a copy's answer that are read, so that its connection can be used again. */
const drainLimit = 64 * 1024

// Known by this, a copy that passes another mirror() is not copied there.
const copies = {}

/** Whether a call is itself a copy. */
export function isCopy(exchange: Exchange): boolean {
  return decisionOf(exchange, copies) !== undefined
}

/** Whether no copy more may wait. */
export function isFull({ limit, queue }: MirrorPlan): boolean {
  return limit.activeCount + limit.pendingCount >= limit.concurrency + queue
}

/** The headers of a copy: the caller's, credentials included, and the mark. On another origin `host` names that one. */
function headersOfCopy(
  { headers }: ScopedOptions,
  { target, mark }: MirrorPlan,
): NonNullable<ScopedOptions['headers']> {
  const replaced = new Set<string>()
  if (target.origin !== null) replaced.add('host')
  if (mark === false) return replaceHeaders(headers, replaced, {})
  replaced.add(mark.toLowerCase())
  return replaceHeaders(headers, replaced, { [mark]: '1' })
}

/** The request of a copy, without its body: the caller may use its own objects again while the copy waits. */
function optionsOfCopy(original: ScopedOptions, plan: MirrorPlan): ScopedOptions {
  const { origin } = plan.target
  const opts = origin === null ? original : withoutCarried(original, origin)
  const { resilience, ...request } = opts as ScopedOptions & { trailers?: unknown; servername?: unknown }
  delete request[kScope]
  request.body = null
  request.headers = headersOfCopy(opts, plan)
  // A function may tell of the body that it was made for.
  if (typeof request.trailers === 'function') delete request.trailers
  if (origin !== null) {
    request.origin = origin
    delete request.servername
  }
  const urlTemplate = resilience?.urlTemplate
  // Where not all can be served, copies go first; the caller's own bounds are for what it waits for.
  return { ...request, resilience: { priority: 'sheddable', ...(urlTemplate === undefined ? null : { urlTemplate }) } }
}

/**
 * The copy of one call: handler of its answer, which nobody wants, and permit of the original, to compare. It is an exchange
 * of its own; nothing that happens to it is told to the original, nor the other way round, but for destroy().
 */
export class MirroredCall implements Permit, Dispatcher.DispatchHandler, TimerEntry {
  timerAt = 0
  timerNext: TimerEntry | null = null
  timerPrev: TimerEntry | null = null
  private readonly plan: MirrorPlan
  private readonly tally: MirrorTally
  private readonly dispatch: Dispatcher['dispatch']
  private readonly from: CallScope
  private opts: ScopedOptions
  private tapped: TappedBody | null = null
  private kept = 0
  private original: Outcome | null = null
  private copy: Outcome | null = null
  private exchange: Exchange | null = null
  private controller: Dispatcher.DispatchController | null = null
  private timers: TimerLane | null = null
  private headSeen = false
  private drained = 0
  private over = false
  private leave: (() => void) | null = null

  constructor(
    plan: MirrorPlan,
    tally: MirrorTally,
    from: CallScope,
    call: GuardedCall,
    dispatch: Dispatcher['dispatch'],
  ) {
    // As it is now: an update holds for later copies.
    this.plan = plan
    this.tally = tally
    this.dispatch = dispatch
    this.from = from
    this.opts = optionsOfCopy(call.opts, plan)
    tally.inUse++
  }

  /** Sends the copy, once it has its body. */
  begin(call: GuardedCall): void {
    const { body } = call.opts as { body?: unknown }
    const tap = (source: Source): TappedBody => {
      this.tapped = new TappedBody(source, this.plan.bodyLimit, (whole) => this.taken(whole))
      return this.tapped
    }
    if (body instanceof RecordedBody || body instanceof BodyBranch) {
      if (!body.tap(tap)) this.drop()
    } else if (isOneShot(body)) {
      call.opts = { ...call.opts, body: tap(body) } as unknown as ScopedOptions
    } else if (ArrayBuffer.isView(body) || types.isAnyArrayBuffer(body)) {
      const bytes = bytesOf(body)
      this.taken(bytes.byteLength > this.plan.bodyLimit ? null : Buffer.from(bytes))
    } else {
      this.submit(body)
    }
  }

  private taken(whole: Buffer | null): void {
    if (whole === null || !keepBytes(whole.byteLength)) {
      this.drop()
      return
    }
    this.kept = whole.byteLength
    this.submit(whole)
  }

  private submit(body: unknown): void {
    if (this.over) return
    if (isFull(this.plan)) {
      this.drop()
      return
    }
    this.opts = { ...this.opts, body } as ScopedOptions
    // It never rejects. What it runs is run after the original has been handed on.
    void this.plan.limit(() => this.send())
  }

  /** Nothing is sent. */
  drop(): void {
    if (this.over) return
    this.tally.dropped++
    this.finish()
  }

  private send(): Promise<void> {
    if (this.original?.kind === 'invalid') this.drop()
    if (this.over) return Promise.resolve()
    const { from, tally, plan } = this
    const { context, classify } = from.exchange
    const exchange = new Exchange(this.opts, performance.now(), context)
    exchange.classify = classify
    decide(exchange, copies, true)
    this.exchange = exchange
    tally.mirrored++
    this.timers = lane(plan.timeout)
    this.timers.add(this)
    return new Promise((resolve) => {
      this.leave = resolve
      exchange.run(this.go, this, exchange)
    })
  }

  private go(exchange: Exchange): void {
    try {
      this.dispatch(withScope(this.opts, exchange), this)
    } catch (error) {
      this.onResponseError(null, error as Error)
    }
  }

  /** What the original came to. */
  settle(outcome: Outcome): void {
    this.original = outcome
    // A body that is not read to its end by now has no copy.
    this.tapped?.giveUp()
    // Of a destroy the call knows: to scopes of its attempts and hops it is an abort.
    if (this.from.exchange.abortedAs === 'closed') this.stop('closed', new errors.ClientDestroyedError())
    this.compare()
  }

  /** It has had its time. */
  onTimer(): void {
    const { origin } = this.exchange as Exchange
    this.stop(
      'timeout',
      new AttemptTimeoutError(`No end of a mirrored call within ${this.plan.timeout} ms`, { origin }),
    )
  }

  private stop(kind: OutcomeKind, reason: Error): void {
    if (this.over) return
    const { exchange } = this
    if (exchange === null) {
      this.drop()
      return
    }
    exchange.abortedAs ??= kind
    try {
      this.controller?.abort(reason)
    } catch {
      // A dispatcher of somebody's that cannot even be told: the copy is over all the same.
    }
    this.ended(exchange.judgeError(reason, this.headSeen))
  }

  private ended(outcome: Outcome): void {
    if (this.over) return
    this.copy = outcome
    if (outcome.error !== undefined) this.tally.failed++
    this.finish()
    this.compare()
  }

  private finish(): void {
    this.over = true
    this.timers?.remove(this)
    if (this.exchange !== null) this.exchange.done = true
    this.tally.inUse--
    letBytesGo(this.kept)
    this.controller = null
    this.leave?.()
  }

  private compare(): void {
    const { original, copy, from, plan } = this
    if (original === null || copy === null) return
    const same = areAlike(original.kind, copy.kind)
    this.tally.compare(same)
    const { onResult } = plan
    if (onResult === undefined) return
    const { method, path, context } = from.exchange
    const result: MirrorResult = { method, origin: from.origin, path, original, copy, same }
    // Not here, where the original's consumer still waits to hear of its end.
    context.runInAsyncScope(queueMicrotask, undefined, () => {
      try {
        onResult(result)
      } catch (error) {
        plan.failed(error)
      }
    })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.over) controller.abort(new errors.RequestAbortedError())
    else this.controller = controller
  }

  onRequestUpgrade(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    socket.destroy()
    if (this.exchange !== null) this.ended(this.exchange.judgeHead(status, headers))
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (this.over || status < 200) return
    this.controller = controller
    this.headSeen = true
    this.exchange?.judgeHead(status, headers)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { exchange } = this
    this.drained += chunk.length
    if (this.over || exchange === null || this.drained <= drainLimit) return
    exchange.discarded = true
    controller.abort(new errors.RequestAbortedError())
  }

  onResponseEnd(): void {
    const { exchange } = this
    if (exchange !== null) this.ended(exchange.outcome ?? exchange.judgeHead(200, {}))
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    const { exchange, headSeen } = this
    if (exchange === null) return
    const { discarded, outcome } = exchange
    this.ended(discarded && outcome !== null ? outcome : exchange.judgeError(error, headSeen))
  }
}
