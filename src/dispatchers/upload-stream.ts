import { channel } from 'node:diagnostics_channel'
import { type ClientHttp2Stream, constants } from 'node:http2'

// Over HTTP/2, node:http2 (22 to 26) gives up a stream whose request body is still on its way in three wrong ways:
//
// - Its close() and destroy() first end() the stream. END_STREAM goes out before, or in place of, the reset, and the
//   server takes the part of the body that it got for the whole.
// - After end(), a close() without an error code waits for the last byte, and the destroy() with which undici follows it
//   forgets what close() waits for. The server is never told, and as soon as it reads on, node:http2 sends empty frames
//   for the forgotten stream in a loop that never ends, with the whole process in it.
// - In the midst of close(), the stream says that it is aborted. stream.pipeline(), with which undici sends a body that is
//   a stream, destroys it then and there, before close() has reset it: the same again.
//
// destroy() alone resets the stream at once. Only the stream's timer is left running, and undici's (300 s) keeps the stream
// and the call in memory for as long.
//
// Nobody is given the stream, but node:http2 announces it when undici makes it, which is right after undici has told the
// edge of the request's start. From then on the stream closes as it should.

const streamCreated = channel('http2.client.stream.created')
const { NGHTTP2_NO_ERROR } = constants

let expectedPath: string | null = null
let listens = false

/** Called when undici is about to make the stream of a request with a body, or to write it to a connection of HTTP/1.1. */
export function expectUpload(path: string): void {
  expectedPath = path
  if (listens) return
  listens = true
  // For good: to subscribe and unsubscribe for each upload costs more than all else that the kit does for it.
  streamCreated.subscribe(onStreamCreated)
}

function onStreamCreated(message: unknown): void {
  if (expectedPath === null) return
  const { stream, headers } = message as {
    readonly stream: ClientHttp2Stream
    readonly headers: Record<string, unknown>
  }
  if (!String(headers[':path']).startsWith(expectedPath)) return
  expectedPath = null
  stream.end = end as ClientHttp2Stream['end']
  stream.close = close
  stream.destroy = destroy
}

function end(this: ClientHttp2Stream, ...args: unknown[]): ClientHttp2Stream {
  if (this.closed) return this
  const { end: endStream } = Object.getPrototypeOf(this) as ClientHttp2Stream
  return Reflect.apply(endStream, this, args)
}

function close(this: ClientHttp2Stream, code: number = NGHTTP2_NO_ERROR, done?: () => void): void {
  if (code !== NGHTTP2_NO_ERROR || this.writableFinished) {
    const { close: closeStream } = Object.getPrototypeOf(this) as ClientHttp2Stream
    Reflect.apply(closeStream, this, done === undefined ? [code] : [code, done])
    return
  }
  // Without an error code, because CANCEL is held back, and then forgotten, where a callback of the session is running.
  if (done !== undefined) this.once('close', done)
  this.destroy()
}

function destroy(this: ClientHttp2Stream, error?: Error): ClientHttp2Stream {
  if (!this.destroyed) this.setTimeout(0)
  const { destroy: destroyStream } = Object.getPrototypeOf(this) as ClientHttp2Stream
  return Reflect.apply(destroyStream, this, [error])
}
