import type { CircuitState, ForcedState } from '../../src/policies/circuit-options.ts'
import type { Outcome } from '../../src/policies/outcome.ts'

export interface Parameters {
  /** Tenths; `null`: off. */
  readonly share: number | null
  readonly window: number
  readonly windowCalls: number | undefined
  readonly minimumCalls: number
  readonly consecutive: number | undefined
  /** Tenths; `null`: off. */
  readonly slowShare: number | null
  readonly openFor: number
  readonly factor: number
  readonly max: number
  readonly jitter: number
  readonly probes: number
}

interface Judged {
  readonly at: number
  readonly failed: boolean
  readonly slow: boolean
}

export const slowAfter = 100

const failing = ['serverError', 'networkError', 'timeout']
const good = ['success', 'clientError']

/**
 * The breaker as its description reads, and nothing of how it is written: every result in a list that is gone through
 * each time, every state with a number, every open time worked out from the number of times it opened.
 */
export class BreakerModel {
  parameters: Parameters
  readonly random: () => number
  state: CircuitState = 'closed'
  forced: ForcedState | null = null
  epoch = 0
  judged: Judged[] = []
  openUntil = 0
  openTime = 0
  openings = 0
  refused = 0
  leases = new Map<number, number>()
  good = 0

  constructor(parameters: Parameters, random: () => number) {
    this.parameters = parameters
    this.random = random
  }

  private enter(state: CircuitState): void {
    this.state = state
    this.epoch++
    this.leases.clear()
    this.good = 0
  }

  private close(): void {
    this.enter('closed')
    this.judged = []
    this.openings = 0
  }

  private open(at: number): void {
    this.enter('open')
    const { openFor, factor, max, jitter } = this.parameters
    let time = openFor
    for (let again = 0; again < this.openings; again++) time = Math.min(max, time * factor)
    if (jitter > 0) time += time * jitter * this.random()
    this.openings++
    this.openTime = time
    this.openUntil = at + time
  }

  /** What time alone changes. */
  pass(now: number): void {
    for (;;) {
      const lease = Math.min(...this.leases.values())
      if (this.forced === null && this.state === 'open' && now >= this.openUntil) this.enter('halfOpen')
      else if (this.state === 'halfOpen' && now >= lease) this.open(lease)
      else return
    }
  }

  get full(): boolean {
    if (this.state === 'halfOpen') return this.leases.size + this.good >= this.parameters.probes
    return this.state === 'open'
  }

  retryAfter(now: number): number {
    if (!this.full) return 0
    if (this.forced === 'open') return this.parameters.openFor
    return (this.state === 'open' ? this.openUntil : Math.min(...this.leases.values())) - now
  }

  start(id: number, now: number): number {
    if (this.state === 'halfOpen') this.leases.set(id, now + this.openTime)
    return this.epoch
  }

  inWindow(now: number): { calls: number; failures: number; slow: number } {
    const { window, windowCalls } = this.parameters
    const slice = window / 20
    const inside =
      windowCalls === undefined
        ? this.judged.filter(({ at }) => Math.floor(now / slice) - Math.floor(at / slice) < 20)
        : this.judged.slice(-windowCalls)
    const failures = inside.filter(({ failed }) => failed).length
    return { calls: inside.length, failures, slow: inside.filter(({ slow }) => slow).length }
  }

  private saysOpen(now: number): boolean {
    const { share, slowShare, minimumCalls, consecutive } = this.parameters
    if (consecutive !== undefined && this.judged.length >= consecutive) {
      if (this.judged.slice(-consecutive).every(({ failed }) => failed)) return true
    }
    const { calls, failures, slow } = this.inWindow(now)
    if (calls < minimumCalls) return false
    return (share !== null && failures * 10 >= share * calls) || (slowShare !== null && slow * 10 >= slowShare * calls)
  }

  judge(id: number, epoch: number, { kind, headMs = 0 }: Outcome, now: number): void {
    if (epoch !== this.epoch || this.forced === 'disabled') return
    const held = this.leases.delete(id)
    const failed = failing.includes(kind)
    if (!failed && !good.includes(kind)) return
    const slow = this.parameters.slowShare !== null && (kind === 'timeout' || headMs > slowAfter)
    if (this.state === 'closed') {
      this.judged.push({ at: now, failed, slow })
      if (this.forced === null && this.saysOpen(now)) this.open(now)
    } else if (held) {
      if (failed || slow) this.open(now)
      else if (++this.good === this.parameters.probes) this.close()
    }
  }

  force(order: ForcedState | null): void {
    if (order === this.forced) return
    this.close()
    this.forced = order
    if (order === 'open') this.state = 'open'
  }

  /** Somebody else goes on with it: what is under way is lost, and probes are sent anew. */
  moveOn(now: number): void {
    const state = this.state
    this.enter(state)
    if (state !== 'halfOpen') return
    this.state = 'open'
    this.openUntil = now
    this.pass(now)
  }
}
