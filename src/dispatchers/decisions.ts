// What a layer decides once a call, and not anew for each attempt, is kept with the call. Few calls have any: an object
// for them would be one for all.
import type { Exchange } from './exchange.ts'

/** What `layer` has decided for a call; `undefined`: nothing yet. */
export function decisionOf({ decisions }: Exchange, layer: object): unknown {
  if (decisions === null) return undefined
  for (let at = 0; at < decisions.length; at += 2) if (decisions[at] === layer) return decisions[at + 1]
  return undefined
}

/** Keeps what `layer` has decided for a call, for all its attempts. */
export function decide(exchange: Exchange, layer: object, what: unknown): void {
  if (exchange.decisions === null) exchange.decisions = [layer, what]
  else exchange.decisions.push(layer, what)
}
