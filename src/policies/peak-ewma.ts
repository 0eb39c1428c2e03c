import type { Host } from './host.ts'
import type { OutcomeKind } from './outcome.ts'
import { TwoChoices } from './two-choices.ts'

/** What a call to a host costs that has one under way, and has not answered any: more than any time. As Finagle has it. */
const unknownCost = 2 ** 47 / 1e6
// A host that fails at once would be the fastest, and get the more calls the more it fails. So a failure makes the host as
// slow as twice what it was, or what the group is: one that happens by chance halves its calls for some seconds, a few in a
// row make it the last to be called. Up to so many times the group's latency: it must be tried again some day.
const failureFactor = 2
const mostFailing = 100
// How much of the group's latency each success is worth.
const groupShare = 0.05
// Hosts that are alike differ by chance, and the one that was called last by a little more: a tenth says nothing yet.
const likeness = 0.9

/** The latency of a host as it is `elapsed` milliseconds after it was `latency`, where nothing was heard of it since. */
export function decayed(latency: number, elapsed: number, decayTime: number): number {
  return elapsed <= 0 ? latency : latency * Math.exp(-elapsed / decayTime)
}

/** The latency of a host that has just answered: that of the answer if it is above the average, else an average over time. */
export function observed(latency: number, elapsed: number, rtt: number, decayTime: number): number {
  if (rtt > latency) return rtt
  const kept = Math.exp(-Math.max(0, elapsed) / decayTime)
  return latency * kept + rtt * (1 - kept)
}

/**
 * Of two hosts, drawn by their weights, the one that is likely to answer first: latency times calls under way. Latency is
 * an average that follows each peak at once and comes down from it by and by.
 *
 * Source: Finagle's `PeakEwma.scala` (Twitter), with four differences. Calls under way, and the time in which latency is
 * forgotten, count by weight. A host keeps what the draw gave it unless the other one is at least a tenth cheaper. A failure
 * is a long call, however short it was. While a host owes answers it is as slow as the time since it last gave one.
 */
export class PeakEwma extends TwoChoices {
  private readonly decayTime: number
  /** What a success takes with the hosts of the group; 0: nobody knows yet. */
  private groupLatency = 0
  private meanWeight = 1

  constructor(random: () => number, decayTime: number) {
    super(random)
    this.decayTime = decayTime
  }

  override update(hosts: readonly Host[]): void {
    const before = new Set(this.draws.hosts)
    super.update(hosts)
    const { length } = this.draws.hosts
    if (length > 0) this.meanWeight = this.draws.hosts.reduce((sum, { spec }) => sum + spec.weight, 0) / length
    // What was known of one that was away has decayed, to next to nothing: it would look like the fastest, and be given
    // more than it can answer. Of one that nothing is known of, one answer is waited for.
    for (const host of this.draws.hosts) if (!before.has(host)) host.latency = 0
  }

  protected override isBetter(second: Host, first: Host, now: number): boolean {
    return this.costOf(second, now) < likeness * this.costOf(first, now)
  }

  /** What one more call to a host would cost: milliseconds, with those that are under way before it. */
  costOf(host: Host, now: number): number {
    const { inFlight } = host
    const { hosts, total } = this.draws
    let latency = decayed(host.latency, now - host.latencyAt, this.memoryOf(host))
    // One that has stopped answering is not forgiven by and by, but takes longer and longer.
    if (host.unanswered > 0 && latency > 0) latency = Math.max(latency, now - host.heardAt)
    // As many as they would be for a host with the average weight.
    const load = 1 + (inFlight * total) / (host.weight * hosts.length)
    if (latency === 0) return inFlight === 0 ? 0 : unknownCost * load
    return latency * load
  }

  answered(host: Host, kind: OutcomeKind, took: number, now: number): void {
    let rtt = took
    if (kind === 'success' || kind === 'clientError') {
      this.groupLatency += this.groupLatency === 0 ? took : (took - this.groupLatency) * groupShare
    } else if (kind === 'cancelled' || kind === 'deadline') {
      // Nobody waited for the answer: it would have taken longer than this.
      if (took < decayed(host.latency, now - host.latencyAt, this.memoryOf(host))) return
    } else if (kind === 'invalid' || kind === 'closed') return
    else rtt = Math.max(took, this.penaltyOf(host, took, now))
    host.latency = observed(host.latency, now - host.latencyAt, rtt, this.memoryOf(host))
    host.latencyAt = now
  }

  // Peaks that happen by chance come the oftener, the more calls a host has: all remember about as many calls.
  private memoryOf({ spec }: Host): number {
    return (this.decayTime * this.meanWeight) / spec.weight
  }

  private penaltyOf(host: Host, took: number, now: number): number {
    const latency = decayed(host.latency, now - host.latencyAt, this.memoryOf(host))
    const usual = this.groupLatency === 0 ? took : this.groupLatency
    return Math.min(failureFactor * Math.max(latency, usual), mostFailing * usual)
  }
}
