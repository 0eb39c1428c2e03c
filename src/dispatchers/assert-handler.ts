import { type Dispatcher, errors } from 'undici'

/**
 * Refuses a handler of undici's older interface, which would never hear of anything: as undici itself does once it is
 * connected.
 *
 * @throws InvalidArgumentError (`UND_ERR_INVALID_ARG`) out of `dispatch`: there is nobody else to tell.
 */
export function assertHandler(handler: Dispatcher.DispatchHandler): void {
  if (typeof handler !== 'object' || handler === null) {
    throw new errors.InvalidArgumentError('handler must be an object')
  }
  if (typeof handler.onRequestStart !== 'function' || typeof handler.onResponseError !== 'function') {
    throw new errors.InvalidArgumentError(
      'handler must have onRequestStart and onResponseError. The fetch built into Node 22 and 24 speaks an older ' +
        'handler interface: use createFetch(dispatcher) or installFetch(dispatcher) instead of fetch(url, { dispatcher })',
    )
  }
}
