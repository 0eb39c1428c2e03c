import type { CallScope } from '../../src/dispatchers/exchange.ts'
import type { Outcome, OutcomeKind, Permit, Policy, Scope } from '../../src/index.ts'
import { rootOf, SoakRefusal } from './errors.ts'

/** What a probe tells of one call or attempt. */
export interface ProbeEvents {
  entered?(scope: Scope): void
  head?(outcome: Outcome, scope: Scope): void
  settled?(outcome: Outcome, scope: Scope): void
}

/** Who is told what probes find out; `null` where the request belongs to no known call. */
export type EventsOf = (scope: Scope) => ProbeEvents | null

// What an outcome must be called for an error that leaves no doubt. (A body that fails inside fetch is none: fetch gives
// the call up with the body's error.)
const kindOfCode: Readonly<Record<string, OutcomeKind>> = {
  SoakAbort: 'cancelled',
  SoakThrow: 'invalid',
  SoakRefusal: 'shed',
  ERR_CIRCUIT_OPEN: 'shed',
  ERR_BULKHEAD_FULL: 'shed',
  ERR_CONCURRENCY_LIMITED: 'shed',
  ERR_RATE_LIMITED: 'shed',
  ERR_ATTEMPT_TIMEOUT: 'timeout',
  ERR_BODY_TIMEOUT: 'timeout',
  ERR_DEADLINE_EXCEEDED: 'deadline',
  ECONNREFUSED: 'networkError',
  ECONNRESET: 'networkError',
  UND_ERR_CLOSED: 'closed',
  UND_ERR_DESTROYED: 'closed',
}

function misjudged({ kind, phase, status, error, headMs }: Outcome, hidesAttempts: boolean): string | undefined {
  if (hidesAttempts) return undefined
  if (phase === 'before-head' ? headMs !== undefined : status === undefined)
    return `phase ${phase}, status ${status}, headMs ${headMs}`
  if (headMs !== undefined && !(headMs >= 0)) return `headMs ${headMs}`
  if (error === undefined) return undefined
  const { code, name } = rootOf(error) as { code?: string; name?: string }
  const expected = kindOfCode[code ?? name ?? '']
  return expected === undefined || expected === kind ? undefined : `${kind} for ${code ?? name}`
}

/** A policy of the run's own: it watches, and checks that every permit is treated as promised. */
export class Probe implements Policy {
  readonly name: string
  acquired = 0
  settled = 0
  /** How many of those were calls, and not attempts of one. */
  calls = 0
  readonly mistakes: string[] = []
  readonly hidesAttempts: boolean
  readonly #eventsOf: EventsOf

  /** `hidesAttempts`: undici's retry is in the chain, and what comes out of it need not be what went in. */
  constructor(name: string, eventsOf: EventsOf, hidesAttempts: boolean) {
    this.name = name
    this.hidesAttempts = hidesAttempts
    this.#eventsOf = eventsOf
  }

  acquire(scope: Scope): Permit | PromiseLike<Permit | null> | null {
    return this.admit(scope)
  }

  protected admit(scope: Scope): Permit {
    this.acquired++
    if (scope.number === 0) this.calls++
    const events = this.#eventsOf(scope)
    const permit = new ProbePermit(this, events)
    events?.entered?.(scope)
    return permit
  }

  mistake(scope: Scope, text: string): void {
    this.mistakes.push(`${this.name}, ${scope.exchange.path}: ${text}`)
  }
}

class ProbePermit implements Permit {
  readonly #probe: Probe
  readonly #events: ProbeEvents | null
  #heads = 0
  #settles = 0

  constructor(probe: Probe, events: ProbeEvents | null) {
    this.#probe = probe
    this.#events = events
  }

  head(outcome: Outcome, scope: Scope): void {
    if (this.#settles > 0) this.#probe.mistake(scope, 'head after settle')
    if (++this.#heads > 1) this.#probe.mistake(scope, 'head twice')
    this.#check(outcome, scope)
    this.#events?.head?.(outcome, scope)
  }

  settle(outcome: Outcome, scope: Scope): void {
    if (++this.#settles > 1) {
      this.#probe.mistake(scope, 'settled twice')
      return
    }
    this.#probe.settled++
    const beforeHead = outcome.phase === 'before-head'
    if (beforeHead !== (this.#heads === 0) && !this.#probe.hidesAttempts) {
      this.#probe.mistake(scope, `settled with phase ${outcome.phase} (${outcome.kind}) after ${this.#heads} heads`)
    }
    this.#check(outcome, scope)
    this.#events?.settled?.(outcome, scope)
  }

  #check(outcome: Outcome, scope: Scope): void {
    const wrong = misjudged(outcome, this.#probe.hidesAttempts)
    if (wrong !== undefined) this.#probe.mistake(scope, `misjudged: ${wrong} (${String(outcome.error)})`)
  }
}

const refused = 0.02

/** Admits, or refuses, at once. */
export class SyncPolicy extends Probe {
  readonly #random: () => number

  constructor(random: () => number, hidesAttempts: boolean) {
    super('sync policy', () => null, hidesAttempts)
    this.#random = random
  }

  override acquire(scope: Scope): Permit | null {
    const drawn = this.#random()
    if (drawn < refused) throw new SoakRefusal('refused at once')
    return drawn < 0.2 ? null : this.admit(scope)
  }
}

/** Answers now and then with a promise. */
export class PromisePolicy extends Probe {
  readonly #random: () => number

  constructor(random: () => number, hidesAttempts: boolean) {
    super('promise policy', () => null, hidesAttempts)
    this.#random = random
  }

  override acquire(scope: Scope): Permit | PromiseLike<Permit | null> | null {
    const drawn = this.#random()
    if (drawn < 0.3) return this.admit(scope)
    if (drawn < 0.35) return Promise.resolve(null)
    if (drawn < 0.5) return Promise.resolve(this.admit(scope))
    return this.#later(scope, drawn)
  }

  // As a policy would that asks somebody else: it may find out too late that the call has been given up.
  async #later(scope: Scope, drawn: number): Promise<Permit> {
    await new Promise((resolve) => setTimeout(resolve, drawn * 4))
    if (drawn > 1 - refused) throw new SoakRefusal('refused later')
    if (drawn < 0.75) scope.signal.throwIfAborted()
    return this.admit(scope)
  }
}

/** Whether the body of a call was left unread for so long that its permits were taken back. */
export function isUnread(scope: Scope): boolean {
  return (scope as CallScope).bodyUnread
}
