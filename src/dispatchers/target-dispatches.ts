import type { Dispatcher } from 'undici'
import { withEdge } from './guard.ts'
import type { PreparedTarget } from './target.ts'

/** The dispatch functions of targets over one and the same dispatch: a layer in a chain has one for each target it had. */
export class TargetDispatches {
  private readonly inner: Dispatcher['dispatch']
  private readonly known = new WeakMap<PreparedTarget, Dispatcher['dispatch']>()

  constructor(inner: Dispatcher['dispatch']) {
    this.inner = inner
  }

  /** @throws what a foreign layer of the target throws when it is first put over what is below. */
  to(target: PreparedTarget): Dispatcher['dispatch'] {
    let dispatch = this.known.get(target)
    if (dispatch === undefined) {
      // A list of layers may begin with a foreign one.
      dispatch = withEdge(target.over(this.inner))
      this.known.set(target, dispatch)
    }
    return dispatch
  }
}
