import { type Dispatcher, errors } from 'undici'
import { closeForgottenStreams } from './forgotten-stream.ts'

// Over HTTP/2 undici fails with the same reason all the calls that wait for the session, where none is under way on it (as
// after a GOAWAY): one call's abort or timeout would be its neighbours' too. Not so with an error of this kind.
class GivenUp extends errors.InformationalError {
  constructor(cause: Error) {
    super('the request was given up')
    this.cause = cause
  }
}

/** Gives up a request in undici. What undici then tells of it is an error of its own, with `reason` as cause. */
export function abortTransport(controller: Dispatcher.DispatchController, reason: Error): void {
  closeForgottenStreams()
  controller.abort(new GivenUp(reason))
}
