// What was given out and what came back: permits, slots, spans. They must agree when everything is over.
import { TracerProvider } from '@opentelemetry/sdk-trace'
import type { Outcome, OutcomeKind, Permit, Policy, Scope } from 'roundtripper'

/** A permit that knows when it is misused. */
class CountedPermit implements Permit {
  readonly #books: Books
  readonly #path: string
  #heads = 0
  #settled = 0

  constructor(books: Books, path: string) {
    this.#books = books
    this.#path = path
  }

  head(): void {
    if (++this.#heads > 1) this.#books.fault(`head came ${this.#heads} times (${this.#path})`)
    if (this.#settled > 0) this.#books.fault(`head came after settle (${this.#path})`)
  }

  settle({ kind }: Outcome): void {
    if (++this.#settled > 1) this.#books.fault(`settle came ${this.#settled} times (${this.#path})`)
    else this.#books.back(this.#path, kind)
  }
}

/** Everything that is out, by the path of the call that holds it. */
export class Books {
  readonly faults: string[] = []
  /** What the permits of each path were settled with. */
  readonly kinds = new Map<string, Set<OutcomeKind>>()
  readonly #out = new Map<string, number>()
  #checks: (() => string | null)[] = []
  given = 0
  /** Where the calls go. */
  readonly origin: string
  /** Attempts that lose against another are cancelled, whatever the call comes to. */
  attemptsRace = false

  constructor(origin = '') {
    this.origin = origin
  }

  fault(what: string): void {
    this.faults.push(what)
  }

  permit(path: string): Permit {
    this.given++
    this.#out.set(path, (this.#out.get(path) ?? 0) + 1)
    return new CountedPermit(this, path)
  }

  back(path: string, kind: OutcomeKind): void {
    this.kinds.set(path, (this.kinds.get(path) ?? new Set()).add(kind))
    const left = (this.#out.get(path) ?? 0) - 1
    if (left === 0) this.#out.delete(path)
    else this.#out.set(path, left)
  }

  /** Asked when everything is over: what is still out, or `null`. */
  check(rule: () => string | null): void {
    this.#checks.push(rule)
  }

  /** What does not agree. */
  get mistakes(): string[] {
    const out = [...this.#out].map(([path, count]) => `${count} permits of ${path} did not come back`)
    const rest = this.#checks.map((rule) => rule()).filter((mistake) => mistake !== null)
    return [...this.faults, ...out, ...rest]
  }

  /** Admits at once. */
  admits(): Policy {
    return { name: 'admits', acquire: (scope: Scope) => this.permit(scope.exchange.path) }
  }

  /** Makes every call wait a moment, on a promise. */
  waits(): Policy {
    return { name: 'waits', acquire: (scope: Scope) => Promise.resolve().then(() => this.permit(scope.exchange.path)) }
  }

  /** A provider whose spans must all end. */
  tracerProvider(): TracerProvider {
    let open = 0
    this.check(() => (open === 0 ? null : `${open} spans did not end`))
    const onStart = () => {
      open++
      this.given++
    }
    const onEnd = () => {
      open--
    }
    const done = () => Promise.resolve()
    return new TracerProvider({ spanProcessors: [{ onStart, onEnd, forceFlush: done, shutdown: done }] })
  }
}
