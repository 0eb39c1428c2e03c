import type { Dispatcher } from 'undici'

type Dispatch = Dispatcher['dispatch']

// What dispatch functions of chains stand on, below all layers.
const grounds = new WeakMap<Dispatch, Dispatch>()

/** Notes what the layers behind a dispatch function stand on. */
export function noteGround(dispatch: Dispatch, ground: Dispatch): void {
  if (dispatch !== ground) grounds.set(dispatch, groundOf(ground))
}

/** The dispatcher below all layers of the kit, as far as that is known: what is sent to it meets none of them. */
export function groundOf(dispatch: Dispatch): Dispatch {
  return grounds.get(dispatch) ?? dispatch
}
