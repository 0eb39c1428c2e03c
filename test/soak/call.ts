import type { Outcome, Scope } from '../../src/index.ts'
import type { AbortPhase, CallPlan } from './plan.ts'
import { isUnread, type ProbeEvents } from './probe.ts'

/** How far a call has come, by what the probes in its chain have seen. */
type Place = 'outside' | 'queue' | 'inside' | 'wire' | 'answered'

/** One call under way: where it is, what was wrong with it, and when its caller gives it up. */
export class Call {
  readonly plan: CallPlan
  readonly mistakes: string[] = []
  /** Gives the call up; set by whoever makes it. */
  giveUp: ((phase: AbortPhase | null) => void) | null = null
  /** In which phase the caller gave it up; `null` while it did not. */
  abortedIn: AbortPhase | null = null
  aborted = false
  /** A final head has reached the consumer. */
  headSeen = false
  /** The terminal callback has reached the consumer. */
  over = false
  /** The handler of what was dispatched last. */
  latest: object | null = null
  /** How often it was handed to the transport. */
  sends = 0
  /** Its permits were taken back because nobody read the body. */
  unreadSeen = false
  #place: Place = 'outside'
  #exchange: Scope['exchange'] | null = null
  #backoffAtAttempt = 0
  #attempts = 0

  constructor(plan: CallPlan) {
    this.plan = plan
  }

  get retried(): boolean {
    return this.#attempts > 1
  }

  get phase(): AbortPhase | null {
    if (this.over) return null
    if (this.headSeen) return 'in body'
    if (this.#place === 'queue') return 'queue'
    if (this.#place === 'wire') return 'before head'
    const exchange = this.#exchange
    if (this.#place === 'answered' && exchange !== null && exchange.backoffMs > this.#backoffAtAttempt) return 'backoff'
    return null
  }

  /** How far it has come, in words. */
  get progress(): string {
    const { phase, sends, headSeen, over, aborted } = this
    return `phase ${phase}, ${this.#place}, ${sends} sends, head ${headSeen}, over ${over}, aborted ${aborted}`
  }

  mistake(text: string): void {
    const { id, way, server, method, body, steps, abort, throwsIn } = this.plan
    const planned = [
      `${way} ${method} ${server}`,
      `body ${body}`,
      `steps ${steps.join(', ')}`,
      `abort ${abort}`,
      `throws ${throwsIn}`,
    ]
    this.mistakes.push(`call ${id} (${planned.join('; ')}): ${text}`)
  }

  /** A phase may have begun: where the plan is to give up in it, that is due soon. */
  mayBeIn(phase: AbortPhase): void {
    const { abort, abortAfter } = this.plan
    if (abort !== phase || this.aborted) return
    setTimeout(() => {
      if (this.phase === phase) this.abortNow(phase)
    }, abortAfter)
  }

  abortNow(phase: AbortPhase | null): void {
    if (this.aborted || this.giveUp === null) return
    this.aborted = true
    this.abortedIn = phase
    this.giveUp(phase)
  }

  readonly outer: ProbeEvents = {
    settled: (_outcome: Outcome, scope: Scope) => {
      if (isUnread(scope)) this.unreadSeen = true
    },
  }

  readonly aboveBulkhead: ProbeEvents = {
    entered: () => {
      this.#place = 'queue'
      this.mayBeIn('queue')
    },
    settled: (_outcome: Outcome, scope: Scope) => {
      if (isUnread(scope)) this.unreadSeen = true
      if (this.#place === 'queue') this.#place = 'answered'
    },
  }

  readonly belowBulkhead: ProbeEvents = {
    entered: () => {
      this.#place = 'inside'
    },
  }

  readonly attempt: ProbeEvents = {
    entered: (scope: Scope) => {
      this.#attempts++
      this.#place = 'inside'
      this.#exchange = scope.exchange
      this.#backoffAtAttempt = scope.exchange.backoffMs
    },
    head: () => this.mayBeIn('backoff'),
    settled: () => this.mayBeIn('backoff'),
  }

  readonly wire: ProbeEvents = {
    entered: () => {
      this.sends++
      if (this.over) this.mistake('sent after its end')
      this.#place = 'wire'
      this.mayBeIn('before head')
    },
    head: () => {
      this.#place = 'answered'
    },
    settled: () => {
      this.#place = 'answered'
    },
  }
}
