import type { Dispatcher } from 'undici'
import type { Layer } from './relay.ts'

/** The origin that a dispatcher of one origin (a Pool, a Client) has, and undici tells its interceptors. */
export function originOfDispatcher(dispatcher: Dispatcher): string | null | undefined {
  // A chain knows that of what it is composed of.
  if ('origin' in dispatcher) return dispatcher.origin as string | null | undefined
  let told: string | null | undefined = null
  // Whoever only has a dispatch function tells nothing.
  dispatcher.compose?.(((dispatch: Dispatcher['dispatch'], origin?: string | null) => {
    told = origin
    return dispatch.length === 2
      ? dispatch
      : (opts: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => dispatch(opts, handler)
  }) as Layer)
  return told
}
