import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'

// undici gives an HTTP/2 request up with stream.close(), then stream.destroy(). While some of the request's body still has
// to go out, that close() sends no RST_STREAM, but waits for the body, which destroy() has taken away: node:http2 (22, 24
// and 26) then writes empty frames for the stream without end, on one core, until the memory is used up. destroy() alone
// resets the stream at once.

const created = 'http2.client.stream.created'

function closeOrDestroy(this: ClientHttp2Stream, code = 0, callback?: () => void): void {
  if (code !== 0) {
    Object.getPrototypeOf(this).close.call(this, code, callback)
    return
  }
  if (callback !== undefined) this.once('close', callback)
  this.destroy()
}

function mend(stream: ClientHttp2Stream): ClientHttp2Stream {
  stream.close = closeOrDestroy
  return stream
}

/** The session that undici has on a connection; `undefined` where it speaks HTTP/1.1. */
function sessionOn(socket: Socket): ClientHttp2Session | undefined {
  const key = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'http2Session')
  return key === undefined ? undefined : (socket as unknown as Record<symbol, ClientHttp2Session>)[key]
}

/**
 * Sees to it that requests of the session that undici starts on `socket`, and no other's, can be given up at any time.
 * `start` is where undici takes the socket over, and opens the first streams.
 */
export function mendStreams(socket: Socket, start: () => void): void {
  const onCreated = (message: unknown) => {
    mend((message as { stream: ClientHttp2Stream }).stream)
  }
  subscribe(created, onCreated)
  try {
    start()
  } finally {
    unsubscribe(created, onCreated)
  }
  const session = sessionOn(socket)
  if (session === undefined) return
  const { request } = session
  session.request = (...args: Parameters<typeof request>) => mend(request.apply(session, args))
}
