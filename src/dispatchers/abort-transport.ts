import { channel } from 'node:diagnostics_channel'
import type { ClientHttp2Stream } from 'node:http2'
import { type Dispatcher, errors } from 'undici'

// undici gives a request up over HTTP/2 with stream.close() and stream.destroy(). While a body that was handed over whole
// still waits to be sent, node:http2 (22 to 26) then never resets the stream: close() waits for the body's last byte, and
// destroy() forgets what close() waits for. The server is not told, and as soon as it reads on, node:http2 sends empty
// frames for the forgotten stream in a loop that never ends, with the whole process in it. So close() is told that the
// last byte is out, and the reset goes with it.

const streamClosed = channel('http2.client.stream.close')
const markOfUndici = 'http2session client stream'

function isUndicis(stream: object): boolean {
  return Object.getOwnPropertySymbols(stream).some((symbol) => symbol.description === markOfUndici)
}

function sendReset(message: unknown): void {
  const { stream } = message as { readonly stream: ClientHttp2Stream }
  if (stream.writableEnded && !stream.writableFinished && isUndicis(stream)) stream.emit('finish')
}

// Over HTTP/2 undici fails with the same reason all the calls that wait for the session, where none is under way on it (as
// after a GOAWAY): one call's abort or timeout would be its neighbours' too. Not so with an error of this kind.
class GivenUp extends errors.InformationalError {
  constructor(cause: Error) {
    super('the request was given up')
    this.cause = cause
  }
}

/** Gives up a request in undici. What undici then tells of it is an error of its own, with `reason` as cause. */
export function abortTransport(controller: Dispatcher.DispatchController, reason: Error, hasBody: boolean): void {
  const error = new GivenUp(reason)
  if (!hasBody) {
    controller.abort(error)
    return
  }
  streamClosed.subscribe(sendReset)
  try {
    controller.abort(error)
  } finally {
    streamClosed.unsubscribe(sendReset)
  }
}
