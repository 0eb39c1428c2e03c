import type { Host } from './host.ts'
import { TwoChoices } from './two-choices.ts'

/**
 * Of two hosts, drawn by their weights, the one with fewer calls under way for its weight.
 *
 * Not the least loaded of all, as nginx's `least_conn` takes it: Envoy takes two as well where weights are equal, since of
 * many callers that look for the idlest host each finds the same one. With weights Envoy goes over to round robin by weight/(calls + 1),
 * which looks at a host's calls only when its turn comes; drawing by weight and comparing by weight needs no second way.
 */
export class LeastLoaded extends TwoChoices {
  protected override isBetter(second: Host, first: Host): boolean {
    return second.inFlight * first.weight < first.inFlight * second.weight
  }
}
