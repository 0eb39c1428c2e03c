import { type BalanceOptions, checkBalance } from '../../src/policies/balance-options.ts'
import type { Host, HostChange } from '../../src/policies/host.ts'
import { type GroupedCall, HostGroup } from '../../src/policies/host-group.ts'
import type { Outcome, OutcomeKind } from '../../src/policies/outcome.ts'

/** A call that says nothing of itself. */
export const plain: GroupedCall = { isAgain: false, isRepeatable: true, key: undefined, hasTried: () => false }
/** One that must not be sent twice. */
export const unsafe: GroupedCall = { ...plain, isRepeatable: false }

export function outcomeOf(kind: OutcomeKind): Outcome {
  return { kind, phase: 'before-head', status: undefined, headers: undefined, error: undefined, headMs: undefined }
}

/** Origins of so many hosts. */
export function origins(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `http://host-${at}.test`)
}

/** A call that has been sent, and waits. */
export interface Sent {
  readonly host: Host
  readonly epoch: number
}

/** A group without jitter and slow start, a clock that stands, and what its hosts did. */
export class World {
  now = 1_000
  readonly steps: HostChange[] = []
  readonly group: HostGroup
  private readonly options: BalanceOptions

  constructor(count: number, options: Partial<BalanceOptions> = {}) {
    this.options = {
      hosts: origins(count),
      algorithm: 'roundRobin',
      slowStart: 0,
      random: () => 0,
      onHostChange: (change) => this.steps.push(change),
      ...options,
    }
    const checked = checkBalance(this.options)
    this.group = new HostGroup(checked)
    this.group.setHosts(checked.hosts as never, this.now)
  }

  update(changes: Partial<BalanceOptions>): void {
    const checked = checkBalance({ ...this.options, ...changes })
    this.group.update(checked, this.now)
    this.group.setHosts(checked.hosts as never, this.now)
  }

  host(at: number): Host {
    return this.group.hosts.find(({ origin }) => origin === `http://host-${at}.test`) as Host
  }

  /** Sends a call to whoever is next. */
  send(call: GroupedCall = plain): Sent {
    const host = this.group.pick(call, this.now) as Host
    return this.sendTo(host)
  }

  sendTo(host: Host): Sent {
    return { host, epoch: this.group.began(host, this.now) }
  }

  answer({ host, epoch }: Sent, kind: OutcomeKind = 'success'): void {
    this.group.answered(host, outcomeOf(kind), epoch, this.now)
    this.group.ended(host)
  }

  /** Sends a call to a certain host, and has it answered. */
  call(at: number, kind: OutcomeKind = 'success', times = 1): void {
    for (let time = 0; time < times; time++) this.answer(this.sendTo(this.host(at)), kind)
  }

  /** Lets time go by, and somebody ask for a host. */
  pass(milliseconds: number): void {
    this.now += milliseconds
    this.group.pick({ ...unsafe, hasTried: () => true }, this.now)
  }

  /** Who is called, of so many calls. */
  called(calls: number): number[] {
    const found = new Set<string>()
    for (let call = 0; call < calls; call++) {
      const sent = this.send({ ...plain, isRepeatable: false })
      found.add(sent.host.origin)
      this.answer(sent, 'cancelled')
    }
    return [...found].map((origin) => Number(/\d+/.exec(origin)?.[0])).toSorted((one, other) => one - other)
  }

  standings(): string[] {
    return this.group.hosts.map(({ standing }) => standing)
  }
}
