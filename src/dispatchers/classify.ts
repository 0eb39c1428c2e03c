import { checkFunction } from '../policies/options.ts'
import type { Classify } from '../policies/outcome.ts'
import type { CallScope } from './exchange.ts'
import { stageLayer } from './guard.ts'
import type { Layer } from './relay.ts'

/**
 * Gives all layers below one judgement of one's own: what is a success, a failure, a reason to slow down. Asked once per
 * response head or network error; `undefined` leaves it to the default. What is the kit's own (deadline, refusals,
 * aborts, bad arguments) is never asked about, and if the function throws, the default counts.
 *
 * @throws TypeError where `judge` is no function.
 */
export function classify(judge: Classify): Layer {
  checkFunction('classify: judge', judge)
  const acquire = (scope: CallScope) => {
    scope.exchange.classify = judge
    return null
  }
  return stageLayer({ name: 'classify', options: () => ({ judge }), stages: [{ name: 'classify', acquire }] })
}
